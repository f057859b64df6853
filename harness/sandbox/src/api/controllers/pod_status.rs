//! A pod's status, as a kubelet writes it.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{
    container::{Role, containers},
    state::is_over,
};
use crate::{
    api::object::{items, map_at, now, text},
    wire::Exit,
};

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
        Some(old) => {
            if old["status"] == condition["status"] {
                condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = condition;
        }
        None => list.push(condition),
    }
}

/// What is to be written about a container.
#[derive(Debug, Clone)]
pub(super) enum State<'a> {
    /// It waits for what it will not get: reason and message.
    Waits(&'a str, &'a str),
    /// It could not be started: reason and message.
    Refused(&'a str, &'a str),
    /// It runs and is ready.
    Runs,
    /// Its command has ended.
    Ended(&'a Exit),
}

/// Every container of a pod that has just been given to a node waits.
pub(super) fn created(pod: &mut Value) {
    let early = !items(pod, "/spec/initContainers").is_empty();
    let reason = if early { "PodInitializing" } else { "ContainerCreating" };
    let state = json!({"waiting": {"reason": reason}});
    for (list, statuses) in LISTS {
        let entries: Vec<Value> = items(&pod["spec"], list)
            .iter()
            .map(|container| {
                json!({
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": false,
                    "started": false,
                    "restartCount": 0,
                    "lastState": {},
                    "state": state,
                })
            })
            .collect();
        if !entries.is_empty() {
            map_at(pod, "status").insert(statuses.into(), json!(entries));
        }
    }
    settle(pod);
}

/// Lists of containers, and of their statuses.
const LISTS: [(&str, &str); 2] =
    [("/containers", "containerStatuses"), ("/initContainers", "initContainerStatuses")];

/// Writes down how one of a pod's containers stands, and what follows for the pod.
pub(super) fn note(pod: &mut Value, container: &str, state: &State<'_>) {
    let uid = text(pod, "/metadata/uid").to_owned();
    let init = containers(pod).any(|(role, c)| role == Role::Init && text(c, "/name") == container);
    let status = map_at(pod, "status");
    let found = LISTS
        .iter()
        .filter_map(|(_, statuses)| status.get(*statuses)?.as_array().map(|list| (*statuses, list)))
        .find_map(|(statuses, list)| Some((statuses, list.iter().position(|c| c["name"] == container)?)));
    if let Some((statuses, index)) = found {
        let entry = &mut status[statuses][index];
        let runs = matches!(state, State::Runs);
        let done = matches!(state, State::Ended(exit) if exit.code == 0);
        // An init container is ready once it has done its work.
        entry["ready"] = json!(if init { done } else { runs });
        entry["started"] = json!(runs && !init);
        entry["containerID"] = json!(format!("verdikt-sandbox://{uid}/{container}"));
        let begun = entry.pointer("/state/running/startedAt").cloned().unwrap_or_else(|| json!(now()));
        let over = |code: i32, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": begun, "finishedAt": now()}});
        entry["state"] = match state {
            State::Waits(reason, why) => json!({"waiting": {"reason": reason, "message": why}}),
            State::Runs => json!({"running": {"startedAt": now()}}),
            State::Refused(reason, why) => {
                let mut over = over(128, reason);
                over["terminated"]["message"] = json!(why);
                over
            }
            State::Ended(exit) => {
                let mut over = over(exit.code, if exit.code == 0 { "Completed" } else { "Error" });
                if let Some(said) = &exit.said {
                    over["terminated"]["message"] = json!(said);
                }
                over
            }
        };
    }
    if let State::Refused(reason, why) = state {
        let status = map_at(pod, "status");
        status.insert("reason".into(), json!(reason));
        status.insert("message".into(), json!(why));
    }
    settle(pod);
}

/// How one container stands, by its status.
fn status<'a>(pod: &'a Value, container: &Value) -> Option<&'a Value> {
    LISTS
        .iter()
        .flat_map(|(_, statuses)| items(&pod["status"], &format!("/{statuses}")))
        .find(|status| status["name"] == container["name"])
}

