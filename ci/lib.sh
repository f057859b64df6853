# shellcheck shell=bash
# What the scripts in ci/ share; to be sourced.

say() { printf '== %s\n' "$*" >&2; }

# Exit code 3 means here what it means in verdikt: the set-up does not allow the work.
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 3
}

have() { command -v "$1" >/dev/null 2>&1; }

# need TOOL… – all of them must be installed.
need() {
  local tool missing=()
  for tool; do
    have "$tool" || missing+=("$tool")
  done
  [ ${#missing[@]} -eq 0 ] ||
    fail "not installed: ${missing[*]} (ci/tools.sh installs kind, kubectl and helm as pinned)"
}

# amd64 or arm64, as download addresses spell it.
architecture() {
  case $(uname -m) in
    x86_64 | amd64) echo amd64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) fail "no pinned binaries for $(uname -m)" ;;
  esac
}

# pinned NAME – the value of a variable of versions.env for this machine's architecture.
pinned() {
  local name
  name=$1_$(architecture)
  [ -n "${!name-}" ] || fail "ci/versions.env has no $name"
  printf '%s\n' "${!name}"
}

has_sha256() { printf '%s  %s\n' "$1" "$2" | sha256sum --check --status 2>/dev/null; }

# fetch URL SHA256 – prints the path of a file with this checksum, from the cache or from the network. The cache is
# what makes a second run, and one without a network, work.
fetch() {
  local url=$1 sum=$2 cache file
  cache=${VERDIKT_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/verdikt-ci}
  file=$cache/$sum-${url##*/}
  if ! has_sha256 "$sum" "$file"; then
    mkdir -p "$cache"
    curl --fail --silent --show-error --location --proto '=https' --retry 5 --max-time 300 \
      --output "$file.part" "$url" || fail "cannot download $url"
    has_sha256 "$sum" "$file.part" || {
      rm -f "$file.part"
      fail "$url is not the file that ci/versions.env pins (sha256 $sum)"
    }
    mv "$file.part" "$file"
  fi
  printf '%s\n' "$file"
}

in_ci() { [ "${CI-}" = true ]; }

# debian PACKAGE… – installs packages, in CI only.
debian() {
  local sudo=()
  in_ci && have apt-get || return 1
  [ "$(id -u)" = 0 ] || sudo=(sudo -n)
  say "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  { ${sudo[@]+"${sudo[@]}"} apt-get -qq install -y "$@" ||
    { ${sudo[@]+"${sudo[@]}"} apt-get -qq update && ${sudo[@]+"${sudo[@]}"} apt-get -qq install -y "$@"; }; } >/dev/null
}
