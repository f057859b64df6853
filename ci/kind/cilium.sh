# shellcheck shell=bash disable=SC2034,SC2154 # ci/kind-matrix.sh, which sources this, sets and reads variables
# Cilium by its chart. SCTP is off by default and would then be seen as broken, not as missing.
cilium_values=(--set kubeProxyReplacement=false)

install_cni() {
  local chart
  chart=$(fetch "https://helm.cilium.io/cilium-$CILIUM.tgz" "$CILIUM_CHART_SHA256")
  helm install cilium "$chart" --namespace kube-system \
    --set ipam.mode=kubernetes \
    --set ipv6.enabled=true \
    --set sctp.enabled=true \
    --set operator.replicas=1 \
    --set image.pullPolicy=IfNotPresent \
    "${cilium_values[@]}"
}

wait_cni() {
  kubectl -n kube-system rollout status daemonset/cilium --timeout="$LIMIT"
  kubectl -n kube-system rollout status deployment/cilium-operator --timeout="$LIMIT"
}
