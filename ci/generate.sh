#!/usr/bin/env bash
# Writes the files that are generated from code: the JSON Schemas in docs/schema/, the page of the catalogue docs/catalogue.md and
# the ClusterRole ci/in-cluster/rbac.yaml.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p docs/schema
for schema in scenario known-deviations record; do
  cargo run --quiet --locked -- schema "$schema" >"docs/schema/$schema.json"
done
cargo run --quiet --locked -- doctor --print-rbac >ci/in-cluster/rbac.yaml
cargo run --quiet --locked -- list -o markdown >docs/catalogue.md
