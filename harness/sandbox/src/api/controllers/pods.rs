//! Runs pods: one task for each pod, from its creation to its end.
//!
//! A pod gets its node and addresses, then the dataplane learns of it, and only then its command starts, so that it
//! is isolated before it can send anything (statement N38).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    addresses::Addresses,
    container::{argv, command_env, container_name, pull},
    pod_status::{ended, failed, running, set_addresses, set_condition, waiting},
    scheduler,
    state::{place, pod_ips},
};
use crate::{
    api::{
        cluster::Cluster,
        kinds::Kind,
        node_api::NewPod,
        object::{Shared, items, map_at, text},
        store::Transaction,
    },
    plan,
    wire::Place,
};

/// Annotation in which the server lists all addresses of the external host.
const ADDRESSES: &str = "sandbox.verdikt.dev/addresses";
/// What a pod waits for when its image cannot be had.
const NO_IMAGE: &str = "ImagePullBackOff";

/// The pods that have a task, by uid.
pub(crate) struct Pods {
    running: Mutex<HashMap<String, Entry>>,
    addresses: Mutex<Addresses>,
}

#[derive(Clone)]
struct Entry {
    namespace: String,
    name: String,
    end: CancellationToken,
}

/// A pod that has a node.
struct Placed {
    pod: Shared,
    place: Place,
    number: Option<(u16, u16)>,
}

