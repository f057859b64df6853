//! How pods end: by themselves, by deletion, with sidecars, and what becomes of their addresses.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fake::{Lab, Told, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// A pod on the first node.
fn on_first(name: &str) -> Value {
    let mut pod = pod(name, json!({"app": name}));
    pod["spec"]["nodeName"] = json!("sandbox-1");
    pod["spec"]["restartPolicy"] = json!("Never");
    pod
}

/// A pod that does not end when it is asked to.
fn lingering(name: &str) -> Value {
    let mut pod = on_first(name);
    pod["spec"]["containers"][0]["command"] = json!(["linger"]);
    pod
}

#[tokio::test]
async fn the_address_of_a_completed_pod_is_the_next_ones() {
    let lab = Lab::new().await;
    for (name, code, phase) in [("a", 0, "Succeeded"), ("b", 3, "Failed")] {
        let first = lab.pod("default", on_first(name)).await;
        lab.node.exit(&uid(&first), "c", code);
        let path = format!("{PODS}/{name}");
        let (_, over) = lab.until(&path, |(_, pod)| pod["status"]["phase"] == phase).await;
        assert_eq!(over["status"]["podIP"], first["status"]["podIP"]);
        assert!(lab.node.was_told(&Told::Delete(uid(&first))), "its network goes with it");
        let next = lab.pod("default", on_first(&format!("next-{name}"))).await;
        assert_eq!(next["status"]["podIP"], first["status"]["podIP"]);
        let known = lab.node.state().unwrap().pods;
        let ip = first["status"]["podIP"].as_str().unwrap().parse().unwrap();
        let owners: Vec<&str> =
            known.iter().filter(|pod| pod.ips.contains(&ip)).map(|pod| &*pod.name).collect();
        assert_eq!(owners, [format!("next-{name}")], "policies must not take one for the other");
        lab.delete(&format!("{PODS}/next-{name}")).await;
        lab.until(&format!("{PODS}/next-{name}"), |(code, _)| *code == 404).await;
    }
}

