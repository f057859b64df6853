#!/usr/bin/env bash
# Finds for every core scenario of the catalogue a defect of the sandbox's dataplane on which it fails, and writes the table
# that harness/cli/tests/defects.rs checks: of all such defects the one on which the fewest scenarios fail, since it matches
# best. Takes about half an hour on two processors. Needs a release build, jq; scenarios that are skipped here get no line.
#
# usage: ci/defects.sh [DEFECT…]     with names, only these are run again; records of earlier runs are kept in $RECORDS
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/lib.sh

verdikt=${VERDIKT:-target/release/verdikt}
records=${RECORDS:-target/defects}
table=harness/cli/tests/defects.txt
mkdir -p "$records"

# Of the traits of time, one is a defect: what a new pod may do at first (N38).
mapfile -t known < <("$verdikt" sandbox profiles -o json | jq -r '.traits[] | select(.value == "") | .name'; echo start-delay=300ms)
[ $# -gt 0 ] && chosen=("$@") || chosen=("${known[@]}")
for defect in "${chosen[@]}"; do
  # Exit code 1 is what is looked for.
  "$verdikt" run -l level=core --sandbox "reference+$defect" --settle 800ms --record "$records/$defect.json" >/dev/null 2>&1 || true
  printf '%s: %s of %s core scenarios fail\n' "$defect" \
    "$(jq '[.scenarios[] | select(.outcome == "failed")] | length' "$records/$defect.json")" \
    "$(jq '.scenarios | length' "$records/$defect.json")"
done

{
  echo "# A core scenario and the defect of the sandbox's dataplane that matches it best; written by ci/defects.sh."
  for defect in "${known[@]}"; do
    [ -e "$records/$defect.json" ] || continue
    jq -r --arg defect "$defect" '[.scenarios[] | select(.outcome == "failed") | .name] as $failed
      | $failed[] | "\($failed | length) \($defect) \(.)"' "$records/$defect.json"
  done | sort -k3,3 -k1,1n -k2,2 | awk '!seen[$3]++ { print $3, $2 }'
} >"$table"
missing=$("$verdikt" list -l level=core -o json | jq -r '.[].name' | grep -vxF -f <(cut -d' ' -f1 "$table") || true)
[ -z "$missing" ] || { echo "on no defect fail:"; echo "$missing"; }
