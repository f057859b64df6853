//! What the server tells of its profile, and tells the dataplane for it.

use serde_json::{Value, json};

use super::fake::{Lab, pod};

const NODE: &str = "/api/v1/nodes/sandbox-1";

#[tokio::test]
async fn nodes_are_labelled_with_the_base_and_annotated_with_the_rest() {
    let text = "reference+policy-delay=200ms+rejects";
    let lab = Lab::with(text.parse().unwrap()).await;
    let (_, node) = lab.get(NODE).await;
    assert_eq!(node["metadata"]["labels"]["sandbox.verdikt.dev/profile"], "reference");
    assert_eq!(node["metadata"]["annotations"]["sandbox.verdikt.dev/traits"], "policy-delay=200ms+rejects");
    lab.pod("default", pod("a", json!({}))).await;
    assert!(lab.node.state().unwrap().traits.rejects);

    let (_, node) = Lab::new().await.get(NODE).await;
    assert_eq!(node["metadata"]["annotations"].get("sandbox.verdikt.dev/traits"), None);
}

#[tokio::test]
async fn the_dataplane_learns_that_a_pod_is_being_deleted() {
    let lab = Lab::new().await;
    let mut held = pod("a", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    lab.pod("default", held).await;
    let terminating = || {
        let state = lab.node.state().unwrap();
        state.pods.iter().find(|pod| pod.name == "a").map(|pod| pod.terminating)
    };
    assert_eq!(terminating(), Some(false));
    lab.delete("/api/v1/namespaces/default/pods/a").await;
    // Another pod starts only after the dataplane has learnt of all before it.
    lab.pod("default", pod("b", json!({}))).await;
    assert_eq!(terminating(), Some(true));
}

#[tokio::test]
async fn stale_addresses_are_used_again_at_once() {
    let address = |pod: &Value| pod["status"]["podIP"].as_str().unwrap().to_owned();
    for (profile, again) in [("reference", false), ("reference+stale-addresses", true)] {
        let lab = Lab::with(profile.parse().unwrap()).await;
        let on_second = |name: &str| {
            let mut pod = pod(name, json!({}));
            pod["spec"]["nodeName"] = json!("sandbox-2");
            pod
        };
        let first = address(&lab.pod("default", on_second("a")).await);
        lab.delete("/api/v1/namespaces/default/pods/a").await;
        lab.until("/api/v1/namespaces/default/pods/a", |(code, _)| *code == 404).await;
        // The number is free a moment after the pod is gone.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let second = address(&lab.pod("default", on_second("b")).await);
        assert_eq!(first == second, again, "{profile}");
    }
}
