//! What the server tells of its profile, and tells the dataplane for it.

use serde_json::json;

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
