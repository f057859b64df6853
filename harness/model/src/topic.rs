//! Topics: what verdicts turn on where dataplanes are known to differ.
//!
//! The oracle says of a cell which topics decide it, the record keeps that, and a comparison groups by it.

mod evidence;
mod set;

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    evidence::{EVIDENCE, Evidence, evidence},
    set::Topics,
};
use crate::net::{ParseWordError, words};

words! {
    /// Something that dataplanes do differently.
    Topic, "topic", "a word of docs/record.md",
    /// Whether an ipBlock matches the addresses of pods.
    IpBlockPods = "ipblock-pods",
    /// Whether an ipBlock matches the addresses of nodes.
    IpBlockNodes = "ipblock-nodes",
    /// What a CIDR with host bits means.
    HostBits = "host-bits",
    /// Whether an egress policy sees a Service's address and port, or a node's and its node port, or the backend's.
    ServiceAddresses = "service-addresses",
    /// Whether a pod reaches itself through its own Service.
    OwnService = "own-service",
    /// Whom an ingress policy sees as the client of a node port.
    NodePorts = "node-ports",
    /// Whether a pod that is isolated for egress reaches its own node.
    ToOwnNode = "to-own-node",
    /// Which processes of a node reach its isolated pods.
    FromOwnNode = "from-own-node",
    /// Whether pods on their node's network count as pods.
    HostNetwork = "host-network",
    /// Whether policies concern ICMP.
    Icmp = "icmp",
    /// Which ports a port's name opens.
    NamedPorts = "named-ports",
    /// What a port's name means in an egress rule without peers.
    EgressPortNames = "egress-port-names",
    /// Whether a range of ports is one.
    EndPort = "end-port",
    /// Whether rules for SCTP are enforced.
    Sctp = "sctp",
    /// What becomes of connections that exist when a policy changes.
    Established = "established",
    /// Whether a new pod is isolated from its first packet on.
    StartUp = "start-up",
    /// Whether what is denied is met with silence or refused.
    DenialSignal = "denial-signal",
    /// Whether policies are enforced at all.
    Enforcement = "enforcement"
}

impl Topic {
    /// What it is about, as a heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::IpBlockPods => "ipBlock and the addresses of pods",
            Self::IpBlockNodes => "ipBlock and the addresses of nodes",
            Self::HostBits => "a CIDR with host bits",
            Self::ServiceAddresses => "an egress policy and a Service's address",
            Self::OwnService => "a pod and itself, through its own Service",
            Self::NodePorts => "node ports and the client's address",
            Self::ToOwnNode => "from a pod to its own node",
            Self::FromOwnNode => "from a node to its own pods",
            Self::HostNetwork => "pods on their node's network",
            Self::Icmp => "ICMP echo",
            Self::NamedPorts => "named ports",
            Self::EgressPortNames => "named ports in egress rules without peers",
            Self::EndPort => "ranges of ports (endPort)",
            Self::Sctp => "SCTP",
            Self::Established => "connections that exist when a policy changes",
            Self::StartUp => "the first packets of a new pod",
            Self::DenialSignal => "what a denied connection looks like",
            Self::Enforcement => "whether policies are enforced",
        }
    }

    /// The statement of the specification that decides it, or leaves it open; `None` when no statement speaks of it.
    pub const fn statement(self) -> Option<&'static str> {
        Some(match self {
            Self::IpBlockPods | Self::IpBlockNodes | Self::HostBits => "N20",
            Self::ServiceAddresses | Self::OwnService | Self::NodePorts => "N21",
            Self::ToOwnNode | Self::FromOwnNode => "N5",
            Self::HostNetwork => "N42",
            Self::Icmp => "N31",
            Self::NamedPorts | Self::EgressPortNames => "N24",
            Self::EndPort => "N33",
            Self::Sctp => "N32",
            Self::Established => "N41",
            Self::StartUp => "N38",
            Self::DenialSignal => return None,
            Self::Enforcement => "N3",
        })
    }

    /// Whether the specification leaves it open: then no side of a difference is wrong.
    pub const fn is_open(self) -> bool {
        !matches!(
            self,
            Self::FromOwnNode
                | Self::NamedPorts
                | Self::EndPort
                | Self::Sctp
                | Self::StartUp
                | Self::Enforcement
        )
    }
}
