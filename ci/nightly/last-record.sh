#!/usr/bin/env bash
# Brings the newest earlier record of a CNI from the artifacts of the nightly workflow, and prints its path.
#
#   ci/nightly/last-record.sh CNI FOLDER
#
# Asks with `gh` (GH_TOKEN; permission actions: read) for scheduled runs of nightly.yml on this branch. A night on
# which the CNI did not get as far as a record is passed over. Exit codes: 0; 1 when there is none, with the reason.
set -euo pipefail

[ $# = 2 ] || {
  echo "usage: $0 CNI FOLDER" >&2
  exit 2
}
cni=$1
folder=$2

runs=$(gh run list --workflow nightly.yml --event schedule --status completed --limit 14 \
  --branch "${GITHUB_REF_NAME:?}" --json databaseId --jq '.[].databaseId') || {
  echo "cannot list earlier runs" >&2
  exit 1
}
for run in $runs; do
  rm -rf "$folder"
  if gh run download "$run" --name "record-$cni" --dir "$folder" >/dev/null 2>&1 && [ -s "$folder/record.json" ]; then
    printf '%s\n' "$folder/record.json"
    exit 0
  fi
done
echo "no earlier night has a record of $cni" >&2
exit 1
