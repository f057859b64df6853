//! Topology: the namespaces, pods, Services and extra endpoints of a scenario, by logical name.

use std::collections::{BTreeMap, BTreeSet};

use crate::{endpoint::EndpointName, net::PortProtocol, net::Via};

/// The label that names a namespace, on every namespace (statement N36).
pub const METADATA_NAME: &str = "kubernetes.io/metadata.name";

/// What stands in a cluster before the first step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topology {
    /// Namespaces by logical name.
    pub namespaces: BTreeMap<String, NamespaceSpec>,
    /// Endpoints that are no pods of the scenario: `dns`, `external`, `external/2`, `node/1`.
    pub endpoints: BTreeMap<EndpointName, ExtraEndpoint>,
}

/// One namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceSpec {
    /// Labels besides `kubernetes.io/metadata.name`.
    pub labels: BTreeMap<String, String>,
    /// Pods by logical name.
    pub pods: BTreeMap<String, PodSpec>,
    /// Services by name.
    pub services: BTreeMap<String, ServiceSpec>,
}

/// One pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodSpec {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What it listens on; the topology's `serve` already applied where the pod has none of its own.
    pub serve: Serve,
    /// Where it runs.
    pub placement: Placement,
    /// Whether it uses its node's network.
    pub host_network: bool,
    /// Whether its processes are root; only where it uses its node's network.
    pub root: bool,
    /// Whether it is not there before a step starts it.
    pub late: bool,
    /// When it is started, it is made again until it has the address that this pod had.
    pub address_of: Option<EndpointName>,
    /// For how many seconds it goes on serving once it has been told to end.
    pub linger_s: u16,
    /// What a sidecar of it (an init container with restartPolicy Always) listens on.
    pub sidecar: Serve,
}

/// Ports on which an endpoint listens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serve {
    /// Ports with their protocols.
    pub ports: BTreeSet<PortProtocol>,
    /// Named container ports: name → port. Each is also in `ports` or `http`.
    pub names: BTreeMap<String, PortProtocol>,
    /// TCP ports that speak HTTP. They have no cells: `http` checks ask them.
    pub http: BTreeSet<u16>,
}

/// Where a pod runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Placement {
    /// Wherever the scheduler puts it.
    #[default]
    Any,
    /// On the n-th node, counted from 1.
    Node(u16),
    /// On the node of another pod (`same-as x/a`).
    SameAs(EndpointName),
    /// On another node than another pod (`other-than x/a`).
    OtherThan(EndpointName),
}

/// One Service. Its pods are those of its namespace that carry every label of `selector`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceSpec {
    /// Labels of the pods behind it.
    pub selector: BTreeMap<String, String>,
    /// Pods behind it that an EndpointSlice of the scenario names; only without a selector.
    pub pods: Vec<EndpointName>,
    /// The Service that it is another name of; only with [`ServiceKind::ExternalName`].
    pub alias: Option<EndpointName>,
    /// Its ports.
    pub ports: Vec<ServicePortSpec>,
    /// ClusterIP, headless, NodePort or ExternalName.
    pub kind: ServiceKind,
    /// The paths over which its cells are probed.
    pub via: BTreeSet<Via>,
}

/// What kind of Service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceKind {
    /// A virtual address.
    ClusterIp,
    /// No virtual address: the name resolves to the pods' addresses.
    Headless,
    /// No address at all: the name is another name of a Service of the scenario.
    ExternalName,
    /// A port on every node; `local` is externalTrafficPolicy Local.
    NodePort {
        /// externalTrafficPolicy: Local (true) or Cluster (false).
        local: bool,
    },
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePortSpec {
    /// The Service's port and protocol.
    pub port: PortProtocol,
    /// The pods' port.
    pub target: TargetPort,
}

/// The pods' port behind a Service port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetPort {
    /// By number.
    Number(u16),
    /// By name, resolved on each pod.
    Name(String),
}

/// An endpoint that is no pod of the scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtraEndpoint {
    /// What it listens on: nothing by default for a node; the topology's `serve` for an external host;
    /// 53/udp and 53/tcp, always, for `dns`.
    pub serve: Serve,
}

impl Topology {
    /// Labels of its namespaces, `kubernetes.io/metadata.name` included (statement N36).
    pub fn namespace_labels(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        self.namespaces
            .iter()
            .map(|(name, spec)| {
                let mut labels = spec.labels.clone();
                labels.insert(METADATA_NAME.to_owned(), name.clone());
                (name.clone(), labels)
            })
            .collect()
    }

    /// All pods: (namespace, name, pod).
    pub fn pods(&self) -> impl Iterator<Item = (&str, &str, &PodSpec)> {
        self.namespaces
            .iter()
            .flat_map(|(ns, spec)| spec.pods.iter().map(move |(name, pod)| (ns.as_str(), name.as_str(), pod)))
    }

    /// All Services: (namespace, name, service).
    pub fn services(&self) -> impl Iterator<Item = (&str, &str, &ServiceSpec)> {
        self.namespaces.iter().flat_map(|(ns, spec)| {
            spec.services.iter().map(move |(name, svc)| (ns.as_str(), name.as_str(), svc))
        })
    }
}
