#!/usr/bin/env bash
# Prints `cnis=[…]`, the matrix of the nightly workflow: all CNIs, or the one that is named.
#
#   ci/nightly/cnis.sh all|CNI
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

all=$("$root/ci/kind-matrix.sh" --list)
chosen=${1:-all}
if [ "$chosen" = all ]; then
  chosen=$all
elif ! printf '%s\n' "$all" | grep -qxF -- "$chosen"; then
  echo "error: unknown CNI \`$chosen\`; there are: all $(printf '%s' "$all" | paste -sd ' ' -)" >&2
  exit 2
fi
printf 'cnis=%s\n' "$(printf '%s\n' "$chosen" | jq -Rnc '[inputs]')"
