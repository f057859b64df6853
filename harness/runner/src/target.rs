//! From a cell to the probe that measures it.

use std::net::IpAddr;

use verdikt_cluster::{Names, identity};
use verdikt_model::{Cell, EndpointKind, EndpointName, Protocol, SeenAs, ServiceFacts, Via, World};
use verdikt_protocol::{Probe, Target, Transport};

use crate::live::Hosts;

/// A name that every cluster's DNS knows; an answer of any kind is the proof, so the domain does not matter.
pub(crate) const QUERY: &str = "kubernetes.default.svc.cluster.local.";

/// Makes probes for the cells of one world.
pub(crate) struct Targets<'w> {
    world: &'w World,
    names: &'w Names,
    hosts: &'w Hosts,
    domain: &'w str,
}

impl<'w> Targets<'w> {
    pub(crate) const fn new(world: &'w World, names: &'w Names, hosts: &'w Hosts, domain: &'w str) -> Self {
        Self { world, names, hosts, domain }
    }

    /// With what the servers of an endpoint answer; `None` where any verdikt server will do. One pod serves all addresses of
    /// the external host.
    fn identity(&self, name: &EndpointName) -> Option<String> {
        let host = match name {
            EndpointName::Pod { namespace, name } => {
                return Some(identity(self.names.real(namespace)?, name));
            }
            EndpointName::Node(n) => self.hosts.nodes.get(n)?,
            EndpointName::External(_) => self.hosts.external.as_ref()?,
            EndpointName::Service { .. } | EndpointName::Dns => return None,
        };
        Some(identity(&host.namespace, &host.pod))
    }

    /// The same of another world.
    pub(crate) const fn of<'o>(&self, world: &'o World) -> Targets<'o>
    where
        'w: 'o,
    {
        Targets { world, names: self.names, hosts: self.hosts, domain: self.domain }
    }

    /// Whose server gives an identity, by the scenario's name for it.
    pub(crate) fn who(&self, identity: &str) -> String {
        let is = |name: &&EndpointName| self.identity(name).as_deref() == Some(identity);
        let found = self.world.endpoints.iter().map(|endpoint| &endpoint.name).find(is);
        found.map_or_else(|| identity.to_owned(), ToString::to_string)
    }

    /// Whose servers may answer a cell, by their identities; any where there are none.
    pub(crate) fn servers(&self, cell: &Cell) -> Result<Vec<String>, String> {
        let to = self.world.endpoint(cell.to);
        match (&to.kind, self.identity(&to.name)) {
            (EndpointKind::Service(service), _) => Ok(self.behind(service)),
            // A host that the user has named: who runs there has its own name.
            (EndpointKind::Dns(_) | EndpointKind::External { .. }, None) => Ok(Vec::new()),
            (_, Some(identity)) => Ok(vec![identity]),
            (_, None) => Err(format!("{} has no server", to.name)),
        }
    }

    /// The probe of a cell, as the n-th of its batch; `Err` when the world has no address for it.
    pub(crate) fn probe(&self, n: u32, cell: &Cell) -> Result<Probe, String> {
        let to = self.world.endpoint(cell.to);
        let missing = || format!("{} has no {} address", to.name, cell.family);
        let own = || self.world.ip(cell.to, cell.family).map(Target::Ip).ok_or_else(missing);
        let (target, port, query) = match &to.kind {
            EndpointKind::Service(service) => match cell.via {
                Via::Dns | Via::Headless => {
                    let family = if cell.family == verdikt_model::Family::Ipv4 { 4 } else { 6 };
                    (Target::Name { name: self.service_name(service), family }, cell.port, None)
                }
                Via::NodePort | Via::OtherNodePort => {
                    let (target, port) = self.node_port(service, cell)?;
                    (target, port, None)
                }
                Via::ClusterIp | Via::PodIp => (own()?, cell.port, None),
            },
            EndpointKind::Dns(_) => (own()?, cell.port, Some(QUERY.to_owned())),
            _ => (own()?, cell.port, None),
        };
        Ok(Probe {
            n,
            to: target,
            port,
            transport: transport(cell.protocol),
            from: self.source(cell),
            expect: self.servers(cell)?,
            query,
            http: None,
        })
    }

    /// Whose an address is that a server saw instead of the client's own.
    pub(crate) fn seen_as(&self, ip: IpAddr) -> SeenAs {
        if self.world.nodes.iter().flatten().any(|node| *node == ip) { SeenAs::Node } else { SeenAs::Other }
    }

    /// An external host has several addresses; a probe from it must leave from the right one.
    fn source(&self, cell: &Cell) -> Option<IpAddr> {
        match &self.world.endpoint(cell.from).kind {
            EndpointKind::External { .. } => self.world.ip(cell.from, cell.family),
            _ => None,
        }
    }

    fn behind(&self, service: &ServiceFacts) -> Vec<String> {
        let pods = self.world.backends(service);
        pods.iter().filter_map(|pod| self.identity(&EndpointName::pod(&pod.namespace, &pod.name))).collect()
    }

    fn service_name(&self, service: &ServiceFacts) -> String {
        let namespace = self.names.real(&service.namespace).unwrap_or(&service.namespace);
        format!("{}.{namespace}.svc.{}.", service.name, self.domain)
    }

    /// A node port is dialled on the node of the Service's first pod, where either externalTrafficPolicy answers, or on
    /// the first node without any of its pods.
    fn node_port(&self, service: &ServiceFacts, cell: &Cell) -> Result<(Target, u16), String> {
        let port = service.ports.iter().find(|port| port.port == cell.port_protocol());
        let port = port.and_then(|port| port.node_port).ok_or("the Service has no node port")?;
        let node = match cell.via {
            Via::OtherNodePort => {
                self.world.other_node(service).ok_or("every node has a pod of the Service")?
            }
            _ => self.world.backends(service).iter().find_map(|pod| pod.node).unwrap_or_default(),
        };
        let ips = self.world.nodes.get(usize::from(node)).map(Vec::as_slice).unwrap_or_default();
        let ip = ips.iter().find(|ip| verdikt_model::Family::of(**ip) == cell.family);
        let ip = ip.ok_or_else(|| format!("node/{} has no {} address", node + 1, cell.family))?;
        Ok((Target::Ip(*ip), port))
    }
}

