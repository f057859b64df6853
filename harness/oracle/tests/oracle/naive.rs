//! A second oracle, written from the statements with no regard for speed: it fixes every choice that the
//! specification leaves, decides in plain booleans, and looks at whether all choices agree.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use k8s_openapi::{
    api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::util::intstr::IntOrString,
};
use verdikt_model::{
    Cell, EndpointKind, Expectation, Family, PodFacts, Protocol, ServiceFacts, ServiceKind, TargetPort, Via,
    World, selector_matches,
};

/// One way to fill in what the specification leaves open.
#[derive(Clone, Copy)]
struct Choices {
    host_pods_are_pods: bool,
    blocks_find_the_cluster: bool,
    own_node_reachable: bool,
    unknown_node_is_own: bool,
    names_without_peers: bool,
    last_of_a_name: bool,
    host_bits_hold: bool,
    before_rewriting: bool,
    dns_reachable: bool,
}

#[derive(Clone, Copy)]
enum Thing<'w> {
    Pod(&'w PodFacts),
    Node(Option<u16>, IpAddr),
    External(IpAddr),
}

/// What both ends see of a connection.
#[derive(Clone, Copy)]
struct Packet<'w> {
    from: Thing<'w>,
    to: Thing<'w>,
    /// The destination's address as the source's policy sees it, when it is a Service's.
    service_ip: Option<IpAddr>,
    family: Family,
    protocol: Protocol,
    port: u16,
}

pub(crate) fn expect(world: &World, cell: &Cell) -> Expectation {
    let mut outcomes = BTreeSet::new();
    for host_pods_are_pods in [true, false] {
        let mut reach: BTreeSet<bool> =
            choices(host_pods_are_pods).flat_map(|c| reach(world, cell, c)).collect();
        if reach.is_empty() {
            // A Service without pods: no statement covers that.
            reach = [true, false].into();
        }
        let names: BTreeSet<bool> = match cell.via {
            Via::Dns | Via::Headless => {
                choices(host_pods_are_pods).flat_map(|c| names(world, cell, c)).collect()
            }
            _ => [true].into(),
        };
        outcomes.extend(reach.iter().flat_map(|r| names.iter().map(move |n| *r && *n)));
    }
    match (outcomes.contains(&true), outcomes.contains(&false)) {
        (true, false) => Expectation::Allow,
        (false, true) => Expectation::Deny,
        _ => Expectation::Either,
    }
}

fn choices(host_pods_are_pods: bool) -> impl Iterator<Item = Choices> {
    (0..=u8::MAX).map(move |bits| Choices {
        host_pods_are_pods,
        blocks_find_the_cluster: bits & 1 != 0,
        own_node_reachable: bits & 2 != 0,
        unknown_node_is_own: bits & 4 != 0,
        names_without_peers: bits & 8 != 0,
        host_bits_hold: bits & 16 != 0,
        before_rewriting: bits & 32 != 0,
        dns_reachable: bits & 64 != 0,
        last_of_a_name: bits & 128 != 0,
    })
}

fn thing<'w>(pod: &'w PodFacts, family: Family, c: Choices) -> Thing<'w> {
    match pod.ip(family) {
        Some(ip) if pod.host_network && !c.host_pods_are_pods => Thing::Node(pod.node, ip),
        _ => Thing::Pod(pod),
    }
}

