#!/usr/bin/env bash
# The tests of the scripts in ci/. They need bash, jq and what every Linux has; no cluster, no network.
set -euo pipefail
cd "$(dirname "$0")"
for test in kind-matrix nightly job crds vm; do
  "./$test.sh"
done
