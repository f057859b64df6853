//! The world in which cells are judged: addresses, labels, ports and policies as they stand at one moment.
//!
//! Names and labels are logical ones, as the scenario writes them; `kubernetes.io/metadata.name` of a
//! namespace is its logical name. The runner fills a world from a live cluster, [`World::synthetic`] from a
//! topology alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::NetworkPolicy;

use crate::{
    METADATA_NAME,
    cell::EndpointId,
    endpoint::EndpointName,
    net::{Family, PortProtocol, Protocol, Via},
    scenario::{Action, PodChange, PolicyObject},
    topology::{Placement, PodSpec, Serve, ServiceKind, ServicePortSpec, ServiceSpec, TargetPort, Topology},
    vars::{self, VariableError},
};

/// Everything the oracle looks at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    /// Labels of every namespace, by logical name, `kubernetes.io/metadata.name` included.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Who can be at the end of a cell; an [`EndpointId`] is an index into it. At most 65,536.
    pub endpoints: Vec<Endpoint>,
    /// Pods that are no endpoints of the matrix but stand behind a Service, such as those of kube-dns.
    pub other_pods: Vec<PodFacts>,
    /// Addresses of each node.
    pub nodes: Vec<Vec<IpAddr>>,
    /// Pod address ranges, where they are known.
    pub pod_cidrs: Vec<IpNet>,
    /// Service address ranges, where they are known.
    pub service_cidrs: Vec<IpNet>,
    /// NetworkPolicies in force, with logical namespaces and with variables filled in.
    pub policies: Vec<NetworkPolicy>,
    /// Whether a policy object of another kind than NetworkPolicy is or was in force, of which the oracle knows
    /// nothing.
    pub foreign: bool,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Its name.
    pub name: EndpointName,
    /// What it is.
    pub kind: EndpointKind,
}

/// What an endpoint is.
#[derive(Debug, Clone, PartialEq)]
pub enum EndpointKind {
    /// A pod.
    Pod(PodFacts),
    /// A node's own network.
    Node {
        /// Index into [`World::nodes`].
        node: u16,
        /// What it listens on.
        serve: Serve,
    },
    /// A host outside the cluster.
    External {
        /// Its addresses.
        ips: Vec<IpAddr>,
        /// What it listens on.
        serve: Serve,
    },
    /// A Service of the scenario.
    Service(ServiceFacts),
    /// The cluster's DNS Service; its cells are DNS queries.
    Dns(ServiceFacts),
}

/// A pod as the oracle sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Logical namespace.
    pub namespace: String,
    /// Logical name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Labels with which it is made, and made again; steps may have changed [`Self::labels`] since.
    pub made_with: BTreeMap<String, String>,
    /// Declared container ports that have a name.
    pub named_ports: Vec<NamedPort>,
    /// What it listens on.
    pub serve: Serve,
    /// Index into [`World::nodes`] of the node it runs on; `None` while unknown.
    pub node: Option<u16>,
    /// Whether it uses its node's network.
    pub host_network: bool,
    /// Its addresses, at most one of each family.
    pub ips: Vec<IpAddr>,
    /// Whether it is there.
    pub phase: PodPhase,
}

/// Whether a pod is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PodPhase {
    /// Not made yet, completed or gone.
    Absent,
    /// It runs.
    #[default]
    Running,
    /// It has been told to end, and still runs.
    Terminating,
}

/// A named container port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// Its number and protocol.
    pub port: PortProtocol,
}

/// A Service as the oracle sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Logical namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels of the pods behind it. Empty selects no pod.
    pub selector: BTreeMap<String, String>,
    /// Pods behind it that are named one by one.
    pub pods: Vec<EndpointName>,
    /// The Service that it is another name of.
    pub alias: Option<EndpointName>,
    /// Its ports.
    pub ports: Vec<ServicePortFacts>,
    /// What kind it is.
    pub kind: ServiceKind,
    /// Paths over which its cells are probed.
    pub via: BTreeSet<Via>,
    /// Cluster IPs, at most one of each family; none for a headless Service.
    pub cluster_ips: Vec<IpAddr>,
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePortFacts {
    /// The Service's port and protocol.
    pub port: PortProtocol,
    /// The pods' port.
    pub target: TargetPort,
    /// The node port, for a NodePort Service.
    pub node_port: Option<u16>,
}

impl ServiceFacts {
    /// A Service as its topology has it, before it is deployed: without cluster IPs and node ports.
    pub fn undeployed(namespace: &str, name: &str, spec: &ServiceSpec) -> Self {
        let port = |port: &ServicePortSpec| ServicePortFacts {
            port: port.port,
            target: port.target.clone(),
            node_port: None,
        };
        Self {
            namespace: namespace.into(),
            name: name.into(),
            selector: spec.selector.clone(),
            pods: spec.pods.clone(),
            alias: spec.alias.clone(),
            ports: spec.ports.iter().map(port).collect(),
            kind: spec.kind,
            via: spec.via.clone(),
            cluster_ips: Vec::new(),
        }
    }
}

