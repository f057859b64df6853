//! The words of the reasons.

use serde_json::json;
use verdikt_model::{ServiceKind, TargetPort, World};

use crate::common::{add_service, explain, on_host_network, topology, world, world_of};

fn and() -> World {
    world(&[(
        "x/p",
        json!({"podSelector": {}, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"role": "backend"}}, "namespaceSelector": {"matchLabels": {"env": "production"}}}],
             "ports": [{"port": 80}]}
        ]}),
    )])
}

#[track_caller]
fn reasons(world: &World, cell: &str, lines: &[&str]) {
    assert_eq!(explain(world, cell).reasons, lines);
}

#[test]
fn a_missed_namespace_is_named() {
    reasons(
        &and(),
        "z/a -> x/a:80/tcp",
        &[
            "denied: policy x/p isolates x/a for ingress; rule 0 peer 0 allows role=backend in namespaces with env=production, \
         z/a is in z, which has no label env",
        ],
    );
}

#[test]
fn a_missed_pod_label_is_named() {
    reasons(
        &and(),
        "y/b -> x/a:80/tcp",
        &[
            "denied: policy x/p isolates x/a for ingress; rule 0 peer 0 allows role=backend in namespaces with env=production, \
         y/b has role=frontend",
        ],
    );
}

#[test]
fn a_missed_port_is_named() {
    reasons(
        &and(),
        "y/a -> x/a:81/tcp",
        &["denied: policy x/p isolates x/a for ingress; rule 0 allows only 80/tcp, not 81/tcp"],
    );
}

#[test]
fn a_match_names_policy_rule_and_peer() {
    reasons(
        &and(),
        "y/a -> x/a:80/tcp",
        &[
            "allowed: no policy isolates y/a for egress (N7)",
            "allowed: ingress rule 0 peer 0 of x/p: role=backend in namespaces with env=production on 80/tcp",
        ],
    );
}

#[test]
fn no_isolation_is_one_line() {
    reasons(
        &world(&[]),
        "y/b -> x/a:80/tcp",
        &["allowed: no policy isolates x/a for ingress and none isolates y/b for egress (N7, N9)"],
    );
    reasons(&world(&[]), "external -> x/a:80/tcp", &["allowed: no policy isolates x/a for ingress (N9)"]);
}

#[test]
fn a_policy_without_rules_is_named() {
    let world = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))]);
    reasons(
        &world,
        "x/a -> x/b:80/tcp",
        &[
            "denied: policy x/p isolates x/a for egress and has no egress rule (N8)",
            "denied: policy x/p isolates x/b for ingress and has no ingress rule (N10)",
        ],
    );
    reasons(
        &world,
        "x/a -> x/a:80/tcp",
        &["allowed: x/a connects to itself, which no policy can block (N4)"],
    );
    reasons(
        &world,
        "node/1 -> x/a:80/tcp",
        &["allowed: node/1 is on the node of x/a, which is always let in (N5, N10)"],
    );
}

#[test]
fn every_peer_says_why_it_missed_the_nearest_first() {
    let world = world(&[(
        "x/p",
        json!({"podSelector": {}, "ingress": [{"from": [
            {"podSelector": {"matchLabels": {"role": "dns"}}},
            {"namespaceSelector": {"matchLabels": {"name": "z"}}},
            {"namespaceSelector": {"matchLabels": {"env": "production"}}, "podSelector": {"matchLabels": {"role": "dns"}}},
            {"ipBlock": {"cidr": "198.51.100.0/24"}},
            {"ipBlock": {"cidr": "198.51.101.0/24"}},
            {"ipBlock": {"cidr": "198.51.102.0/24"}},
            {"ipBlock": {"cidr": "198.51.103.0/24"}},
            {"ipBlock": {"cidr": "198.51.104.0/24"}},
            {"ipBlock": {"cidr": "198.51.105.0/24"}},
        ]}]}),
    )]);
    let reason = explain(&world, "y/b -> x/a:80/tcp").reasons.remove(0);
    let nearest = "denied: policy x/p isolates x/a for ingress; rule 0 peer 2 allows role=dns in namespaces with \
                   env=production, y/b has role=frontend; peer 0 allows role=dns in x, y/b is in y; peer 1 allows all pods in \
                   namespaces with name=z, y/b is in y, which has no label name; peer 3 allows ipBlock 198.51.100.0/24, which";
    assert!(reason.starts_with(nearest), "{reason}");
    assert!(reason.ends_with("; 1 more peer does not match"), "{reason}");
}

