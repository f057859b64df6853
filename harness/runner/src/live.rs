//! The world as it stands in a cluster: real addresses under logical names.

use std::collections::{BTreeMap, BTreeSet};

use verdikt_cluster::{DNS_NAMESPACE, Deployment, DnsFacts, Hello, HostPod};
use verdikt_model::{
    Cell, Endpoint, EndpointId, EndpointKind, EndpointName, METADATA_NAME, PodFacts, PodPhase, PortProtocol,
    Protocol, Serve, ServiceFacts, ServiceKind, ServicePortFacts, TargetPort, Topology, Via, World,
};

use crate::facts::Facts;

/// Pods that stand for the hosts of one lane.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    /// By node, counted from 1.
    pub(crate) nodes: BTreeMap<u16, HostPod>,
    /// The external host's; `None` when the cluster has none.
    pub(crate) external: Option<HostPod>,
}

/// The world of a deployment before the first policy. Endpoints stand in the order of [`World::synthetic`].
pub(crate) fn world(
    facts: &Facts,
    topology: &Topology,
    deployment: &Deployment,
    hosts: &Hosts,
    dns: Option<&DnsFacts>,
) -> World {
    let mut world = World {
        nodes: facts.nodes.iter().map(|node| node.ips.clone()).collect(),
        pod_cidrs: facts.pod_cidrs(),
        service_cidrs: facts.service_cidrs.clone(),
        namespaces: topology.namespace_labels(),
        ..World::default()
    };
    for (namespace, name, spec) in topology.pods() {
        let deployed = deployment.pods.get(&(namespace.to_owned(), name.to_owned()));
        world.endpoints.push(Endpoint {
            name: EndpointName::pod(namespace, name),
            kind: EndpointKind::Pod(PodFacts {
                node: deployed.and_then(|pod| facts.node_index(&pod.node)),
                ips: deployed.map(|pod| pod.ips.clone()).unwrap_or_default(),
                ..PodFacts::undeployed(namespace, name, spec)
            }),
        });
    }
    for (namespace, name, spec) in topology.services() {
        let deployed = deployment.services.get(&(namespace.to_owned(), name.to_owned()));
        let mut service = ServiceFacts::undeployed(namespace, name, spec);
        if let Some(deployed) = deployed {
            service.cluster_ips.clone_from(&deployed.cluster_ips);
            for (port, number) in service.ports.iter_mut().zip(&deployed.node_ports) {
                port.node_port = *number;
            }
        }
        world.endpoints.push(Endpoint {
            name: EndpointName::service(namespace, name),
            kind: EndpointKind::Service(service),
        });
    }
    for (name, extra) in &topology.endpoints {
        let kind = match name {
            EndpointName::Node(n) => {
                EndpointKind::Node { node: n.saturating_sub(1), serve: extra.serve.clone() }
            }
            EndpointName::External(n) => {
                let ips = match facts.given(*n).filter(|_| !facts.has_external()) {
                    Some(given) => given.ips.clone(),
                    None => external(*n, hosts.external.as_ref(), &extra.serve),
                };
                EndpointKind::External { ips, serve: extra.serve.clone() }
            }
            EndpointName::Dns => EndpointKind::Dns(dns_service(&mut world, facts, dns)),
            EndpointName::Pod { .. } | EndpointName::Service { .. } => continue,
        };
        world.endpoints.push(Endpoint { name: name.clone(), kind });
    }
    world
}

/// Addresses of an external endpoint. Where there is none, those of the documentation's ranges: its cells exist
/// then, and are skipped with the reason.
fn external(n: u16, pod: Option<&HostPod>, serve: &Serve) -> Vec<std::net::IpAddr> {
    let told = pod.map(|pod| pod.ips.as_slice()).unwrap_or_default();
    let own: Vec<_> = told.chunks(2).nth(usize::from(n) - 1).unwrap_or_default().to_vec();
    if !own.is_empty() {
        return own;
    }
    let topology = Topology {
        endpoints: [(EndpointName::External(n), verdikt_model::ExtraEndpoint { serve: serve.clone() })]
            .into(),
        ..Topology::default()
    };
    World::synthetic(&topology)
        .endpoints
        .into_iter()
        .find_map(|endpoint| match endpoint.kind {
            EndpointKind::External { ips, .. } => Some(ips),
            _ => None,
        })
        .unwrap_or_default()
}

