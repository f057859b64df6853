//! The end of a namespace.

use serde_json::json;

use super::fake::{Lab, pod, policy};

#[tokio::test]
async fn a_namespace_goes_with_all_it_holds() {
    let lab = Lab::new().await;
    lab.namespace("x").await;
    assert_eq!(lab.get("/api/v1/namespaces/x/serviceaccounts/default").await.0, 200);
    lab.pod("x", pod("a", json!({}))).await;
    lab.post("/apis/networking.k8s.io/v1/namespaces/x/networkpolicies", policy("p", json!({}))).await;
    let (code, ending) = lab.delete("/api/v1/namespaces/x").await;
    assert_eq!((code, &ending["status"]["phase"]), (200, &json!("Terminating")));
    lab.until("/api/v1/namespaces/x", |(code, _)| *code == 404).await;
    for path in ["/api/v1/pods", "/apis/networking.k8s.io/v1/networkpolicies", "/api/v1/events"] {
        let (_, list) = lab.get(&format!("{path}?fieldSelector=metadata.namespace=x")).await;
        assert_eq!(list["items"], json!([]), "{path}");
    }
}

#[tokio::test]
async fn nothing_new_enters_a_namespace_that_ends() {
    let lab = Lab::new().await;
    lab.namespace("x").await;
    // A finaliser keeps the pod, and the pod keeps the namespace.
    let mut held = pod("a", json!({}));
    held["metadata"]["finalizers"] = json!(["example.org/hold"]);
    lab.pod("x", held).await;
    lab.delete("/api/v1/namespaces/x").await;
    let (code, status) =
        lab.post("/api/v1/namespaces/x/configmaps", json!({"metadata": {"name": "c"}})).await;
    assert_eq!(code, 403);
    assert!(status["message"].as_str().unwrap().contains("because it is being terminated"));
    assert_eq!(lab.get("/api/v1/namespaces/x").await.0, 200);
    lab.patch("merge", "/api/v1/namespaces/x/pods/a", json!({"metadata": {"finalizers": null}})).await;
    lab.until("/api/v1/namespaces/x", |(code, _)| *code == 404).await;
}

#[tokio::test]
async fn foreign_finalisers_hold_a_namespace() {
    let lab = Lab::new().await;
    let body = json!({"metadata": {"name": "x"}, "spec": {"finalizers": ["kubernetes", "example.org/hold"]}});
    lab.post("/api/v1/namespaces", body).await;
    lab.delete("/api/v1/namespaces/x").await;
    let (_, mut ns) = lab
        .until("/api/v1/namespaces/x", |(_, ns)| ns["spec"]["finalizers"] == json!(["example.org/hold"]))
        .await;
    ns["spec"]["finalizers"] = json!([]);
    assert_eq!(lab.put("/api/v1/namespaces/x/finalize", ns).await.0, 200);
    lab.until("/api/v1/namespaces/x", |(code, _)| *code == 404).await;
}
