#!/usr/bin/env bash
# ci/in-cluster/job.sh with a `verdikt` that only writes files: parts, merging, printing, Sonobuoy, signals.
# shellcheck disable=SC2016 # bodies of stubs expand when they run
set -euo pipefail
# shellcheck source=ci/tests/lib.sh
. "$(dirname "$0")/lib.sh"
job=$root/ci/in-cluster/job.sh
unset JOB_COMPLETION_INDEX SHARDS JOB_UID SONOBUOY_RESULTS_DIR PRINT VERDIKT 2>/dev/null || :
export RESULTS=$dir/results

stub verdikt <<'E2'
case $1 in
  run)
    [ -z "${HANG-}" ] || { trap 'echo cleaned up; exit 130' TERM; : >"$HANG"; while :; do sleep 0.05; done; }
    code=${CODE-0}
    while [ $# -gt 0 ]; do
      case $1 in
        --record) [ "$code" -gt 5 ] || [ "$code" = 3 ] || echo "{\"record\": \"$JOB_COMPLETION_INDEX\"}" >"$2" ;;
        --export-junit) [ "$code" -gt 5 ] || [ "$code" = 3 ] || echo "<testsuites/>" >"$2" ;;
      esac
      shift
    done
    exit "$code"
    ;;
  merge)
    shift
    files=()
    while [ "$1" != --record ]; do files+=("$1"); shift; done
    cat "${files[@]}" >"$2"
    exit "${MERGE-0}"
    ;;
esac
E2

# unpack NAME – what the log has between the markers, unpacked as the documentation says.
unpack() {
  rm -rf "$dir/unpacked"
  mkdir "$dir/unpacked"
  sed -n "/^-----BEGIN $1/,/^-----END $1/{//!p}" "$dir/stdout" | base64 -d | tar xz -C "$dir/unpacked"
}

# --- one Job -----------------------------------------------------------------------------------------------------------

run 0 "$job" -l level=core
in_order "$calls" "verdikt run --in-cluster --record $RESULTS/record.json --export-junit $RESULTS/junit.xml -l level=core"
unpack RESULTS
in_order "$dir/unpacked/record.json" record
in_order "$dir/unpacked/junit.xml" testsuites
for code in 1 2 3 4 5 70 130; do CODE=$code run "$code" "$job"; done
PRINT=0 run 0 "$job"
never "$dir/stdout" BEGIN
# What an earlier run has left is not taken for this one's.
CODE=3 run 3 "$job"
[ ! -e "$RESULTS/record.json" ]
: >"$dir/file"
RESULTS=$dir/file run 3 "$job"
in_order "$dir/stderr" "cannot write to $dir/file"
never "$calls" verdikt

# --- an Indexed Job ----------------------------------------------------------------------------------------------------

export SHARDS=3 JOB_UID=u1
JOB_COMPLETION_INDEX=0 run 0 "$job" basics
in_order "$calls" "verdikt run --in-cluster --record $RESULTS/u1/part-0/record.json --export-junit $RESULTS/u1/part-0/junit.xml --partition 1/3 basics"
in_order "$dir/stdout" "-----BEGIN RESULTS-----" "part 2 of 3 is not done yet"
never "$calls" merge
JOB_COMPLETION_INDEX=2 CODE=1 run 1 "$job"
never "$calls" merge
# The last one merges, whichever it is, and its own exit code stays.
JOB_COMPLETION_INDEX=1 CODE=5 run 5 "$job"
in_order "$calls" "verdikt merge part-0/record.json part-1/record.json part-2/record.json --record"
in_order "$RESULTS/u1/record.json" '"0"' '"1"' '"2"'
unpack "MERGED RESULTS"
in_order "$dir/unpacked/record.json" '"0"' '"1"' '"2"'
unpack RESULTS
never "$dir/unpacked/record.json" '"0"'
# One that ends at the same moment merges once more, to the same result.
JOB_COMPLETION_INDEX=1 CODE=5 run 5 "$job"
in_order "$calls" "verdikt merge"

# A part that could not be set up is not done, and nothing is merged.
export JOB_UID=u2
JOB_COMPLETION_INDEX=0 run 0 "$job"
JOB_COMPLETION_INDEX=1 CODE=3 run 3 "$job"
JOB_COMPLETION_INDEX=2 run 0 "$job"
in_order "$dir/stdout" "part 2 of 3 is not done yet"
never "$calls" merge
# Tried again, it is.
JOB_COMPLETION_INDEX=1 run 0 "$job"
in_order "$calls" "verdikt merge"
MERGE=2 JOB_COMPLETION_INDEX=1 run 3 "$job"
in_order "$dir/stderr" "merging failed with exit code 2"

# More parts than scenarios.
export JOB_UID=u3 SHARDS=2
JOB_COMPLETION_INDEX=1 CODE=4 run 0 "$job"
in_order "$dir/stdout" "part 2 of 2 has no scenarios"
JOB_COMPLETION_INDEX=0 CODE=1 run 1 "$job"
in_order "$calls" "verdikt merge part-0/record.json --record"
export JOB_UID=u4
JOB_COMPLETION_INDEX=1 CODE=4 run 0 "$job"
JOB_COMPLETION_INDEX=0 CODE=4 run 4 "$job"

SHARDS=2 JOB_COMPLETION_INDEX=2 run 3 "$job"
in_order "$dir/stderr" "it must be the Job's completions"
unset SHARDS JOB_UID

# --- the pod is told to end --------------------------------------------------------------------------------------------

for shell in sh bash; do
  rm -f "$dir/hangs"
  : >"$calls"
  HANG=$dir/hangs PATH=$bin:$PATH "$shell" "$job" >"$dir/stdout" 2>&1 &
  pid=$!
  for _ in $(seq 200); do [ -e "$dir/hangs" ] && break; sleep 0.05; done
  kill -TERM "$pid"
  code=0
  wait "$pid" || code=$?
  if [ "$code" != 130 ]; then
    echo "FAILED: a job that was told to end by SIGTERM has exit code $code under $shell, expected verdikt's 130" >&2
    exit 1
  fi
  in_order "$dir/stdout" "cleaned up"
done

# --- Sonobuoy ----------------------------------------------------------------------------------------------------------

export SONOBUOY_RESULTS_DIR=$dir/sonobuoy
CODE=1 run 1 "$job" --lanes 2
in_order "$calls" "verdikt run --in-cluster --record $dir/sonobuoy/record.json --export-junit $dir/sonobuoy/junit.xml --lanes 2"
in_order "$dir/sonobuoy/done" "$dir/sonobuoy/verdikt.tar.gz"
[ "$(tar tzf "$dir/sonobuoy/verdikt.tar.gz" | paste -sd ' ' -)" = "record.json junit.xml" ]
never "$dir/stdout" BEGIN
# Sonobuoy waits for its file for hours; a run that never began must write one, too.
rm -rf "$dir/sonobuoy"
CODE=3 run 3 "$job"
in_order "$dir/sonobuoy/done" "verdikt.tar.gz"
in_order "$dir/sonobuoy/junit.xml" "exit code 3"

echo "job: $passed checks"
