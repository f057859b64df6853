#!/usr/bin/env bash
# ci/vm.sh with a `qemu-system-x86_64` that only writes what the machine would: what is packed, and what the exit code says.
# shellcheck disable=SC2016,SC2030,SC2031 # bodies of stubs expand when they run
set -euo pipefail
# shellcheck source=ci/tests/lib.sh
. "$(dirname "$0")/lib.sh"
export CARGO_TARGET_DIR=$dir/target RESULT=0 QEMU=0
unset CI VERDIKT_VM_LIMIT VERDIKT_VM_CARGO VERDIKT_VM_FILES 2>/dev/null || :

# What get_packages leaves.
system=$dir/target/vm/system
modules=$system/lib/modules/6.1.0-x
mkdir -p "$system"/{bin,boot} "$modules/kernel/net"
: >"$system/complete"
: >"$system/boot/vmlinuz"
printf 'kernel/net/sctp.ko: kernel/net/crc.ko\nkernel/net/crc.ko:\nkernel/net/other.ko:\n' >"$modules/modules.dep"
touch "$modules"/kernel/net/{sctp,crc,other}.ko
# The tree's names in place of an archive.
printf '#!/bin/sh\ncat\n' >"$system/bin/busybox"
chmod +x "$system/bin/busybox"

mkdir -p "$dir/target/debug"
cp "$(type -P true)" "$dir/target/debug/network"
stub uname <<'E2'
echo "${MACHINE-Linux x86_64}"
E2
stub cargo <<'E2'
printf '{"reason":"compiler-artifact","target":{"name":"%s","kind":["%s"]},"profile":{"test":true},"executable":%s}\n' \
  network test "\"$CARGO_TARGET_DIR/debug/network\"" network lib null
E2
stub qemu-system-x86_64 <<'E2'
while [ $# -gt 0 ]; do
  case $1 in
    file:*) [ -z "$RESULT" ] || printf '%s\n' "$RESULT" >"${1#file:}" ;;
    -initrd) cp "$2" "$CALLS.tree" ;;
  esac
  shift
done
[ -z "${HANG-}" ] || sleep 60
exit "$QEMU"
E2

run 0 "$root/ci/vm.sh"
in_order "$calls" "cargo test --workspace --locked --no-run" "qemu-system-x86_64 -machine pc -accel tcg"
in_order "$calls" "-no-reboot"
for path in ./init ./bin/busybox "./vm/bin/network" ".$dir/target/debug/network" ".$root/ci/vm/tests.sh" \
  ./lib/modules/6.1.0-x/kernel/net/sctp.ko ./lib/modules/6.1.0-x/kernel/net/crc.ko; do
  in_order "$calls.tree" "$path"
done
never "$calls.tree" other.ko
if find "$dir/target/vm" -name 'run-*' | grep -q .; then
  echo "FAILED: something is left" >&2
  exit 1
fi

# The exit code is that of what ran, and a machine that does not tell one has failed.
RESULT=5 run 5 "$root/ci/vm.sh" verdikt run
RESULT='' run 1 "$root/ci/vm.sh"
in_order "$dir/stderr" "the machine ended (QEMU: 0) before what ran in it"
RESULT='' QEMU=1 run 1 "$root/ci/vm.sh"
HANG=1 VERDIKT_VM_LIMIT=1 run 1 "$root/ci/vm.sh"
in_order "$dir/stderr" "ended after 1 s"

# Where there can be no such machine, the reason is told and nothing is built.
MACHINE="Linux aarch64" run 3 "$root/ci/vm.sh"
in_order "$dir/stderr" "on x86_64 only, and this is Linux aarch64"
never "$calls" cargo
rm "$bin/qemu-system-x86_64"
if ! command -v qemu-system-x86_64 >/dev/null; then
  run 3 "$root/ci/vm.sh"
  in_order "$dir/stderr" "qemu-system-x86_64 is not installed"
fi

echo "vm: $passed checks"
