#!/bin/sh
# verdikt-job: runs verdikt as a Kubernetes Job, as one pod of an Indexed Job, or as a Sonobuoy plugin, and leaves
# results that outlive the pod.
#
#   verdikt-job [ARGUMENT…]          # arguments are for `verdikt run`
#
# Environment:
#   RESULTS                folder for record.json and junit.xml (default: /results)
#   PRINT                  0: do not print the results (default: 1)
#   JOB_COMPLETION_INDEX   set by Kubernetes in an Indexed Job: this pod runs part INDEX + 1
#   SHARDS                 how many parts there are: the Job's `completions`
#   JOB_UID                tells this Job's files from those of an earlier one on the same volume
#   SONOBUOY_RESULTS_DIR   set by Sonobuoy: results go there, and its "done" file is written
#
# A pod that has ended keeps its log and nothing else, so that the results are printed, as a base64 archive between
# marker lines:
#   kubectl logs JOB | sed -n '/^-----BEGIN RESULTS/,/^-----END RESULTS/{//!p}' | base64 -d | tar xz
#
# The pods of an Indexed Job share RESULTS. Whoever finds all parts done merges them and prints the merged record
# between markers that say MERGED RESULTS; two pods that end at the same moment may both do so, with the same result.
#
# Exit codes: those of this pod's `verdikt run`; 3 when there is nowhere to write or merging has failed. A part with
# nothing to run counts as done, because there may be more parts than scenarios.
set -eu

verdikt=${VERDIKT:-verdikt}
results=${SONOBUOY_RESULTS_DIR:-${RESULTS:-/results}${JOB_UID:+/$JOB_UID}}

fail() {
  echo "error: $*" >&2
  exit 3
}

mkdir -p "$results" 2>/dev/null ||
  fail "user $(id -u) cannot write to $results: make the volume writable, or set fsGroup"
part=$results
if [ -n "${JOB_COMPLETION_INDEX-}" ]; then
  [ "${SHARDS:-0}" -gt "$JOB_COMPLETION_INDEX" ] ||
    fail "SHARDS is ${SHARDS:-not set}; it must be the Job's completions, and this is index $JOB_COMPLETION_INDEX"
  part=$results/part-$JOB_COMPLETION_INDEX
  set -- --partition "$((JOB_COMPLETION_INDEX + 1))/$SHARDS" "$@"
fi
mkdir -p "$part" || fail "cannot make $part"
rm -f "$part/record.json" "$part/junit.xml" "$part/done" || fail "cannot replace the files in $part"

# archive FOLDER – the reports that are in it, as a compressed archive; nothing when there are none.
archive() (
  cd "$1"
  set --
  for file in record.json junit.xml; do
    if [ -e "$file" ]; then set -- "$@" "$file"; fi
  done
  if [ $# -gt 0 ]; then tar -czf - "$@"; fi
)

# print FOLDER NAME – its reports for the log.
print() {
  [ "${PRINT:-1}" = 1 ] || return 0
  echo "-----BEGIN $2-----"
  archive "$1" | base64
  echo "-----END $2-----"
}

# A shell passes no signal on by itself, and verdikt must hear of the pod's end: it then removes its namespaces.
"$verdikt" run --in-cluster --record "$part/record.json" --export-junit "$part/junit.xml" "$@" &
pid=$!
trap 'kill -TERM "$pid" 2>/dev/null || :' TERM INT HUP
code=0
wait "$pid" || code=$?
# A signal ends the wait, not verdikt.
while kill -0 "$pid" 2>/dev/null; do
  code=0
  wait "$pid" || code=$?
done

if [ -n "${SONOBUOY_RESULTS_DIR-}" ]; then
  if [ ! -e "$part/junit.xml" ]; then
    why="verdikt ended with exit code $code before it could report; see the log of this pod"
    cat >"$part/junit.xml" <<EOF
<testsuites><testsuite name="verdikt" tests="1" errors="1" failures="0">
<testcase name="verdikt"><error message="$why"/></testcase>
</testsuite></testsuites>
EOF
  fi
  archive "$part" >"$results/verdikt.tar.gz"
  # Last, and by a rename: Sonobuoy takes what this file names as soon as it is there.
  printf '%s' "$results/verdikt.tar.gz" >"$results/.done"
  mv "$results/.done" "$results/done"
  exit "$code"
fi

print "$part" RESULTS
[ -n "${JOB_COMPLETION_INDEX-}" ] || exit "$code"

case $code in
  0 | 1 | 5) ;;
  4)
    echo "part $((JOB_COMPLETION_INDEX + 1)) of $SHARDS has no scenarios"
    rm -f "$part/record.json"
    code=0
    ;;
  *) exit "$code" ;;
esac
: >"$part/done"

# Names of records; RESULTS may hold any character, so that they are relative to it.
cd "$results"
index=0
set --
while [ "$index" -lt "$SHARDS" ]; do
  if [ ! -e "part-$index/done" ]; then
    echo "part $((index + 1)) of $SHARDS is not done yet; whoever is last merges"
    exit "$code"
  fi
  if [ -e "part-$index/record.json" ]; then set -- "$@" "part-$index/record.json"; fi
  index=$((index + 1))
done
if [ $# -eq 0 ]; then
  echo "error: no part had a scenario to run" >&2
  exit 4
fi
mkdir -p "merged-$JOB_COMPLETION_INDEX"
merged=0
"$verdikt" merge "$@" --record "merged-$JOB_COMPLETION_INDEX/record.json" || merged=$?
# 1 and 5 are results: differences, and what could not be measured or has no scenario.
case $merged in
  0 | 1 | 5) ;;
  *) fail "merging failed with exit code $merged; the parts are in $results" ;;
esac
print "merged-$JOB_COMPLETION_INDEX" "MERGED RESULTS"
mv "merged-$JOB_COMPLETION_INDEX/record.json" record.json
rmdir "merged-$JOB_COMPLETION_INDEX"
echo "all $SHARDS parts are in $results/record.json"
exit "$code"
