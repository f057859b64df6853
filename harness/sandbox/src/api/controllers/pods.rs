//! Runs pods: one task for each pod, from its creation to its end.
//!
//! A pod gets its node and addresses, then the dataplane learns of it, and only then its command starts, so that it
//! is isolated before it can send anything (statement N38).

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    addresses::Addresses,
    scheduler,
    state::{place, pod_ips},
};
use crate::{
    api::{
        cluster::Cluster,
        kinds::Kind,
        node_api::NewPod,
        object::{Shared, is_terminating, items, map_at, now, text},
        store::Transaction,
    },
    plan,
    wire::Place,
};

/// Annotation in which the server lists all addresses of the external host.
const ADDRESSES: &str = "sandbox.verdikt.dev/addresses";

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
    Some(scheduler::choose(tx, &pod.value).and_then(|node| {
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

fn set_addresses(pod: &mut Value, host: &[IpAddr], ips: &[IpAddr]) {
    let list = |ips: &[IpAddr]| ips.iter().map(|ip| json!({"ip": ip.to_string()})).collect::<Vec<_>>();
    let status = map_at(pod, "status");
    status.insert("startTime".into(), json!(now()));
    status.insert("hostIP".into(), json!(host[0].to_string()));
    status.insert("hostIPs".into(), json!(list(host)));
    status.insert("podIP".into(), json!(ips[0].to_string()));
    status.insert("podIPs".into(), json!(list(ips)));
}

/// Brings the dataplane up to the pod, then starts its command.
async fn start(cluster: &Cluster, uid: &str, placed: &Placed) -> Result<(), (&'static str, String)> {
    let pod = &placed.pod.value;
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

fn container_name(pod: &Value) -> &str {
    text(pod, "/spec/containers/0/name")
}

/// The command of the pod's container. The image's entry point is `verdikt-probe`, its default argument `serve`.
fn argv(pod: &Value) -> Vec<String> {
    let list =
        |pointer| items(pod, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let (mut argv, mut args) = (list("/spec/containers/0/command"), list("/spec/containers/0/args"));
    if argv.is_empty() {
        argv.push("verdikt-probe".into());
        if args.is_empty() {
            args.push("serve".into());
        }
    }
    argv.append(&mut args);
    argv
}

/// The environment of the pod's container.
///
/// # Errors
/// What of the pod the sandbox cannot run.
fn command_env(pod: &Value) -> Result<BTreeMap<String, String>, String> {
    if items(pod, "/spec/containers").len() > 1 || !items(pod, "/spec/initContainers").is_empty() {
        return Err("the sandbox runs one container in a pod, and no init containers".into());
    }
    // The probe's identity is by default its host name, which is the pod's name in a real cluster.
    let mut env: BTreeMap<String, String> =
        [(verdikt_protocol::IDENTITY_VARIABLE.to_owned(), text(pod, "/metadata/name").to_owned())].into();
    for variable in items(pod, "/spec/containers/0/env") {
        let name = text(variable, "/name");
        let value = match (variable.get("valueFrom"), text(variable, "/valueFrom/fieldRef/fieldPath")) {
            (None, _) => text(variable, "/value").to_owned(),
            (Some(_), "metadata.name") => text(pod, "/metadata/name").to_owned(),
            (Some(_), "metadata.namespace") => text(pod, "/metadata/namespace").to_owned(),
            (Some(_), "metadata.uid") => text(pod, "/metadata/uid").to_owned(),
            (Some(_), "spec.nodeName") => text(pod, "/spec/nodeName").to_owned(),
            (Some(_), "spec.serviceAccountName") => text(pod, "/spec/serviceAccountName").to_owned(),
            (Some(_), "status.hostIP") => text(pod, "/status/hostIP").to_owned(),
            (Some(_), "status.podIP") => text(pod, "/status/podIP").to_owned(),
            (Some(_), "status.podIPs") => {
                pod_ips(pod).iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
            (Some(_), _) => {
                return Err(format!(
                    "environment variable {name}: the sandbox knows plain values and fieldRef of a pod's own \
                     name, namespace, uid, node and addresses"
                ));
            }
        };
        env.insert(name.to_owned(), value);
    }
    Ok(env)
}

fn set_condition(pod: &mut Value, kind: &str, holds: bool, reason: &str, message: &str) {
    let status = if holds { "True" } else { "False" };
    let list = map_at(pod, "status").entry("conditions").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return };
    let mut condition = json!({
        "type": kind, "status": status, "lastProbeTime": Value::Null, "lastTransitionTime": now(),
    });
    for (key, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            condition[key] = json!(text);
        }
    }
    match list.iter_mut().find(|c| c["type"] == kind) {
        Some(old) => *old = condition,
        None => list.push(condition),
    }
}

fn container_status(pod: &Value, ready: bool, state: &Value) -> Value {
    let container = &pod["spec"]["containers"][0];
    json!([{
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "containerID": format!("verdikt-sandbox://{}", text(pod, "/metadata/uid")),
        "ready": ready,
        "started": ready,
        "restartCount": 0,
        "lastState": {},
        "state": state,
    }])
}

fn running(pod: &mut Value) {
    let statuses = container_status(pod, true, &json!({"running": {"startedAt": now()}}));
    let status = map_at(pod, "status");
    status.insert("phase".into(), json!("Running"));
    status.insert("containerStatuses".into(), statuses);
    for kind in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"] {
        set_condition(pod, kind, true, "", "");
    }
}

/// A pod whose command could not be started: it is not tried again.
fn failed(pod: &mut Value, reason: &str, why: &str) {
    let state = json!({"terminated": {
        "exitCode": 128, "reason": reason, "message": why, "startedAt": now(), "finishedAt": now(),
    }});
    over(pod, "Failed", &state);
    let status = map_at(pod, "status");
    status.insert("reason".into(), json!(reason));
    status.insert("message".into(), json!(why));
}

fn ended(pod: &mut Value, code: i32) {
    let (phase, reason) = if code == 0 { ("Succeeded", "Completed") } else { ("Failed", "Error") };
    let started = text(pod, "/status/containerStatuses/0/state/running/startedAt");
    let started = if started.is_empty() { now() } else { started.to_owned() };
    let state = json!({"terminated": {
        "exitCode": code, "reason": reason, "startedAt": started, "finishedAt": now(),
    }});
    over(pod, phase, &state);
}

fn over(pod: &mut Value, phase: &str, state: &Value) {
    let statuses = container_status(pod, false, state);
    let status = map_at(pod, "status");
    status.insert("phase".into(), json!(phase));
    status.insert("containerStatuses".into(), statuses);
    let reason = if phase == "Succeeded" { "PodCompleted" } else { "PodFailed" };
    for kind in ["Ready", "ContainersReady"] {
        set_condition(pod, kind, false, reason, "");
    }
}

/// Whether commands can be run in a pod; otherwise why not.
pub(crate) fn can_exec(pod: &Value) -> Result<(), String> {
    match text(pod, "/status/phase") {
        "Running" if !is_terminating(pod) => Ok(()),
        "Running" => Err("the pod is being deleted".into()),
        "Pending" => Err("the pod's container has not started yet".into()),
        phase => Err(format!("cannot exec into a container in a completed pod; current phase is {phase}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_entry_point_is_the_probe() {
        let argv_of = |container: Value| argv(&json!({"spec": {"containers": [container]}}));
        assert_eq!(argv_of(json!({})), ["verdikt-probe", "serve"]);
        assert_eq!(
            argv_of(json!({"args": ["serve", "--tcp", "80"]})),
            ["verdikt-probe", "serve", "--tcp", "80"]
        );
        assert_eq!(argv_of(json!({"command": ["kube-dns"]})), ["kube-dns"]);
    }

    #[test]
    fn environment_comes_from_values_and_the_pods_own_fields() {
        let pod = |env: Value| {
            json!({
                "metadata": {"name": "a", "namespace": "x"}, "status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "::1"}]},
                "spec": {"containers": [{"env": env}]},
            })
        };
        let env = command_env(&pod(json!([
            {"name": "A", "value": "1"},
            {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "I", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
        ])))
        .unwrap();
        assert_eq!(env["A"], "1");
        assert_eq!(env["N"], "a");
        assert_eq!(env["I"], "10.0.0.1,::1");
        let secret = json!([{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
        assert!(command_env(&pod(secret)).unwrap_err().contains("variable S"));
    }
}
