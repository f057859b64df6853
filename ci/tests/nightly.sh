#!/usr/bin/env bash
# What a night makes of records and exit codes: compare.sh, summary.sh, last-record.sh, night.sh and the rest.
# shellcheck disable=SC2016 # bodies of stubs expand when they run
set -euo pipefail
# shellcheck source=ci/tests/lib.sh
. "$(dirname "$0")/lib.sh"
nightly=$root/ci/nightly
unset GH_TOKEN LAST GITHUB_ACTIONS GITHUB_STEP_SUMMARY GITHUB_REF_NAME 2>/dev/null || :

# record FILE PORT:OUTCOME[:OBSERVED]… – a record with these cells.
record() {
  local file=$1 cell cells=() port outcome observed
  shift
  for cell; do
    IFS=: read -r port outcome observed <<<"$cell"
    cells+=("{\"from\":\"x/a\",\"to\":\"y/b\",\"via\":\"pod-ip\",\"port\":$port,\"protocol\":\"tcp\",\"family\":\"ipv4\",\"expected\":\"allow\",\"observed\":\"${observed:-dropped}\",\"outcome\":\"$outcome\",\"attempts\":1,\"rttUs\":null,\"reason\":null}")
  done
  jq -n --argjson cells "[$(IFS=,; echo "${cells[*]-}")]" '{
    schema: "verdikt.dev/record/v1",
    run: {id: "r", started: "2026-01-01T00:00:00Z", durationMs: 61500, command: []},
    environment: {target: "kind-x", dataplane: {name: "ca|lico", version: "3", mode: "", emulated: false},
      kubernetes: "v1.36.1", nodes: 3, kernel: "6", ipFamilies: ["ipv4", "ipv6"], verdikt: "0.1.0"},
    summary: {scenarios: {passed: 1, failed: 0, errored: 0, skipped: 0},
      cells: {pass: ($cells | map(select(.outcome == "pass")) | length), fail: ($cells | map(select(.outcome == "fail")) | length), deviation: 0, flaky: 0, error: 0, skipped: 0}},
    scenarios: [{name: "s/one", level: "core", labels: {}, clauses: [], outcome: "passed", reason: null, durationMs: 1,
      steps: [{name: "policy", settleMs: 1, cells: $cells}]}]}' >"$file"
}

# --- compare -----------------------------------------------------------------------------------------------------------

record "$dir/good" 80:pass:allowed 81:pass:allowed
record "$dir/bad" 80:fail 81:pass:allowed
record "$dir/refused" 80:fail:rejected 81:pass:allowed
record "$dir/worse" 80:fail 81:flaky
record "$dir/lost" 80:error 81:pass:allowed
echo '{"schema": "verdikt.dev/record/v9"}' >"$dir/v9"

run 0 "$nightly/compare.sh" "$dir/good" "$dir/good"
in_order "$dir/stdout" "Wrong cells: 0 before, 0 now; **0 new**, 0 mended, 0 not measured again."
run 1 "$nightly/compare.sh" "$dir/good" "$dir/bad"
in_order "$dir/stdout" "**1 new**" "New wrong cells: 1" \
  "s/one, step policy: x/a -> y/b:80/tcp via pod-ip over ipv4: expected allow, observed dropped"
run 0 "$nightly/compare.sh" "$dir/bad" "$dir/bad"
# Another refusal is no news, a flaky cell is.
run 0 "$nightly/compare.sh" "$dir/bad" "$dir/refused"
run 1 "$nightly/compare.sh" "$dir/bad" "$dir/worse"
in_order "$dir/stdout" "1 before, 2 now; **1 new**"
run 0 "$nightly/compare.sh" "$dir/bad" "$dir/good"
in_order "$dir/stdout" "**0 new**, 1 mended, 0 not measured again"
# What could not be measured is not mended.
run 0 "$nightly/compare.sh" "$dir/bad" "$dir/lost"
in_order "$dir/stdout" "0 mended, 1 not measured again" "Wrong before, not measured now: 1"
run 2 "$nightly/compare.sh" "$dir/good" "$dir/v9"
run 2 "$nightly/compare.sh" "$dir/nosuch" "$dir/good"
run 2 "$nightly/compare.sh" "$dir/good"
# shellcheck disable=SC2046 # one word a cell
record "$dir/many" $(seq -f '%g:fail' 1 300)
run 1 "$nightly/compare.sh" "$dir/good" "$dir/many"
in_order "$dir/stdout" "… and 100 more"

# --- summary -----------------------------------------------------------------------------------------------------------

run 0 "$nightly/summary.sh" "$dir/bad" "$dir/good"
in_order "$dir/stdout" "| dataplane |" "| ca lico 3 | v1.36.1 | 3 | ipv4, ipv6 | 1 | 0 | 0 | 0 | 1 | 1 | 0 | 0 | 61 s |"
run 2 "$nightly/summary.sh" "$dir/nosuch" "$dir/good"
count "$dir/stdout" "v1.36.1" 1
mkdir -p "$dir/records/record-x"
cp "$dir/bad" "$dir/records/record-x/record.json"
run 0 "$nightly/overview.sh" "$dir/records"
in_order "$dir/stdout" "## All dataplanes" "v1.36.1"
run 0 "$nightly/overview.sh" "$dir/empty"
in_order "$dir/stdout" "No dataplane has a record tonight"