/// What can come of a cell's connection, its name resolved.
fn reach(world: &World, cell: &Cell, c: Choices) -> Vec<bool> {
    let end = |id| match &world.endpoint(id).kind {
        EndpointKind::Pod(pod) => thing(pod, cell.family, c),
        EndpointKind::Node { node, .. } => Thing::Node(Some(*node), world.ip(id, cell.family).unwrap()),
        EndpointKind::External { .. } => Thing::External(world.ip(id, cell.family).unwrap()),
        EndpointKind::Service(_) | EndpointKind::Dns(_) => panic!("a Service is no end"),
    };
    let from = end(cell.from);
    let packet = |to| Packet {
        from,
        to,
        service_ip: None,
        family: cell.family,
        protocol: cell.protocol,
        port: cell.port,
    };
    match &world.endpoint(cell.to).kind {
        EndpointKind::Dns(service) if world.backends(service).is_empty() => {
            vec![ask_unknown(world, from, cell.family, cell.protocol, cell.port, c)]
        }
        EndpointKind::Service(service) | EndpointKind::Dns(service) => {
            let port = service.ports.iter().find(|p| p.port == cell.port_protocol()).unwrap();
            let backends = world.backends(service);
            if cell.via == Via::Headless || service.kind == ServiceKind::Headless {
                let pods = backends.into_iter().filter(|pod| pod.ip(cell.family).is_some());
                return pods
                    .map(|pod| {
                        world.pod(cell.from) == Some(pod)
                            || connects(world, packet(thing(pod, cell.family, c)), c)
                    })
                    .collect();
            }
            let source = world.pod(cell.from);
            if cell.via == Via::NodePort {
                return through_node_port(
                    world,
                    source,
                    &backends,
                    packet(from),
                    &port.target,
                    port.node_port.unwrap(),
                    c,
                );
            }
            through_cluster_ip(world, source, service, &backends, packet(from), &port.target, c)
        }
        _ if cell.from == cell.to => vec![true],
        _ => vec![connects(world, packet(end(cell.to)), c)],
    }
}

fn through_cluster_ip(
    world: &World,
    source: Option<&PodFacts>,
    service: &ServiceFacts,
    backends: &[&PodFacts],
    dialled: Packet<'_>,
    target: &TargetPort,
    c: Choices,
) -> Vec<bool> {
    let ip = service.cluster_ips.iter().copied().find(|ip| Family::of(*ip) == dialled.family);
    let mut out = Vec::new();
    for pod in backends.iter().filter(|pod| pod.ip(dialled.family).is_some()) {
        let Some(number) = pod.resolve(target, dialled.protocol) else { continue };
        if source.is_some_and(|source| std::ptr::eq(source, *pod)) {
            out.extend([true, false]);
            continue;
        }
        let after = Packet { to: thing(pod, dialled.family, c), port: number, ..dialled };
        let before = Packet { port: dialled.port, service_ip: ip, ..after };
        out.push(
            egress(world, if c.before_rewriting { before } else { after }, c) && ingress(world, after, c),
        );
    }
    out
}

fn through_node_port(
    world: &World,
    source: Option<&PodFacts>,
    backends: &[&PodFacts],
    dialled: Packet<'_>,
    target: &TargetPort,
    node_port: u16,
    c: Choices,
) -> Vec<bool> {
    let mut out = Vec::new();
    for pod in backends.iter().filter(|pod| pod.ip(dialled.family).is_some()) {
        let Some(number) = pod.resolve(target, dialled.protocol) else { continue };
        if source.is_some_and(|source| std::ptr::eq(source, *pod)) {
            out.extend([true, false]);
            continue;
        }
        let after = Packet { to: thing(pod, dialled.family, c), port: number, ..dialled };
        // The node that is dialled and the one that rewrites the source need not be the same.
        let nodes: Vec<Thing<'_>> = (0..)
            .zip(&world.nodes)
            .map(|(node, ips)| {
                let ip = ips.iter().copied().find(|ip| Family::of(*ip) == dialled.family).unwrap();
                Thing::Node(Some(node), ip)
            })
            .collect();
        let by_node = nodes.iter().map(|node| Packet { to: *node, port: node_port, ..after });
        for seen_by_egress in by_node.chain([after]) {
            for from in nodes.iter().copied().chain([after.from]) {
                out.push(egress(world, seen_by_egress, c) && ingress(world, Packet { from, ..after }, c));
            }
        }
    }
    out
}

