//! The life of pods.

use serde_json::{Value, json};

use super::fake::{Lab, Told, pod};

#[tokio::test]
async fn a_pod_runs_with_addresses_of_both_families() {
    let lab = Lab::new().await;
    let pod = lab.pod("default", pod("a", json!({}))).await;
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(pod["status"]["podIPs"].as_array().unwrap().len(), 2);
    assert_eq!(pod["status"]["podIP"], pod["status"]["podIPs"][0]["ip"]);
    assert!(pod["spec"]["nodeName"].as_str().unwrap().starts_with("sandbox-"));
    let ready =
        pod["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap();
    assert_eq!(ready["status"], "True");
}

#[tokio::test]
async fn the_dataplane_knows_a_pod_before_it_starts() {
    let lab = Lab::new().await;
    let pod = lab.pod("default", pod("a", json!({"app": "a"}))).await;
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let told = lab.node.told.lock().unwrap();
    let known =
        told.iter().position(|t| matches!(t, Told::Sync(state) if state.pods.iter().any(|p| p.uid == uid)));
    let added = told.iter().position(|t| *t == Told::Start(uid.to_owned(), "c".to_owned()));
    assert!(known.unwrap() < added.unwrap());
}

#[tokio::test]
async fn a_pod_that_cannot_start_says_why() {
    let lab = Lab::new().await;
    let mut bad = pod("a", json!({}));
    bad["spec"]["containers"][0]["command"] = json!(["fail"]);
    let failed = lab.pod("default", bad).await;
    assert_eq!(failed["status"]["phase"], "Failed");
    assert_eq!(failed["status"]["message"], "no such command");
    let path = "/api/v1/events?fieldSelector=involvedObject.name=a,reason=Failed";
    let (_, events) = lab.until(path, |(_, list)| list["items"] != json!([])).await;
    assert_eq!(events["items"][0]["message"], "no such command");
}

#[tokio::test]
async fn a_command_that_ends_ends_its_pod() {
    let lab = Lab::new().await;
    for (name, code, phase) in [("a", 0, "Succeeded"), ("b", 3, "Failed")] {
        let running = lab.pod("default", pod(name, json!({}))).await;
        lab.node.exit(running["metadata"]["uid"].as_str().unwrap(), "c", code);
        let path = format!("/api/v1/namespaces/default/pods/{name}");
        let (_, over) = lab.until(&path, |(_, pod)| pod["status"]["phase"] == phase).await;
        assert_eq!(over["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], code);
    }
}

#[tokio::test]
async fn deletion_ends_the_command_first() {
    let lab = Lab::new().await;
    let running = lab.pod("default", pod("a", json!({}))).await;
    let path = "/api/v1/namespaces/default/pods/a";
    let (code, ending) = lab.delete(path).await;
    assert_eq!(code, 200);
    assert!(ending["metadata"]["deletionTimestamp"].is_string());
    lab.until(path, |(code, _)| *code == 404).await;
    let uid = running["metadata"]["uid"].as_str().unwrap().to_owned();
    assert!(lab.node.told.lock().unwrap().contains(&Told::Delete(uid)));
    // A forced deletion does not wait.
    lab.pod("default", pod("b", json!({}))).await;
    lab.delete("/api/v1/namespaces/default/pods/b?gracePeriodSeconds=0").await;
    assert_eq!(lab.get("/api/v1/namespaces/default/pods/b").await.0, 404);
}

#[tokio::test]
async fn pods_are_spread_and_placed_as_they_ask() {
    let lab = Lab::new().await;
    let node = |pod: &Value| pod["spec"]["nodeName"].as_str().unwrap().to_owned();
    let mut nodes = vec![];
    for i in 0..4 {
        nodes.push(node(&lab.pod("default", pod(&format!("p{i}"), json!({}))).await));
    }
    assert_eq!(nodes.iter().filter(|n| *n == "sandbox-1").count(), 2);
    let mut second = pod("second", json!({}));
    second["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "sandbox-2"});
    assert_eq!(node(&lab.pod("default", second).await), "sandbox-2");
    let mut named = pod("named", json!({}));
    named["spec"]["nodeName"] = json!("sandbox-2");
    assert_eq!(node(&lab.pod("default", named).await), "sandbox-2");
    let mut nowhere = pod("nowhere", json!({}));
    nowhere["spec"]["nodeSelector"] = json!({"gpu": "yes"});
    lab.post("/api/v1/namespaces/default/pods", nowhere).await;
    let path = "/api/v1/namespaces/default/pods/nowhere";
    lab.until(path, |(_, pod)| pod["status"]["conditions"][0]["reason"] == "Unschedulable").await;
    lab.delete(path).await;
    assert_eq!(lab.get(path).await.0, 404);
}

#[tokio::test]
async fn host_network_and_external_pods_have_their_hosts_addresses() {
    let lab = Lab::new().await;
    let mut host = pod("host", json!({}));
    host["spec"]["hostNetwork"] = json!(true);
    host["spec"]["nodeName"] = json!("sandbox-2");
    let made = lab.pod("default", host.clone()).await;
    assert_eq!(made["status"]["podIP"], "172.30.0.2");
    host["metadata"] = json!({"name": "out", "annotations": {"sandbox.verdikt.dev/place": "external"}});
    let made = lab.pod("default", host).await;
    assert_eq!(made["status"]["podIP"], "198.51.100.10");
    assert_eq!(
        made["metadata"]["annotations"]["sandbox.verdikt.dev/addresses"],
        "198.51.100.10,2001:db8:51:100::a,198.51.100.20,2001:db8:51:100::14"
    );
}

#[tokio::test]
async fn an_unknown_pod_has_no_connect_loop() {
    let lab = Lab::new().await;
    lab.pod("default", pod("a", json!({}))).await;
    let target = [("10.0.0.1".parse().unwrap(), 80)];
    let source = |name: &str| [("default".to_owned(), name.to_owned())];
    assert_eq!(lab.sandbox.connect_loop(&source("a"), &target).await.unwrap().connects, 1);
    let error = lab.sandbox.connect_loop(&source("b"), &target).await.unwrap_err().to_string();
    assert!(error.contains("no pod b in namespace default"), "{error}");
}

#[tokio::test]
async fn nodes_are_not_ready_once_their_process_has_ended() {
    let lab = Lab::new().await;
    lab.node.death.notify_one();
    let ready = |node: &Value| {
        node["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["type"] == "Ready")
            .unwrap()
            .clone()
    };
    let (_, node) = lab.until("/api/v1/nodes/sandbox-2", |(_, node)| ready(node)["status"] == "False").await;
    assert!(ready(&node)["message"].as_str().unwrap().contains("signal: 9"));
}
