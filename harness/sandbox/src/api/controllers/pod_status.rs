//! A pod's status, as a kubelet writes it.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::api::object::{is_terminating, map_at, now, text};

/// The pod has a node: the node's addresses and its own.
pub(super) fn set_addresses(pod: &mut Value, host: &[IpAddr], ips: &[IpAddr]) {
    let list = |ips: &[IpAddr]| ips.iter().map(|ip| json!({"ip": ip.to_string()})).collect::<Vec<_>>();
    let status = map_at(pod, "status");
    status.insert("startTime".into(), json!(now()));
    status.insert("hostIP".into(), json!(host[0].to_string()));
    status.insert("hostIPs".into(), json!(list(host)));
    status.insert("podIP".into(), json!(ips[0].to_string()));
    status.insert("podIPs".into(), json!(list(ips)));
}

/// Sets one of the pod's conditions.
pub(super) fn set_condition(pod: &mut Value, kind: &str, holds: bool, reason: &str, message: &str) {
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

/// Its command runs.
pub(super) fn running(pod: &mut Value) {
    let statuses = container_status(pod, true, &json!({"running": {"startedAt": now()}}));
    let status = map_at(pod, "status");
    status.insert("phase".into(), json!("Running"));
    status.insert("containerStatuses".into(), statuses);
    for kind in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"] {
        set_condition(pod, kind, true, "", "");
    }
}

/// A pod that waits for what it will not get.
pub(super) fn waiting(pod: &mut Value, reason: &str, why: &str) {
    over(pod, "Pending", &json!({"waiting": {"reason": reason, "message": why}}));
}

/// A pod whose command could not be started: it is not tried again.
pub(super) fn failed(pod: &mut Value, reason: &str, why: &str) {
    let state = json!({"terminated": {
        "exitCode": 128, "reason": reason, "message": why, "startedAt": now(), "finishedAt": now(),
    }});
    over(pod, "Failed", &state);
    let status = map_at(pod, "status");
    status.insert("reason".into(), json!(reason));
    status.insert("message".into(), json!(why));
}

/// Its command has ended by itself.
pub(super) fn ended(pod: &mut Value, code: i32) {
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
    let reason = match phase {
        "Succeeded" => "PodCompleted",
        "Pending" => "ContainersNotReady",
        _ => "PodFailed",
    };
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
