#!/usr/bin/env bash
# Measures one CNI on a disposable kind cluster.
#
#   ci/kind-matrix.sh CNI [-- ARGUMENT…]     # arguments are for `verdikt run`
#   ci/kind-matrix.sh --list                 # the CNIs
#
# Creates the cluster verdikt-CNI from ci/kind/CNI.yaml, installs the CNI by ci/kind/CNI.sh, loads the probe image,
# asks `verdikt doctor`, runs the catalogue, and deletes the cluster. Your kubeconfig is left alone.
#
# Environment:
#   OUT      folder for record.json, junit.xml, report.html, report.md, run.txt (default: target/kind-matrix/CNI)
#   KEEP     1: leave the cluster when done
#   LIMIT    how long each part of the installation may take (default: 10m)
#   VERDIKT  the binary (default: `verdikt` from PATH, else target/release/verdikt)
#   PROBE    archive of the probe image (default: written by `verdikt image save`)
#   NODE     kind's node image (default: that of ci/versions.env)
#   VERDIKT_CI_CACHE  folder of downloads (default: ~/.cache/verdikt-ci)
#
# Exit codes: those of `verdikt run`; 2 for a wrong command line; 3 when the cluster, the CNI or the probe image
# could not be set up; 130 when interrupted. The cluster is deleted in every case, unless KEEP=1.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=ci/lib.sh
. "$root/ci/lib.sh"
# shellcheck source=ci/versions.env
. "$root/ci/versions.env"

cnis() { (cd "$root/ci/kind" && printf '%s\n' *.yaml | sed 's/\.yaml$//' | LC_ALL=C sort); }

usage() { sed -n '2,22s/^# \{0,1\}//p' "$0"; }

wrong() {
  printf 'error: %s\n\n' "$*" >&2
  usage >&2
  exit 2
}

case ${1-} in
  -h | --help)
    usage
    exit 0
    ;;
  --list)
    cnis
    exit 0
    ;;
  '') wrong "no CNI given" ;;
  -*) wrong "unknown option $1" ;;
esac
cni=$1
shift
cnis | grep -qxF -- "$cni" || wrong "unknown CNI \`$cni\`; there are: $(cnis | paste -sd ' ' -)"
if [ $# -gt 0 ]; then
  [ "$1" = -- ] || wrong "unexpected \`$1\`; arguments for \`verdikt run\` come after \`--\`"
  shift
fi

cluster=verdikt-$cni
context=kind-$cluster
LIMIT=${LIMIT:-10m}
out=${OUT:-$root/target/kind-matrix/$cni}
mkdir -p "$out"
out=$(cd "$out" && pwd)

# --- helpers for ci/kind/*.sh -----------------------------------------------------------------------------------------

# wait_for_object OBJECT – until it exists: `kubectl wait` refuses what is not there yet.
wait_for_object() {
  local end=$((SECONDS + 300))
  until kubectl get "$1" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "$1 has not appeared within five minutes"
    sleep 2
  done
}

# wait_workloads NAMESPACE – until all of its DaemonSets and Deployments have rolled out.
wait_workloads() {
  local workload workloads
  workloads=$(kubectl -n "$1" get daemonsets,deployments -o name)
  [ -n "$workloads" ] || fail "namespace $1 has no workloads to wait for"
  for workload in $workloads; do
    kubectl -n "$1" rollout status "$workload" --timeout="$LIMIT"
  done
}

control_plane_ip() {
  kubectl get nodes -l node-role.kubernetes.io/control-plane \
    -o jsonpath='{.items[0].status.addresses[?(@.type=="InternalIP")].address}' | cut -d ' ' -f 1
}

# load_modules NAME… – kernel modules that the CNI needs; nodes share the host's kernel.
load_modules() {
  local module
  [ -r /proc/modules ] || return 0
  for module; do
    [ ! -d "/sys/module/$module" ] || continue
    if [ "$(id -u)" = 0 ]; then
      modprobe "$module" 2>/dev/null && continue
    elif have sudo; then
      sudo -n modprobe "$module" 2>/dev/null && continue
    fi
    printf 'warning: kernel module %s is not loaded; if %s does not start, try: sudo modprobe %s\n' \
      "$module" "$cni" "$module" >&2
  done
}

# --- clean-up ---------------------------------------------------------------------------------------------------------

created=
measured=
work=$(mktemp -d)

finish() {
  local code=$?
  trap - EXIT
  trap 'say "interrupted again; this may be left: kind delete cluster --name $cluster"; exit 130' INT TERM HUP
  # What failed before the run is set-up, whatever the tool that failed has said.
  if [ -z "$measured" ] && [ "$code" -ne 130 ] && [ "$code" -ne 0 ]; then
    code=3
  fi
  if [ -n "$created" ]; then
    case $code in
      0 | 1 | 130) ;;
      *)
        say "exit code $code: saving the cluster's state to $out/cluster"
        mkdir -p "$out/cluster"
        kubectl get nodes,pods -A -o wide >"$out/cluster/pods.txt" 2>&1 || true
        kubectl get events -A --sort-by=.lastTimestamp >"$out/cluster/events.txt" 2>&1 || true
        kind export logs "$out/cluster/logs" --name "$cluster" >/dev/null 2>&1 || true
        ;;
    esac
    if [ "${KEEP-}" = 1 ]; then
      say "cluster $cluster is left: kind export kubeconfig --name $cluster; kind delete cluster --name $cluster"
    else
      say "deleting cluster $cluster"
      kind delete cluster --name "$cluster" >&2 ||
        say "cluster $cluster may be left: kind delete cluster --name $cluster"
    fi
  fi
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# --- tools ------------------------------------------------------------------------------------------------------------

