//! The two ends of one connection, as one reading of the specification sees them.

use std::net::IpAddr;

use verdikt_model::{EndpointId, EndpointKind, Family, PortProtocol};

use crate::{compile::PodIndex, oracle::Oracle};

/// How pods on the host's network are seen (N42).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Option (a): as any other pod.
    AsPods,
    /// Option (b): no selector finds them, and their traffic is their node's.
    AsNodes,
}

impl Reading {
    pub(crate) const BOTH: [Self; 2] = [Self::AsPods, Self::AsNodes];

    /// Begins a reason that holds for this reading only.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::AsPods => "if hostNetwork pods count as pods: ",
            Self::AsNodes => "if hostNetwork pods count as their node: ",
        }
    }
}

/// What stands at one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A pod that policies apply to.
    Pod(PodIndex),
    /// A node; which one is `None` while unknown.
    Node(Option<u16>),
    /// A host outside the cluster.
    External,
}

/// How a destination's address was found. It says which statement leaves an `ipBlock` open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// By the pod's, node's or host's own address.
    Direct,
    /// Through a Service, whose address is rewritten on the way.
    Service,
    /// Through a Service, as the source's policy sees it before its address is rewritten.
    ServiceAddress,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// What it is.
    pub(crate) role: Role,
    /// The address that policies see; `None` while unknown.
    pub(crate) ip: Option<IpAddr>,
    /// Whose end it is, for reasons.
    pub(crate) who: Who,
}

/// Whose end it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// A pod, of the matrix or not.
    Pod(PodIndex),
    /// A node or an external host of the matrix.
    Endpoint(EndpointId),
}

/// One connection, as policies at its ends see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connection {
    /// Who connects.
    pub(crate) from: End,
    /// Who is reached.
    pub(crate) to: End,
    /// The port and protocol at the destination.
    pub(crate) port: PortProtocol,
    /// How the destination's address was found.
    pub(crate) path: Path,
}

impl End {
    /// An end of which nothing is known: no selector finds it, any block may hold it, it may be any node.
    pub(crate) const fn somewhere(self) -> Self {
        Self { role: Role::Node(None), ip: None, who: self.who }
    }
}

impl Oracle<'_> {
    /// A pod as an end.
    pub(crate) fn pod_end(&self, pod: PodIndex, family: Family, reading: Reading) -> End {
        let facts = self.pods.get(pod);
        let role = match reading {
            Reading::AsNodes if facts.host_network => Role::Node(facts.node),
            _ => Role::Pod(pod),
        };
        End { role, ip: facts.ip(family), who: Who::Pod(pod) }
    }

    /// A pod, node or external host of the matrix as an end; `None` for a Service.
    pub(crate) fn end(&self, id: EndpointId, family: Family, reading: Reading) -> Option<End> {
        let role = match &self.world.endpoint(id).kind {
            EndpointKind::Pod(_) => return self.pod_of(id).map(|pod| self.pod_end(pod, family, reading)),
            EndpointKind::Node { node, .. } => Role::Node(Some(*node)),
            EndpointKind::External { .. } => Role::External,
            EndpointKind::Service(_) | EndpointKind::Dns(_) => return None,
        };
        Some(End { role, ip: self.world.ip(id, family), who: Who::Endpoint(id) })
    }

    /// An end's name.
    pub(crate) fn who(&self, end: &End) -> String {
        match end.who {
            Who::Pod(pod) => self.pod_name(pod),
            Who::Endpoint(id) => self.world.name(id).to_string(),
        }
    }

    /// A pod's name, `NAMESPACE/NAME`.
    pub(crate) fn pod_name(&self, pod: PodIndex) -> String {
        let facts = self.pods.get(pod);
        format!("{}/{}", facts.namespace, facts.name)
    }
}
