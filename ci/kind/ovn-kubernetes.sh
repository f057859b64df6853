# shellcheck shell=bash disable=SC2034,SC2154 # ci/kind-matrix.sh, which sources this, sets and reads variables
# OVN-Kubernetes by its chart, one zone a node (interconnect).
modules=(openvswitch)

install_cni() {
  local source=$work/ovn-kubernetes node nodes host
  need git
  git -c advice.detachedHead=false clone --quiet --depth 1 --branch "$OVN_KUBERNETES" \
    https://github.com/ovn-kubernetes/ovn-kubernetes.git "$source"
  [ "$(git -C "$source" rev-parse HEAD)" = "$OVN_KUBERNETES_COMMIT" ] ||
    fail "tag $OVN_KUBERNETES of ovn-kubernetes is not commit $OVN_KUBERNETES_COMMIT, which ci/versions.env pins"

  nodes=$(kind get nodes --name "$cluster")
  for node in $nodes; do
    kubectl label node "$node" "k8s.ovn.org/zone-name=$node" --overwrite
  done
  host=$(control_plane_ip)
  helm install ovn-kubernetes "$source/helm/ovn-kubernetes" \
    --values "$source/helm/ovn-kubernetes/values-single-node-zone.yaml" \
    --set k8sAPIServer="https://$host:6443" \
    --set podNetwork='10.244.0.0/16/24\,fd00:10:244::/48/64' \
    --set serviceNetwork='10.96.0.0/16\,fd00:10:96::/112' \
    --set global.image.repository="${OVN_KUBERNETES_IMAGE%:*}" \
    --set global.image.tag="${OVN_KUBERNETES_IMAGE##*:}"
}

wait_cni() { wait_workloads ovn-kubernetes; }
