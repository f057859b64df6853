# shellcheck shell=bash disable=SC2016,SC2034 # bodies of stubs expand when they run; tests read the variables
# What the tests of the scripts share; to be sourced. A test makes commands that write down how they were called, puts
# them in front of PATH, runs a script and looks at its exit code and at the calls.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bin=$dir/bin
calls=$dir/calls
mkdir -p "$bin"
export CALLS=$calls
passed=0

# stub NAME – a command that writes its name and arguments to the list of calls and runs the body on standard input.
stub() {
  {
    printf '#!/usr/bin/env bash\n'
    printf 'printf "%%s\\n" "%s $*" >>"$CALLS"\n' "$1"
    cat
  } >"$bin/$1"
  chmod +x "$bin/$1"
}

# run CODE COMMAND… – runs it with the stubs in front; its exit code must be CODE.
run() {
  local want=$1 code=0
  shift
  : >"$calls"
  PATH=$bin:$PATH "$@" >"$dir/stdout" 2>"$dir/stderr" || code=$?
  if [ "$code" != "$want" ]; then
    printf 'FAILED: %s\n  exit code %s, expected %s\n' "$*" "$code" "$want" >&2
    sed 's/^/  calls:  /' "$calls" >&2
    sed 's/^/  stdout: /' "$dir/stdout" >&2
    sed 's/^/  stderr: /' "$dir/stderr" >&2
    exit 1
  fi
  passed=$((passed + 1))
}

# in_order FILE TEXT… – lines that contain these are in the file, in this order.
in_order() {
  local file=$1 at=0 text line
  shift
  for text; do
    line=$(awk -v at="$at" -v text="$text" 'NR > at && index($0, text) { print NR; exit }' "$file")
    if [ -z "$line" ]; then
      printf 'FAILED: no `%s` after line %s of:\n' "$text" "$at" >&2
      sed 's/^/  /' "$file" >&2
      exit 1
    fi
    at=$line
  done
  passed=$((passed + 1))
}

# never FILE TEXT – no line contains it.
never() {
  if grep -qF -- "$2" "$1"; then
    printf 'FAILED: `%s` is in:\n' "$2" >&2
    sed 's/^/  /' "$1" >&2
    exit 1
  fi
  passed=$((passed + 1))
}

# count FILE TEXT N – so many lines contain it.
count() {
  local n
  n=$(grep -cF -- "$2" "$1" || :)
  if [ "$n" != "$3" ]; then
    printf 'FAILED: `%s` is in %s lines, expected %s, of:\n' "$2" "$n" "$3" >&2
    sed 's/^/  /' "$1" >&2
    exit 1
  fi
  passed=$((passed + 1))
}
