#!/bin/sh
# What ci/vm.sh runs in the emulated machine: whatever is about SCTP. Nothing of it may be left out there.
failed=
part() {
  echo "== $*"
  # The exit code goes through a file: there is no pipefail in every sh.
  { "$@" 2>&1 || echo "$?" >/tmp/code; } | tee /tmp/said
  if [ -e /tmp/code ] || grep -qE 'left out|[1-9][0-9]* ignored' /tmp/said; then
    failed="$failed
  $*"
    rm -f /tmp/code
  fi
}

[ -d /proc/sys/net/sctp ] || { echo "no SCTP in this machine"; exit 1; }
part network sctp
part catalogue sctp
part outside sctp --test-threads 1
[ -z "$failed" ] || { echo "failed, or left out:$failed"; exit 1; }
