# shellcheck shell=bash disable=SC2034,SC2154 # ci/kind-matrix.sh, which sources this, sets and reads variables
# Flannel by its manifest, and the plugin that it delegates to.
modules=(br_netfilter)
# Nothing is enforced, and waiting for it proves no more after five seconds than after fifteen.
export VERDIKT_SETTLE=${VERDIKT_SETTLE:-5s}

install_cni() {
  local releases=https://github.com/containernetworking/plugins/releases/download file sum plugins manifest node nodes
  file=cni-plugins-linux-$(architecture)-$CNI_PLUGINS.tgz
  sum=$(pinned CNI_PLUGINS_SHA256)
  plugins=$(fetch "$releases/$CNI_PLUGINS/$file" "$sum")
  tar -xzf "$plugins" -C "$work" ./bridge
  nodes=$(kind get nodes --name "$cluster")
  for node in $nodes; do
    "$engine" cp "$work/bridge" "$node:/opt/cni/bin/bridge"
  done
  manifest=$(fetch "https://raw.githubusercontent.com/flannel-io/flannel/$FLANNEL/Documentation/kube-flannel.yml" \
    "$FLANNEL_SHA256")
  kubectl apply -f "$manifest"
}

wait_cni() { kubectl -n kube-flannel rollout status daemonset/kube-flannel-ds --timeout="$LIMIT"; }
