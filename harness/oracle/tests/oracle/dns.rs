//! N28: names must be resolved, and a policy can forget that.

use serde_json::{Value, json};
use verdikt_model::{EndpointKind, EndpointName, ExtraEndpoint, ServiceKind, TargetPort, World};

use crate::common::{add_service, allow, deny, either, topology, world_of};

const BY_NAME: &str = "y/a -> x/web:80/tcp via dns";
const BY_ADDRESS: &str = "y/a -> x/web:80/tcp via cluster-ip";

fn world(with_dns: bool, egress: Option<Value>) -> World {
    let mut topology = topology();
    add_service(&mut topology, &[("role", "backend")], TargetPort::Number(80), ServiceKind::ClusterIp);
    if with_dns {
        topology.endpoints.insert(EndpointName::Dns, ExtraEndpoint::default());
    }
    let policies =
        egress.map(|rules| ("y/p", json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": rules})));
    world_of(&topology, policies.as_slice())
}

fn to_x() -> Value {
    json!({"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x"}}}]})
}

fn to_dns(ports: Value) -> Value {
    json!({"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}], "ports": ports})
}

#[test]
fn n28_forgotten_dns_denies_by_name_and_not_by_address() {
    let world = world(true, Some(json!([to_x()])));
    allow(&world, BY_ADDRESS);
    deny(&world, BY_NAME);
    deny(&world, "y/a -> dns:53/udp via cluster-ip");
}

#[test]
fn n28_dns_over_udp_suffices() {
    let udp = world(true, Some(json!([to_x(), to_dns(json!([{"port": 53, "protocol": "UDP"}]))])));
    allow(&udp, BY_NAME);
    allow(&udp, "y/a -> dns:53/udp via cluster-ip");
    deny(&udp, "y/a -> dns:53/tcp via cluster-ip");
    let tcp = world(true, Some(json!([to_x(), to_dns(json!([{"port": 53}]))])));
    deny(&tcp, BY_NAME);
    allow(&tcp, "y/a -> dns:53/tcp via cluster-ip");
}

#[test]
fn n28_dns_alone_reaches_nothing_else() {
    let world = world(true, Some(json!([to_dns(json!([{"port": 53, "protocol": "UDP"}]))])));
    deny(&world, BY_NAME);
    deny(&world, BY_ADDRESS);
    allow(&world, "y/a -> dns:53/udp via cluster-ip");
}

#[test]
fn n28_dns_by_block_is_open() {
    let block =
        json!({"to": [{"ipBlock": {"cidr": "10.96.0.0/16"}}], "ports": [{"port": 53, "protocol": "UDP"}]});
    let world = world(true, Some(json!([to_x(), block])));
    either(&world, BY_NAME, "N21");
    either(&world, "y/a -> dns:53/udp via cluster-ip", "N21");
}

#[test]
fn n28_dns_that_nobody_knows_is_open_under_isolation() {
    either(&world(false, Some(json!([to_x()]))), BY_NAME, "N28");
    allow(&world(false, None), BY_NAME);
    let to_all = json!([to_x(), {"ports": [{"port": 53, "protocol": "UDP"}]}]);
    allow(&world(false, Some(to_all)), BY_NAME);
}

#[test]
fn n28_a_dns_endpoint_without_known_pods_is_open_under_isolation() {
    let mut isolated = world(true, Some(json!([to_x()])));
    isolated.other_pods.clear();
    either(&isolated, "y/a -> dns:53/udp via cluster-ip", "N28");
    let mut free = world(true, None);
    free.other_pods.clear();
    allow(&free, "y/a -> dns:53/udp via cluster-ip");
}

#[test]
fn n28_kube_dns_pods_are_found_by_their_label() {
    let mut world = world(true, Some(json!([to_x()])));
    world.endpoints.retain(|endpoint| !matches!(endpoint.kind, EndpointKind::Dns(_)));
    deny(&world, BY_NAME);
}

#[test]
fn n28_headless_names_need_dns_too() {
    let mut topology = topology();
    add_service(&mut topology, &[("role", "backend")], TargetPort::Number(80), ServiceKind::Headless);
    topology.endpoints.insert(EndpointName::Dns, ExtraEndpoint::default());
    let egress = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [to_x()]});
    let world = world_of(&topology, &[("y/p", egress)]);
    deny(&world, "y/a -> x/web:80/tcp via headless");
    allow(&world, "z/a -> x/web:80/tcp via headless");
}

#[test]
fn n28_the_label_of_kube_dns_means_nothing_in_another_namespace() {
    let mut world = world(false, Some(json!([to_x()])));
    crate::common::pod_mut(&mut world, "z/a").labels.insert("k8s-app".into(), "kube-dns".into());
    either(&world, BY_NAME, "N28");
}
