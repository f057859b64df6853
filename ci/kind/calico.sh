# shellcheck shell=bash disable=SC2034,SC2154 # ci/kind-matrix.sh, which sources this, sets and reads variables
# Calico by its operator. The dataplane is always named: the operator has defaults of its own for kubeadm clusters.
calico_dataplane=Iptables

install_cni() {
  local raw=https://raw.githubusercontent.com/projectcalico/calico/$CALICO/manifests crds operator
  crds=$(fetch "$raw/operator-crds.yaml" "$CALICO_CRDS_SHA256")
  operator=$(fetch "$raw/tigera-operator.yaml" "$CALICO_OPERATOR_SHA256")
  # Too large for the annotation of a client-side apply.
  kubectl apply --server-side -f "$crds"
  kubectl wait --for=condition=Established --timeout="$LIMIT" crd/installations.operator.tigera.io
  kubectl apply --server-side -f "$operator"
  calico_before_installation
  kubectl apply -f - <<EOF
apiVersion: operator.tigera.io/v1
kind: Installation
metadata:
  name: default
spec:
  calicoNetwork:
    linuxDataplane: $calico_dataplane
    ipPools:
      - name: ipv4
        cidr: 10.244.0.0/16
        encapsulation: VXLANCrossSubnet
        natOutgoing: Enabled
      - name: ipv6
        cidr: fd00:10:244::/56
        encapsulation: None
        natOutgoing: Enabled
EOF
}

calico_before_installation() { :; }

wait_cni() {
  wait_for_object tigerastatus/calico
  kubectl wait --for=condition=Available --timeout="$LIMIT" tigerastatus/calico
  wait_workloads calico-system
}
