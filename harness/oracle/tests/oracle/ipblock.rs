//! N20, N25: ipBlock.

use serde_json::{Value, json};
use verdikt_model::World;

use crate::common::{allow, deny, either, explain, world};

fn egress(rules: Value) -> World {
    world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": rules}))])
}

fn egress_to(block: Value) -> World {
    egress(json!([{"to": [{"ipBlock": block}]}]))
}

fn ingress_from(block: Value) -> World {
    world(&[("x/p", json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": block}]}]}))])
}

#[test]
fn n20_external_hosts_are_matched_by_address() {
    let world = egress_to(json!({"cidr": "198.51.100.0/24", "except": ["198.51.100.20/32"]}));
    allow(&world, "x/a -> external:80/tcp");
    deny(&world, "x/a -> external/2:80/tcp");
    let world = ingress_from(json!({"cidr": "198.51.100.0/24", "except": ["198.51.100.20/32"]}));
    allow(&world, "external -> x/a:80/tcp");
    deny(&world, "external/2 -> x/a:80/tcp");
}

#[test]
fn n20_ipv6_blocks() {
    let world = egress_to(json!({"cidr": "2001:db8::/32", "except": ["2001:db8:51:100::14/128"]}));
    allow(&world, "x/a -> external:80/tcp over ipv6");
    deny(&world, "x/a -> external/2:80/tcp over ipv6");
    deny(&world, "x/a -> external:80/tcp over ipv4");
}

#[test]
fn n20_every_ipv4_address_is_no_ipv6_address() {
    let v4 = egress_to(json!({"cidr": "0.0.0.0/0"}));
    allow(&v4, "x/a -> external:80/tcp");
    deny(&v4, "x/a -> external:80/tcp over ipv6");
    let v6 = egress_to(json!({"cidr": "::/0"}));
    deny(&v6, "x/a -> external:80/tcp");
    allow(&v6, "x/a -> external:80/tcp over ipv6");
}

#[test]
fn n20_a_block_that_holds_a_pod_is_open() {
    let all = egress_to(json!({"cidr": "0.0.0.0/0"}));
    either(&all, "x/a -> y/a:80/tcp", "N20");
    let one = egress_to(json!({"cidr": "10.244.0.0/16"}));
    either(&one, "x/a -> y/b:80/tcp", "N20");
    let into = ingress_from(json!({"cidr": "10.244.0.0/16"}));
    either(&into, "y/a -> x/a:80/tcp", "N20");
}

#[test]
fn n20_a_block_that_does_not_hold_the_pod_is_a_sure_miss() {
    let world = egress_to(json!({"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}));
    deny(&world, "x/a -> y/a:80/tcp");
    allow(&world, "x/a -> external:80/tcp");
    deny(&ingress_from(json!({"cidr": "198.51.100.0/24"})), "y/a -> x/a:80/tcp");
}

#[test]
fn n20_another_peer_makes_it_sure() {
    let world = egress(json!([{"to": [
        {"ipBlock": {"cidr": "10.244.0.0/16"}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "y"}}}
    ]}]));
    allow(&world, "x/a -> y/a:80/tcp");
    either(&world, "x/a -> z/a:80/tcp", "N20");
}

#[test]
fn n20_node_addresses_are_open_too() {
    let world = ingress_from(json!({"cidr": "172.30.0.0/24"}));
    either(&world, "node/2 -> x/a:80/tcp", "N20");
    allow(&world, "node/1 -> x/a:80/tcp");
    let out = egress_to(json!({"cidr": "172.30.0.2/32"}));
    either(&out, "x/a -> node/2:80/tcp", "N20");
    either(&out, "x/a -> node/1:80/tcp", "N5");
}

#[test]
fn n20_host_bits_in_a_cidr_are_open() {
    let world = egress_to(json!({"cidr": "198.51.100.1/24"}));
    either(&world, "x/a -> external:80/tcp", "N20");
    deny(&egress_to(json!({"cidr": "198.51.101.1/24"})), "x/a -> external:80/tcp");
}

#[test]
fn n25_except_is_no_deny() {
    let block = json!({"cidr": "198.51.100.0/24", "except": ["198.51.100.10/32"]});
    let same = json!({"cidr": "198.51.100.10/32"});
    allow(
        &egress(json!([{"to": [{"ipBlock": block}]}, {"to": [{"ipBlock": same}]}])),
        "x/a -> external:80/tcp",
    );
    allow(&egress(json!([{"to": [{"ipBlock": block}, {"ipBlock": same}]}])), "x/a -> external:80/tcp");
    let two = world(&[
        (
            "x/p",
            json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": block}]}]}),
        ),
        (
            "x/q",
            json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": same}]}]}),
        ),
    ]);
    allow(&two, "x/a -> external:80/tcp");
}

#[test]
fn n25_overlapping_exceptions_and_one_that_takes_all() {
    deny(
        &egress_to(json!({"cidr": "198.51.100.0/24", "except": ["198.51.100.0/24"]})),
        "x/a -> external:80/tcp",
    );
    let world =
        egress_to(json!({"cidr": "198.51.100.0/24", "except": ["198.51.100.16/28", "198.51.100.20/32"]}));
    deny(&world, "x/a -> external/2:80/tcp");
    allow(&world, "x/a -> external:80/tcp");
}

#[test]
fn n25_what_the_api_refuses_matches_nothing() {
    for cidr in ["", "x", "198.51.100.0", "198.51.100.0/40", "${external.ip}/32"] {
        deny(&egress_to(json!({"cidr": cidr})), "x/a -> external:80/tcp");
    }
    let both = egress(json!([{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}, "podSelector": {}}]}]));
    deny(&both, "x/a -> external:80/tcp");
    deny(&both, "x/a -> x/b:80/tcp");
}

#[test]
fn n20_a_block_and_its_ports_are_both_needed() {
    let world = egress(json!([{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 80}]}]));
    allow(&world, "x/a -> external:80/tcp");
    deny(&world, "x/a -> external:81/tcp");
    deny(&world, "x/a -> y/a:81/tcp");
}

#[test]
fn n20_leading_zeros_are_open_where_they_decide() {
    let world = egress_to(json!({"cidr": "198.051.100.000/24"}));
    either(&world, "x/a -> external:80/tcp", "N20");
    deny(&world, "x/a -> external:80/tcp over ipv6");
    deny(&world, "x/a -> y/a:80/tcp");
    let answer = explain(&world, "x/a -> external:80/tcp");
    assert!(
        answer.reasons[0].contains(
            "how a CIDR with leading zeros or as an IPv6 form of IPv4 addresses is read is open (N20)"
        ),
        "{answer:?}"
    );
    let except = egress_to(json!({"cidr": "198.51.100.0/24", "except": ["198.51.100.020/32"]}));
    either(&except, "x/a -> external/2:80/tcp", "N20");
    allow(&except, "x/a -> external:80/tcp");
}
