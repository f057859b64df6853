#!/usr/bin/env bash
# ci/kind-matrix.sh with commands that only write down how they were called: the order of what it does, its exit codes,
# and that the cluster is gone afterwards.
# shellcheck disable=SC2016 # bodies of stubs expand when they run
set -euo pipefail
# shellcheck source=ci/tests/lib.sh
. "$(dirname "$0")/lib.sh"

export KUBECONFIG=/nonexistent OUT=$dir/out LIMIT=7m VERDIKT_CI_CACHE=$dir/cache
unset KEEP VERDIKT PROBE NODE CODE FAIL VERDIKT_SETTLE 2>/dev/null || :
matrix=$root/ci/kind-matrix.sh

# FAIL is a call that fails; CODE is what `verdikt run` exits with.
failing='case "${0##*/} $*" in *"${FAIL-never}"*) echo "no, said ${0##*/}" >&2; exit 9 ;; esac'
stub docker <<<"$failing"
stub sudo <<<"$failing"
stub modprobe <<<"$failing"
stub helm <<<"$failing"
stub ethtool <<<"$failing"
stub kind <<E2
$failing
case "\$1 \$2" in
  "get clusters") echo other ;;
  "get nodes") printf '%s\n' a-control-plane a-worker a-worker2 ;;
esac
E2
stub kubectl <<E2
$failing
echo "kubectl uses \$KUBECONFIG" >>"\$CALLS"
case \$* in
  *daemonsets,deployments*) printf '%s\n' daemonset.apps/one deployment.apps/two ;;
  *InternalIP*) echo "172.18.0.2 fc00::2" ;;
  apply*) cat >>"$dir/applied" ;;