#[test]
fn a_rule_that_misses_by_its_port_only_is_named_before_others() {
    let other = |app: &str| json!({"from": [{"podSelector": {"matchLabels": {"app": app}}}]});
    let near = json!({"from": [{"podSelector": {}}], "ports": [{"port": 81}]});
    let rules = [other("q1"), other("q2"), other("q3"), near];
    let world = world(&[("x/p", json!({"podSelector": {}, "ingress": rules}))]);
    let reason = explain(&world, "x/b -> x/a:80/tcp").reasons.remove(0);
    assert!(reason.contains("for ingress; rule 3 allows only 81/tcp, not 80/tcp; rule 0 peer 0"), "{reason}");
    assert!(reason.ends_with("; 1 more rule does not match"), "{reason}");
}

#[test]
fn blocks_are_named_with_the_address() {
    let world = world(&[(
        "x/p",
        json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [
            {"to": [{"ipBlock": {"cidr": "198.51.100.0/24", "except": ["198.51.100.20/32"]}}, {"ipBlock": {"cidr": "10.244.0.0/16"}}]}
        ]}),
    )]);
    reasons(
        &world,
        "x/a -> external/2:80/tcp",
        &[
            "denied: policy x/p isolates x/a for egress; rule 0 peer 0 allows ipBlock 198.51.100.0/24 except 198.51.100.20/32, \
         which excepts 198.51.100.20 of external/2; peer 1 allows ipBlock 10.244.0.0/16, which does not hold 198.51.100.20 of external/2",
        ],
    );
    reasons(
        &world,
        "x/a -> y/a:80/tcp",
        &[
            "either: egress rule 0 peer 1 of x/p: ipBlock 10.244.0.0/16 holds 10.244.0.3, but whether a block finds a pod's \
         address here is open (N20)",
        ],
    );
}

#[test]
fn both_readings_of_a_host_pod_are_told() {
    let mut world = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress"]}))]);
    on_host_network(&mut world, "y/a");
    reasons(
        &world,
        "y/a -> x/a:80/tcp",
        &[
            "either: a pod on its node's network may count as a pod or as its node, and the two differ here (N42)",
            "denied: if hostNetwork pods count as pods: policy x/p isolates x/a for ingress and has no ingress rule (N10)",
            "allowed: if hostNetwork pods count as their node: y/a is on the node of x/a, which is always let in (N5, N10)",
        ],
    );
}

#[test]
fn a_service_names_its_backend() {
    let mut topology = topology();
    add_service(&mut topology, &[("role", "backend")], TargetPort::Number(81), ServiceKind::ClusterIp);
    let world = world_of(
        &topology,
        &[(
            "y/p",
            json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [
                {"to": [{"namespaceSelector": {}}], "ports": [{"port": 81}]}
            ]}),
        )],
    );
    reasons(
        &world,
        "y/a -> x/web:80/tcp via cluster-ip",
        &[
            "either: behind x/web, x/a:81/tcp: an egress policy may see x/web:80/tcp or, after rewriting, x/a:81/tcp, and they \
         differ here (N21)",
            "allowed: behind x/web, x/a:81/tcp: as the backend: egress rule 0 peer 0 of y/p: all pods in all namespaces on 81/tcp",
            "denied: behind x/web, x/a:81/tcp: as the Service: policy y/p isolates y/a for egress; rule 0 allows only 81/tcp, \
         not 80/tcp",
        ],
    );
}

#[test]
fn long_stories_are_cut() {
    let rules: Vec<_> = (1..=9).map(|port| json!({"ports": [{"port": port}]})).collect();
    let names: Vec<String> = (1..=9).map(|n| format!("x/p{n}")).collect();
    let policies: Vec<_> =
        names.iter().map(|name| (name.as_str(), json!({"podSelector": {}, "ingress": rules}))).collect();
    let answer = explain(&world(&policies), "y/a -> x/a:80/tcp");
    assert_eq!(answer.reasons.len(), 4);
    assert!(answer.reasons[0].ends_with("; 6 more rules do not match"), "{}", answer.reasons[0]);
    assert_eq!(answer.reasons[3], "denied: 6 more policies isolate x/a and do not allow it");
}