#[tokio::test]
async fn a_pod_stays_while_its_command_takes_its_time() {
    let lab = Lab::new().await;
    let made = lab.pod("default", lingering("a")).await;
    lab.post(
        "/api/v1/namespaces/default/services",
        json!({"metadata": {"name": "s"}, "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]}}),
    )
    .await;
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/s-ipv4";
    let conditions = |ready: bool, terminating: bool| {
        let wanted = json!({"ready": ready, "serving": true, "terminating": terminating});
        move |(_, slice): &(u16, Value)| slice["endpoints"][0]["conditions"] == wanted
    };
    lab.until(slice, conditions(true, false)).await;
    let (code, ending) = lab.delete(&format!("{PODS}/a?gracePeriodSeconds=600")).await;
    assert_eq!((code, &ending["metadata"]["deletionGracePeriodSeconds"]), (200, &json!(600)));
    let due = ending["metadata"]["deletionTimestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!((590..=601).contains(&(due.as_second() - jiff::Timestamp::now().as_second())), "{due}");
    lab.until(slice, conditions(false, true)).await;
    for _ in 0..500 {
        let state = lab.node.state().unwrap();
        let service = state.services.iter().find(|s| s.name == "s").unwrap();
        if service.pod_ips.is_empty() && service.ports[0].backends.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let state = lab.node.state().unwrap();
    assert!(state.pods.iter().any(|pod| pod.name == "a"), "policies still apply to it");
    let service = state.services.iter().find(|s| s.name == "s").unwrap();
    assert!(service.pod_ips.is_empty() && service.ports[0].backends.is_empty(), "no new connections");
    assert!(lab.node.was_told(&Told::Terminate(uid(&made), "c".into())));
    assert!(!lab.node.was_told(&Told::Delete(uid(&made))));
    // Not a WebSocket: but it is the missing upgrade that is refused, not the pod.
    let (_, refused) = lab.get(&format!("{PODS}/a/exec?command=true")).await;
    assert!(refused["message"].as_str().unwrap().contains("Upgrade request required"), "{refused}");
    lab.node.exit(&uid(&made), "c", 0);
    lab.until(&format!("{PODS}/a"), |(code, _)| *code == 404).await;
    assert!(lab.node.was_told(&Told::Delete(uid(&made))));
}

#[tokio::test]
async fn a_pod_is_killed_when_its_time_is_over() {
    let lab = Lab::new().await;
    for (name, first, second) in [("a", 1, None), ("b", 600, Some(1)), ("c", 600, Some(0))] {
        let made = lab.pod("default", lingering(name)).await;
        let begun = Instant::now();
        let path = format!("{PODS}/{name}");
        lab.delete(&format!("{path}?gracePeriodSeconds={first}")).await;
        if let Some(second) = second {
            lab.delete(&format!("{path}?gracePeriodSeconds={second}")).await;
            // A longer time does not make it longer.
            lab.delete(&format!("{path}?gracePeriodSeconds=700")).await;
        }
        lab.until(&path, |(code, _)| *code == 404).await;
        let took = begun.elapsed();
        let least = if second == Some(0) { Duration::ZERO } else { Duration::from_secs(1) };
        assert!(took >= least && took < least + Duration::from_secs(3), "{name}: {took:?}");
        for _ in 0..100 {
            if lab.node.was_told(&Told::Delete(uid(&made))) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(lab.node.was_told(&Told::Delete(uid(&made))), "{name}");
    }
}

#[tokio::test]
async fn a_pods_own_grace_period_counts_when_nobody_says_another() {
    let lab = Lab::new().await;
    let mut body = lingering("a");
    body["spec"]["terminationGracePeriodSeconds"] = json!(1);
    lab.pod("default", body).await;
    let (_, ending) = lab.delete(&format!("{PODS}/a")).await;
    assert_eq!(ending["metadata"]["deletionGracePeriodSeconds"], 1);
    assert_eq!(lab.get(&format!("{PODS}/a")).await.0, 200);
    lab.until(&format!("{PODS}/a"), |(code, _)| *code == 404).await;
}

#[tokio::test]
async fn init_containers_and_sidecars_come_first_and_sidecars_last() {
    let lab = Lab::new().await;
    let mut body = on_first("a");
    body["spec"]["initContainers"] = json!([
        {"name": "init", "image": "i", "command": ["exit", "0"]},
        {"name": "side", "image": "i", "restartPolicy": "Always", "ports": [{"name": "metrics", "containerPort": 9}]},
        {"name": "slow", "image": "i"},
    ]);
    let (code, made) = lab.post(PODS, body).await;
    assert_eq!(code, 201, "{made}");
    let path = format!("{PODS}/a");
    let (_, waits) = lab
        .until(&path, |(_, pod)| pod["status"]["initContainerStatuses"][2]["state"]["running"].is_object())
        .await;
    assert_eq!(waits["status"]["phase"], "Pending");
    assert_eq!(waits["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
    assert_eq!(waits["status"]["initContainerStatuses"][1]["started"], true);
    lab.node.exit(&uid(&made), "slow", 0);
    let ready = |pod: &Value| {
        pod["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    let (_, runs) = lab.until(&path, |(_, pod)| pod["status"]["phase"] == "Running").await;
    assert!(ready(&runs), "{runs}");
    let started: Vec<Told> = lab
        .node
        .told
        .lock()
        .unwrap()
        .iter()
        .filter(|told| matches!(told, Told::Start(pod, _) if *pod == uid(&made)))
        .cloned()
        .collect();
    let expected = ["init", "side", "slow", "c"].map(|name| Told::Start(uid(&made), name.into()));
    assert_eq!(started, expected);
    let state = lab.node.state().unwrap();
    let ports = &state.pods.iter().find(|pod| pod.name == "a").unwrap().ports;
    assert!(ports.contains(&("metrics".into(), "TCP".into(), 9)), "{ports:?}");

    lab.node.exit(&uid(&made), "c", 0);
    let (_, over) = lab.until(&path, |(_, pod)| pod["status"]["phase"] == "Succeeded").await;
    assert!(over["status"]["initContainerStatuses"][1]["state"]["terminated"].is_object());
    assert!(lab.node.was_told(&Told::Terminate(uid(&made), "side".into())));
}

#[tokio::test]
async fn an_init_container_that_fails_fails_its_pod() {
    let lab = Lab::new().await;
    for (name, command) in [("a", json!(["exit", "3"])), ("b", json!(["fail"]))] {
        let mut body = on_first(name);
        body["spec"]["initContainers"] = json!([{"name": "init", "image": "i", "command": command}]);
        let failed = lab.pod("default", body).await;
        assert_eq!(failed["status"]["phase"], "Failed");
        assert!(!lab.node.was_told(&Told::Start(uid(&failed), "c".into())));
        lab.delete(&format!("{PODS}/{name}")).await;
        assert_eq!(lab.get(&format!("{PODS}/{name}")).await.0, 404);
    }
}

#[tokio::test]
async fn a_command_may_end_before_it_is_ready() {
    let lab = Lab::new().await;
    for (name, code, phase) in [("a", "0", "Succeeded"), ("b", "3", "Failed")] {
        let mut body = on_first(name);
        body["spec"]["containers"][0]["command"] = json!(["exit", code]);
        assert_eq!(lab.pod("default", body).await["status"]["phase"], phase);
    }
}

#[tokio::test]
async fn containers_are_named_in_exec_and_logs() {
    let lab = Lab::new().await;
    let mut body = on_first("a");
    body["spec"]["initContainers"] = json!([
        {"name": "init", "image": "i", "command": ["exit", "0"]},
        {"name": "side", "image": "i", "restartPolicy": "Always"},
    ]);
    let made = lab.pod("default", body).await;
    for name in ["init", "side", "c"] {
        let file = lab.sandbox.cluster().logs.join(crate::wire::log_name(&uid(&made), name));
        std::fs::write(file, format!("of {name}\n")).unwrap();
        let (code, log) = lab.get(&format!("{PODS}/a/log?container={name}")).await;
        assert_eq!((code, log), (200, json!(format!("of {name}\n"))));
    }
    assert_eq!(lab.get(&format!("{PODS}/a/log")).await.1, "of c\n");
    assert_eq!(lab.get(&format!("{PODS}/a/log?container=x")).await.0, 400);
    for (name, why) in
        [("side", "Upgrade request required"), ("init", "has ended already"), ("x", "not valid")]
    {
        let (_, refused) = lab.get(&format!("{PODS}/a/exec?command=true&container={name}")).await;
        assert!(refused["message"].as_str().unwrap().contains(why), "{name}: {refused}");
    }
}
