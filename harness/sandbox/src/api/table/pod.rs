//! What a pod's row tells of its containers, as a real API server words it.

use serde_json::{Value, json};

use crate::api::object::{is_terminating, items, text};

/// Containers that are ready, containers that stay, and the pod's status in one word.
pub(super) fn summary(pod: &Value) -> (usize, usize, String) {
    let early = items(pod, "/spec/initContainers");
    let stays = |name: &Value| early.iter().any(|c| c["name"] == *name && c["restartPolicy"] == "Always");
    let total = items(pod, "/spec/containers").len() + early.iter().filter(|c| stays(&c["name"])).count();
    let phase = text(pod, "/status/phase");
    let mut status = match text(pod, "/status/reason") {
        "" => phase.to_owned(),
        reason => reason.to_owned(),
    };
    let mut ready = 0;
    let mut waits = false;
    for (number, container) in items(pod, "/status/initContainerStatuses").iter().enumerate() {
        let state = &container["state"];
        if state.pointer("/terminated/exitCode") == Some(&json!(0)) {
            continue;
        }
        if stays(&container["name"]) && container["started"] == json!(true) {
            ready += usize::from(container["ready"] == json!(true));
            continue;
        }
        let reason = match (text(state, "/terminated/reason"), text(state, "/waiting/reason")) {
            ("", "" | "PodInitializing") => format!("{number}/{}", early.len()),
            ("", reason) | (reason, _) => reason.to_owned(),
        };
        status = format!("Init:{reason}");
        waits = true;
        break;
    }
    let holds = |kind: &str| {
        items(pod, "/status/conditions").iter().any(|c| c["type"] == kind && c["status"] == "True")
    };
    if !waits || holds("Initialized") {
        let mut runs = false;
        for container in items(pod, "/status/containerStatuses").iter().rev() {
            let state = &container["state"];
            match (text(state, "/waiting/reason"), text(state, "/terminated/reason")) {
                ("", "") if container["ready"] == json!(true) => {
                    runs = true;
                    ready += 1;
                }
                ("", "") => {}
                ("", reason) | (reason, _) => reason.clone_into(&mut status),
            }
        }
        if status == "Completed" && runs {
            status = if holds("Ready") { "Running".into() } else { "NotReady".into() };
        }
    }
    if is_terminating(pod) && !matches!(phase, "Succeeded" | "Failed") {
        status = "Terminating".into();
    }
    (ready, total, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(status: &Value) -> Value {
        json!({
            "metadata": {}, "status": status,
            "spec": {
                "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "c"}],
            },
        })
    }

    #[test]
    fn a_pods_row_tells_how_far_it_is() {
        let waits = json!({"waiting": {"reason": "PodInitializing"}});
        let (runs, done) =
            (json!({"running": {}}), json!({"terminated": {"exitCode": 0, "reason": "Completed"}}));
        let failed = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
        for (i, s, c, phase, expected) in [
            (&waits, &waits, &waits, "Pending", (0, 2, "Init:0/2")),
            (&runs, &waits, &waits, "Pending", (0, 2, "Init:0/2")),
            (&done, &waits, &waits, "Pending", (0, 2, "Init:1/2")),
            (&failed, &waits, &waits, "Failed", (0, 2, "Init:Error")),
            (&done, &runs, &waits, "Pending", (1, 2, "PodInitializing")),
            (&done, &runs, &runs, "Running", (2, 2, "Running")),
            (&done, &runs, &done, "Running", (1, 2, "Completed")),
            (&done, &done, &failed, "Failed", (0, 2, "Error")),
        ] {
            let of = |name: &str, state: &Value| {
                let is = state.get("running").is_some() && name != "i";
                json!({"name": name, "ready": is, "started": is, "state": state})
            };
            let mut pod = pod(&json!({
                "phase": phase, "containerStatuses": [of("c", c)], "initContainerStatuses": [of("i", i), of("s", s)],
            }));
            let (ready, total, status) = expected;
            assert_eq!(summary(&pod), (ready, total, status.to_owned()));
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            let expected = if phase == "Failed" { status } else { "Terminating" };
            assert_eq!(summary(&pod).2, expected);
        }
    }
}
