# shellcheck shell=bash
# The packages of the emulated machine: Debian's kernel for virtual machines, and busybox. apt works in a folder of its own,
# with Debian's archive as its only source, so that this needs no root and is the same on other systems that have apt.
# To be sourced by ci/vm.sh.

: "${root:?}"
# shellcheck source=ci/versions.env
. "$root/ci/versions.env"

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# kernel_version FOLDER
kernel_version() { basename "$1"/system/lib/modules/*; }

# get_packages FOLDER – unpacks them into FOLDER/system, if they are not there already.
get_packages() {
  local vm=$1 kernel option
  [ ! -e "$vm/system/complete" ] || return 0
  [ -e "$keyring" ] || debian debian-archive-keyring || :
  [ -e "$keyring" ] || fail "$keyring is missing, which vouches for Debian's packages (apt-get install debian-archive-keyring)"
  need apt-get apt-cache dpkg-deb
  say "getting kernel and busybox of Debian $DEBIAN"
  rm -rf "$vm/apt" "$vm/system"
  mkdir -p "$vm"/apt/{lists/partial,cache/archives/partial,debs} "$vm/system"
  : >"$vm/apt/status"
  printf 'deb [arch=amd64 signed-by=%s] %s %s main\n' "$keyring" "$DEBIAN_MIRROR" "$DEBIAN" >"$vm/apt/sources.list"
  local options=()
  for option in Dir::Etc::SourceList="$vm/apt/sources.list" Dir::Etc::SourceParts=/dev/null Dir::State::Lists="$vm/apt/lists" \
    Dir::State::Status="$vm/apt/status" Dir::Cache="$vm/apt/cache" APT::Architecture=amd64 APT::Sandbox::User="$(id -un)" \
    Acquire::Languages=none Acquire::Retries=3; do
    options+=(-o "$option")
  done
  # The package with the plain name depends on the kernel of the day.
  apt-get -qq "${options[@]}" update || fail "cannot get the list of Debian's packages from $DEBIAN_MIRROR"
  kernel=$(apt-cache "${options[@]}" depends linux-image-cloud-amd64 |
    sed -n 's/^ *Depends: *\(linux-image-[0-9].*\)/\1/p' | head -n 1)
  (cd "$vm/apt/debs" && apt-get -qq "${options[@]}" download "${kernel:-linux-image-cloud-amd64}" busybox-static) ||
    fail "cannot get Debian's packages from $DEBIAN_MIRROR"
  for option in "$vm"/apt/debs/*.deb; do
    dpkg-deb -x "$option" "$vm/system"
  done
  mv "$vm"/system/boot/vmlinuz-* "$vm/system/boot/vmlinuz"
  "$vm/system/bin/busybox" depmod -b "$vm/system" "$(kernel_version "$vm")"
  rm -rf "$vm/apt"
  : >"$vm/system/complete"
}
