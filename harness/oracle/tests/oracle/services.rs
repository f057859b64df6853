//! N21, N22: through a Service, where addresses are rewritten.

use serde_json::{Value, json};
use verdikt_model::{ServiceKind, TargetPort, World};

use crate::common::{add_service, allow, deny, either, topology, world_of};

const NODE_PORT: ServiceKind = ServiceKind::NodePort { local: false };

/// Service x/web, port 80, to port 81 of x/a alone.
fn behind_a(kind: ServiceKind, policies: &[(&str, Value)]) -> World {
    let mut topology = topology();
    add_service(&mut topology, &[("role", "backend")], TargetPort::Number(81), kind);
    world_of(&topology, policies)
}

/// Service x/web, port 80, to port 80 of some pods of x.
fn same_port(selector: &[(&str, &str)], kind: ServiceKind, policies: &[(&str, Value)]) -> World {
    let mut topology = topology();
    topology.namespaces.get_mut("x").unwrap().pods.values_mut().for_each(|pod| {
        pod.labels.insert("all".into(), "yes".into());
    });
    add_service(&mut topology, selector, TargetPort::Number(80), kind);
    world_of(&topology, policies)
}

fn egress_from_y(rules: Value) -> (&'static str, Value) {
    ("y/p", json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": rules}))
}

fn to_x(ports: Value) -> Value {
    json!([{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x"}}}], "ports": ports}])
}

const CELL: &str = "y/a -> x/web:80/tcp via cluster-ip";

#[test]
fn n21_without_policies_a_service_is_allowed() {
    let world = behind_a(NODE_PORT, &[]);
    for via in ["cluster-ip", "dns", "node-port"] {
        allow(&world, &format!("y/a -> x/web:80/tcp via {via}"));
    }
}

#[test]
fn n21_ingress_sees_the_client_pod_and_the_target_port() {
    let rule = |port: u16| {
        json!({"podSelector": {}, "ingress": [{
            "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "y"}}}], "ports": [{"port": port}]
        }]})
    };
    allow(&behind_a(ServiceKind::ClusterIp, &[("x/p", rule(81))]), CELL);
    deny(&behind_a(ServiceKind::ClusterIp, &[("x/p", rule(80))]), CELL);
    deny(&behind_a(ServiceKind::ClusterIp, &[("x/p", rule(81))]), "z/a -> x/web:80/tcp via cluster-ip");
}

#[test]
fn n21_ingress_blocks_are_open_where_they_decide() {
    let from = |cidr: &str| json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]});
    either(&behind_a(ServiceKind::ClusterIp, &[("x/p", from("10.244.0.0/16"))]), CELL, "N21");
    deny(&behind_a(ServiceKind::ClusterIp, &[("x/p", from("198.51.100.0/24"))]), CELL);
}

#[test]
fn n21_egress_before_and_after_rewriting_must_agree() {
    let world = |ports| behind_a(ServiceKind::ClusterIp, &[egress_from_y(to_x(ports))]);
    allow(&world(json!([{"port": 80}, {"port": 81}])), CELL);
    allow(&world(json!([])), CELL);
    either(&world(json!([{"port": 81}])), CELL, "N21");
    either(&world(json!([{"port": 80}])), CELL, "N21");
    deny(&world(json!([{"port": 82}])), CELL);
}

#[test]
fn n21_with_equal_ports_an_egress_rule_is_sure() {
    let rules = to_x(json!([{"port": 80}]));
    allow(&same_port(&[("role", "backend")], ServiceKind::ClusterIp, &[egress_from_y(rules)]), CELL);
}

#[test]
fn n21_egress_blocks_are_open_where_they_decide() {
    let world = |cidr: &str| {
        let rules = json!([{"to": [{"ipBlock": {"cidr": cidr}}]}]);
        behind_a(ServiceKind::ClusterIp, &[egress_from_y(rules)])
    };
    either(&world("0.0.0.0/0"), CELL, "N21");
    either(&world("10.96.0.0/16"), CELL, "N21");
    either(&world("10.244.0.0/16"), CELL, "N21");
    deny(&world("198.51.100.0/24"), CELL);
}

#[test]
fn n14_a_service_needs_both_ends_too() {
    let deny_in = ("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    let world = behind_a(ServiceKind::ClusterIp, &[deny_in, egress_from_y(to_x(json!([{"port": 81}])))]);
    deny(&world, CELL);
}

#[test]
fn n21_backends_that_differ_are_open() {
    let policy =
        ("x/p", json!({"podSelector": {"matchLabels": {"role": "frontend"}}, "policyTypes": ["Ingress"]}));
    let both = same_port(&[("all", "yes")], ServiceKind::ClusterIp, std::slice::from_ref(&policy));
    either(&both, CELL, "N21");
    let all = ("x/q", json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    deny(&same_port(&[("all", "yes")], ServiceKind::ClusterIp, &[policy, all]), CELL);
}

#[test]
fn n21_a_hairpin_is_open_in_every_case() {
    let hairpin = "x/a -> x/web:80/tcp via cluster-ip";
    either(&behind_a(ServiceKind::ClusterIp, &[]), hairpin, "N21");
    let deny_all = ("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
    either(&behind_a(ServiceKind::ClusterIp, &[deny_all]), hairpin, "N21");
    either(&behind_a(NODE_PORT, &[]), "x/a -> x/web:80/tcp via node-port", "N21");
}

#[test]
fn n21_a_service_without_pods_is_open() {
    let world = same_port(&[("role", "nobody")], ServiceKind::ClusterIp, &[]);
    either(&world, CELL, "N21");
    let mut topology = topology();
    add_service(
        &mut topology,
        &[("role", "backend")],
        TargetPort::Name("nosuch".into()),
        ServiceKind::ClusterIp,
    );
    either(&world_of(&topology, &[]), CELL, "N21");
}

#[test]
fn n24_a_named_target_port_is_looked_up_on_each_backend() {
    let mut topology = topology();
    add_service(
        &mut topology,
        &[("role", "backend")],
        TargetPort::Name("web".into()),
        ServiceKind::ClusterIp,
    );
    let policy = ("x/p", json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}));
    allow(&world_of(&topology, &[policy]), CELL);
}

#[test]
fn n4_a_headless_service_is_its_pods_addresses() {
    let deny_in = ("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    let world = same_port(&[("role", "backend")], ServiceKind::Headless, &[deny_in]);
    allow(&world, "x/a -> x/web:80/tcp via headless");
    deny(&world, "y/a -> x/web:80/tcp via headless");
    let block =
        ("x/p", json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.244.0.0/16"}}]}]}));
    let world = same_port(&[("role", "backend")], ServiceKind::Headless, &[block]);
    either(&world, "y/a -> x/web:80/tcp via headless", "N20");
}

#[test]
fn n21_a_headless_service_does_not_rewrite_the_port() {
    let policy = ("x/p", json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}));
    allow(&behind_a(ServiceKind::Headless, &[policy]), "y/a -> x/web:80/tcp via headless");
}

#[test]
fn n21_a_node_port_is_open_under_isolation() {
    let cell = "y/a -> x/web:80/tcp via node-port";
    let from_y = json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}]}]});
    either(&behind_a(NODE_PORT, &[("x/p", from_y)]), cell, "N21");
    either(
        &behind_a(NODE_PORT, &[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress"]}))]),
        cell,
        "N21",
    );
    either(&behind_a(NODE_PORT, &[egress_from_y(to_x(json!([])))]), cell, "N21");
    either(&behind_a(NODE_PORT, &[egress_from_y(json!([{"ports": [{"port": 81}]}]))]), cell, "N21");
}

#[test]
fn n27_n29_rules_for_everybody_are_sure_through_a_node_port() {
    let cell = "y/a -> x/web:80/tcp via node-port";
    allow(&behind_a(NODE_PORT, &[("x/p", json!({"podSelector": {}, "ingress": [{}]}))]), cell);
    allow(&behind_a(NODE_PORT, &[egress_from_y(json!([{}]))]), cell);
    let one_port = json!({"podSelector": {}, "ingress": [{"ports": [{"port": 81}]}]});
    allow(&behind_a(NODE_PORT, &[("x/p", one_port)]), cell);
    let both_ports = json!([{"ports": [{"port": 81}, {"port": 30000, "endPort": 32767}]}]);
    allow(&behind_a(NODE_PORT, &[egress_from_y(both_ports)]), cell);
}
