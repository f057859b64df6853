//! Which cells a world has.

use crate::{
    cell::{Cell, EndpointId},
    check::CheckKind,
    net::{Family, PortProtocol, Protocol, Via},
    topology::{Serve, ServiceKind},
    world::{Endpoint, EndpointKind, PodFacts, ServicePortFacts, World},
};

/// All cells of a world for the given IP families, ordered by source, then destination.
///
/// Sources are pods, nodes and external hosts. Destinations are whatever listens: a pod's, node's or external
/// host's ports over its own address; a Service's ports over each of its paths, from pods only; `dns` over
/// the cluster IP, from pods only. Node ports are also dialled by nodes and external hosts; what the specification of
/// Services forbids (a Local node port without a pod there, from outside) has no cell. A node does not connect to itself. A cell exists in a family when both
/// ends have an address of it.
pub fn cells(world: &World, families: &[Family]) -> Vec<Cell> {
    let mut cells = Vec::new();
    let http_only: Vec<Vec<PortProtocol>> =
        world.endpoints.iter().map(|endpoint| http_ports(world, endpoint)).collect();
    for from in ids(world) {
        let source = &world.endpoint(from).kind;
        if matches!(source, EndpointKind::Service(_) | EndpointKind::Dns(_)) {
            continue;
        }
        for to in ids(world) {
            let is_host = !matches!(source, EndpointKind::Pod(_));
            let is_external = matches!(source, EndpointKind::External { .. });
            let mut push = |via: Via, port: PortProtocol, reachable: &dyn Fn(Family) -> bool| {
                for family in families {
                    if world.ip(from, *family).is_some() && reachable(*family) {
                        let PortProtocol { port, protocol } = port;
                        cells.push(Cell { from, to, via, family: *family, protocol, port });
                    }
                }
            };
            let mut own = |serve: &Serve| {
                for port in &serve.ports {
                    push(Via::PodIp, *port, &|family| world.ip(to, family).is_some());
                }
            };
            match &world.endpoint(to).kind {
                EndpointKind::Pod(pod) => own(&pod.serve),
                EndpointKind::Node { serve, .. } | EndpointKind::External { serve, .. } if from != to => {
                    own(serve)
                }
                EndpointKind::Service(service) => {
                    let local = matches!(service.kind, ServiceKind::NodePort { local: true });
                    for via in &service.via {
                        let dialled = match via {
                            Via::NodePort => true,
                            Via::OtherNodePort => !(is_external && local),
                            _ => !is_host,
                        };
                        if !dialled {
                            continue;
                        }
                        let http_only = &http_only[usize::from(to.0)];
                        for port in service.ports.iter().filter(|port| !http_only.contains(&port.port)) {
                            push(*via, port.port, &|family| match (via, service.kind) {
                                (Via::Headless, _) | (_, ServiceKind::Headless) => {
                                    world.backends(service).iter().any(|pod| pod.ip(family).is_some())
                                }
                                _ => world.ip(to, family).is_some(),
                            });
                        }
                    }
                }
                EndpointKind::Dns(service) if !is_host => {
                    for port in &service.ports {
                        push(Via::ClusterIp, port.port, &|family| world.ip(to, family).is_some());
                    }
                }
                _ => {}
            }
        }
    }
    cells
}

/// Ports of a Service that only lead to ports which speak HTTP; those have no cells.
fn http_ports(world: &World, endpoint: &Endpoint) -> Vec<PortProtocol> {
    let EndpointKind::Service(service) = &endpoint.kind else { return Vec::new() };
    let behind = world.backends(service);
    let of = |port: &&ServicePortFacts| {
        let protocol = port.port.protocol;
        let mut targets = behind.iter().filter_map(|pod| Some((pod, pod.resolve(&port.target, protocol)?)));
        let plain =
            |(pod, port): (&&PodFacts, u16)| pod.serve.ports.contains(&PortProtocol { port, protocol });
        let speaks = |(pod, port): (&&PodFacts, u16)| pod.serve.http.contains(&port);
        protocol == Protocol::Tcp && targets.clone().any(speaks) && !targets.any(plain)
    };
    service.ports.iter().filter(of).map(|port| port.port).collect()
}