/// What can come of resolving a name.
fn names(world: &World, cell: &Cell, c: Choices) -> Vec<bool> {
    let Some(source) = world.pod(cell.from) else { return vec![true] };
    let service = world.endpoints.iter().find_map(|endpoint| match &endpoint.kind {
        EndpointKind::Dns(service) => Some(service),
        _ => None,
    });
    let mut backends = service.map(|service| world.backends(service)).unwrap_or_default();
    if backends.is_empty() {
        let is_dns = |pod: &&PodFacts| {
            pod.namespace == "kube-system" && pod.labels.get("k8s-app").is_some_and(|app| app == "kube-dns")
        };
        backends = world.pods().filter(is_dns).collect();
    }
    if backends.is_empty() {
        return vec![ask_unknown(world, thing(source, cell.family, c), cell.family, Protocol::Udp, 53, c)];
    }
    let mut out = Vec::new();
    for family in Family::ALL {
        let from = thing(source, *family, c);
        let packet =
            Packet { from, to: from, service_ip: None, family: *family, protocol: Protocol::Udp, port: 53 };
        for pod in &backends {
            let after = Packet { to: thing(pod, *family, c), ..packet };
            let known =
                service.and_then(|s| s.cluster_ips.iter().copied().find(|ip| Family::of(*ip) == *family));
            // Without a Service to look at, its address is unknown: one that no block holds, or any.
            for ip in known.map_or_else(|| vec![None, after_ip(after.to)], |ip| vec![Some(ip)]) {
                let before = Packet { service_ip: ip, ..after };
                let seen = if c.before_rewriting { before } else { after };
                let unknown_block = known.is_none() && c.before_rewriting && c.blocks_find_the_cluster;
                let blocks = unknown_block && egress_by(world, seen, c, true);
                out.push((blocks || egress(world, seen, c)) && ingress(world, after, c));
            }
        }
    }
    out
}

fn after_ip(to: Thing<'_>) -> Option<IpAddr> {
    match to {
        Thing::Node(_, ip) | Thing::External(ip) => Some(ip),
        Thing::Pod(_) => None,
    }
}

/// A query to a DNS that the world does not show: by a rule for everybody, or with luck.
fn ask_unknown(
    world: &World,
    from: Thing<'_>,
    family: Family,
    protocol: Protocol,
    port: u16,
    c: Choices,
) -> bool {
    let nowhere: IpAddr =
        if family == Family::Ipv4 { [240, 0, 0, 1].into() } else { [0xfe00, 0, 0, 0, 0, 0, 0, 1].into() };
    let to = Thing::External(nowhere);
    let c_no_blocks = Choices { host_bits_hold: false, ..c };
    let isolated = !matches!(from, Thing::Pod(pod) if isolating(world, pod, false).next().is_some());
    if isolated || c.dns_reachable {
        return true;
    }
    let packet = Packet { from, to, service_ip: None, family, protocol, port };
    let Thing::Pod(pod) = from else { return true };
    isolating(world, pod, false).any(|p| {
        p.spec.iter().flat_map(|s| s.egress.iter().flatten()).any(|rule| {
            rule.to.as_ref().is_none_or(Vec::is_empty) && ports_match(&rule.ports, packet, true, c_no_blocks)
        })
    })
}

fn connects(world: &World, packet: Packet<'_>, c: Choices) -> bool {
    egress(world, packet, c) && ingress(world, packet, c)
}

fn isolating<'a>(
    world: &'a World,
    pod: &'a PodFacts,
    ingress: bool,
) -> impl Iterator<Item = &'a k8s_openapi::api::networking::v1::NetworkPolicy> {
    world.policies.iter().filter(move |policy| {
        let spec = policy.spec.as_ref().unwrap();
        let types = spec.policy_types.clone().filter(|types| !types.is_empty()).unwrap_or_else(|| {
            let mut types = vec!["Ingress".to_owned()];
            if spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()) {
                types.push("Egress".to_owned());
            }
            types
        });
        policy.metadata.namespace.as_deref() == Some(pod.namespace.as_str())
            && types.iter().any(|t| t == if ingress { "Ingress" } else { "Egress" })
            && spec.pod_selector.as_ref().is_none_or(|s| selector_matches(s, &pod.labels))
    })
}

fn egress(world: &World, packet: Packet<'_>, c: Choices) -> bool {
    egress_by(world, packet, c, false)
}

/// `any_block`: the destination's address is unknown, and every block happens to hold it.
fn egress_by(world: &World, packet: Packet<'_>, c: Choices, any_block: bool) -> bool {
    let Thing::Pod(pod) = packet.from else { return true };
    if isolating(world, pod, false).next().is_none() {
        return true;
    }
    if is_own_node(pod, packet.to, c) && c.own_node_reachable {
        return true;
    }
    isolating(world, pod, false).any(|policy| {
        policy.spec.iter().flat_map(|spec| spec.egress.iter().flatten()).any(|rule| {
            let to_all = rule.to.as_ref().is_none_or(Vec::is_empty);
            let namespace = policy.metadata.namespace.as_deref().unwrap();
            let peers = rule.to.iter().flatten().any(|peer| {
                any_block && is_block(peer)
                    || peer_matches(world, peer, namespace, packet.to, packet.service_ip, packet.family, c)
            });
            (to_all || peers) && ports_match(&rule.ports, packet, to_all, c)
        })
    })
}

