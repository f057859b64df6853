#!/usr/bin/env bash
# Checks the objects of other kinds that the catalogue applies against the definitions of the pinned versions.
#
#   ci/crds.sh [FOLDER]      # where the definitions go; default target/crds
#
# Environment: VERDIKT, the binary (default: target/release/verdikt).
#
# The definitions are other projects' files: they are downloaded, never committed. The Network Policy API has two
# channels; what a scenario applies must fit the standard one as well, which is what most clusters install.
# Exit codes: 0 when every object fits, 1 when one does not or could not be checked, 3 when a file cannot be had.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=ci/lib.sh
. "$root/ci/lib.sh"
# shellcheck source=ci/versions.env
. "$root/ci/versions.env"
folder=${1:-$root/target/crds}
verdikt=${VERDIKT:-$root/target/release/verdikt}
need curl "$verdikt"

# definition PATH REPOSITORY TAG FILE – a file of a repository at a tag, into the folder.
definition() {
  local to=$folder/$1 url=https://raw.githubusercontent.com/$2/$3/$4
  mkdir -p "${to%/*}"
  curl --fail --silent --show-error --location --proto '=https' --retry 5 --max-time 300 --output "$to" "$url" ||
    fail "cannot download $url"
}

say "definitions"
for kind in ciliumnetworkpolicies ciliumclusterwidenetworkpolicies; do
  definition "all/$kind.yaml" cilium/cilium "v$CILIUM" "pkg/k8s/apis/cilium.io/client/crds/v2/$kind.yaml"
done
# One by one: Calico's manifest also holds a ClusterNetworkPolicy, which differs from the Network Policy API's own.
for kind in globalnetworkpolicies networkpolicies tiers; do
  definition "all/calico-$kind.yaml" projectcalico/calico "$CALICO" \
    "libcalico-go/config/crd/crd.projectcalico.org_$kind.yaml"
done
definition all/antrea.yaml antrea-io/antrea "v$ANTREA" build/yamls/antrea-crds.yml
definition all/istio.yaml istio/istio "$ISTIO" manifests/charts/base/files/crd-all.gen.yaml
for channel in experimental standard; do
  to=all
  [ "$channel" = experimental ] || to=standard
  for kind in adminnetworkpolicies baselineadminnetworkpolicies; do
    definition "$to/$kind.yaml" kubernetes-sigs/network-policy-api "$NETWORK_POLICY_API_V1ALPHA1" \
      "config/crd/$channel/policy.networking.k8s.io_$kind.yaml"
  done
  definition "$to/clusternetworkpolicies.yaml" kubernetes-sigs/network-policy-api "$NETWORK_POLICY_API_V1ALPHA2" \
    "config/crd/$channel/policy.networking.k8s.io_clusternetworkpolicies.yaml"
done

code=0
# lint SCENARIOS DEFINITIONS – a kind without definition is a warning of verdikt's and a failure here.
lint() {
  local found=0 out
  say "$1 against $2"
  out=$("$verdikt" lint "$root/$1" --crds "$folder/$2") || found=$?
  if [ -n "$out" ]; then printf '%s\n' "$out"; fi
  [ "$found" -le 1 ] || fail "verdikt ended with exit code $found"
  if [ "$found" = 1 ] || [[ $out == *scenario/crd-not-given* ]]; then code=1; fi
}
lint scenarios all
lint scenarios/tiers standard
exit "$code"