/// The cells that a check of a kind can be about: those of the world, or, for HTTP, those of ports that speak it.
pub fn check_cells(world: &World, families: &[Family], kind: &CheckKind) -> Vec<Cell> {
    if !matches!(kind, CheckKind::Http { .. }) {
        return cells(world, families);
    }
    let mut speaking = world.clone();
    for endpoint in &mut speaking.endpoints {
        match &mut endpoint.kind {
            EndpointKind::Pod(PodFacts { serve, .. })
            | EndpointKind::Node { serve, .. }
            | EndpointKind::External { serve, .. } => {
                let tcp = |port: &u16| PortProtocol { port: *port, protocol: Protocol::Tcp };
                serve.ports = serve.http.iter().map(tcp).collect();
            }
            EndpointKind::Service(_) | EndpointKind::Dns(_) => {}
        }
    }
    let serves = |pod: &&PodFacts, port: PortProtocol| pod.serve.ports.contains(&port);
    let mut all = cells(&speaking, families);
    // A Service speaks HTTP where the pods behind it do.
    all.retain(|cell| match &speaking.endpoint(cell.to).kind {
        EndpointKind::Service(service) => {
            let port = service.ports.iter().find(|port| port.port == cell.port_protocol());
            speaking.backends(service).iter().any(|pod| {
                let number = port.and_then(|port| pod.resolve(&port.target, cell.protocol));
                number.is_some_and(|port| serves(pod, PortProtocol { port, protocol: cell.protocol }))
            })
        }
        EndpointKind::Dns(_) => false,
        _ => true,
    });
    all
}

fn ids(world: &World) -> impl Iterator<Item = EndpointId> {
    (0..world.endpoints.len()).filter_map(|i| u16::try_from(i).ok()).map(EndpointId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{NamespaceSpec, PodSpec, ServicePortSpec, ServiceSpec, TargetPort, Topology};

    /// What speaks HTTP does not greet, so a cell of it could not be measured; an `http` check asks it.
    #[test]
    fn a_service_of_http_ports_has_no_cells_and_can_be_asked() {
        let tcp = |port| PortProtocol { port, protocol: Protocol::Tcp };
        let serve = Serve { ports: [tcp(80)].into(), http: [8080].into(), ..Serve::default() };
        let pod = PodSpec { serve, labels: [("app".into(), "web".into())].into(), ..PodSpec::default() };
        let to = |port, target| ServicePortSpec { port: tcp(port), target: TargetPort::Number(target) };
        let service = ServiceSpec {
            selector: pod.labels.clone(),
            pods: Vec::new(),
            alias: None,
            ports: vec![to(80, 80), to(81, 8080)],
            kind: ServiceKind::ClusterIp,
            via: [Via::ClusterIp].into(),
        };
        let namespace = NamespaceSpec {
            pods: [("a".to_owned(), pod)].into(),
            services: [("web".to_owned(), service)].into(),
            ..NamespaceSpec::default()
        };
        let topology = Topology { namespaces: [("x".to_owned(), namespace)].into(), ..Topology::default() };
        let world = World::synthetic(&topology);
        let ports = |cells: Vec<Cell>| -> Vec<u16> {
            cells.into_iter().filter(|cell| cell.via == Via::ClusterIp).map(|cell| cell.port).collect()
        };
        assert_eq!(ports(cells(&world, &[Family::Ipv4])), [80]);
        let http = CheckKind::Http { method: "GET".into(), path: "/".into() };
        assert_eq!(ports(check_cells(&world, &[Family::Ipv4], &http)), [81]);
    }

    #[test]
    fn a_full_matrix_has_every_pair_port_and_family() {
        let serve = Serve {
            ports: [(80, Protocol::Tcp), (81, Protocol::Tcp), (80, Protocol::Udp), (81, Protocol::Udp)]
                .map(|(port, protocol)| PortProtocol { port, protocol })
                .into(),
            ..Serve::default()
        };
        let pod = PodSpec { serve, ..PodSpec::default() };
        let namespace = NamespaceSpec {
            pods: ["a", "b", "c"].map(|n| (n.to_owned(), pod.clone())).into(),
            ..NamespaceSpec::default()
        };
        let topology = Topology {
            namespaces: ["x", "y", "z"].map(|n| (n.to_owned(), namespace.clone())).into(),
            ..Topology::default()
        };
        let world = World::synthetic(&topology);
        assert_eq!(cells(&world, &[Family::Ipv4]).len(), 324);
        assert_eq!(cells(&world, Family::ALL).len(), 648);
    }
}
