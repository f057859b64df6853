//! N16, N17, N23: policyTypes, rules, missing and empty lists.

use serde_json::json;

use crate::common::{allow, deny, either, world};

#[test]
fn n16_without_policy_types_ingress_is_always_set() {
    for spec in [json!({"podSelector": {}}), json!({"podSelector": {}, "policyTypes": []}), json!({})] {
        let world = world(&[("x/p", spec)]);
        deny(&world, "y/a -> x/a:80/tcp");
        allow(&world, "x/a -> y/a:80/tcp");
    }
}

#[test]
fn n16_without_policy_types_egress_needs_a_rule() {
    let none = world(&[("x/p", json!({"podSelector": {}, "egress": []}))]);
    allow(&none, "x/a -> y/a:80/tcp");
    let one = world(&[("x/p", json!({"podSelector": {}, "egress": [{"ports": [{"port": 81}]}]}))]);
    deny(&one, "x/a -> y/a:80/tcp");
    allow(&one, "x/a -> y/a:81/tcp");
    deny(&one, "y/a -> x/a:81/tcp");
}

#[test]
fn n17_a_rule_needs_peer_and_port_and_rules_are_alternatives() {
    let world = world(&[(
        "x/p",
        json!({"podSelector": {}, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"role": "frontend"}}}], "ports": [{"port": 80}]},
            {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "z"}}}], "ports": [{"port": 81}]}
        ]}),
    )]);
    allow(&world, "x/b -> x/a:80/tcp");
    deny(&world, "x/b -> x/a:81/tcp");
    allow(&world, "z/a -> x/a:81/tcp");
    deny(&world, "z/a -> x/a:80/tcp");
}

#[test]
fn n23_missing_and_empty_from_and_ports_mean_all() {
    for rule in [json!({}), json!({"from": []}), json!({"ports": []}), json!({"from": [], "ports": []})] {
        let world = world(&[("x/p", json!({"podSelector": {}, "ingress": [rule]}))]);
        for from in ["y/a", "external", "node/2"] {
            allow(&world, &format!("{from} -> x/a:81/tcp"));
        }
    }
}

#[test]
fn n23_missing_and_empty_to_mean_all() {
    for rule in [json!({}), json!({"to": []}), json!({"to": [], "ports": []})] {
        let world =
            world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]}))]);
        for to in ["y/a", "external", "node/2", "node/1"] {
            allow(&world, &format!("x/a -> {to}:81/tcp"));
        }
    }
}

#[test]
fn n23_missing_and_empty_rule_lists_deny() {
    for spec in [
        json!({"podSelector": {}, "policyTypes": ["Ingress"]}),
        json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": []}),
    ] {
        deny(&world(&[("x/p", spec)]), "y/a -> x/a:80/tcp");
    }
}

#[test]
fn n23_a_port_without_peers_is_for_everybody() {
    let world = world(&[(
        "x/p",
        json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 80}]}]}),
    )]);
    allow(&world, "x/a -> external:80/tcp");
    deny(&world, "x/a -> external:81/tcp");
    either(&world, "x/a -> node/1:81/tcp", "N5");
}
