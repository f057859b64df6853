#!/usr/bin/env bash
# Writes one table of all records of a night to the job summary.
#
#   ci/nightly/overview.sh FOLDER      # with record-CNI/record.json as the artifacts are unpacked
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
summary=${GITHUB_STEP_SUMMARY:-/dev/stdout}

shopt -s nullglob
records=("${1:?folder}"/record-*/record.json)
{
  echo "## All dataplanes"
  echo
  if [ ${#records[@]} -eq 0 ]; then
    echo "No dataplane has a record tonight."
  else
    "$root/ci/nightly/summary.sh" "${records[@]}"
  fi
} >>"$summary"