impl PodFacts {
    /// A pod as its topology has it, before it is deployed: without a node and addresses.
    pub fn undeployed(namespace: &str, name: &str, spec: &PodSpec) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            labels: spec.labels.clone(),
            made_with: spec.labels.clone(),
            named_ports: [&spec.serve, &spec.sidecar].into_iter().flat_map(named_ports).collect(),
            serve: Serve {
                ports: spec.serve.ports.union(&spec.sidecar.ports).copied().collect(),
                ..spec.serve.clone()
            },
            node: None,
            host_network: spec.host_network,
            ips: Vec::new(),
            phase: if spec.late { PodPhase::Absent } else { PodPhase::Running },
        }
    }

    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        self.phase != PodPhase::Absent
    }

    /// The pod's address of a family.
    pub fn ip(&self, family: Family) -> Option<IpAddr> {
        self.ips.iter().copied().find(|ip| Family::of(*ip) == family)
    }

    /// The number behind a target port on this pod, for a protocol.
    pub fn resolve(&self, target: &TargetPort, protocol: Protocol) -> Option<u16> {
        match target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => self.numbers_of(name, protocol).next(),
        }
    }

    /// The ports that its containers give a name, those of the main container first. A name is unique within a
    /// container, not within a pod.
    pub fn numbers_of(&self, name: &str, protocol: Protocol) -> impl Iterator<Item = u16> {
        let named = self.named_ports.iter();
        named
            .filter(move |named| named.name == name && named.port.protocol == protocol)
            .map(|named| named.port.port)
    }
}

impl World {
    /// An endpoint by its index.
    ///
    /// # Panics
    /// If the index is not of this world.
    pub fn endpoint(&self, id: EndpointId) -> &Endpoint {
        &self.endpoints[usize::from(id.0)]
    }

    /// An endpoint's name by its index.
    pub fn name(&self, id: EndpointId) -> &EndpointName {
        &self.endpoint(id).name
    }

    /// Finds an endpoint by name.
    pub fn find(&self, name: &EndpointName) -> Option<EndpointId> {
        self.endpoints
            .iter()
            .position(|e| e.name == *name)
            .and_then(|i| u16::try_from(i).ok())
            .map(EndpointId)
    }

    /// A pod of the matrix by its index; `None` when the endpoint is no pod.
    pub fn pod(&self, id: EndpointId) -> Option<&PodFacts> {
        match &self.endpoint(id).kind {
            EndpointKind::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    /// Every pod: those of the matrix, then the others.
    pub fn pods(&self) -> impl Iterator<Item = &PodFacts> {
        self.endpoints
            .iter()
            .filter_map(|e| match &e.kind {
                EndpointKind::Pod(pod) => Some(pod),
                _ => None,
            })
            .chain(&self.other_pods)
    }

    /// The pods behind a Service.
    pub fn backends<'w>(&'w self, service: &ServiceFacts) -> Vec<&'w PodFacts> {
        if let Some(target) = service.alias.as_ref().and_then(|name| self.service(name)) {
            return self.backends(target);
        }
        let running = |pod: &&PodFacts| pod.phase == PodPhase::Running;
        if service.selector.is_empty() {
            let named =
                |pod: &&PodFacts| service.pods.contains(&EndpointName::pod(&pod.namespace, &pod.name));
            return self.pods().filter(running).filter(named).collect();
        }
        self.pods()
            .filter(|pod| {
                running(pod)
                    && pod.namespace == service.namespace
                    && service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
            })
            .collect()
    }

    /// The node that a Service's cells over [`Via::OtherNodePort`] dial: the first one that has none of its pods; `None`
    /// where every node has one.
    pub fn other_node(&self, service: &ServiceFacts) -> Option<u16> {
        let taken: Vec<Option<u16>> = self.backends(service).iter().map(|pod| pod.node).collect();
        let nodes = u16::try_from(self.nodes.len()).unwrap_or(u16::MAX);
        (0..nodes).find(|node| !taken.contains(&Some(*node)))
    }

    /// A Service of the matrix by name.
    fn service(&self, name: &EndpointName) -> Option<&ServiceFacts> {
        match &self.endpoint(self.find(name)?).kind {
            EndpointKind::Service(service) => Some(service),
            _ => None,
        }
    }