/// The cluster's DNS as an endpoint; its namespace and pods become part of the world.
fn dns_service(world: &mut World, facts: &Facts, dns: Option<&DnsFacts>) -> ServiceFacts {
    let dns = dns.cloned().unwrap_or_default();
    let mut labels = dns.namespace_labels.clone();
    labels.insert(METADATA_NAME.to_owned(), DNS_NAMESPACE.to_owned());
    world.namespaces.insert(DNS_NAMESPACE.to_owned(), labels);
    for pod in &dns.pods {
        world.other_pods.push(PodFacts {
            namespace: DNS_NAMESPACE.to_owned(),
            name: pod.name.clone(),
            labels: pod.labels.clone(),
            made_with: pod.labels.clone(),
            named_ports: pod.named_ports.clone(),
            serve: Serve { ports: pod.ports.iter().copied().collect(), ..Serve::default() },
            node: facts.node_index(&pod.node),
            host_network: pod.host_network,
            ips: pod.ips.clone(),
            phase: PodPhase::Running,
        });
    }
    // Without a Service the cells still exist, and are skipped with the reason.
    let standard = || {
        let port = |protocol| (PortProtocol { port: 53, protocol }, TargetPort::Number(53));
        vec![port(Protocol::Udp), port(Protocol::Tcp)]
    };
    let ports = if dns.ports.is_empty() { standard() } else { dns.ports };
    ServiceFacts {
        namespace: DNS_NAMESPACE.to_owned(),
        name: "kube-dns".to_owned(),
        selector: dns.selector,
        pods: Vec::new(),
        alias: None,
        ports: ports
            .into_iter()
            .map(|(port, target)| ServicePortFacts { port, target, node_port: None })
            .collect(),
        kind: ServiceKind::ClusterIp,
        via: [Via::ClusterIp].into(),
        cluster_ips: dns.cluster_ips,
    }
}

/// Why some cells of a lane cannot be measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gaps {
    /// Endpoints that are not there, with the reason.
    pub(crate) missing: BTreeMap<EndpointId, String>,
    /// Hosts outside that the user has named, with the TCP ports on which they answer.
    pub(crate) given: BTreeMap<EndpointId, BTreeSet<u16>>,
    /// Endpoints without SCTP, with the reason.
    pub(crate) no_sctp: BTreeMap<EndpointId, String>,
    /// Endpoints that cannot send ICMP echo requests, with the reason.
    pub(crate) no_icmp: BTreeMap<EndpointId, String>,
}

impl Gaps {
    /// Why a cell of a world is skipped; `None` when it can be measured.
    pub(crate) fn reason(&self, world: &World, cell: &Cell) -> Option<String> {
        let ends = [cell.from, cell.to];
        if let Some(why) = ends.iter().find_map(|end| self.missing.get(end)) {
            return Some(why.clone());
        }
        if let EndpointKind::Service(service) = &world.endpoint(cell.to).kind {
            if cell.via == Via::OtherNodePort && world.other_node(service).is_none() {
                let name = world.name(cell.to);
                return Some(format!("every node has a pod behind {name}: there is none without one to ask"));
            }
            if !self.missing.is_empty() {
                let missing = |pod: &&PodFacts| {
                    self.missing.get(&world.find(&EndpointName::pod(&pod.namespace, &pod.name))?)
                };
                if let Some(why) = world.backends(service).iter().find_map(missing) {
                    return Some(why.clone());
                }
            }
        }
        if self.given.contains_key(&cell.from) {
            return Some(
                "a host that --external names only answers; nothing can be probed from it".to_owned(),
            );
        }
        if let Some(ports) = self.given.get(&cell.to)
            && !(cell.protocol == Protocol::Tcp && ports.contains(&cell.port))
        {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            let answers = ports.join(", ");
            return Some(format!("the host that --external names answers on TCP port {answers} only"));
        }
        match cell.protocol {
            Protocol::Sctp => {
                let why = ends.iter().find_map(|end| self.no_sctp.get(end))?;
                Some(format!("no SCTP in this kernel: {why}"))
            }
            Protocol::Icmp => {
                let why = self.no_icmp.get(&cell.from)?;
                Some(format!("no ICMP echo from there: {why}"))
            }
            Protocol::Tcp | Protocol::Udp => None,
        }
    }

    /// Notes what an endpoint has said of itself.
    pub(crate) fn greeted(&mut self, id: EndpointId, hello: &Hello) {
        if let Some(why) = &hello.no_sctp {
            self.no_sctp.insert(id, why.clone());
        }
        if let Some(why) = &hello.no_icmp {
            self.no_icmp.insert(id, why.clone());
        }
    }
}
