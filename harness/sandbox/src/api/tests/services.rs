//! Services: addresses, endpoints, and what the dataplane is told.

use serde_json::json;

use super::fake::{Lab, pod};
use crate::wire::ServiceState;

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
    lab.node.exit(first["metadata"]["uid"].as_str().unwrap(), "c", 1);
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

/// Waits until the dataplane knows a Service as it is wanted.
async fn told(lab: &Lab, name: &str, wanted: impl Fn(&ServiceState) -> bool) -> ServiceState {
    for _ in 0..500 {
        let state = lab.node.state().unwrap_or_default();
        if let Some(service) = state.services.iter().find(|s| s.name == name && wanted(s)) {
            return service.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the dataplane was not told: {:?}", lab.node.state());
}

fn slice(name: &str, service: &str, endpoints: &serde_json::Value) -> serde_json::Value {
    json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "ports": [{"name": "", "port": 9376}], "endpoints": endpoints,
    })
}

#[tokio::test]
async fn slices_of_users_are_served_and_never_touched() {
    let lab = Lab::new().await;
    lab.pod("default", pod("a", json!({"app": "web"}))).await;
    let made = slice(
        "s-ipv4",
        "s",
        &json!([
            {"addresses": ["10.1.1.1"], "nodeName": "sandbox-2", "hostname": "db-0"},
            {"addresses": ["10.1.1.2"], "conditions": {"ready": true}},
            {"addresses": ["10.1.1.3"], "conditions": {"ready": false}},
        ]),
    );
    let (code, made) = lab.post(SLICES, made).await;
    assert_eq!((code, &made["ports"][0]["protocol"]), (201, &json!("TCP")));
    let spec = json!({"ports": [{"port": 80}]});
    lab.post(SERVICES, json!({"metadata": {"name": "s"}, "spec": spec})).await;
    let service = told(&lab, "s", |s| !s.ports[0].backends.is_empty()).await;
    let ips = ["10.1.1.1", "10.1.1.2"].map(|ip| ip.parse::<std::net::IpAddr>().unwrap());
    assert_eq!(service.pod_ips, ips);
    assert_eq!(service.hostnames, [(ips[0], "db-0".to_owned())].into());
    // A node that does not exist: so it is local to none.
    assert_eq!(service.ports[0].backends, [(ips[0], 9376, 1), (ips[1], 9376, crate::plan::NODES)]);

    let path = format!("{SLICES}/s-ipv4");
    let (code, _) = lab.patch("merge", &path, json!({"endpoints": [{"addresses": ["10.1.1.9"]}]})).await;
    assert_eq!(code, 200);
    told(&lab, "s", |s| s.pod_ips == ["10.1.1.9".parse::<std::net::IpAddr>().unwrap()]).await;
    assert_eq!(lab.patch("merge", &path, json!({"addressType": "IPv6"})).await.0, 422);
    assert_eq!(lab.post(SLICES, slice("bad", "s", &json!([{"addresses": ["127.0.0.1"]}]))).await.0, 422);

    // With a selector the cluster writes slices as well, beside the user's.
    lab.patch("merge", &format!("{SERVICES}/s"), json!({"spec": {"selector": {"app": "web"}}})).await;
    let (_, own) = lab.until(&format!("{SLICES}/s-ipv4-2"), |(code, _)| *code == 200).await;
    assert_eq!(own["metadata"]["labels"]["kubernetes.io/service-name"], "s");
    assert_eq!(lab.get(&path).await.1["endpoints"], json!([{"addresses": ["10.1.1.9"]}]));
    told(&lab, "s", |s| s.pod_ips.len() == 3 && s.ports[0].backends.len() == 3).await;

    assert_eq!(lab.delete(&path).await.0, 200);
    told(&lab, "s", |s| s.pod_ips.len() == 2).await;
    lab.until(&format!("{SLICES}/s-ipv4"), |(_, slice)| {
        slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"].is_string()
    })
    .await;
}

#[tokio::test]
async fn external_names_have_no_addresses() {
    let lab = Lab::new().await;
    let make = |name: &str, spec: serde_json::Value| {
        lab.post(SERVICES, json!({"metadata": {"name": name}, "spec": spec}))
    };
    let kind = "ExternalName";
    let (code, made) =
        make("e", json!({"type": kind, "externalName": "db.example.com.", "selector": {"a": "b"}})).await;
    assert_eq!((code, made["spec"].get("clusterIP")), (201, None));
    let service = told(&lab, "e", |_| true).await;
    assert_eq!(service.external_name.as_deref(), Some("db.example.com."));
    assert_eq!(make("f", json!({"type": kind})).await.0, 422);
    assert_eq!(make("g", json!({"type": kind, "externalName": "a_b"})).await.0, 422);
    assert_eq!(make("h", json!({"ports": [{"port": 80}]})).await.0, 201);
    let change = json!({"spec": {"type": kind, "externalName": "x.y", "ports": null}});
    let (code, changed) = lab.patch("merge", &format!("{SERVICES}/h"), change).await;
    assert_eq!((code, changed["spec"].get("clusterIPs")), (200, None), "{changed}");
    let (_, slices) = lab.get(&format!("{SLICES}?labelSelector=kubernetes.io/service-name=e")).await;
    assert_eq!(slices["items"], json!([]));
}

#[tokio::test]
async fn pods_with_host_names_are_found_by_them() {
    let lab = Lab::new().await;
    let mut body = pod("a", json!({"app": "db"}));
    body["spec"]["hostname"] = json!("db-0");
    body["spec"]["subdomain"] = json!("s");
    lab.pod("default", body).await;
    let spec = json!({"clusterIP": "None", "selector": {"app": "db"}});
    lab.post(SERVICES, json!({"metadata": {"name": "s"}, "spec": spec})).await;
    let service = told(&lab, "s", |s| s.hostnames.len() == 2).await;
    assert!(service.hostnames.values().all(|name| name == "db-0"));
    let (_, slice) = lab.until(&format!("{SLICES}/s-ipv4"), |(code, _)| *code == 200).await;
    assert_eq!(slice["endpoints"][0]["hostname"], "db-0");
}