    /// An endpoint's own address of a family, while it is there; a Service's is its cluster IP, or that of the Service
    /// that it is another name of.
    pub fn ip(&self, id: EndpointId, family: Family) -> Option<IpAddr> {
        let of = |ips: &[IpAddr]| ips.iter().copied().find(|ip| Family::of(*ip) == family);
        match &self.endpoint(id).kind {
            EndpointKind::Pod(pod) => of(&pod.ips).filter(|_| pod.is_there()),
            EndpointKind::Node { node, .. } => of(self.nodes.get(usize::from(*node))?),
            EndpointKind::External { ips, .. } => of(ips),
            EndpointKind::Service(service) | EndpointKind::Dns(service) => {
                of(&service.alias.as_ref().and_then(|name| self.service(name)).unwrap_or(service).cluster_ips)
            }
        }
    }

    /// Makes a change. An object that is no NetworkPolicy only sets [`World::foreign`]: the oracle does not know it.
    ///
    /// # Errors
    /// A `${…}` variable that this world cannot fill in.
    pub fn apply(&mut self, action: &Action) -> Result<(), VariableError> {
        match action {
            Action::Apply(PolicyObject::NetworkPolicy(policy)) => {
                let policy = vars::substitute(policy, self)?;
                self.policies.retain(|have| !same_object(have, &policy));
                self.policies.push(policy);
            }
            Action::Apply(PolicyObject::Other(_)) => self.foreign = true,
            Action::Delete(object) => {
                if object.kind == "NetworkPolicy" && object.api_version == "networking.k8s.io/v1" {
                    self.policies.retain(|have| {
                        have.metadata.namespace != object.namespace
                            || have.metadata.name.as_deref() != Some(object.name.as_str())
                    });
                }
            }
            Action::LabelPod { namespace, pod, labels } => {
                for endpoint in &mut self.endpoints {
                    if let EndpointKind::Pod(facts) = &mut endpoint.kind
                        && facts.namespace == *namespace
                        && facts.name == *pod
                    {
                        relabel(&mut facts.labels, labels);
                    }
                }
            }
            Action::LabelNamespace { namespace, labels } => {
                if let Some(have) = self.namespaces.get_mut(namespace) {
                    relabel(have, labels);
                }
            }
            Action::Pod { namespace, pod, change } => {
                let name = EndpointName::pod(namespace, pod);
                let found = self.endpoints.iter_mut().find(|endpoint| endpoint.name == name);
                if let Some(Endpoint { kind: EndpointKind::Pod(facts), .. }) = found {
                    if *change == PodChange::Start {
                        // Labels of a pod go with it.
                        facts.labels.clone_from(&facts.made_with);
                    }
                    facts.phase = match change {
                        PodChange::Start => PodPhase::Running,
                        PodChange::Terminate => PodPhase::Terminating,
                        PodChange::Complete | PodChange::Remove => PodPhase::Absent,
                    };
                }
            }
        }
        Ok(())
    }

