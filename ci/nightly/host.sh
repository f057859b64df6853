#!/usr/bin/env bash
# Prepares a GitHub runner (a machine that is thrown away) for kind: inotify limits that three nodes need, forwarding,
# and what the kernel's SCTP needs where there is a module of it. Changes the machine; not for a laptop.
set -euo pipefail
[ "${GITHUB_ACTIONS-}" = true ] || {
  echo "this changes kernel settings; run it on a disposable runner only (GITHUB_ACTIONS=true)" >&2
  exit 2
}
sudo sysctl -w fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512
sudo sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
# Without it SCTP cells are skipped, with the reason in the record.
sudo modprobe sctp || echo "no SCTP in this kernel"