fn ingress(world: &World, packet: Packet<'_>, c: Choices) -> bool {
    let Thing::Pod(pod) = packet.to else { return true };
    if isolating(world, pod, true).next().is_none() || is_own_node(pod, packet.from, c) {
        return true;
    }
    isolating(world, pod, true).any(|policy| {
        policy.spec.iter().flat_map(|spec| spec.ingress.iter().flatten()).any(|rule| {
            let from_all = rule.from.as_ref().is_none_or(Vec::is_empty);
            let namespace = policy.metadata.namespace.as_deref().unwrap();
            let peers = rule
                .from
                .iter()
                .flatten()
                .any(|peer| peer_matches(world, peer, namespace, packet.from, None, packet.family, c));
            (from_all || peers) && ports_match(&rule.ports, packet, false, c)
        })
    })
}

fn is_own_node(pod: &PodFacts, other: Thing<'_>, c: Choices) -> bool {
    match (other, pod.node) {
        (Thing::Node(Some(node), _), Some(own)) => node == own,
        (Thing::Node(..), _) => c.unknown_node_is_own,
        _ => false,
    }
}

fn is_block(peer: &NetworkPolicyPeer) -> bool {
    peer.ip_block.is_some() && peer.pod_selector.is_none() && peer.namespace_selector.is_none()
}

fn peer_matches(
    world: &World,
    peer: &NetworkPolicyPeer,
    own_namespace: &str,
    other: Thing<'_>,
    seen_ip: Option<IpAddr>,
    family: Family,
    c: Choices,
) -> bool {
    if let Some(block) = &peer.ip_block {
        if !is_block(peer) {
            return false;
        }
        let (ip, external) = match other {
            Thing::Pod(pod) => (pod.ip(family), false),
            Thing::Node(_, ip) => (Some(ip), false),
            Thing::External(ip) => (Some(ip), true),
        };
        let Some(ip) = seen_ip.or(ip) else { return false };
        let holds = |text: &String, host_bits: bool| {
            text.parse::<IpNet>().is_ok_and(|net| net.contains(&ip) && (net.trunc() == net || host_bits))
        };
        let excepted = block.except.iter().flatten().any(|text| holds(text, !c.host_bits_hold));
        return (external || c.blocks_find_the_cluster) && holds(&block.cidr, c.host_bits_hold) && !excepted;
    }
    let Thing::Pod(pod) = other else { return false };
    match (&peer.namespace_selector, &peer.pod_selector) {
        (None, None) => false,
        (None, Some(pods)) => pod.namespace == own_namespace && selector_matches(pods, &pod.labels),
        (Some(namespaces), pods) => {
            selector_matches(namespaces, &world.namespaces[&pod.namespace])
                && pods.as_ref().is_none_or(|pods| selector_matches(pods, &pod.labels))
        }
    }
}

fn ports_match(
    ports: &Option<Vec<NetworkPolicyPort>>,
    packet: Packet<'_>,
    egress_to_all: bool,
    c: Choices,
) -> bool {
    let Some(ports) = ports.as_ref().filter(|ports| !ports.is_empty()) else { return true };
    ports.iter().any(|port| {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        if protocol != packet.protocol.kubernetes() {
            return false;
        }
        match &port.port {
            None => port.end_port.is_none(),
            Some(IntOrString::Int(first)) => {
                let last = port.end_port.unwrap_or(*first);
                *first <= i32::from(packet.port) && i32::from(packet.port) <= last
            }
            Some(IntOrString::String(name)) => match packet.to {
                Thing::Pod(pod) if port.end_port.is_none() => {
                    let mut numbers = pod.numbers_of(name, packet.protocol);
                    let number = if c.last_of_a_name { numbers.last() } else { numbers.next() };
                    number == Some(packet.port) && (!egress_to_all || c.names_without_peers)
                }
                _ => false,
            },
        }
    })
}