impl Pods {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { running: Mutex::default(), addresses: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts and ends pods until the cluster stops.
pub(crate) async fn run(cluster: Arc<Cluster>) {
    let mut changed = cluster.store.subscribe(Kind::Pod);
    let mut seen = 0;
    loop {
        changed.borrow_and_update();
        match cluster.store.changes(Kind::Pod, seen) {
            Ok(changes) => {
                for change in changes {
                    seen = change.version;
                    look(&cluster, &change.after, change.deleted);
                }
            }
            // So many changes at once that the history does not hold them: look at what there is instead.
            Err(_) => {
                let (pods, version) = cluster.store.list(Kind::Pod, None);
                let gone: Vec<Entry> = cluster
                    .pods
                    .running()
                    .iter()
                    .filter(|(uid, _)| pods.iter().all(|pod| pod.uid() != *uid))
                    .map(|(_, entry)| entry.clone())
                    .collect();
                gone.iter().for_each(|entry| entry.end.cancel());
                pods.iter().for_each(|pod| look(&cluster, pod, false));
                seen = version;
                continue;
            }
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = cluster.stop.cancelled() => return,
        }
    }
}

fn look(cluster: &Arc<Cluster>, pod: &Shared, deleted: bool) {
    let mut running = cluster.pods.running();
    match running.get(pod.uid()) {
        Some(entry) if deleted || pod.terminating() => entry.end.cancel(),
        None if !deleted && !pod.terminating() => {
            let entry = Entry {
                namespace: pod.namespace().to_owned(),
                name: pod.name().to_owned(),
                end: CancellationToken::new(),
            };
            running.insert(pod.uid().to_owned(), entry.clone());
            tokio::spawn(live(cluster.clone(), pod.uid().to_owned(), entry));
        }
        _ => {}
    }
}

/// Notes the end of commands that end by themselves.
pub(crate) async fn run_exits(cluster: Arc<Cluster>) {
    let mut exits = cluster.node.exits();
    loop {
        let exit = tokio::select! {
            exit = exits.recv() => exit,
            () = cluster.stop.cancelled() => return,
        };
        let Some((uid, code)) = exit else { return };
        let Some(entry) = cluster.pods.running().get(&uid).cloned() else { continue };
        let pod = modify(&cluster, &uid, &entry, |pod| ended(pod, code));
        if let Some(pod) = pod {
            let message = format!("Container {} ended with exit code {code}", container_name(&pod.value));
            let kind = if code == 0 { "Normal" } else { "Warning" };
            cluster.event(&pod.value, kind, "Exited", &message, "kubelet");
        }
    }
}

/// The life of one pod.
async fn live(cluster: Arc<Cluster>, uid: String, entry: Entry) {
    if let Some(placed) = schedule(&cluster, &uid, &entry).await {
        let started = tokio::select! {
            result = start(&cluster, &uid, &placed) => result,
            () = cluster.stop.cancelled() => return,
        };
        if !entry.end.is_cancelled() {
            report_start(&cluster, &uid, &entry, started);
        }
        tokio::select! {
            () = entry.end.cancelled() => {}
            () = cluster.stop.cancelled() => return,
        }
        if let Err(why) = cluster.node.delete_pod(uid.clone()).await {
            cluster.event(&placed.pod.value, "Warning", "FailedKillPod", &why, "kubelet");
        }
        remove(&cluster, &uid, &entry).await;
        if let Some((node, number)) = placed.number {
            cluster.pods.addresses().free(node, number);
        }
    }
    cluster.pods.running().remove(&uid);
}

/// Gives a pod its node and addresses; `None` when it was deleted before there was a node for it.
async fn schedule(cluster: &Arc<Cluster>, uid: &str, entry: &Entry) -> Option<Placed> {
    let mut nodes = cluster.store.subscribe(Kind::Node);
    let mut told = false;
    loop {
        nodes.borrow_and_update();
        match cluster.store.write(|tx| assign(cluster, tx, uid, entry)) {
            Some(Ok(placed)) => {
                let node = text(&placed.pod.value, "/spec/nodeName");
                let message = format!("Successfully assigned {}/{} to {node}", entry.namespace, entry.name);
                cluster.event(&placed.pod.value, "Normal", "Scheduled", &message, "default-scheduler");
                return Some(placed);
            }
            Some(Err(why)) => {
                let pod = modify(cluster, uid, entry, |pod| {
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
            () = entry.end.cancelled() => return None,
            () = cluster.stop.cancelled() => return None,
        }
    }
}

/// `None` when the pod is gone.
fn assign(
    cluster: &Cluster,
    tx: &mut Transaction<'_>,
    uid: &str,
    entry: &Entry,
) -> Option<Result<Placed, String>> {
    let pod = tx.get(Kind::Pod, &entry.namespace, &entry.name).filter(|pod| pod.uid() == uid)?;
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
        Ok(Placed { pod: tx.put(Kind::Pod, value), place, number })
    }))
}

/// Brings the dataplane up to the pod, then starts its command.
async fn start(cluster: &Cluster, uid: &str, placed: &Placed) -> Result<(), (&'static str, String)> {
    let pod = &placed.pod.value;
    pull(pod).map_err(|why| (NO_IMAGE, why))?;
    let env = command_env(pod).map_err(|why| ("CreateContainerConfigError", why))?;
    cluster.syncer.reached(placed.pod.version()).await.map_err(|why| {
        ("FailedCreatePodSandBox", format!("the dataplane refused the cluster's state: {why}"))
    })?;
    let ips = if matches!(placed.place, Place::Pod(_)) { pod_ips(pod) } else { vec![] };
    cluster
        .node
        .add_pod(NewPod { uid: uid.to_owned(), place: placed.place, ips, argv: argv(pod), env })
        .await
        .map_err(|why| ("RunContainerError", why))
}

fn report_start(cluster: &Cluster, uid: &str, entry: &Entry, started: Result<(), (&'static str, String)>) {
    let pod = modify(cluster, uid, entry, |pod| match &started {
        Ok(()) => running(pod),
        Err((NO_IMAGE, why)) => waiting(pod, NO_IMAGE, why),
        Err((reason, why)) => failed(pod, reason, why),
    });
    let Some(pod) = pod else { return };
    match started {
        Ok(()) => {
            let message = format!("Started container {}", container_name(&pod.value));
            cluster.event(&pod.value, "Normal", "Started", &message, "kubelet");
        }
        Err((_, why)) => cluster.event(&pod.value, "Warning", "Failed", &why, "kubelet"),
    }
}

/// Removes a pod that has ended, once nobody holds it by a finaliser.
async fn remove(cluster: &Cluster, uid: &str, entry: &Entry) {
    let mut changed = cluster.store.subscribe(Kind::Pod);
    loop {
        changed.borrow_and_update();
        let over = cluster.store.write(|tx| {
            match tx.get(Kind::Pod, &entry.namespace, &entry.name).filter(|pod| pod.uid() == uid) {
                Some(pod) if !items(&pod.value, "/metadata/finalizers").is_empty() => false,
                Some(_) => tx.remove(Kind::Pod, &entry.namespace, &entry.name).is_some(),
                None => true,
            }
        });
        if over {
            return;
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = cluster.stop.cancelled() => return,
        }
    }
}

fn modify(cluster: &Cluster, uid: &str, entry: &Entry, f: impl FnOnce(&mut Value)) -> Option<Shared> {
    cluster.store.write(|tx| {
        tx.modify(Kind::Pod, &entry.namespace, &entry.name, |pod| {
            let same = text(pod, "/metadata/uid") == uid;
            if same {
                f(pod);
            }
            same
        })
    })
}
