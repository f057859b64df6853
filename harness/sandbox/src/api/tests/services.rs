//! Services: addresses, endpoints, and what the dataplane is told.

use serde_json::json;

use super::fake::{Lab, pod};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

#[tokio::test]
async fn endpoints_follow_labels_and_readiness() {
    let lab = Lab::new().await;
    let first = lab.pod("default", pod("a", json!({"app": "web"}))).await;
    lab.pod("default", pod("b", json!({"app": "other"}))).await;
    let spec = json!({"selector": {"app": "web"}, "ports": [{"port": 8080, "targetPort": "web"}]});
    let (code, service) = lab.post(SERVICES, json!({"metadata": {"name": "s"}, "spec": spec})).await;
    assert_eq!((code, &service["spec"]["clusterIPs"]), (201, &json!(["10.96.0.100", "fd00:10:96::64"])));
    let slice = format!("{SLICES}/s-ipv4");
    let count = |n: usize| {
        move |(_, slice): &(u16, serde_json::Value)| {
            slice["endpoints"].as_array().is_some_and(|e| e.len() == n)
        }
    };
    let (_, one) = lab.until(&slice, count(1)).await;
    assert_eq!(one["endpoints"][0]["addresses"][0], first["status"]["podIP"]);
    assert_eq!(one["ports"][0]["port"], 80);
    lab.patch("merge", "/api/v1/namespaces/default/pods/b", json!({"metadata": {"labels": {"app": "web"}}}))
        .await;
    lab.until(&slice, count(2)).await;
    lab.node.exit(first["metadata"]["uid"].as_str().unwrap(), 1);
    let ready = |n: usize| {
        move |(_, slice): &(u16, serde_json::Value)| {
            slice["endpoints"].as_array().unwrap().iter().filter(|e| e["conditions"]["ready"] == true).count()
                == n
        }
    };
    lab.until(&slice, ready(1)).await;
    lab.delete(&format!("{SERVICES}/s")).await;
    lab.until(&slice, |(code, _)| *code == 404).await;
}

#[tokio::test]
async fn the_dataplane_gets_backends_with_their_nodes() {
    let lab = Lab::new().await;
    let mut body = pod("a", json!({"app": "web"}));
    body["spec"]["nodeName"] = json!("sandbox-2");
    lab.pod("default", body).await;
    let spec =
        json!({"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 8080, "targetPort": 80}]});
    lab.post(SERVICES, json!({"metadata": {"name": "s"}, "spec": spec})).await;
    for _ in 0..500 {
        let state = lab.node.state().unwrap();
        if let Some(service) = state.services.iter().find(|s| s.name == "s" && s.namespace == "default") {
            let port = &service.ports[0];
            assert_eq!((port.port, port.node_port), (8080, Some(30000)));
            assert_eq!(port.backends.len(), 2);
            assert!(port.backends.iter().all(|(_, target, node)| (*target, *node) == (80, 1)));
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the dataplane was not told");
}

#[tokio::test]
async fn addresses_and_node_ports_are_given_once() {
    let lab = Lab::new().await;
    let make = |name: &str, spec: serde_json::Value| {
        lab.post(SERVICES, json!({"metadata": {"name": name}, "spec": spec}))
    };
    let ports = json!([{"port": 80, "nodePort": 30001}]);
    assert_eq!(make("a", json!({"type": "NodePort", "ports": ports})).await.0, 201);
    assert_eq!(make("b", json!({"type": "NodePort", "ports": ports})).await.0, 422);
    assert_eq!(make("c", json!({"clusterIP": "10.96.0.10", "ports": [{"port": 1}]})).await.0, 422);
    assert_eq!(make("d", json!({"clusterIP": "10.0.0.1", "ports": [{"port": 1}]})).await.0, 422);
    assert_eq!(make("e", json!({"ports": []})).await.0, 422);
    let (code, headless) = make("f", json!({"clusterIP": "None", "selector": {"a": "b"}})).await;
    assert_eq!((code, &headless["spec"]["clusterIPs"]), (201, &json!(["None"])));
}
