# shellcheck shell=bash disable=SC2034,SC2154 # ci/kind-matrix.sh, which sources this, sets and reads variables
# Calico with eBPF: as calico.sh, with another dataplane and no kube-proxy.
# shellcheck source=ci/kind/calico.sh
. "$root/ci/kind/calico.sh"
calico_dataplane=BPF

# Nobody serves the API's ClusterIP before Calico does, so that Calico must be told where the API is.
calico_before_installation() {
  local host
  host=$(control_plane_ip)
  kubectl apply -f - <<EOF
apiVersion: v1
kind: ConfigMap
metadata:
  name: kubernetes-services-endpoint
  namespace: tigera-operator
data:
  KUBERNETES_SERVICE_HOST: "$host"
  KUBERNETES_SERVICE_PORT: "6443"
EOF
  # The operator reads it when it starts.
  kubectl -n tigera-operator rollout restart deployment/tigera-operator
}
