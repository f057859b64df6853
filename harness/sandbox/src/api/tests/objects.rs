//! Create, read, change and delete; errors; tables; who may come in.

use serde_json::{Value, json};

use super::fake::{Lab, POLICIES, pod, policy};

#[tokio::test]
async fn nobody_comes_in_without_the_token() {
    let lab = Lab::new().await;
    let url: axum::http::Uri = lab.sandbox.url().parse().unwrap();
    let ask = |path: String, token: Option<&'static str>| {
        let url = url.clone();
        async move {
            let mut config = kube::Config::new(url);
            config.default_retry = false;
            let client = kube::Client::try_from(config).unwrap();
            let mut request = axum::http::Request::builder().uri(path);
            if let Some(token) = token {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let response = client.send(request.body(kube::client::Body::empty()).unwrap()).await.unwrap();
            response.status().as_u16()
        }
    };
    assert_eq!(ask("/api/v1/pods".into(), None).await, 401);
    assert_eq!(ask("/api/v1/pods".into(), Some("a-token-for-testz")).await, 401);
    assert_eq!(ask("/api/v1/pods".into(), Some("a-token-for-tests")).await, 200);
    assert_eq!(ask("/token/a-token-for-tests/api/v1/pods".into(), None).await, 200);
    assert_eq!(ask("/token/other/api/v1/pods".into(), Some("a-token-for-tests")).await, 401);
    assert_eq!(ask("/version".into(), None).await, 401);
    assert_eq!(ask("/readyz".into(), None).await, 200);
}

