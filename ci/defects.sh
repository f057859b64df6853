#!/usr/bin/env bash
# Tells for every core scenario of the catalogue on which defects of the sandbox's dataplane it fails, the one first on which
# the fewest scenarios fail: candidates for harness/cli/tests/defects.txt. Takes about half an hour on two processors. Needs a
# release build and jq.
#
# usage: ci/defects.sh [DEFECT…]     with names, only these are run again; the records of the others stay in $RECORDS
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/lib.sh
need jq

verdikt=${VERDIKT:-target/release/verdikt}
records=${RECORDS:-target/defects}
mkdir -p "$records"

# Of the traits of time, these are defects: what a new pod may do at first (N38), what is open while policies change, and what many
# policies cost.
mapfile -t known < <("$verdikt" sandbox profiles -o json | jq -r '.traits[] | select(.value == "") | .name'; printf '%s\n' start-delay=300ms mixes-port-names=300ms delay-per-policy=10ms)
chosen=("${known[@]}")
[ $# -eq 0 ] || chosen=("$@")
for defect in "${chosen[@]}"; do
  # Exit code 1 is what is looked for.
  "$verdikt" run -l level=core --sandbox "reference+$defect" --settle 800ms --record "$records/$defect.json" >/dev/null 2>&1 || true
  say "$defect: $(jq -r '[.scenarios[].outcome] | "\(map(select(. == "failed")) | length) of \(length) core scenarios fail"' "$records/$defect.json")"
done

for defect in "${known[@]}"; do
  [ -e "$records/$defect.json" ] || continue
  jq -r --arg defect "$defect" '[.scenarios[] | select(.outcome == "failed") | .name] as $failed
    | $failed[] | "\(.) \($failed | length) \($defect)"' "$records/$defect.json"
done | sort -k1,1 -k2,2n | awk '{ all[$1] = all[$1] " " $3 } END { for (name in all) print name ":" all[name] }' | sort