# --- matrix ------------------------------------------------------------------------------------------------------------

run 0 "$nightly/cnis.sh" all
in_order "$dir/stdout" 'cnis=["antrea","calico","calico-ebpf","cilium",'
run 0 "$nightly/cnis.sh" flannel
in_order "$dir/stdout" 'cnis=["flannel"]'
run 2 "$nightly/cnis.sh" '$(reboot)'

# --- the last night's record -------------------------------------------------------------------------------------------

# Run 3 is the newest and came to nothing; run 2 has an empty folder; run 1 has a record.
stub gh <<E2
case "\$1 \$2" in
  "run list") printf '%s\n' 3 2 1 ;;
  "run download")
    while [ "\$1" != --dir ]; do [ "\$1" != download ] || n=\$2; shift; done
    [ "\$n" != 3 ] || exit 1
    mkdir -p "\$2"
    [ "\$n" != 1 ] || cp "$dir/bad" "\$2/record.json"
    ;;
esac
E2
GITHUB_REF_NAME=main run 0 "$nightly/last-record.sh" calico "$dir/last"
in_order "$dir/stdout" "$dir/last/record.json"
in_order "$calls" "gh run list --workflow nightly.yml --event schedule --status completed --limit 14 --branch main" \
  "gh run download 3 --name record-calico" "gh run download 1 --name record-calico"
stub gh <<<'[ "$1 $2" != "run list" ] || { echo "no rights" >&2; exit 4; }'
GITHUB_REF_NAME=main run 1 "$nightly/last-record.sh" calico "$dir/last"
stub gh <<<'[ "$1 $2" = "run list" ]'
GITHUB_REF_NAME=main run 1 "$nightly/last-record.sh" calico "$dir/last"
in_order "$dir/stderr" "no earlier night has a record of calico"

# --- the night ---------------------------------------------------------------------------------------------------------

# night.sh beside a kind-matrix.sh that only leaves a record and an exit code.
mkdir -p "$dir/tree/ci"
cp -r "$nightly" "$dir/tree/ci/nightly"
cat >"$dir/tree/ci/kind-matrix.sh" <<'E2'
#!/usr/bin/env bash
printf 'kind-matrix %s\n' "$*" >>"$CALLS"
[ -z "${GH_TOKEN-}" ] || echo "kind-matrix has the token" >>"$CALLS"
mkdir -p "$OUT"
rm -f "$OUT/record.json"
[ -z "$NOW" ] || cp "$NOW" "$OUT/record.json"
exit "$CODE"
E2
chmod +x "$dir/tree/ci/kind-matrix.sh"
export GITHUB_STEP_SUMMARY=$dir/summary OUT=$dir/out

# night CODE-OF-NIGHT CODE-OF-VERDIKT NOW LAST
night() {
  rm -f "$dir/summary"
  CODE=$2 NOW=$3 LAST=$4 run "$1" "$dir/tree/ci/nightly/night.sh" calico --lanes 2
  in_order "$calls" "kind-matrix calico -- --lanes 2"
  in_order "$dir/summary" "## calico"
}
night 0 0 "$dir/good" "$dir/good"
in_order "$dir/summary" "| ca lico 3 |" "**0 new**" "Passed: everything is as expected."
# The first night reports; a known difference passes; a new one fails, and fails every kind of night it should.
night 0 1 "$dir/bad" ""
in_order "$dir/summary" "There is no earlier record" "none of them is new"
night 0 1 "$dir/bad" "$dir/bad"
in_order "$dir/summary" "Passed: there are differences, and none of them is new."
night 0 1 "$dir/bad" "$dir/worse"
night 1 1 "$dir/worse" "$dir/bad"
in_order "$dir/summary" "**Failed**: cells are wrong that were not wrong in the last record."
night 0 0 "$dir/good" "$dir/bad"
in_order "$dir/summary" "1 mended"
night 5 5 "$dir/lost" "$dir/bad"
in_order "$dir/summary" "**Failed**: something could not be measured"
night 3 3 "" "$dir/bad"
in_order "$dir/summary" "**Failed**: the cluster, calico or the probe image could not be set up"
night 70 70 "$dir/bad" "$dir/bad"
night 130 130 "$dir/bad" "$dir/bad"
night 4 4 "" ""
night 2 2 "" ""
# The last record is asked for with the token, which goes no further.
stub gh <<E2
case "\$1 \$2" in
  "run list") echo 1 ;;
  "run download") while [ "\$1" != --dir ]; do shift; done; mkdir -p "\$2"; cp "$dir/bad" "\$2/record.json" ;;
esac
E2
GH_TOKEN=secret GITHUB_REF_NAME=main night 0 1 "$dir/bad" ""
in_order "$dir/summary" "none of them is new"
never "$dir/summary" "no earlier record"
never "$calls" "has the token"
# Without a comparison nothing may pass as "not new".
night 70 1 "$dir/bad" "$dir/v9"
in_order "$dir/summary" "could not be compared"

unset OUT
run 2 "$nightly/host.sh"

echo "nightly: $passed checks"
