#!/usr/bin/env bash
# Checks the dependencies: deny.toml in full where cargo-deny is installed, and in any case that no banned crate
# has slipped into the lock file, which needs nothing but a shell.
set -euo pipefail
cd "$(dirname "$0")/.."

banned=$(sed -n 's/.*{ crate = "\([^"]*\)", reason.*/\1/p' deny.toml)
[ -n "$banned" ] || { echo "deny.toml bans nothing; has its layout changed?" >&2; exit 1; }
bad=0
for crate in $banned; do
  if grep -qx "name = \"$crate\"" Cargo.lock; then
    echo "banned crate in Cargo.lock: $crate (see deny.toml; \`cargo tree --workspace -i $crate\` shows who wants it)" >&2
    bad=1
  fi
done

if command -v cargo-deny >/dev/null; then
  cargo deny --locked check || bad=1
else
  echo "cargo-deny is not installed: licences, advisories and sources were not checked"
fi
exit $bad
