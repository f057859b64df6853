#!/usr/bin/env bash
# Installs kind, kubectl and helm into a folder, in the versions of ci/versions.env, with their checksums checked.
#
#   ci/tools.sh [FOLDER]        # default: target/ci-tools; put it in front of your PATH
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=ci/lib.sh
. "$root/ci/lib.sh"
# shellcheck source=ci/versions.env
. "$root/ci/versions.env"

case ${1-} in
  -h | --help)
    sed -n '2,4s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
folder=${1:-$root/target/ci-tools}
[ "$(uname -s)" = Linux ] || fail "only Linux binaries are pinned; install kind $KIND, kubectl $KUBECTL and helm $HELM"
need curl sha256sum tar
mkdir -p "$folder"
arch=$(architecture)

# Assigned first: a failure inside a command's arguments would not stop the script.
sum=$(pinned KIND_SHA256)
file=$(fetch "https://github.com/kubernetes-sigs/kind/releases/download/$KIND/kind-linux-$arch" "$sum")
install -m 0755 "$file" "$folder/kind"

sum=$(pinned KUBECTL_SHA256)
file=$(fetch "https://dl.k8s.io/release/$KUBECTL/bin/linux/$arch/kubectl" "$sum")
install -m 0755 "$file" "$folder/kubectl"

sum=$(pinned HELM_SHA256)
file=$(fetch "https://get.helm.sh/helm-$HELM-linux-$arch.tar.gz" "$sum")
tar -xzf "$file" -C "$folder" --strip-components=1 "linux-$arch/helm"

say "kind $KIND, kubectl $KUBECTL and helm $HELM are in $folder"
