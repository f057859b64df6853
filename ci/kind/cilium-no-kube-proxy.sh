# shellcheck shell=bash disable=SC2034,SC2154 # ci/kind-matrix.sh, which sources this, sets and reads variables
# Cilium in the place of kube-proxy: as cilium.sh, and told where the API is.
# shellcheck source=ci/kind/cilium.sh
. "$root/ci/kind/cilium.sh"
cilium_values=(
  --set kubeProxyReplacement=true
  --set k8sServiceHost="$cluster-control-plane"
  --set k8sServicePort=6443
)