    /// A world made from a topology alone, with the sandbox's address plan and two nodes: what `expect` and
    /// `explain` judge without a cluster. Unplaced pods go to the two nodes in turn.
    pub fn synthetic(topology: &Topology) -> Self {
        let node_ips = |n: u16| -> Vec<IpAddr> {
            vec![
                Ipv4Addr::new(172, 30, 0, n as u8).into(),
                Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, n).into(),
            ]
        };
        let mut world = Self {
            nodes: vec![node_ips(1), node_ips(2)],
            pod_cidrs: [SYNTHETIC_POD_CIDRS[0], SYNTHETIC_POD_CIDRS[1]].map(parse_net).into(),
            service_cidrs: [SYNTHETIC_SERVICE_CIDRS[0], SYNTHETIC_SERVICE_CIDRS[1]].map(parse_net).into(),
            ..Self::default()
        };
        world.namespaces = topology.namespace_labels();
        let mut placed: BTreeMap<EndpointName, u16> = BTreeMap::new();
        let mut count = [0_u16; 2];
        for (index, (namespace, name, spec)) in topology.pods().enumerate() {
            let other = |of: &EndpointName| placed.get(of).copied().unwrap_or_default();
            let node = match &spec.placement {
                Placement::Any => (index % 2) as u16,
                Placement::Node(n) => n.saturating_sub(1).min(1),
                Placement::SameAs(of) => other(of),
                Placement::OtherThan(of) => 1 - other(of).min(1),
            };
            placed.insert(EndpointName::pod(namespace, name), node);
            count[usize::from(node)] += 1;
            let host = count[usize::from(node)] + 1;
            let ips = if spec.host_network {
                world.nodes[usize::from(node)].clone()
            } else {
                vec![
                    Ipv4Addr::new(10, 244, node as u8 * 16 + (host >> 8) as u8, host as u8).into(),
                    Ipv6Addr::new(0xfd00, 0x10, 0x244, node, 0, 0, 0, host).into(),
                ]
            };
            world.endpoints.push(Endpoint {
                name: EndpointName::pod(namespace, name),
                kind: EndpointKind::Pod(PodFacts {
                    node: Some(node),
                    ips,
                    ..PodFacts::undeployed(namespace, name, spec)
                }),
            });
        }
        for (index, (namespace, name, spec)) in topology.services().enumerate() {
            let n = (index + 100) as u16;
            let mut facts = ServiceFacts::undeployed(namespace, name, spec);
            match spec.kind {
                ServiceKind::Headless | ServiceKind::ExternalName => {}
                _ => facts.cluster_ips = service_ips(n),
            }
            if matches!(spec.kind, ServiceKind::NodePort { .. }) {
                for (port, number) in facts.ports.iter_mut().zip(30_080..) {
                    port.node_port = Some(number);
                }
            }
            world.endpoints.push(Endpoint {
                name: EndpointName::service(namespace, name),
                kind: EndpointKind::Service(facts),
            });
        }
        for (name, extra) in &topology.endpoints {
            let kind = match name {
                EndpointName::Node(n) => EndpointKind::Node { node: n - 1, serve: extra.serve.clone() },
                EndpointName::External(n) => EndpointKind::External {
                    ips: vec![
                        Ipv4Addr::new(198, 51, 100, 10 * (*n as u8)).into(),
                        Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0x100, 0, 0, 0, 10 * n).into(),
                    ],
                    serve: extra.serve.clone(),
                },
                EndpointName::Dns => EndpointKind::Dns(world.synthetic_dns()),
                EndpointName::Pod { .. } | EndpointName::Service { .. } => continue,
            };
            world.endpoints.push(Endpoint { name: name.clone(), kind });
        }
        world
    }

    /// kube-dns as the sandbox runs it: one pod in kube-system behind a Service.
    fn synthetic_dns(&mut self) -> ServiceFacts {
        let labels: BTreeMap<String, String> = [("k8s-app".to_owned(), "kube-dns".to_owned())].into();
        let named =
            |name: &str, protocol| NamedPort { name: name.into(), port: PortProtocol { port: 53, protocol } };
        self.namespaces
            .insert("kube-system".into(), [(METADATA_NAME.to_owned(), "kube-system".to_owned())].into());
        self.other_pods.push(PodFacts {
            namespace: "kube-system".into(),
            name: "kube-dns".into(),
            labels: labels.clone(),
            made_with: labels.clone(),
            named_ports: vec![named("dns", Protocol::Udp), named("dns-tcp", Protocol::Tcp)],
            serve: dns_serve(),
            node: Some(0),
            host_network: false,
            ips: vec![
                Ipv4Addr::new(10, 244, 15, 254).into(),
                Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 0xfffe).into(),
            ],
            phase: PodPhase::Running,
        });
        ServiceFacts {
            namespace: "kube-system".into(),
            name: "kube-dns".into(),
            selector: labels,
            pods: Vec::new(),
            alias: None,
            ports: dns_serve()
                .ports
                .into_iter()
                .map(|port| ServicePortFacts { port, target: TargetPort::Number(53), node_port: None })
                .collect(),
            kind: ServiceKind::ClusterIp,
            via: [Via::ClusterIp].into(),
            cluster_ips: service_ips(10),
        }
    }
}

const SYNTHETIC_POD_CIDRS: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];
const SYNTHETIC_SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];

fn parse_net(text: &str) -> IpNet {
    text.parse().expect("a constant CIDR parses")
}

fn service_ips(n: u16) -> Vec<IpAddr> {
    vec![
        Ipv4Addr::new(10, 96, (n >> 8) as u8, n as u8).into(),
        Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, n).into(),
    ]
}

fn dns_serve() -> Serve {
    Serve {
        ports: [Protocol::Udp, Protocol::Tcp].map(|protocol| PortProtocol { port: 53, protocol }).into(),
        ..Serve::default()
    }
}

/// The named container ports of a pod that serves `serve`.
pub(crate) fn named_ports(serve: &Serve) -> Vec<NamedPort> {
    serve.names.iter().map(|(name, port)| NamedPort { name: name.clone(), port: *port }).collect()
}

fn same_object(a: &NetworkPolicy, b: &NetworkPolicy) -> bool {
    a.metadata.namespace == b.metadata.namespace && a.metadata.name == b.metadata.name
}

fn relabel(labels: &mut BTreeMap<String, String>, changes: &BTreeMap<String, Option<String>>) {
    for (key, value) in changes {
        match value {
            Some(value) => labels.insert(key.clone(), value.clone()),
            None => labels.remove(key),
        };
    }
}
