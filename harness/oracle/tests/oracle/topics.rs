//! What verdicts turn on.

use serde_json::json;
use verdikt_model::{ServiceKind, TargetPort, Topic, Via, World};

use crate::common::{add_service, cell, on_host_network, topology, world, world_of};

#[track_caller]
fn turns_on(world: &World, text: &str, want: &[Topic]) {
    let topics = verdikt_oracle::topics(world, &[cell(world, text)]);
    assert_eq!(topics[0].iter().collect::<Vec<_>>(), want, "{text}");
}

#[test]
fn n20_a_block_turns_on_whose_address_it_is() {
    let world = world(&[(
        "x/p",
        json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}),
    )]);
    turns_on(&world, "x/a -> y/a:80/tcp", &[Topic::IpBlockPods]);
    turns_on(&world, "x/a -> node/2:80/tcp", &[Topic::IpBlockNodes]);
    turns_on(&world, "x/a -> node/1:80/tcp", &[Topic::IpBlockNodes, Topic::ToOwnNode]);
    turns_on(&world, "x/a -> external:80/tcp", &[]);
    turns_on(&world, "y/a -> x/a:80/tcp", &[]);
}

#[test]
fn n12_a_block_decides_nothing_where_another_rule_allows() {
    let world = world(&[(
        "x/p",
        json!({"podSelector": {}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}, {"to": [{"namespaceSelector": {}}]}]}),
    )]);
    turns_on(&world, "x/a -> y/a:80/tcp", &[]);
}

#[test]
fn n24_a_name_turns_on_named_ports_wherever_a_reading_of_it_differs() {
    let world = world(&[(
        "x/p",
        json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": "web"}]}]}),
    )]);
    turns_on(&world, "y/a -> x/a:80/tcp", &[Topic::NamedPorts]);
    // Denied, and open where a name opens all ports or its policy is not there.
    turns_on(&world, "y/a -> x/a:81/tcp", &[Topic::NamedPorts]);
    turns_on(&world, "x/a -> y/a:81/tcp", &[]);
}

#[test]
fn n24_a_name_without_peers_is_a_topic_of_its_own() {
    let world = world(&[(
        "x/p",
        json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": "web"}]}]}),
    )]);
    turns_on(&world, "x/a -> y/a:80/tcp", &[Topic::EgressPortNames]);
    // Denied, and open where a name opens all ports.
    turns_on(&world, "x/a -> y/a:81/tcp", &[Topic::EgressPortNames]);
}

#[test]
fn n33_a_range_turns_on_end_port_beyond_its_first_port() {
    let world = world(&[(
        "x/p",
        json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 80, "endPort": 81}]}]}),
    )]);
    turns_on(&world, "y/a -> x/a:81/tcp", &[Topic::EndPort]);
    turns_on(&world, "y/a -> x/a:80/tcp", &[]);
    // Open where the whole policy is not there.
    turns_on(&world, "y/a -> x/a:80/udp", &[Topic::EndPort]);
}

#[test]
fn n5_n42_n31_nodes_host_network_and_icmp() {
    let isolated = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {}}]}], "egress": [{"to": [{"podSelector": {}}]}]});
    let mut world = world(&[("x/p", isolated)]);
    turns_on(&world, "node/1 -> x/a:80/tcp", &[Topic::FromOwnNode]);
    turns_on(&world, "node/2 -> x/a:80/tcp", &[]);
    let everywhere = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"namespaceSelector": {}}]}]});
    turns_on(&self::world(&[("x/p", everywhere)]), "node/2 -> x/a:80/tcp", &[Topic::HostNetwork]);
    turns_on(&world, "x/a -> node/1:80/tcp", &[Topic::ToOwnNode]);
    turns_on(&world, "y/a -> x/a:icmp", &[Topic::Icmp]);
    on_host_network(&mut world, "x/b");
    turns_on(&world, "x/b -> x/a:80/tcp", &[Topic::HostNetwork]);
}

#[test]
fn n21_services_turn_on_what_is_seen_of_them() {
    let mut topology = topology();
    add_service(&mut topology, &[("role", "backend")], TargetPort::Number(81), ServiceKind::ClusterIp);
    let rule = |port: u16| {
        json!({"podSelector": {}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"port": port}]}]})
    };
    let both = world_of(&topology, &[("y/p", rule(80))]);
    turns_on(&both, "y/a -> x/web:80/tcp via cluster-ip", &[Topic::ServiceAddresses]);
    turns_on(&both, "x/a -> x/web:80/tcp via cluster-ip", &[Topic::OwnService]);
    turns_on(&both, "z/a -> x/web:80/tcp via cluster-ip", &[]);
    // What else decides it, where a pod is policed on its way to itself.
    let by_name =
        json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": "web"}]}]});
    let by_name = world_of(&topology, &[("x/p", by_name)]);
    turns_on(&by_name, "x/a -> x/web:80/tcp via cluster-ip", &[Topic::OwnService, Topic::NamedPorts]);

    let mut topology = self::topology();
    let node_port = ServiceKind::NodePort { local: false };
    add_service(&mut topology, &[("role", "backend")], TargetPort::Number(81), node_port);
    let closed = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"namespaceSelector": {}}]}]});
    let mut closed = world_of(&topology, &[("x/p", closed)]);
    for endpoint in &mut closed.endpoints {
        if let verdikt_model::EndpointKind::Service(service) = &mut endpoint.kind {
            service.ports.iter_mut().for_each(|port| port.node_port = Some(30_080));
        }
    }
    let through = verdikt_oracle::topics(&closed, &[cell(&closed, "z/a -> x/web:80/tcp via node-port")]);
    assert!(through[0].has(Topic::NodePorts), "{through:?}");
    assert_eq!(cell(&closed, "z/a -> x/web:80/tcp via node-port").via, Via::NodePort);
}
