# shellcheck shell=bash disable=SC2034,SC2154 # ci/kind-matrix.sh, which sources this, sets and reads variables
# Antrea by its chart.
modules=(openvswitch)

install_cni() {
  local node nodes
  # Without this, tunnelled packets between nodes carry wrong outer checksums and are dropped.
  nodes=$(kind get nodes --name "$cluster")
  for node in $nodes; do
    "$engine" exec "$node" ethtool -K eth0 tx off
  done
  helm install antrea antrea --repo https://charts.antrea.io --version "$ANTREA" --namespace kube-system
}

wait_cni() {
  kubectl -n kube-system rollout status deployment/antrea-controller --timeout="$LIMIT"
  kubectl -n kube-system rollout status daemonset/antrea-agent --timeout="$LIMIT"
}
