//! N2, N4–N10, N12–N14: who is isolated, and what that means.

use serde_json::json;

use crate::common::{allow, deny, either, pod_mut, world};

#[test]
fn n2_connections_without_a_pod_are_out_of_scope() {
    let world = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))]);
    allow(&world, "node/1 -> node/2:80/tcp");
    allow(&world, "external -> node/1:80/tcp");
    allow(&world, "external -> external/2:80/tcp");
}

#[test]
fn n4_a_pod_reaches_itself_under_deny_all() {
    let world = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))]);
    allow(&world, "x/a -> x/a:80/tcp");
    allow(&world, "x/a -> x/a:80/udp over ipv6");
    deny(&world, "x/a -> x/b:80/tcp");
}

#[test]
fn n5_n10_the_own_node_is_let_in_and_the_other_is_not() {
    let world = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress"]}))]);
    allow(&world, "node/1 -> x/a:80/tcp");
    deny(&world, "node/2 -> x/a:80/tcp");
    deny(&world, "node/1 -> x/b:80/tcp");
}

#[test]
fn n5_egress_to_the_own_node_is_open_unless_a_rule_allows_it() {
    let deny_all = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Egress"]}))]);
    either(&deny_all, "x/a -> node/1:80/tcp", "N5");
    deny(&deny_all, "x/a -> node/2:80/tcp");
    let port = world(&[(
        "x/p",
        json!({
            "podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 80}]}]
        }),
    )]);
    allow(&port, "x/a -> node/1:80/tcp");
    either(&port, "x/a -> node/1:81/tcp", "N5");
    allow(&port, "x/a -> node/2:80/tcp");
}

#[test]
fn n5_any_node_may_be_the_own_one_while_the_pods_node_is_unknown() {
    let mut world = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))]);
    pod_mut(&mut world, "x/a").node = None;
    either(&world, "node/1 -> x/a:80/tcp", "N5");
    either(&world, "x/a -> node/2:80/tcp", "N5");
}

#[test]
fn n6_ingress_isolation_is_not_egress_isolation() {
    let ingress = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress"]}))]);
    deny(&ingress, "y/a -> x/a:80/tcp");
    allow(&ingress, "x/a -> y/a:80/tcp");
    let egress = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Egress"]}))]);
    allow(&egress, "y/a -> x/a:80/tcp");
    deny(&egress, "x/a -> y/a:80/tcp");
}

#[test]
fn n7_n9_without_policies_everything_is_allowed() {
    let world = world(&[]);
    for text in
        ["x/a -> y/b:80/tcp", "external -> x/a:81/tcp", "x/a -> external:80/udp", "node/2 -> x/a:80/tcp"]
    {
        allow(&world, text);
        allow(&world, &format!("{text} over ipv6"));
    }
}

#[test]
fn n8_n10_only_selected_pods_are_isolated() {
    let world = world(&[(
        "x/p",
        json!({"podSelector": {"matchLabels": {"role": "backend"}}, "policyTypes": ["Ingress", "Egress"]}),
    )]);
    deny(&world, "y/a -> x/a:80/tcp");
    deny(&world, "x/a -> y/a:80/tcp");
    allow(&world, "y/a -> x/b:80/tcp");
    allow(&world, "x/b -> y/a:80/tcp");
}

#[test]
fn n8_a_rule_of_a_direction_that_is_not_listed_does_nothing() {
    let world = world(&[(
        "x/p",
        json!({
            "podSelector": {}, "policyTypes": ["Egress"], "ingress": [], "egress": [{"ports": [{"port": 80}]}]
        }),
    )]);
    allow(&world, "y/a -> x/a:81/tcp");
    deny(&world, "x/a -> y/a:81/tcp");
}

#[test]
fn n12_policies_and_rules_add_up() {
    let from = |role: &str| json!([{"from": [{"podSelector": {"matchLabels": {"role": role}}}]}]);
    let world = world(&[
        ("x/deny", json!({"podSelector": {}, "policyTypes": ["Ingress"]})),
        ("x/p", json!({"podSelector": {}, "ingress": from("frontend")})),
        (
            "x/q",
            json!({"podSelector": {}, "ingress": [{"ports": [{"port": 81}]}, {"ports": [{"protocol": "UDP"}]}]}),
        ),
    ]);
    allow(&world, "x/b -> x/a:80/tcp");
    deny(&world, "y/a -> x/a:80/tcp");
    allow(&world, "y/a -> x/a:81/tcp");
    allow(&world, "y/a -> x/a:80/udp");
}

#[test]
fn n13_the_order_of_policies_does_not_matter() {
    let mut forward = world(&[
        ("x/a", json!({"podSelector": {}, "policyTypes": ["Ingress"]})),
        ("x/b", json!({"podSelector": {}, "ingress": [{"ports": [{"port": 81}]}]})),
        ("x/c", json!({"podSelector": {}, "ingress": [{"ports": [{"port": 82}]}]})),
    ]);
    let texts = ["y/a -> x/a:80/tcp", "y/a -> x/a:81/tcp"];
    let answers = texts.map(|text| crate::common::explain(&forward, text));
    forward.policies.reverse();
    assert_eq!(texts.map(|text| crate::common::explain(&forward, text)), answers);
}

#[test]
fn n14_both_ends_must_allow() {
    let to_x = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [
        {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x"}}}]}
    ]});
    let from_y = json!({"podSelector": {}, "ingress": [
        {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "y"}}}]}
    ]});
    let deny_in = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    allow(&world(&[("y/out", to_x.clone()), ("x/in", from_y.clone())]), "y/a -> x/a:80/tcp");
    deny(&world(&[("y/out", to_x), ("x/in", deny_in)]), "y/a -> x/a:80/tcp");
    let deny_out = json!({"podSelector": {}, "policyTypes": ["Egress"]});
    deny(&world(&[("y/out", deny_out), ("x/in", from_y)]), "y/a -> x/a:80/tcp");
}

#[test]
fn n11_replies_need_no_rule_because_a_cell_is_a_connection() {
    let world = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Egress"]}))]);
    allow(&world, "y/a -> x/a:80/tcp");
}
