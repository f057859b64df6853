//! N26–N30: the default policies.

use serde_json::json;

use crate::common::{allow, deny, either, world};

const MEMBERS: [&str; 2] = ["x/a", "x/b"];

#[test]
fn n26_deny_all_ingress() {
    let world = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress"]}))]);
    for pod in MEMBERS {
        deny(&world, &format!("y/a -> {pod}:80/tcp"));
        deny(&world, &format!("external -> {pod}:80/tcp over ipv6"));
        allow(&world, &format!("{pod} -> y/a:80/tcp"));
    }
    allow(&world, "y/a -> z/a:80/tcp");
}

#[test]
fn n27_allow_all_ingress_cannot_be_taken_back() {
    let world = world(&[
        ("x/all", json!({"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]})),
        ("x/deny", json!({"podSelector": {}, "policyTypes": ["Ingress"]})),
    ]);
    for from in ["y/a", "x/b", "external", "node/2"] {
        allow(&world, &format!("{from} -> x/a:80/tcp"));
    }
}

#[test]
fn n28_deny_all_egress() {
    let world = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Egress"]}))]);
    for pod in MEMBERS {
        deny(&world, &format!("{pod} -> y/a:80/tcp"));
        deny(&world, &format!("{pod} -> external:80/tcp"));
        allow(&world, &format!("y/a -> {pod}:80/tcp"));
    }
}

#[test]
fn n29_allow_all_egress_cannot_be_taken_back() {
    let world = world(&[
        ("x/all", json!({"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]})),
        ("x/deny", json!({"podSelector": {}, "policyTypes": ["Egress"]})),
    ]);
    for to in ["y/a", "x/b", "external", "node/1", "node/2"] {
        allow(&world, &format!("x/a -> {to}:80/tcp"));
    }
}

#[test]
fn n30_deny_both() {
    let world = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))]);
    deny(&world, "y/a -> x/a:80/tcp");
    deny(&world, "x/a -> y/a:80/tcp");
    deny(&world, "x/a -> x/b:80/tcp");
    either(&world, "x/a -> node/1:80/tcp", "N5");
    allow(&world, "node/1 -> x/a:80/tcp");
}