#[tokio::test]
async fn a_policy_lives_and_dies() {
    let lab = Lab::new().await;
    let (code, created) = lab.post(POLICIES, policy("p", json!({"podSelector": {}, "egress": [{}]}))).await;
    assert_eq!(code, 201);
    assert_eq!(created["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(created["metadata"]["generation"], 1);
    assert_eq!(lab.post(POLICIES, policy("p", json!({}))).await.1["reason"], "AlreadyExists");

    let path = format!("{POLICIES}/p");
    let mut changed = created.clone();
    changed["spec"]["policyTypes"] = json!(["Egress"]);
    let (code, updated) = lab.put(&path, changed.clone()).await;
    assert_eq!((code, &updated["metadata"]["generation"]), (200, &json!(2)));
    // The version is that of the first state.
    let (code, status) = lab.put(&path, changed).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    // Nothing changes, so the version stays.
    let (_, same) = lab.patch("merge", &path, json!({"spec": {"policyTypes": ["Egress"]}})).await;
    assert_eq!(same["metadata"]["resourceVersion"], updated["metadata"]["resourceVersion"]);

    let (code, status) = lab.delete(&path).await;
    assert_eq!((code, &status["status"]), (200, &json!("Success")));
    let (code, status) = lab.get(&path).await;
    assert_eq!(code, 404);
    assert_eq!(status["message"], "networkpolicies.networking.k8s.io \"p\" not found");
    assert_eq!(
        status["details"],
        json!({"name": "p", "group": "networking.k8s.io", "kind": "networkpolicies"})
    );
}

#[tokio::test]
async fn broken_rules_are_causes() {
    let lab = Lab::new().await;
    let spec =
        json!({"podSelector": {}, "ingress": [{"ports": [{"port": 70000}, {"port": 9, "endPort": 8}]}]});
    let (code, status) = lab.post(POLICIES, policy("p", spec)).await;
    assert_eq!((code, &status["reason"]), (422, &json!("Invalid")));
    let causes = &status["details"]["causes"];
    assert_eq!(causes[0]["reason"], "FieldValueInvalid");
    assert_eq!(causes[0]["field"], "spec.ingress[0].ports[0].port");
    assert_eq!(causes[1]["field"], "spec.ingress[0].ports[1].endPort");
    assert!(status["message"].as_str().unwrap().starts_with(
        "NetworkPolicy.networking.k8s.io \"p\" is invalid: [spec.ingress[0].ports[0].port: Invalid value: 70000"
    ));
}

#[tokio::test]
async fn unknown_fields_follow_field_validation() {
    let lab = Lab::new().await;
    let bad = policy("p", json!({"podSelector": {}, "ingres": []}));
    let (code, status) = lab.post(&format!("{POLICIES}?fieldValidation=Strict"), bad.clone()).await;
    assert_eq!(code, 400);
    assert!(
        status["message"].as_str().unwrap().contains("strict decoding error: unknown field \"spec.ingres\"")
    );
    assert_eq!(lab.post(&format!("{POLICIES}?fieldValidation=Ignore"), bad).await.0, 201);
    assert_eq!(lab.post(&format!("{POLICIES}?fieldValidation=Maybe"), policy("q", json!({}))).await.0, 422);
}

#[tokio::test]
async fn wrong_requests_get_the_right_codes() {
    let lab = Lab::new().await;
    let namespaces = "/api/v1/namespaces";
    assert_eq!(lab.get("/api/v1/secrets").await.0, 404);
    assert_eq!(lab.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").await.0, 404);
    assert_eq!(lab.get("/api/v1/pods?labelSelector=a%20b").await.0, 400);
    assert_eq!(lab.get("/api/v1/pods?fieldSelector=spec.image=x").await.0, 400);
    assert_eq!(lab.post("/api/v1/namespaces/nowhere/pods", pod("a", json!({}))).await.0, 404);
    assert_eq!(lab.post("/api/v1/pods", pod("a", json!({}))).await.0, 405);
    assert_eq!(lab.post(namespaces, json!({"metadata": {"name": "Upper"}})).await.0, 422);
    assert_eq!(lab.post(namespaces, json!({"metadata": {"labels": {"a": 1}}})).await.0, 400);
    assert_eq!(lab.post(namespaces, json!([])).await.0, 400);
    assert_eq!(lab.post(namespaces, json!({"kind": "Pod", "metadata": {"name": "x"}})).await.0, 400);
    assert_eq!(
        lab.send("POST", namespaces, &[("Content-Type", "application/json")], b"{".to_vec()).await.0,
        400
    );
    assert_eq!(lab.send("POST", namespaces, &[("Content-Type", "text/plain")], b"{}".to_vec()).await.0, 415);
    assert_eq!(
        lab.send("POST", namespaces, &[("Content-Type", "application/json")], vec![b' '; 4 << 20]).await.0,
        413
    );
    assert_eq!(lab.send("GET", namespaces, &[("Accept", "text/html")], vec![]).await.0, 406);
    assert_eq!(lab.delete("/api/v1/namespaces/kube-system").await.0, 403);
    let moved = json!({"metadata": {"name": "a", "namespace": "kube-system"}});
    assert_eq!(lab.post("/api/v1/namespaces/default/configmaps", moved).await.0, 400);
}

#[tokio::test]
async fn yaml_protobuf_and_generated_names_are_taken() {
    let lab = Lab::new().await;
    let yaml = b"metadata:\n  generateName: made-\n  labels: {a: b}\n".to_vec();
    let (code, made) =
        lab.send("POST", "/api/v1/namespaces", &[("Content-Type", "application/yaml")], yaml).await;
    assert_eq!((code, &made["metadata"]["labels"]["a"]), (201, &json!("b")));
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("made-") && name.len() == 10, "{name}");
    let encoded =
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x0e\x0a\x08\x0a\x04pbuf\x12\x00\x12\x00\x1a\x00"
            .to_vec();
    let (code, made) = lab
        .send(
            "POST",
            "/api/v1/namespaces",
            &[("Content-Type", "application/vnd.kubernetes.protobuf")],
            encoded,
        )
        .await;
    assert_eq!((code, &made["metadata"]["name"]), (201, &json!("pbuf")));
}

#[tokio::test]
async fn dry_runs_change_nothing() {
    let lab = Lab::new().await;
    let (code, made) = lab.post(&format!("{POLICIES}?dryRun=All"), policy("p", json!({}))).await;
    assert_eq!((code, &made["spec"]["policyTypes"]), (201, &json!(["Ingress"])));
    assert_eq!(lab.get(&format!("{POLICIES}/p")).await.0, 404);
    lab.post(POLICIES, policy("p", json!({}))).await;
    let changed = json!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(
        lab.patch("merge", &format!("{POLICIES}/p?dryRun=All"), changed).await.1["metadata"]["labels"]["a"],
        "b"
    );
    assert_eq!(lab.delete(&format!("{POLICIES}/p?dryRun=All")).await.0, 200);
    assert!(lab.get(&format!("{POLICIES}/p")).await.1["metadata"].get("labels").is_none());
}

#[tokio::test]
async fn lists_are_selected_and_deleted_together() {
    let lab = Lab::new().await;
    for (name, app) in [("p", "a"), ("q", "b"), ("r", "a")] {
        let mut body = policy(name, json!({}));
        body["metadata"]["labels"] = json!({"app": app});
        lab.post(POLICIES, body).await;
    }
    let names = |(_, list): (u16, serde_json::Value)| -> Vec<String> {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(lab.get(&format!("{POLICIES}?labelSelector=app%20in%20(a)")).await), ["p", "r"]);
    assert_eq!(names(lab.get(&format!("{POLICIES}?fieldSelector=metadata.name!=p")).await), ["q", "r"]);
    assert_eq!(lab.delete(&format!("{POLICIES}?labelSelector=app=a")).await.0, 200);
    assert_eq!(names(lab.get("/apis/networking.k8s.io/v1/networkpolicies").await), ["q"]);
}

#[tokio::test]
async fn tables_are_served_when_asked_for() {
    let lab = Lab::new().await;
    lab.post(POLICIES, policy("p", json!({"podSelector": {"matchLabels": {"a": "b"}}}))).await;
    let accept = [("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let (_, table) = lab.send("GET", POLICIES, &accept, vec![]).await;
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"].as_array().unwrap()[..2], [json!("p"), json!("a=b")]);
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let accept = [("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")];
    let (_, list) = lab.send("GET", POLICIES, &accept, vec![]).await;
    assert!(list["items"][0].get("spec").is_none());
}

#[tokio::test]
async fn every_patch_format_changes_a_pod() {
    let lab = Lab::new().await;
    lab.pod("default", pod("a", json!({"x": "1"}))).await;
    let path = "/api/v1/namespaces/default/pods/a";
    for (kind, patch) in [
        ("merge", json!({"metadata": {"labels": {"m": "1"}}})),
        ("strategic-merge", json!({"metadata": {"labels": {"s": "1", "x": null}}})),
        ("json", json!([{"op": "add", "path": "/metadata/labels/j", "value": "1"}])),
    ] {
        let (code, body) = lab.patch(kind, path, patch).await;
        assert_eq!(code, 200, "{kind}: {body}");
    }
    let (_, pod) = lab.get(path).await;
    assert_eq!(pod["metadata"]["labels"], json!({"m": "1", "s": "1", "j": "1"}));
    // A pod's ports are fixed, its status is the server's.
    let ports = json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 81}]}]}});
    assert_eq!(lab.patch("strategic-merge", path, ports).await.0, 422);
    let (_, pod) = lab.patch("merge", path, json!({"status": {"phase": "Failed"}})).await;
    assert_eq!(pod["status"]["phase"], "Running");
    let (_, pod) = lab
        .patch(
            "merge",
            &format!("{path}/status"),
            json!({"status": {"message": "m"}, "metadata": {"labels": null}}),
        )
        .await;
    assert_eq!((&pod["status"]["message"], &pod["metadata"]["labels"]["m"]), (&json!("m"), &json!("1")));
}