if have docker; then
  engine=docker
elif have podman; then
  engine=podman
  export KIND_EXPERIMENTAL_PROVIDER=podman
else
  fail "neither docker nor podman is installed, and kind needs one of them"
fi
need kind kubectl helm curl sha256sum
"$engine" info >/dev/null 2>&1 || fail "\`$engine info\` fails: is its daemon running, and may you use it?"

if [ -n "${VERDIKT-}" ]; then
  verdikt=$VERDIKT
elif have verdikt; then
  verdikt=verdikt
else
  verdikt=$root/target/release/verdikt
fi
have "$verdikt" || fail "no verdikt at $verdikt: cargo build --release, or set VERDIKT"

# --- cluster ----------------------------------------------------------------------------------------------------------

modules=()
# shellcheck source=/dev/null
. "$root/ci/kind/$cni.sh"
load_modules ${modules[@]+"${modules[@]}"}

clusters=$(kind get clusters 2>/dev/null)
if printf '%s\n' "$clusters" | grep -qxF -- "$cluster"; then
  fail "cluster $cluster exists already and is not this run's: kind delete cluster --name $cluster"
fi

# A kubeconfig of our own, so that no command here can reach any other cluster.
export KUBECONFIG=$work/kubeconfig
say "creating cluster $cluster"
created=1
kind create cluster --name "$cluster" --image "${NODE:-$KIND_NODE}" --config "$root/ci/kind/$cni.yaml" \
  --kubeconfig "$KUBECONFIG" >&2

say "installing $cni"
install_cni >&2
wait_cni >&2
kubectl wait --for=condition=Ready --timeout="$LIMIT" nodes --all >&2
kubectl -n kube-system rollout status deployment/coredns --timeout="$LIMIT" >&2

say "loading the probe image"
probe=${PROBE:-$work/probe.tar}
[ -n "${PROBE-}" ] || "$verdikt" image save -o "$probe" >&2
kind load image-archive "$probe" --name "$cluster" >&2

say "doctor"
"$verdikt" doctor --context "$context" --kubeconfig "$KUBECONFIG" >&2

# --- run --------------------------------------------------------------------------------------------------------------

reports=(
  --record "$out/record.json"
  --export-junit "$out/junit.xml"
  --export-html "$out/report.html"
  --export-markdown "$out/report.md"
)
rm -f "$out/record.json" "$out/junit.xml" "$out/report.html" "$out/report.md"
say "verdikt run --context $context $*"
measured=1
code=0
"$verdikt" run --context "$context" --kubeconfig "$KUBECONFIG" "${reports[@]}" "$@" | tee -i "$out/run.txt" ||
  code=${PIPESTATUS[0]}
say "$cni: exit code $code; record and reports are in $out"
exit "$code"
