//! N24, N31, N32, N33: ports and protocols.

use serde_json::{Value, json};
use verdikt_model::{NamedPort, PortProtocol, Protocol, World};

use crate::common::{allow, deny, either, explain, pod_mut, world};

fn ingress(ports: Value) -> World {
    world(&[("x/p", json!({"podSelector": {}, "ingress": [{"ports": ports}]}))])
}

fn egress(peers: Value, ports: Value) -> World {
    world(&[(
        "x/p",
        json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": peers, "ports": ports}]}),
    )])
}

/// y/a declares web as 81/tcp; the others as 80/tcp.
fn with_two_numbers(mut world: World) -> World {
    pod_mut(&mut world, "y/a").named_ports[0].port.port = 81;
    world
}

#[test]
fn n24_a_missing_protocol_is_tcp() {
    let world = ingress(json!([{"port": 80}]));
    allow(&world, "y/a -> x/a:80/tcp");
    deny(&world, "y/a -> x/a:80/udp");
    deny(&world, "y/a -> x/a:80/sctp");
    deny(&world, "y/a -> x/a:81/tcp");
}

#[test]
fn n24_a_missing_port_is_every_port_of_the_protocol() {
    let world = ingress(json!([{"protocol": "UDP"}]));
    allow(&world, "y/a -> x/a:80/udp");
    allow(&world, "y/a -> x/a:65535/udp");
    deny(&world, "y/a -> x/a:80/tcp");
    let tcp = ingress(json!([{}]));
    allow(&tcp, "y/a -> x/a:9/tcp");
    deny(&tcp, "y/a -> x/a:9/udp");
}

#[test]
fn n24_ports_are_alternatives() {
    let world = ingress(json!([{"port": 81}, {"port": 80, "protocol": "UDP"}]));
    allow(&world, "y/a -> x/a:81/tcp");
    allow(&world, "y/a -> x/a:80/udp");
    deny(&world, "y/a -> x/a:80/tcp");
}

#[test]
fn n24_an_ingress_name_is_looked_up_on_each_subject() {
    let mut world = ingress(json!([{"port": "web"}]));
    pod_mut(&mut world, "x/b").named_ports[0].port.port = 81;
    allow(&world, "y/a -> x/a:80/tcp");
    deny(&world, "y/a -> x/a:81/tcp");
    deny(&world, "y/a -> x/b:80/tcp");
    allow(&world, "y/a -> x/b:81/tcp");
    allow(&world, "external -> x/b:81/tcp");
}

#[test]
fn n24_an_egress_name_is_looked_up_on_each_destination() {
    let world = with_two_numbers(egress(json!([{"namespaceSelector": {}}]), json!([{"port": "web"}])));
    allow(&world, "x/a -> y/b:80/tcp");
    deny(&world, "x/a -> y/b:81/tcp");
    deny(&world, "x/a -> y/a:80/tcp");
    allow(&world, "x/a -> y/a:81/tcp");
}

#[test]
fn n24_an_undefined_name_matches_nothing() {
    deny(&ingress(json!([{"port": "nosuch"}])), "y/a -> x/a:80/tcp");
    deny(&egress(json!([{"namespaceSelector": {}}]), json!([{"port": "nosuch"}])), "x/a -> y/a:80/tcp");
    deny(&egress(json!([]), json!([{"port": "nosuch"}])), "x/a -> y/a:80/tcp");
}

#[test]
fn n24_a_name_belongs_to_a_protocol() {
    let mut world = ingress(json!([{"port": "web", "protocol": "UDP"}]));
    deny(&world, "y/a -> x/a:80/tcp");
    deny(&world, "y/a -> x/a:80/udp");
    let udp = NamedPort { name: "web".into(), port: PortProtocol { port: 80, protocol: Protocol::Udp } };
    pod_mut(&mut world, "x/a").named_ports.push(udp);
    allow(&world, "y/a -> x/a:80/udp");
}