#[tokio::test]
async fn discovery_lists_every_resource_in_both_forms() {
    let lab = Lab::new().await;
    let (_, groups) = lab.get("/apis").await;
    assert_eq!(groups["groups"].as_array().unwrap().len(), 4);
    let (_, core) = lab.get("/api/v1").await;
    let names: Vec<_> =
        core["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    for name in ["pods", "pods/exec", "pods/log", "namespaces/finalize", "services", "events"] {
        assert!(names.contains(&name), "{name}");
    }
    let accept =
        [("Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")];
    let (_, aggregated) = lab.send("GET", "/apis", &accept, vec![]).await;
    assert_eq!(aggregated["kind"], "APIGroupDiscoveryList");
    let (_, spec) = lab.get("/openapi/v3/apis/networking.k8s.io/v1").await;
    let path = "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{name}";
    assert!(spec["paths"][path]["patch"]["parameters"].to_string().contains("fieldValidation"));
    let review = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let (code, answer) = lab.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await;
    assert_eq!((code, &answer["status"]["allowed"]), (201, &json!(true)));
    assert_eq!(lab.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json!({})).await.0, 422);
}

#[tokio::test]
async fn an_object_does_not_grow_beyond_its_limit() {
    let lab = Lab::new().await;
    let path = "/api/v1/namespaces/default/configmaps";
    assert_eq!(lab.post(path, json!({"metadata": {"name": "c"}})).await.0, 201);
    let text = "x".repeat(1 << 20);
    let patch = |key: &str| json!({"data": {key: text}});
    for key in ["a", "b"] {
        assert_eq!(lab.patch("merge", &format!("{path}/c"), patch(key)).await.0, 200);
    }
    let (code, answer) = lab.patch("merge", &format!("{path}/c"), patch("c")).await;
    assert_eq!(code, 413, "{answer}");
    // Each of these doubles what is there.
    let double: Vec<Value> =
        (0..20).map(|n| json!({"op": "copy", "from": "/data", "path": format!("/data/{n}")})).collect();
    let (code, answer) = lab.patch("json", &format!("{path}/c"), json!(double)).await;
    assert_eq!(code, 422, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("accumulated size increase of copy"), "{answer}");
}
