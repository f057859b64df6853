#!/usr/bin/env bash
# Runs what needs SCTP in an emulated machine whose kernel has it: QEMU without help by the hardware, Debian's kernel, an
# initramfs of busybox, the tests and the libraries that they need. Takes about two minutes. Nothing is installed or loaded
# on this machine (in CI, QEMU itself), and no root is needed.
#
#   ci/vm.sh                    # scenarios, defects and tests about SCTP (ci/vm/tests.sh)
#   ci/vm.sh COMMAND…           # this instead, in the checkout: ci/vm.sh verdikt run -f my.yaml
#
# Exit code: that of what ran inside; 1 also when the machine died or took longer than VERDIKT_VM_LIMIT (seconds, default
# 900); 3 when there can be no such machine here, with the reason.
#
# VERDIKT_VM_FILES   files and folders that the machine needs besides the checkout, absolute, parted by blanks
# VERDIKT_VM_CARGO   what to build, in words of `cargo test --no-run` (default: --workspace --locked, as .ci/run has it)
#
# Packages are kept in target/vm; remove it for newer ones.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=ci/lib.sh
. "$root/ci/lib.sh"
# shellcheck source=ci/vm/packages.sh
. "$root/ci/vm/packages.sh"
# shellcheck source=ci/vm/pack.sh
. "$root/ci/vm/pack.sh"

case ${1-} in
  -h | --help)
    sed -n '2,15s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
[ $# -gt 0 ] || set -- sh ci/vm/tests.sh

limit=${VERDIKT_VM_LIMIT:-900}
vm=${CARGO_TARGET_DIR:-$root/target}/vm
mkdir -p "$vm"

[ "$(uname -sm)" = "Linux x86_64" ] || fail "the machine is emulated on Linux on x86_64 only, and this is $(uname -sm)"
have qemu-system-x86_64 || debian --no-install-recommends qemu-system-x86 || :
have qemu-system-x86_64 || fail "qemu-system-x86_64 is not installed (on Debian: apt-get install qemu-system-x86)"
need cargo jq timeout
get_packages "$vm"

work=$(mktemp -d "$vm/run-XXXXXX")
trap 'rm -rf "$work"' EXIT
pack "$vm" "$work" "$@"

say "starting the machine ($(du -h "$work/initramfs" | cut -f1) of files, kernel $(kernel_version "$vm"))"
code=0
# The second serial line has one word: the exit code of what ran. Panics end QEMU, because it is told not to reboot.
timeout --foreground --kill-after=10 "$limit" qemu-system-x86_64 \
  -machine pc -accel tcg,thread=multi -cpu max -smp 2 -m 3072 \
  -nodefaults -no-user-config -no-reboot -display none -monitor none \
  -serial stdio -serial "file:$work/result" \
  -kernel "$vm/system/boot/vmlinuz" -initrd "$work/initramfs" \
  -append "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off random.trust_cpu=on" \
  </dev/null || code=$?

if [ "$code" = 124 ] || [ "$code" = 137 ]; then
  printf 'error: the machine was ended after %s s (VERDIKT_VM_LIMIT)\n' "$limit" >&2
  exit 1
fi
result=$(cat "$work/result" 2>/dev/null || :)
case $result in
  '' | *[!0-9]*)
    printf 'error: the machine ended (QEMU: %s) before what ran in it; its last words are above\n' "$code" >&2
    exit 1
    ;;
esac
say "the machine was switched off; exit code $result"
exit "$result"
