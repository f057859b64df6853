#!/usr/bin/env bash
# One CNI's night: measure it, compare with the last night, write the job summary, decide.
#
#   ci/nightly/night.sh CNI [ARGUMENT…]      # arguments are for `verdikt run`
#
# Environment: OUT and VERDIKT as in ci/kind-matrix.sh; GITHUB_STEP_SUMMARY, where the summary goes (default: standard output);
# LAST, a record to compare with (default: what ci/nightly/last-record.sh finds, where `gh` has a token).
#
# What the night's result is:
#   verdikt 0            passed
#   verdikt 1            passed when every wrong cell was wrong in the last record, too, or when there is none; failed
#                        otherwise. A known difference does not keep a dataplane red for ever; a new one is seen.
#   anything else        failed: not measured (5), not set up (3), a wrong command line (2, 4), a bug (70),
#                        stopped (130)
# Exit codes: 0 when passed, 1 when new cells are wrong, else verdikt's.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

[ $# -gt 0 ] || {
  echo "usage: $0 CNI [ARGUMENT…]" >&2
  exit 2
}
cni=$1
shift
verdikt=${VERDIKT:-verdikt}
export OUT=${OUT:-$root/target/kind-matrix/$cni}
summary=${GITHUB_STEP_SUMMARY:-/dev/stdout}
tell() { printf '%s\n' "$@" >>"$summary"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
last=${LAST-}
if [ -z "$last" ] && [ -n "${GH_TOKEN-}" ]; then
  last=$("$root/ci/nightly/last-record.sh" "$cni" "$work/last") || last=
fi
# What follows installs other people's software and has no use for it.
unset GH_TOKEN

code=0
"$root/ci/kind-matrix.sh" "$cni" -- "$@" || code=$?

tell "## $cni" ""
if [ -s "$OUT/record.json" ]; then
  "$root/ci/nightly/summary.sh" "$OUT/record.json" >>"$summary" || true
  tell ""
fi

case $code in
  0 | 1)
    new=0
    if [ -n "$last" ] && [ -s "$OUT/record.json" ]; then
      "$root/ci/nightly/compare.sh" "$last" "$OUT/record.json" >>"$summary" || new=$?
      if command -v "$verdikt" >/dev/null; then
        tell ""
        "$verdikt" compare --fail-on none -o markdown "$last" "$OUT/record.json" >>"$summary" || true
      fi
    else
      tell "There is no earlier record to compare with; the next night is compared with this one."
    fi
    tell ""
    if [ "$new" -gt 1 ]; then
      tell "**Failed**: the records could not be compared."
      exit 70
    fi
    if [ "$code" = 1 ] && [ "$new" = 1 ]; then
      tell "**Failed**: cells are wrong that were not wrong in the last record."
      exit 1
    fi
    if [ "$code" = 1 ]; then
      tell "Passed: there are differences, and none of them is new."
    else
      tell "Passed: everything is as expected."
    fi
    ;;
  3) tell "**Failed**: the cluster, $cni or the probe image could not be set up; see the log of this job." ;;
  5) tell "**Failed**: something could not be measured, and no difference was proved." ;;
  *) tell "**Failed**: exit code $code; see the log of this job." ;;
esac
[ "$code" = 1 ] || exit "$code"