/// Derives phase and conditions from the containers' statuses.
fn settle(pod: &mut Value) {
    let all: Vec<(Role, &Value)> =
        containers(pod).filter_map(|(role, container)| Some((role, status(pod, container)?))).collect();
    let code = |status: &Value| status.pointer("/state/terminated/exitCode").and_then(Value::as_i64);
    let runs = |status: &Value| status.pointer("/state/running").is_some();
    let of = |wanted: Role| all.iter().filter(move |(role, _)| *role == wanted).map(|(_, status)| *status);
    let begun = of(Role::Main).any(|status| status.pointer("/state/waiting").is_none());
    let initialized =
        begun || of(Role::Init).all(|status| code(status) == Some(0)) && of(Role::Sidecar).all(runs);
    let stays = || of(Role::Main).chain(of(Role::Sidecar));
    // What fails before the containers proper have begun is not tried again.
    let refused = !text(pod, "/status/reason").is_empty();
    let broken = refused
        || of(Role::Init).any(|status| code(status).is_some_and(|code| code != 0))
        || !initialized && of(Role::Sidecar).any(|status| code(status).is_some());
    let phase = if broken {
        "Failed"
    } else if stays().all(|status| code(status).is_some()) {
        if of(Role::Main).all(|status| code(status) == Some(0)) { "Succeeded" } else { "Failed" }
    } else if of(Role::Main).all(|status| status.pointer("/state/waiting").is_none()) {
        "Running"
    } else {
        "Pending"
    };
    let ready = phase == "Running" && stays().all(runs);
    let reason = match phase {
        "Succeeded" => "PodCompleted",
        "Failed" => "PodFailed",
        _ => "ContainersNotReady",
    };
    map_at(pod, "status").insert("phase".into(), json!(phase));
    set_condition(pod, "PodReadyToStartContainers", begun || initialized, "", "");
    let reasons = [("Initialized", initialized, "ContainersNotInitialized")];
    for (kind, holds, why) in
        reasons.into_iter().chain(["Ready", "ContainersReady"].map(|kind| (kind, ready, reason)))
    {
        set_condition(pod, kind, holds, if holds { "" } else { why }, "");
    }
}

/// Whether commands can be run in a container of a pod; otherwise why not.
pub(crate) fn can_exec(pod: &Value, container: &str) -> Result<(), String> {
    let phase = text(pod, "/status/phase");
    if is_over(pod) {
        return Err(format!("cannot exec into a container in a completed pod; current phase is {phase}"));
    }
    let state = containers(pod)
        .find(|(_, c)| text(c, "/name") == container)
        .and_then(|(_, c)| status(pod, c)?.get("state"));
    match state {
        Some(state) if state.get("running").is_some() => Ok(()),
        Some(state) if state.get("terminated").is_some() => {
            Err(format!("container {container} has ended already"))
        }
        _ => Err("the pod's container has not started yet".into()),
    }
}

/// Whether a container's command has ended, or will never start.
pub(crate) fn has_ended(pod: &Value, container: &str) -> bool {
    let found = containers(pod).find(|(_, c)| text(c, "/name") == container);
    is_over(pod)
        || found.and_then(|(_, c)| status(pod, c)).is_some_and(|s| s.pointer("/state/terminated").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        let mut pod = json!({"spec": {
            "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
            "containers": [{"name": "a"}, {"name": "b"}],
        }});
        created(&mut pod);
        pod
    }

    fn phase(pod: &Value) -> (&str, bool) {
        let ready =
            items(pod, "/status/conditions").iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        (text(pod, "/status/phase"), ready)
    }

    const fn ended(code: i32) -> Exit {
        Exit { code, said: None }
    }

    #[test]
    fn a_pod_is_ready_when_all_that_stays_is() {
        let mut pod = pod();
        for (name, state) in
            [("i", State::Runs), ("i", State::Ended(&ended(0))), ("s", State::Runs), ("a", State::Runs)]
        {
            assert_eq!(phase(&pod), ("Pending", false), "before {name}");
            note(&mut pod, name, &state);
        }
        assert!(can_exec(&pod, "s").is_ok() && can_exec(&pod, "i").is_err() && can_exec(&pod, "b").is_err());
        note(&mut pod, "b", &State::Runs);
        assert_eq!(phase(&pod), ("Running", true));
        for name in ["a", "b"] {
            note(&mut pod, name, &State::Ended(&ended(0)));
            assert_eq!(phase(&pod), ("Running", false));
        }
        note(&mut pod, "s", &State::Ended(&ended(137)));
        assert_eq!(phase(&pod), ("Succeeded", false));
        assert!(can_exec(&pod, "a").is_err());
    }

    #[test]
    fn a_pod_fails_with_its_init_containers() {
        let mut failed = pod();
        note(&mut failed, "i", &State::Ended(&ended(1)));
        assert_eq!(phase(&failed), ("Failed", false));
        let mut refused = pod();
        note(&mut refused, "i", &State::Refused("RunContainerError", "no such command"));
        assert_eq!(phase(&refused), ("Failed", false));
        let mut waits = pod();
        note(&mut waits, "i", &State::Waits("ImagePullBackOff", "no such host"));
        assert_eq!(phase(&waits), ("Pending", false));
    }
}