esac
E2
stub verdikt <<E2
$failing
case \$1 in
  run)
    echo matrix
    while [ \$# -gt 0 ]; do [ "\$1" != --record ] || echo '{}' >"\$2"; shift; done
    exit "\${CODE-0}"
    ;;
esac
E2
# What is pinned by checksum comes from the cache in these tests, and curl may not be asked.
stub curl <<<'exit 22'
# shellcheck source=ci/versions.env
. "$root/ci/versions.env"
stub sha256sum <<<'cat >/dev/null; exit 0'
stub tar <<<'exit 0'
stub git <<<'case $* in *rev-parse*) echo "$OVN_KUBERNETES_COMMIT" ;; esac; exit 0'
export OVN_KUBERNETES_COMMIT

# --- every CNI, from creation to deletion --------------------------------------------------------------------------------

for cni in $("$matrix" --list); do
  for manifest in operator-crds.yaml tigera-operator.yaml generic-kuberouter.yaml kube-flannel.yml; do
    mkdir -p "$VERDIKT_CI_CACHE"
    for sum in $CALICO_CRDS_SHA256 $CALICO_OPERATOR_SHA256 $KUBE_ROUTER_SHA256 $FLANNEL_SHA256; do
      : >"$VERDIKT_CI_CACHE/$sum-$manifest"
    done
  done
  run 0 "$matrix" "$cni" -- basics --lanes 2
  in_order "$calls" "kind get clusters" \
    "kind create cluster --name verdikt-$cni --image $KIND_NODE --config $root/ci/kind/$cni.yaml --kubeconfig" \
    "kubectl wait --for=condition=Ready --timeout=7m nodes --all" \
    "kubectl -n kube-system rollout status deployment/coredns" \
    "verdikt image save -o" \
    "kind load image-archive" \
    "verdikt doctor --context kind-verdikt-$cni --kubeconfig" \
    "verdikt run --context kind-verdikt-$cni --kubeconfig" \
    "kind delete cluster --name verdikt-$cni"
  in_order "$calls" "--record $dir/out/record.json --export-junit $dir/out/junit.xml --export-html $dir/out/report.html --export-markdown $dir/out/report.md basics --lanes 2"
  in_order "$calls" "kubectl uses /"
  never "$calls" "kubectl uses /nonexistent"
  in_order "$dir/stdout" matrix
  in_order "$dir/out/run.txt" matrix
done
run 0 "$matrix" calico-ebpf
in_order "$dir/applied" "linuxDataplane: Iptables" 'KUBERNETES_SERVICE_HOST: "172.18.0.2"' "linuxDataplane: BPF"
run 0 "$matrix" cilium
in_order "$calls" "kubeProxyReplacement=false"
run 0 "$matrix" cilium-no-kube-proxy
in_order "$calls" "kubeProxyReplacement=true --set k8sServiceHost=verdikt-cilium-no-kube-proxy-control-plane"
never "$calls" "kubeProxyReplacement=false"

# --- exit codes --------------------------------------------------------------------------------------------------------

# Those of `verdikt run` are kept, and the cluster goes in every case.
for code in 1 2 3 4 5 70 130; do
  CODE=$code run "$code" "$matrix" kindnet
  in_order "$calls" "kind delete cluster --name verdikt-kindnet"
done
CODE=5 run 5 "$matrix" kindnet
in_order "$calls" "verdikt run" "kind export logs" "kind delete cluster"
CODE=1 run 1 "$matrix" kindnet
never "$calls" "kind export logs"

# What fails before the run is set-up, whatever the tool says; nothing is measured then.
for step in "kind create" "kubectl -n kube-system rollout status daemonset/kindnet" "verdikt image save" \
  "kind load" "verdikt doctor"; do
  FAIL=$step run 3 "$matrix" kindnet
  in_order "$calls" "kind create cluster" "kind delete cluster --name verdikt-kindnet"
  never "$calls" "verdikt run"
done
FAIL="docker info" run 3 "$matrix" kindnet
never "$calls" "kind create"
never "$calls" "kind delete"

# A failing deletion hides no result.
FAIL="kind delete" CODE=1 run 1 "$matrix" kindnet
in_order "$dir/stderr" "may be left: kind delete cluster --name verdikt-kindnet"

# --- what is not ours --------------------------------------------------------------------------------------------------

# A cluster of this name from before is neither used nor deleted.
stub kind <<<'[ "$1 $2" != "get clusters" ] || printf "%s\n" other verdikt-kindnet'
run 3 "$matrix" kindnet
in_order "$dir/stderr" "exists already"
never "$calls" "kind delete"
stub kind <<<"$failing"
KEEP=1 run 0 "$matrix" kindnet
never "$calls" "kind delete"
PROBE=$dir/mine.tar NODE=kindest/node:v9 run 0 "$matrix" kindnet
in_order "$calls" "--image kindest/node:v9" "kind load image-archive $dir/mine.tar"
never "$calls" "verdikt image save"

# An interrupt while the CNI is being installed: the cluster goes, the code is 130.
stub kubectl <<<'case $* in *daemonset/kindnet*) kill -INT "$PPID"; sleep 0.2 ;; esac'
run 130 "$matrix" kindnet
in_order "$calls" "kind delete cluster --name verdikt-kindnet"
never "$calls" "verdikt run"

# A download that is not what is pinned.
rm -rf "$VERDIKT_CI_CACHE"
stub kubectl <<<'exit 0'
stub curl <<<'exit 0'
stub sha256sum <<<'cat >/dev/null; exit 1'
run 3 "$matrix" flannel
in_order "$dir/stderr" "is not the file that ci/versions.env pins"
in_order "$calls" "kind delete cluster --name verdikt-flannel"

# --- command line ------------------------------------------------------------------------------------------------------

run 2 "$matrix"
run 2 "$matrix" nosuch
in_order "$dir/stderr" "unknown CNI \`nosuch\`; there are: antrea"
run 2 "$matrix" kindnet basics
in_order "$dir/stderr" "come after \`--\`"
run 2 "$matrix" --nosuch
never "$calls" "kind"
run 0 "$matrix" --help
in_order "$dir/stdout" "ci/kind-matrix.sh CNI"
rm "$bin/kind"
# Without kind: whatever of it may be installed on this machine must not be found.
PATH=$bin:/usr/bin:/bin
if ! command -v kind >/dev/null; then
  run 3 "$matrix" kindnet
  in_order "$dir/stderr" "not installed: kind"
fi

echo "kind-matrix: $passed checks"
