//! Gives a pod its node and addresses.

use std::sync::Arc;

use serde_json::json;

use super::{
    life::modify,
    pod_status::{created, set_addresses, set_condition},
    pods::Entry,
    scheduler,
    state::place,
};
use crate::{
    api::{
        cluster::Cluster,
        kinds::Kind,
        object::{Shared, map_at, text},
        store::Transaction,
    },
    plan,
    wire::Place,
};

/// Annotation in which the server lists all addresses of the external host.
const ADDRESSES: &str = "sandbox.verdikt.dev/addresses";

/// A pod that has a node.
pub(super) struct Placed {
    pub(super) pod: Shared,
    pub(super) place: Place,
    /// Its node and the number of its addresses there, if they are its own.
    number: Option<(u16, u16)>,
}

impl Placed {
    /// Gives the pod's addresses back.
    pub(super) fn free(&mut self, cluster: &Cluster) {
        if let Some((node, number)) = self.number.take() {
            cluster.pods.addresses().free(node, number);
        }
    }
}

/// Gives a pod its node and addresses; `None` when it was deleted before there was a node for it.
pub(super) async fn schedule(cluster: &Arc<Cluster>, entry: &Entry) -> Option<Placed> {
    let mut nodes = cluster.store.subscribe(Kind::Node);
    let mut told = false;
    loop {
        nodes.borrow_and_update();
        match cluster.store.write(|tx| assign(cluster, tx, entry)) {
            Some(Ok(placed)) => {
                let node = text(&placed.pod.value, "/spec/nodeName");
                let message = format!("Successfully assigned {}/{} to {node}", entry.namespace, entry.name);
                cluster.event(&placed.pod.value, "Normal", "Scheduled", &message, "default-scheduler");
                return Some(placed);
            }
            Some(Err(why)) => {
                let pod = modify(cluster, entry, |pod| {
                    set_condition(pod, "PodScheduled", false, "Unschedulable", &why)
                });
                if let Some(pod) = pod.filter(|_| !told) {
                    cluster.event(&pod.value, "Warning", "FailedScheduling", &why, "default-scheduler");
                    told = true;
                }
            }
            None => return None,
        }
        tokio::select! {
            _ = nodes.changed() => {}
            () = entry.ending() => return None,
            () = cluster.stop.cancelled() => return None,
        }
    }
}

/// `None` when the pod is gone.
fn assign(cluster: &Cluster, tx: &mut Transaction<'_>, entry: &Entry) -> Option<Result<Placed, String>> {
    let pod = tx.get(Kind::Pod, &entry.namespace, &entry.name).filter(|pod| pod.uid() == entry.uid)?;
    let families = cluster.families();
    let load = cluster.pods.addresses().load();
    Some(scheduler::choose(tx, &pod.value, load).and_then(|node| {
        let mut value = pod.value.clone();
        value["spec"]["nodeName"] = json!(plan::NODE_NAMES[usize::from(node)]);
        let place = place(&value).ok_or("the pod has no node")?;
        let (number, ips) = match place {
            Place::Pod(node) => {
                let (number, ips) = cluster
                    .pods
                    .addresses()
                    .take(node)
                    .ok_or("0 addresses are available: the node's range is used up")?;
                (Some((node, number)), ips)
            }
            Place::Node(node) => (None, plan::node_ips(node)),
            Place::External => (None, plan::external_ips(1)),
        };
        if place == Place::External {
            let all: Vec<String> = [1, 2]
                .iter()
                .flat_map(|n| plan::external_ips(*n).into_iter().take(families))
                .map(|ip| ip.to_string())
                .collect();
            map_at(&mut value["metadata"], "annotations").insert(ADDRESSES.into(), json!(all.join(",")));
        }
        set_addresses(&mut value, &plan::node_ips(node)[..families], &ips[..families]);
        set_condition(&mut value, "PodScheduled", true, "", "");
        created(&mut value);
        Ok(Placed { pod: tx.put(Kind::Pod, value), place, number })
    }))
}