#[test]
fn n24_an_egress_name_without_peers_is_open_where_it_decides() {
    let world = egress(json!([]), json!([{"port": "web"}]));
    either(&world, "x/a -> y/a:80/tcp", "N24");
    deny(&world, "x/a -> y/a:81/tcp");
    deny(&world, "x/a -> external:80/tcp");
    deny(&world, "x/a -> node/2:80/tcp");
    let number_too = egress(json!([]), json!([{"port": "web"}, {"port": 80}]));
    allow(&number_too, "x/a -> y/a:80/tcp");
}

#[test]
fn n24_an_egress_name_with_a_block_never_matches_an_external_host() {
    let world = egress(json!([{"ipBlock": {"cidr": "0.0.0.0/0"}}]), json!([{"port": "web"}]));
    deny(&world, "x/a -> external:80/tcp");
    either(&world, "x/a -> y/a:80/tcp", "N20");
    deny(&world, "x/a -> y/a:81/tcp");
}

#[test]
fn n32_an_sctp_rule_isolates_and_opens_no_tcp() {
    let world = ingress(json!([{"port": 80, "protocol": "SCTP"}]));
    allow(&world, "y/a -> x/a:80/sctp");
    deny(&world, "y/a -> x/a:80/tcp");
    deny(&world, "y/a -> x/a:81/sctp");
}

#[test]
fn n33_a_range_includes_both_ends() {
    let world = ingress(json!([{"port": 8000, "endPort": 8005}]));
    for (port, open) in [(7999, false), (8000, true), (8003, true), (8005, true), (8006, false)] {
        let text = format!("y/a -> x/a:{port}/tcp");
        if open { allow(&world, &text) } else { deny(&world, &text) }
    }
    deny(&world, "y/a -> x/a:8003/udp");
}

#[test]
fn n33_what_the_api_refuses_matches_nothing() {
    for port in [
        json!({"port": 81, "endPort": 80}),
        json!({"port": "web", "endPort": 90}),
        json!({"endPort": 90}),
        json!({"port": 80, "protocol": "ICMP"}),
        json!({"port": 70000}),
        json!({"port": -1}),
    ] {
        deny(&ingress(json!([port])), "y/a -> x/a:80/tcp");
    }
}

#[test]
fn n31_what_isolation_means_for_icmp_is_undefined() {
    allow(&world(&[]), "y/a -> x/a:icmp");
    for ingress in [json!([]), json!([{}]), json!([{"ports": [{"port": 80}]}])] {
        let world = world(&[("x/p", json!({"podSelector": {}, "ingress": ingress}))]);
        either(&world, "y/a -> x/a:icmp", "N31");
        // Of other pods, of the way out and of the pod itself the policy says nothing.
        allow(&world, "y/a -> z/a:icmp");
        allow(&world, "x/a -> y/a:icmp");
        allow(&world, "x/a -> x/a:icmp");
    }
}

#[test]
fn n24_a_name_that_two_containers_give_to_different_ports_is_open() {
    let named = |policy: World| {
        let mut world = policy;
        let again = PortProtocol { port: 81, protocol: Protocol::Tcp };
        pod_mut(&mut world, "x/a").named_ports.push(NamedPort { name: "web".into(), port: again });
        world
    };
    let world = named(ingress(json!([{"port": "web"}])));
    either(&world, "y/a -> x/a:80/tcp", "N24");
    either(&world, "y/a -> x/a:81/tcp", "N24");
    deny(&world, "y/a -> x/a:82/tcp");
    // One container has it, and another pod.
    allow(&world, "y/a -> x/b:80/tcp");
    // The same number twice is one number; and where another port of the rule decides, nothing is open.
    let mut same = named(ingress(json!([{"port": "web"}])));
    pod_mut(&mut same, "x/a").named_ports.last_mut().unwrap().port.port = 80;
    allow(&same, "y/a -> x/a:80/tcp");
    allow(&named(ingress(json!([{"port": "web"}, {"port": 81}]))), "y/a -> x/a:81/tcp");
    let answer = explain(&world, "y/a -> x/a:81/tcp");
    assert!(answer.reasons[0].contains("containers of x/a give that name to different ports"), "{answer:?}");
}
