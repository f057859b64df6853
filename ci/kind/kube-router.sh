# shellcheck shell=bash disable=SC2034,SC2154 # ci/kind-matrix.sh, which sources this, sets and reads variables
# kube-router by its manifest, with the image's version written in and IPv6 on.
modules=(br_netfilter)

install_cni() {
  local raw=https://raw.githubusercontent.com/cloudnativelabs/kube-router/$KUBE_ROUTER/daemonset manifest
  manifest=$(fetch "$raw/generic-kuberouter.yaml" "$KUBE_ROUTER_SHA256")
  # Probes time out after a second by default, which a busy runner takes for a dead kube-router.
  sed -e "s|image: docker.io/cloudnativelabs/kube-router\$|&:$KUBE_ROUTER|" \
    -e 's|^\( *\)- "--run-router=true"$|&\n\1- "--enable-ipv6=true"|' \
    -e 's|^\( *\)periodSeconds: 3$|&\n\1timeoutSeconds: 5|' "$manifest" | kubectl apply -f -
}

wait_cni() { kubectl -n kube-system rollout status daemonset/kube-router --timeout="$LIMIT"; }
