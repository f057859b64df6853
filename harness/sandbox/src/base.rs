//! Bases: the named sets of traits with which profiles begin.
//!
//! But for the reference each is named after a dataplane, and does what is documented of that dataplane's current
//! version with its default settings ([`verdikt_model::evidence`] has by whom). Of what nothing is documented, it does
//! as the reference. Times that are documented as seconds, or as a span of them, are 0.3 s here, so that nobody
//! waits.

use std::time::Duration;

use crate::traits::Traits;

/// A named set of traits, with which a profile begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Base {
    /// NetworkPolicy as the specification has it.
    #[default]
    Reference,
    /// Calico with its iptables or nftables dataplane.
    Calico,
    /// Calico with its eBPF dataplane.
    CalicoEbpf,
    /// Cilium.
    Cilium,
    /// Antrea.
    Antrea,
    /// kube-router.
    KubeRouter,
    /// OVN-Kubernetes.
    OvnKubernetes,
    /// AWS Network Policy Agent.
    Aws,
    /// Azure Network Policy Manager, on Linux.
    AzureNpm,
    /// kindnet, which is kube-network-policies.
    Kindnet,
    /// Weave Net.
    Weave,
    /// Accepts policies and enforces nothing, as Flannel alone does.
    Flannel,
}

/// What is documented as seconds.
const SHORTENED: Duration = Duration::from_millis(300);

impl Base {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Reference,
        Self::Calico,
        Self::CalicoEbpf,
        Self::Cilium,
        Self::Antrea,
        Self::KubeRouter,
        Self::OvnKubernetes,
        Self::Aws,
        Self::AzureNpm,
        Self::Kindnet,
        Self::Weave,
        Self::Flannel,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Calico => "calico",
            Self::CalicoEbpf => "calico-ebpf",
            Self::Cilium => "cilium",
            Self::Antrea => "antrea",
            Self::KubeRouter => "kube-router",
            Self::OvnKubernetes => "ovn-kubernetes",
            Self::Aws => "aws",
            Self::AzureNpm => "azure-npm",
            Self::Kindnet => "kindnet",
            Self::Weave => "weave",
            Self::Flannel => "flannel",
        }
    }

    /// What it is, in one line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Reference => "NetworkPolicy as the specification has it.",
            Self::Calico => "Calico with iptables or nftables; Canal as well.",
            Self::CalicoEbpf => "Calico with its eBPF dataplane.",
            Self::Cilium => "Cilium with its own Services; GKE Dataplane V2 as well.",
            Self::Antrea => "Antrea with AntreaProxy, from 1.15 on.",
            Self::KubeRouter => "kube-router; k3s as well. Its start-up gap is shortened.",
            Self::OvnKubernetes => "OVN-Kubernetes.",
            Self::Aws => "AWS Network Policy Agent in its standard mode. Its start-up gap is shortened.",
            Self::AzureNpm => "Azure Network Policy Manager on Linux. Its start-up gap is shortened.",
            Self::Kindnet => "kindnet, which is kube-network-policies. Its times are shortened.",
            Self::Weave => "Weave Net 2.8.",
            Self::Flannel => "Policies are accepted and not enforced, as with Flannel alone.",
        }
    }

    /// Whether it is named after a dataplane, which it emulates from documentation.
    pub fn is_emulation(self) -> bool {
        self != Self::Reference
    }

    /// Its traits.
    pub fn traits(self) -> Traits {
        let reference = Traits::default();
        match self {
            Self::Reference => reference,
            Self::Calico => Traits { polices_to_own_node: true, ..reference },
            Self::CalicoEbpf => Traits {
                polices_to_own_node: true,
                node_ports_keep_source: true,
                allows_own_service: true,
                ignores_sctp: true,
                ..reference
            },
            Self::Cilium => Traits {
                cuts_established: Some(Duration::ZERO),
                blocks_skip_pods: true,
                blocks_skip_nodes: true,
                polices_to_own_node: true,
                allows_own_service: true,
                ignores_port_names_of_sidecars: true,
                ignores_ambiguous_port_names: true,
                ignores_sctp: true,
                ..reference
            },
            Self::Antrea => Traits {
                polices_to_own_node: true,
                allows_own_service: true,
                ignores_port_names_of_sidecars: true,
                ..reference
            },
            Self::KubeRouter => Traits {
                start_delay: SHORTENED,
                rejects: true,
                allows_icmp: true,
                polices_to_own_node: true,
                ignores_port_names_of_sidecars: true,
                ignores_port_names_of_blocks: true,
                port_names_of_own_namespace: true,
                ..reference
            },
            Self::OvnKubernetes => Traits {
                cuts_established: Some(Duration::ZERO),
                allows_own_service: true,
                named_port_opens_all: true,
                selects_host_network: true,
                polices_to_own_node: true,
                ..reference
            },
            Self::Aws => Traits {
                start_delay: SHORTENED,
                egress_sees_services: true,
                merges_port_names: true,
                ignores_port_names_of_sidecars: true,
                ignores_port_names_of_blocks: true,
                ignores_port_names_without_peers: true,
                ..reference
            },
            Self::AzureNpm => Traits {
                start_delay: SHORTENED,
                trusts_node_ports: true,
                ignores_port_names_of_sidecars: true,
                ..reference
            },
            Self::Kindnet => Traits {
                start_delay: SHORTENED,
                cuts_established: Some(SHORTENED),
                // Of processes of root it does not, but probe pods are restricted, and so are not root's.
                polices_own_node: true,
                polices_to_own_node: true,
                ignores_port_names_of_sidecars: true,
                ..reference
            },
            Self::Weave => Traits {
                trusts_node_ports: true,
                refuses_port_names: true,
                ignores_end_port: true,
                ..reference
            },
            Self::Flannel => Traits { enforces_nothing: true, ..reference },
        }
    }
}

#[cfg(test)]
mod tests {
    use verdikt_model::{Topic, evidence};

    use super::*;

    #[test]
    fn what_a_base_does_otherwise_than_the_reference_is_documented() {
        for base in Base::ALL.iter().filter(|base| base.is_emulation()) {
            let traits = base.traits();
            for topic in Topic::ALL.iter().filter(|topic| !traits.of_topic(**topic).is_empty()) {
                assert!(evidence(base.as_str(), "", *topic).is_some(), "{} {topic}", base.as_str());
            }
            let undocumented = Traits::ALL.iter().filter(|known| known.topics.is_empty());
            for known in undocumented {
                let words = traits.beyond(&Traits::default());
                assert!(
                    !words.iter().any(|word| word.starts_with(known.word)),
                    "{} {}",
                    base.as_str(),
                    known.word
                );
            }
        }
        assert!(!Base::Reference.is_emulation() && Base::Reference.traits() == Traits::default());
    }
}
