#!/usr/bin/env bash
# Prints a Markdown table of records, one row each: what was measured, and how it came out.
#
#   ci/nightly/summary.sh RECORD…
#
# Exit codes: 0; 2 when a record cannot be read (the others are in the table all the same).
set -euo pipefail

[ $# -gt 0 ] || {
  echo "usage: $0 RECORD…" >&2
  exit 2
}

printf '| %s ' dataplane Kubernetes nodes families "scenarios passed" failed errored skipped \
  "cells as expected" wrong flaky errors took
echo '|'
echo '|---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|'
code=0
for record; do
  jq -r '
    def word: gsub("[|`\\n<>]"; " ");
    .environment as $e | .summary.scenarios as $s | .summary.cells as $c
    | [
        ([$e.dataplane.name, $e.dataplane.version, $e.dataplane.mode] | map(select(. != "")) | join(" "))
          + (if $e.dataplane.emulated then " (emulated)" else "" end),
        $e.kubernetes, $e.nodes, ($e.ipFamilies | join(", ")),
        $s.passed, $s.failed, $s.errored, $s.skipped,
        ($c.pass + $c.deviation), $c.fail, $c.flaky, $c.error,
        "\(.run.durationMs / 1000 | floor) s"
      ]
    | "| " + (map(tostring | word) | join(" | ")) + " |"
  ' "$record" 2>/dev/null || {
    echo "error: cannot read the record $record" >&2
    code=2
  }
done
exit "$code"
