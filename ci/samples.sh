#!/usr/bin/env bash
# Writes reports/samples/emulated/: records of a dozen scenarios on each of the sandbox's emulated dataplanes, and every report
# of some of them. Ids and times differ from run to run; what was observed does not.
#
#   VERDIKT=target/release/verdikt ci/samples.sh
set -euo pipefail
cd "$(dirname "$0")/.."
verdikt=${VERDIKT:-target/release/verdikt}
[ -x "$verdikt" ] || cargo build --release --locked -p verdikt
out=reports/samples/emulated
mkdir -p "$out"

scenarios=(
  basics/default-deny-both
  field/ip-ban-and-pod-clients
  field/ip-ban-at-the-edge
  ipblock/node-address
  ipblock/pod-range
  isolation/egress-to-nodes
  lifecycle/held-connections-and-a-new-denial
  lifecycle/start-up-under-a-standing-denial
  ports/end-port-tcp
  ports/icmp-echo
  ports/named-port-with-different-numbers
  services/node-port-from-outside
  services/own-cluster-ip
)
for profile in reference calico calico-ebpf cilium antrea kube-router ovn-kubernetes aws azure-npm kindnet weave flannel; do
  code=0
  "$verdikt" run --sandbox "$profile" --ip-family ipv4 --record "$out/$profile.json" --exact "${scenarios[@]}" >/dev/null || code=$?
  # What is emulated may be wrong by the specification: that is the sample.
  [ "$code" -le 1 ] || exit "$code"
done

for form in html markdown junit conformance csv annotations; do
  case $form in
    markdown) end=md ;;
    junit) end=junit.xml ;;
    conformance) end=conformance.yaml ;;
    annotations) end=annotations.txt ;;
    *) end=$form ;;
  esac
  "$verdikt" report "$out/ovn-kubernetes.json" --format "$form" -o "$out/ovn-kubernetes.$end"
done
for form in human markdown html; do
  case $form in
    human) end=txt ;;
    markdown) end=md ;;
    *) end=$form ;;
  esac
  "$verdikt" compare --fail-on none "$out/calico.json" "$out/cilium.json" -o "$form" >"$out/calico-and-cilium.$end"
done
