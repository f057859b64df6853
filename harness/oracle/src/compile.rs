//! Policies made ready for many questions: selectors are matched once per policy and pod, CIDRs parsed once.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use verdikt_model::{PodFacts, Protocol, World, selector_matches};

use crate::block::Block;

/// Index into [`Pods`].
pub(crate) type PodIndex = u32;

/// Which way a rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Into the policy's pods.
    Ingress,
    /// Out of them.
    Egress,
}

impl Direction {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// Every pod of a world: those of the matrix in the order of its endpoints, then the others.
pub(crate) struct Pods<'w> {
    facts: Vec<&'w PodFacts>,
    namespaces: &'w BTreeMap<String, BTreeMap<String, String>>,
}

impl<'w> Pods<'w> {
    pub(crate) fn of(world: &'w World) -> Self {
        Self { facts: world.pods().collect(), namespaces: &world.namespaces }
    }

    pub(crate) fn get(&self, pod: PodIndex) -> &'w PodFacts {
        self.facts[pod as usize]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PodIndex, &'w PodFacts)> {
        (0..).zip(self.facts.iter().copied())
    }

    /// Index of a pod of this world, by identity.
    pub(crate) fn index_of(&self, pod: &PodFacts) -> Option<PodIndex> {
        self.iter().find(|(_, facts)| std::ptr::eq(*facts, pod)).map(|(index, _)| index)
    }

    /// Labels of a namespace. One that the world does not describe still has its name as a label (N36).
    pub(crate) fn namespace_matches(&self, selector: &LabelSelector, namespace: &str) -> bool {
        match self.namespaces.get(namespace) {
            Some(labels) => selector_matches(selector, labels),
            None => {
                let named = ("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
                selector_matches(selector, &[named].into())
            }
        }
    }
}

/// A set of pods, one bit each.
pub(crate) struct PodSet(Vec<u64>);

impl PodSet {
    fn new(pods: &Pods<'_>, holds: impl Fn(&PodFacts) -> bool) -> Self {
        let mut words = vec![0; pods.facts.len().div_ceil(64)];
        for (pod, facts) in pods.iter() {
            words[pod as usize / 64] |= u64::from(holds(facts)) << (pod % 64);
        }
        Self(words)
    }

    pub(crate) fn contains(&self, pod: PodIndex) -> bool {
        self.0[pod as usize / 64] >> (pod % 64) & 1 == 1
    }
}

/// One policy.
pub(crate) struct Policy<'w> {
    /// Its namespace.
    pub(crate) namespace: &'w str,
    /// Its name.
    pub(crate) name: &'w str,
    /// The pods that it selects, in its own namespace (N15).
    pub(crate) subjects: PodSet,
    /// Ingress rules; `None` when it does not isolate for ingress.
    ingress: Option<Vec<Rule<'w>>>,
    /// Egress rules; `None` when it does not isolate for egress.
    egress: Option<Vec<Rule<'w>>>,
}

/// One rule: peers and ports must both match (N17).
pub(crate) struct Rule<'w> {
    /// Peers; `None` means all of them (N23).
    pub(crate) peers: Option<Vec<Peer<'w>>>,
    /// Ports; `None` means all of them (N23).
    pub(crate) ports: Option<Vec<Port<'w>>>,
}

/// One element of `from` or `to`.
pub(crate) struct Peer<'w> {
    /// As the policy says it.
    pub(crate) source: &'w NetworkPolicyPeer,
    /// Whom it matches.
    pub(crate) matcher: Matcher,
}

/// Whom a peer matches.
pub(crate) enum Matcher {
    /// Pods by label (N18).
    Pods(PodSet),
    /// Addresses (N20).
    Block(Block),
    /// Nobody: neither selector nor block, or both (N25); the API server refuses such a peer.
    Nobody,
}

/// One element of `ports`.
pub(crate) struct Port<'w> {
    /// Protocol; `None` for one that Kubernetes does not know, which matches nothing.
    pub(crate) protocol: Option<Protocol>,
    /// Its port or ports.
    pub(crate) ports: Ports<'w>,
}

