#!/usr/bin/env bash
# Makes the pictures of the HTML report that the README shows, in docs/images/: a run of the catalogue on a sandbox with
# a defect, looked at in Chromium.
#
#   ci/screenshots.sh [RECORD]        # RECORD: instead of a run
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=ci/lib.sh
. "$root/ci/lib.sh"
cd "$root"

# Largest picture, in bytes.
LARGEST=200000

record=${1-}
if [ -z "$record" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  cargo build -p verdikt
  # Differences are what is to be seen: exit code 1.
  export PATH=$root/target/debug:$PATH
  (cd "$folder" && verdikt run --sandbox reference+and-as-or --record run.json >/dev/null) || [ $? = 1 ]
  record=$folder/run.json
fi

VERDIKT_RECORD=$(realpath "$record") cargo test -p verdikt-report --lib html::tests::looks::pictures_of_a_record -- --ignored
mkdir -p docs/images
for picture in overview matrix dark; do
  file=docs/images/report-$picture.png
  cp "target/screenshots/report-$picture.png" "$file"
  [ "$(stat -c %s "$file")" -le "$LARGEST" ] || fail "$file has more than $LARGEST bytes"
  say "$file"
done
