# shellcheck shell=bash
# kindnet: kind has installed it already.
install_cni() { :; }
wait_cni() { kubectl -n kube-system rollout status daemonset/kindnet --timeout="$LIMIT"; }
