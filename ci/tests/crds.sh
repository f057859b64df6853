#!/usr/bin/env bash
# What ci/crds.sh downloads, and what it makes of verdikt's findings.
# shellcheck disable=SC2016 # bodies of stubs expand when they run
set -euo pipefail
# shellcheck source=ci/tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=ci/versions.env
. "$root/ci/versions.env"
export VERDIKT=verdikt FOUND="" CODE=0

stub curl <<'E2'
while [ $# -gt 1 ]; do
  if [ "$1" = --output ]; then echo "kind: CustomResourceDefinition" >"$2"; fi
  shift
done
case $1 in *"${MISSING:-nothing}"*) exit 22 ;; esac
E2
stub verdikt <<'E2'
printf '%s' "$FOUND"
exit "$CODE"
E2

run 0 "$root/ci/crds.sh" "$dir/crds"
in_order "$calls" "/cilium/cilium/v$CILIUM/" "/projectcalico/calico/$CALICO/" "/antrea-io/antrea/v$ANTREA/" \
  "/istio/istio/$ISTIO/" "verdikt lint $root/scenarios --crds $dir/crds/all" \
  "verdikt lint $root/scenarios/tiers --crds $dir/crds/standard"
count "$calls" "config/crd/experimental" 3
count "$calls" "config/crd/standard" 3
# The channels do not overwrite each other, and nothing is downloaded onto something else.
if [ "$(find "$dir/crds" -type f | wc -l)" != "$(grep -c '^curl' "$calls")" ]; then
  echo "FAILED: downloads overwrite each other" >&2
  exit 1
fi

CODE=1 run 1 "$root/ci/crds.sh" "$dir/crds"
FOUND="scenario/crd-not-given" run 1 "$root/ci/crds.sh" "$dir/crds"
in_order "$dir/stdout" scenario/crd-not-given
FOUND="scenario/cluster-scoped" run 0 "$root/ci/crds.sh" "$dir/crds"
CODE=2 run 3 "$root/ci/crds.sh" "$dir/crds"
MISSING=antrea run 3 "$root/ci/crds.sh" "$dir/crds"
in_order "$dir/stderr" "cannot download https://raw.githubusercontent.com/antrea-io/antrea"
never "$calls" "verdikt lint"

echo "crds: $passed checks"