/// The port or ports of one element of `ports`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ports<'w> {
    /// Every port of the protocol (N24).
    All,
    /// From the first to the last, both included (N33).
    Range(i32, i32),
    /// A container port's name, resolved on each destination pod (N24).
    Named(&'w str),
    /// An `endPort` without a numeric `port` (N33); the API server refuses it.
    Nothing,
}

impl<'w> Policy<'w> {
    pub(crate) fn compile(policy: &'w NetworkPolicy, pods: &Pods<'_>) -> Self {
        static MISSING: NetworkPolicySpec =
            NetworkPolicySpec { pod_selector: None, policy_types: None, ingress: None, egress: None };
        let spec = policy.spec.as_ref().unwrap_or(&MISSING);
        let namespace = policy.metadata.namespace.as_deref().unwrap_or("default");
        let subjects = PodSet::new(pods, |pod| {
            pod.namespace == namespace
                && spec.pod_selector.as_ref().is_none_or(|selector| selector_matches(selector, &pod.labels))
        });
        // N16: without policyTypes, Ingress always, Egress when there is an egress rule.
        let lists = |direction: &str| spec.policy_types.iter().flatten().any(|have| have == direction);
        let defaulted = spec.policy_types.as_ref().is_none_or(Vec::is_empty);
        let has_egress_rule = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
        let rule =
            |peers: &'w Option<Vec<NetworkPolicyPeer>>, ports: &'w Option<Vec<NetworkPolicyPort>>| Rule {
                peers: some_elements(peers)
                    .map(|peers| peers.iter().map(|peer| Peer::compile(peer, namespace, pods)).collect()),
                ports: some_elements(ports).map(|ports| ports.iter().map(Port::compile).collect()),
            };
        Self {
            namespace,
            name: policy.metadata.name.as_deref().unwrap_or_default(),
            subjects,
            ingress: (defaulted || lists("Ingress"))
                .then(|| spec.ingress.iter().flatten().map(|r| rule(&r.from, &r.ports)).collect()),
            egress: (if defaulted { has_egress_rule } else { lists("Egress") })
                .then(|| spec.egress.iter().flatten().map(|r| rule(&r.to, &r.ports)).collect()),
        }
    }

    /// Its rules for a direction; `None` when it does not isolate for it.
    pub(crate) fn rules(&self, direction: Direction) -> Option<&[Rule<'w>]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }
}

/// A list that says something: a missing one and an empty one both mean "all" (N23).
fn some_elements<T>(list: &Option<Vec<T>>) -> Option<&[T]> {
    list.as_deref().filter(|list| !list.is_empty())
}

impl<'w> Peer<'w> {
    pub(crate) fn compile(source: &'w NetworkPolicyPeer, own_namespace: &str, pods: &Pods<'_>) -> Self {
        let matcher = match (&source.ip_block, &source.namespace_selector, &source.pod_selector) {
            (Some(block), None, None) => Matcher::Block(Block::parse(block)),
            (None, None, None) | (Some(_), _, _) => Matcher::Nobody,
            (None, namespaces, labels) => {
                let chosen: BTreeMap<&str, bool> = match namespaces {
                    None => BTreeMap::new(),
                    Some(selector) => pods
                        .iter()
                        .map(|(_, pod)| {
                            (pod.namespace.as_str(), pods.namespace_matches(selector, &pod.namespace))
                        })
                        .collect(),
                };
                Matcher::Pods(PodSet::new(pods, |pod| {
                    let namespace = match namespaces {
                        None => pod.namespace == own_namespace,
                        Some(_) => chosen.get(pod.namespace.as_str()).copied().unwrap_or_default(),
                    };
                    namespace
                        && labels.as_ref().is_none_or(|selector| selector_matches(selector, &pod.labels))
                }))
            }
        };
        Self { source, matcher }
    }
}

impl<'w> Port<'w> {
    pub(crate) fn compile(port: &'w NetworkPolicyPort) -> Self {
        let ports = match (&port.port, port.end_port) {
            (None, None) => Ports::All,
            (Some(IntOrString::Int(first)), last) => Ports::Range(*first, last.unwrap_or(*first)),
            (Some(IntOrString::String(name)), None) => Ports::Named(name),
            (None | Some(IntOrString::String(_)), Some(_)) => Ports::Nothing,
        };
        Self { protocol: Protocol::from_kubernetes(port.protocol.as_deref()), ports }
    }
}
