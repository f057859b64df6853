#!/usr/bin/env bash
# Compares the wrong cells of two records and says what has changed, as Markdown.
#
#   ci/nightly/compare.sh LAST NOW
#
# Wrong is a cell with outcome `fail` or `flaky`. Exit codes: 0 no cell is wrong that was not wrong in LAST; 1 there are
# such cells; 2 a record cannot be read. Cells that are wrong no longer are told and fail nothing, and they count as
# mended only where NOW has a verdict for them: what was not measured again is told apart.
#
# This decides whether a night fails, and counts what is flaky as wrong; `verdikt compare`, which takes nothing that is flaky for a
# difference, says beside it in night.sh what differs and why.
set -euo pipefail

[ $# = 2 ] || {
  echo "usage: $0 LAST NOW" >&2
  exit 2
}
for record; do
  jq -e '.schema == "verdikt.dev/record/v1"' "$record" >/dev/null 2>&1 || {
    echo "error: $record is no record of version verdikt.dev/record/v1" >&2
    exit 2
  }
done

# Both records go through the same function: cells by key, of those outcomes. `observed` is not in the key: a
# dataplane that refuses by ICMP is seen to drop when the kernel's rate limit says so, which is no news.
result=$(jq -n --slurpfile last "$1" --slurpfile now "$2" '
  def cells(outcomes): [
    .scenarios[] | .name as $scenario | .steps[] | .name as $step | .cells[]
    | select(.outcome as $o | outcomes | index($o))
    | {
        key: ([$scenario, $step, .from, .to, .via, .port, .protocol, .family] | tojson),
        value: ("\($scenario), step \($step): \(.from) -> \(.to):\(.port)/\(.protocol) via \(.via) over \(.family): "
          + "expected \(.expected), observed \(.observed // "nothing")")
      }
    ] | from_entries;
  ($last[0] | cells(["fail", "flaky"])) as $before
  | ($now[0] | cells(["fail", "flaky"])) as $after
  | ($now[0] | cells(["pass", "deviation"])) as $right
  | ([$before | keys[] | select(in($after) | not)]) as $gone
  | {
      before: ($before | length),
      after: ($after | length),
      new: [$after | to_entries[] | select(.key | in($before) | not) | .value],
      mended: [$gone[] | select(in($right)) | $before[.]],
      lost: [$gone[] | select(in($right) | not) | $before[.]]
    }')

# section TITLE FIELD – a list that folds away, cut where a summary has no room for more.
section() {
  jq -r --arg title "$1" --arg field "$2" '
    .[$field] | length as $n | select($n > 0)
    | "\n<details><summary>\($title): \($n)</summary>\n",
      (.[:200][] | "- `\(gsub("`"; "\u0027"))`"),
      (select($n > 200) | "- … and \($n - 200) more"),
      "\n</details>"' <<<"$result"
}

jq -r '"Wrong cells: \(.before) before, \(.after) now; **\(.new | length) new**, "
  + "\(.mended | length) mended, \(.lost | length) not measured again."' <<<"$result"
section "New wrong cells" new
section "Mended" mended
section "Wrong before, not measured now" lost
jq -e '.new | length == 0' <<<"$result" >/dev/null
