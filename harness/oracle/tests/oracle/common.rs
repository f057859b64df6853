//! A small cluster to judge, and words to judge it with.
//!
//! Namespaces x and y (env=production) and z (no labels), each with pods a (role=backend, node 1) and b (role=frontend, node 2).
//! Every pod serves 80/tcp (named web), 81/tcp and 80/udp. Beyond them: both nodes, two external hosts.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};
use verdikt_model::{
    Cell, CellPattern, EndpointId, EndpointKind, EndpointName, Expectation, ExtraEndpoint, Family,
    NamespaceSpec, Placement, PodFacts, PodSpec, PortProtocol, Protocol, Serve, ServiceKind, ServicePortSpec,
    ServiceSpec, TargetPort, Topology, Via, World,
};
use verdikt_oracle::{Answer, Oracle};

pub(crate) fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub(crate) fn serve() -> Serve {
    let tcp = |port| PortProtocol { port, protocol: Protocol::Tcp };
    Serve {
        ports: [tcp(80), tcp(81), PortProtocol { port: 80, protocol: Protocol::Udp }].into(),
        names: [("web".to_owned(), tcp(80))].into(),
        ..Serve::default()
    }
}

pub(crate) fn topology() -> Topology {
    let pod = |role: &str, node| PodSpec {
        labels: labels(&[("role", role)]),
        serve: serve(),
        placement: Placement::Node(node),
        ..PodSpec::default()
    };
    let namespace = |pairs: &[(&str, &str)]| NamespaceSpec {
        labels: labels(pairs),
        pods: [("a".to_owned(), pod("backend", 1)), ("b".to_owned(), pod("frontend", 2))].into(),
        services: BTreeMap::new(),
    };
    let extra = || ExtraEndpoint { serve: serve() };
    Topology {
        namespaces: [
            ("x".to_owned(), namespace(&[("env", "production")])),
            ("y".to_owned(), namespace(&[("env", "production")])),
            ("z".to_owned(), namespace(&[])),
        ]
        .into(),
        endpoints: [
            (EndpointName::Node(1), extra()),
            (EndpointName::Node(2), extra()),
            (EndpointName::External(1), extra()),
            (EndpointName::External(2), extra()),
        ]
        .into(),
    }
}

/// Adds a Service `x/web` on port 80 of the pods of x with some labels.
pub(crate) fn add_service(
    topology: &mut Topology,
    selector: &[(&str, &str)],
    target: TargetPort,
    kind: ServiceKind,
) {
    let service = ServiceSpec {
        selector: labels(selector),
        pods: Vec::new(),
        alias: None,
        ports: vec![ServicePortSpec { port: PortProtocol { port: 80, protocol: Protocol::Tcp }, target }],
        kind,
        via: [Via::ClusterIp, Via::Dns, Via::NodePort].into(),
    };
    topology.namespaces.get_mut("x").unwrap().services.insert("web".into(), service);
}

pub(crate) fn policy(name: &str, spec: Value) -> NetworkPolicy {
    let (namespace, name) = name.split_once('/').unwrap();
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec})).unwrap()
}

/// The small cluster with some policies: `("x/p", spec)`.
pub(crate) fn world(policies: &[(&str, Value)]) -> World {
    world_of(&topology(), policies)
}

pub(crate) fn world_of(topology: &Topology, policies: &[(&str, Value)]) -> World {
    let mut world = World::synthetic(topology);
    world.policies = policies.iter().map(|(name, spec)| policy(name, spec.clone())).collect();
    world
}

pub(crate) fn pod_mut<'w>(world: &'w mut World, name: &str) -> &'w mut PodFacts {
    let id = world.find(&name.parse().unwrap()).unwrap();
    match &mut world.endpoints[usize::from(id.0)].kind {
        EndpointKind::Pod(pod) => pod,
        other => panic!("{name} is {other:?}"),
    }
}

/// Puts a pod on its node's network.
pub(crate) fn on_host_network(world: &mut World, name: &str) {
    let nodes = world.nodes.clone();
    let pod = pod_mut(world, name);
    pod.host_network = true;
    pod.ips = nodes[usize::from(pod.node.unwrap())].clone();
}

/// `x/a -> y/b:80/tcp via cluster-ip over ipv6`; IPv4 when not said.
pub(crate) fn cell(world: &World, text: &str) -> Cell {
    let pattern: CellPattern = text.parse().unwrap();
    let find = |name: &str, service: bool| -> EndpointId {
        let parsed = match (name.parse().unwrap(), service) {
            (EndpointName::Pod { namespace, name }, true) => EndpointName::Service { namespace, name },
            (other, _) => other,
        };
        world.find(&parsed).unwrap_or_else(|| panic!("no endpoint {name}"))
    };
    Cell {
        from: find(&pattern.from, false),
        to: find(&pattern.to, pattern.via != Via::PodIp),
        via: pattern.via,
        family: pattern.family.unwrap_or(Family::Ipv4),
        protocol: pattern.protocol.unwrap(),
        port: pattern.port.unwrap_or_default(),
    }
}

/// The answer for a cell; checks what must hold for every answer.
pub(crate) fn explain(world: &World, text: &str) -> Answer {
    let oracle = Oracle::new(world);
    let cell = cell(world, text);
    let answer = oracle.explain(&cell);
    assert_well_formed(&oracle, &cell, &answer);
    answer
}

pub(crate) fn assert_well_formed(oracle: &Oracle<'_>, cell: &Cell, answer: &Answer) {
    assert_eq!(oracle.expect(cell), answer.expectation, "{answer:?}");
    assert_eq!(answer.expectation == Expectation::Either, answer.statement.is_some(), "{answer:?}");
    let word = match answer.expectation {
        Expectation::Allow => "allowed: ",
        Expectation::Deny => "denied: ",
        Expectation::Either => "either: ",
        other => panic!("{other}"),
    };
    assert!(answer.reasons.first().is_some_and(|line| line.starts_with(word)), "{answer:?}");
    assert!(answer.reasons.iter().all(|line| !line.contains('\n')), "{answer:?}");
}

#[track_caller]
fn check(world: &World, text: &str, want: Expectation, statement: Option<&str>) {
    let answer = explain(world, text);
    assert_eq!((answer.expectation, answer.statement), (want, statement), "{text}\n{:#?}", answer.reasons);
}

#[track_caller]
pub(crate) fn allow(world: &World, text: &str) {
    check(world, text, Expectation::Allow, None);
}

#[track_caller]
pub(crate) fn deny(world: &World, text: &str) {
    check(world, text, Expectation::Deny, None);
}

#[track_caller]
pub(crate) fn either(world: &World, text: &str, statement: &str) {
    check(world, text, Expectation::Either, Some(statement));
}
