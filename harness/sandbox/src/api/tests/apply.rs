//! Server-side apply over HTTP.

use serde_json::json;

use super::fake::{Lab, POLICIES, policy};

#[tokio::test]
async fn apply_creates_then_merges_then_removes() {
    let lab = Lab::new().await;
    let path = format!("{POLICIES}/p?fieldManager=m");
    let mut config = policy("p", json!({"podSelector": {}, "ingress": [{}]}));
    config["metadata"]["labels"] = json!({"a": "1", "b": "2"});
    let (code, made) = lab.patch("apply", &path, config.clone()).await;
    assert_eq!(code, 201, "{made}");
    let (code, same) = lab.patch("apply", &path, config.clone()).await;
    assert_eq!((code, &same["metadata"]["resourceVersion"]), (200, &made["metadata"]["resourceVersion"]));
    config["metadata"]["labels"] = json!({"a": "1"});
    config["spec"].as_object_mut().unwrap().remove("ingress");
    let (_, changed) = lab.patch("apply", &path, config).await;
    assert_eq!(changed["metadata"]["labels"], json!({"a": "1"}));
    assert!(changed["spec"].get("ingress").is_none());
}

#[tokio::test]
async fn conflicts_name_the_manager_and_the_field() {
    let lab = Lab::new().await;
    let with = |value: &str| {
        let mut config = policy("p", json!({"podSelector": {}}));
        config["metadata"]["labels"] = json!({"a": value});
        config
    };
    lab.patch("apply", &format!("{POLICIES}/p?fieldManager=m"), with("1")).await;
    let (code, status) = lab.patch("apply", &format!("{POLICIES}/p?fieldManager=n"), with("2")).await;
    assert_eq!(code, 409);
    let cause = &status["details"]["causes"][0];
    assert_eq!(cause["reason"], "FieldManagerConflict");
    assert_eq!(cause["field"], ".metadata.labels.a");
    assert!(cause["message"].as_str().unwrap().contains("\"m\""));
    let (code, forced) =
        lab.patch("apply", &format!("{POLICIES}/p?fieldManager=n&force=true"), with("2")).await;
    assert_eq!((code, &forced["metadata"]["labels"]["a"]), (200, &json!("2")));
}

#[tokio::test]
async fn bad_applies_are_refused() {
    let lab = Lab::new().await;
    assert_eq!(lab.patch("apply", &format!("{POLICIES}/p"), policy("p", json!({}))).await.0, 422);
    let path = format!("{POLICIES}/p?fieldManager=m&fieldValidation=Strict");
    assert_eq!(lab.patch("apply", &path, policy("p", json!({"nope": 1}))).await.0, 400);
    assert_eq!(lab.patch("apply", &path, policy("q", json!({}))).await.0, 400);
    let bad = policy("p", json!({"ingress": [{"ports": [{"port": 0}]}]}));
    assert_eq!(lab.patch("apply", &path, bad).await.0, 422);
}
