# shellcheck shell=bash
# What is in the emulated machine: a file tree that is packed as its initramfs. To be sourced by ci/vm.sh.
#
#   /init, busybox          ci/vm/init starts what shall run
#   the checkout            at its own path, because tests have it compiled in
#   executables             at their own paths, without what only debuggers need; links to them in /vm/bin
#   libraries               at their own paths
#   modules                 of the kernel, with those that they depend on

: "${root:?}"

# What the sandbox, the agent and their tests use; patterns of names.
modules=(sctp veth dummy openvswitch nf_conntrack nf_conntrack_netlink nf_nat nf_tables 'nft_*' 'nf_reject_*' nfnetlink_queue)

# pack FOLDER WORK COMMAND… – writes WORK/initramfs.
pack() {
  local vm=$1 work=$2 tree=$2/tree
  shift 2
  mkdir -p "$tree"/{bin,etc,vm/bin} "$tree$root"
  cp "$vm/system/bin/busybox" "$tree/bin/busybox"
  cp "$root/ci/vm/init" "$tree/init"
  printf 'root:x:0:0::/:/bin/sh\n' >"$tree/etc/passwd"
  printf 'root:x:0:\n' >"$tree/etc/group"
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$tree/etc/hosts"
  { printf 'cd %q\n' "$root" && printf '%q ' "$@" && echo; } >"$tree/vm/command"
  pack_modules "$vm" "$tree"
  # Files that are deleted, but not in git, are listed, too.
  (cd "$root" && git ls-files -z --cached --others --exclude-standard |
    tar -c --null --files-from=- --ignore-failed-read 2>/dev/null) | tar -x -C "$tree$root"
  # shellcheck disable=SC2086 # parted by blanks on purpose
  [ -z "${VERDIKT_VM_FILES-}" ] || cp -r --parents -t "$tree" $VERDIKT_VM_FILES
  pack_executables "$tree"
  (cd "$tree" && find . | "$vm/system/bin/busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$work/initramfs"
  rm -rf "$tree"
}

# pack_modules FOLDER TREE
pack_modules() {
  local version from to name file
  version=$(kernel_version "$1")
  from=$1/system/lib/modules/$version to=$2/lib/modules/$version
  mkdir -p "$to"
  cp "$from"/modules.* "$to"
  for name in "${modules[@]}"; do
    # A line of modules.dep is a module, a colon, and what it depends on.
    find "$from/kernel" -name "$name.ko" -printf '%f\n' | sed 's/\.ko$//' >>"$2/vm/modules"
    find "$from/kernel" -name "$name.ko" -printf 'kernel/%P\n'
  done | sort -u | while IFS= read -r file; do
    sed -n "s|^$file: *|$file |p" "$from/modules.dep"
  done | tr ' ' '\n' | sort -u | while IFS= read -r file; do
    [ -z "$file" ] || (cd "$from" && cp --parents -t "$to" "$file")
  done
}

# pack_executables TREE – all that cargo makes for the tests' sake: those of tests and those that tests start.
pack_executables() {
  local tree=$1 name path
  say "building the tests"
  # shellcheck disable=SC2086 # parted by blanks on purpose
  cargo test ${VERDIKT_VM_CARGO:---workspace --locked} --no-run --message-format=json |
    jq -r 'select(.reason == "compiler-artifact" and .executable != null)
      | select((.target.kind[0] == "test") or (.target.kind[0] == "bin" and (.profile.test | not)))
      | "\(.target.name)\t\(.executable)"' >"$tree/vm/executables"
  while IFS=$'\t' read -r name path; do
    case $name in catalogue | defects | network | outside | verdikt | verdikt-probe) ;; *) continue ;; esac
    mkdir -p "$tree${path%/*}"
    strip --strip-debug -o "$tree$path" "$path"
    ln -s "$path" "$tree/vm/bin/$name"
    ldd "$path" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p'
  done <"$tree/vm/executables" | sort -u | while IFS= read -r path; do
    cp -L --parents -t "$tree" "$path"
  done
}