/// The protocol's word for it.
pub(crate) const fn transport(protocol: Protocol) -> Transport {
    match protocol {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
        Protocol::Sctp => Transport::Sctp,
        Protocol::Icmp => Transport::Icmp,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use verdikt_model::{
        EndpointId, Family, NamespaceSpec, PodSpec, PortProtocol, Serve, ServiceKind, ServicePortSpec,
        ServiceSpec, TargetPort, Topology, cells,
    };

    use verdikt_cluster::HostPod;

    use super::*;

    fn topology() -> Topology {
        let port = PortProtocol { port: 80, protocol: Protocol::Tcp };
        let serve = Serve { ports: [port].into(), ..Serve::default() };
        let pod = PodSpec {
            serve: serve.clone(),
            labels: [("app".into(), "web".into())].into(),
            ..PodSpec::default()
        };
        let service = |kind, via: &[Via]| ServiceSpec {
            selector: [("app".into(), "web".into())].into(),
            pods: Vec::new(),
            alias: None,
            ports: vec![ServicePortSpec { port, target: TargetPort::Number(80) }],
            kind,
            via: via.iter().copied().collect::<BTreeSet<_>>(),
        };
        Topology {
            namespaces: [(
                "x".to_owned(),
                NamespaceSpec {
                    pods: [("a".to_owned(), pod)].into(),
                    services: [
                        ("np".to_owned(), service(ServiceKind::NodePort { local: true }, &[Via::NodePort])),
                        ("web".to_owned(), service(ServiceKind::ClusterIp, &[Via::ClusterIp, Via::Dns])),
                    ]
                    .into(),
                    ..NamespaceSpec::default()
                },
            )]
            .into(),
            endpoints: [(EndpointName::External(2), verdikt_model::ExtraEndpoint { serve })].into(),
        }
    }

    #[test]
    fn every_path_has_its_probe() {
        let world = World::synthetic(&topology());
        let names = Names::from([("x", "verdikt-r1-x")]);
        let external =
            HostPod { namespace: "verdikt-r-hosts".into(), pod: "external".into(), ..HostPod::default() };
        let hosts = Hosts { external: Some(external), ..Hosts::default() };
        let targets = Targets::new(&world, &names, &hosts, "cluster.local");
        let all = cells(&world, &[Family::Ipv4]);
        let of = |from: &str, to: &str, via: Via| {
            let cell = all
                .iter()
                .find(|c| {
                    c.via == via
                        && world.name(c.from).to_string() == from
                        && world.name(c.to).to_string() == to
                })
                .unwrap();
            targets.probe(0, cell).unwrap()
        };
        let direct = of("x/a", "x/a", Via::PodIp);
        assert_eq!(
            (direct.to, direct.expect),
            (Target::Ip("10.244.0.2".parse().unwrap()), vec!["verdikt-r1-x/a".to_owned()])
        );
        let dns = of("x/a", "x/web", Via::Dns);
        let name = "web.verdikt-r1-x.svc.cluster.local.".to_owned();
        assert_eq!(dns.to, Target::Name { name, family: 4 });
        assert_eq!(dns.expect, ["verdikt-r1-x/a"]);
        let node_port = of("x/a", "x/np", Via::NodePort);
        assert_eq!((node_port.to, node_port.port), (Target::Ip("172.30.0.1".parse().unwrap()), 30_080));
        let outside = of("external/2", "x/a", Via::PodIp);
        assert_eq!(outside.from, Some("198.51.100.20".parse().unwrap()));
        let back = of("x/a", "external/2", Via::PodIp);
        assert_eq!(back.expect, ["verdikt-r-hosts/external"]);
    }

    #[test]
    fn a_cell_without_an_address_says_so() {
        let mut world = World::synthetic(&topology());
        let cell = Cell {
            from: EndpointId(0),
            to: EndpointId(0),
            via: Via::PodIp,
            family: Family::Ipv6,
            protocol: Protocol::Tcp,
            port: 80,
        };
        if let EndpointKind::Pod(pod) = &mut world.endpoints[0].kind {
            pod.ips.truncate(1);
        }
        let names = Names::default();
        let hosts = Hosts::default();
        let error = Targets::new(&world, &names, &hosts, "cluster.local").probe(0, &cell).unwrap_err();
        assert_eq!(error, "x/a has no ipv6 address");
    }
}
