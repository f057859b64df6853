//! N42: pods on their node's network. Both options are asked; only what they agree on is sure.

use serde_json::json;
use verdikt_model::World;

use crate::common::{allow, deny, either, on_host_network, world};

/// y/a runs on node 1's network.
fn with_host_pod(policies: &[(&str, serde_json::Value)]) -> World {
    let mut world = world(policies);
    on_host_network(&mut world, "y/a");
    world
}

#[test]
fn n42_without_a_policy_that_matters_all_is_allowed() {
    let world = with_host_pod(&[("z/p", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))]);
    allow(&world, "y/a -> x/a:80/tcp");
    allow(&world, "x/a -> y/a:80/tcp");
    allow(&world, "y/a -> external:80/tcp");
    allow(&world, "y/a -> y/a:80/tcp");
}

#[test]
fn n42_a_policy_that_selects_a_host_pod_is_open() {
    let world = with_host_pod(&[("y/p", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))]);
    either(&world, "x/a -> y/a:80/tcp", "N42");
    either(&world, "y/a -> external:80/tcp", "N42");
    either(&world, "external -> y/a:80/tcp", "N42");
    deny(&world, "x/a -> y/b:80/tcp");
    allow(&world, "node/1 -> y/a:80/tcp");
}

#[test]
fn n42_a_policy_that_allows_everything_is_sure() {
    let world = with_host_pod(&[(
        "y/p",
        json!({
            "podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]
        }),
    )]);
    allow(&world, "x/a -> y/a:80/tcp");
    allow(&world, "y/a -> external:80/tcp");
}

#[test]
fn n42_a_host_pod_as_a_peer_is_open() {
    let peer =
        json!([{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "y"}}}]}]);
    let world = with_host_pod(&[("x/p", json!({"podSelector": {}, "ingress": peer}))]);
    // On the node of x/a the other option is node traffic, which is let in.
    allow(&world, "y/a -> x/a:80/tcp");
    either(&world, "y/a -> x/b:80/tcp", "N42");
    allow(&world, "y/b -> x/b:80/tcp");
}

#[test]
fn n42_a_host_pod_on_the_own_node_is_open_under_deny_all() {
    let world = with_host_pod(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress"]}))]);
    either(&world, "y/a -> x/a:80/tcp", "N42");
    deny(&world, "y/a -> x/b:80/tcp");
}

#[test]
fn n42_a_block_and_a_host_pod_are_open() {
    let world = with_host_pod(&[(
        "x/p",
        json!({
            "podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "172.30.0.1/32"}}]}]
        }),
    )]);
    either(&world, "y/a -> x/b:80/tcp", "N20");
}

#[test]
fn n42_egress_to_a_host_pod() {
    let deny_out = with_host_pod(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Egress"]}))]);
    either(&deny_out, "x/a -> y/a:80/tcp", "N42");
    deny(&deny_out, "x/b -> y/a:80/tcp");
    let by_label = with_host_pod(&[(
        "x/p",
        json!({
            "podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"namespaceSelector": {}}]}]
        }),
    )]);
    either(&by_label, "x/b -> y/a:80/tcp", "N42");
    allow(&by_label, "x/b -> y/b:80/tcp");
}

#[test]
fn n42_a_named_port_of_a_host_pod() {
    let world = with_host_pod(&[(
        "x/p",
        json!({
            "podSelector": {}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"port": "web"}]}]
        }),
    )]);
    either(&world, "x/b -> y/a:80/tcp", "N42");
    deny(&world, "x/b -> y/a:81/tcp");
}
