//! Policies resolved against the pods that exist: for every isolated pod, what it may receive and send.
//!
//! Read straight from the text of the API: union of rules, each a list of peers and a list of ports. Everything that
//! depends on pods (selectors, named ports) is resolved here, so that only addresses and numbers are left. What is
//! wrong on purpose comes before ([`super::defects`]) and after ([`super::filter`]), but for traits that only show
//! here: exceptions that deny, pods for which only their first policy counts, what blocks, selectors and the names
//! of ports are looked up on, and names of ports whose pods are mixed up.

mod cluster_ips;
mod port_lists;
mod ports;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde_json::Value;

use super::{
    ranges::{self, Range},
    select::selects,
};
use crate::{
    plan,
    wire::{Place, PodState, State},
};
use port_lists::{Lists, Resolution};
pub(super) use ports::{Ports, protocol_number};
use ports::{ingress_ports, named_port, numbers, protocol};

/// The other ends of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Peers {
    Any,
    Only { pods: BTreeSet<IpAddr>, ranges: Vec<Range> },
}

/// What is let through: these peers on these ports; without ports, everything (N31 leaves other protocols open, and
/// dataplanes let them through).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Allow {
    pub(super) peers: Peers,
    pub(super) ports: Option<BTreeSet<Ports>>,
}

/// Number of an [`Allow`] in [`Isolation::allows`].
pub(super) type AllowId = usize;

/// A pod that is isolated in some direction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Subject {
    /// The node on which it is.
    pub(super) node: u16,
    pub(super) ips: Vec<IpAddr>,
}

/// What an isolated pod may exchange in one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Rules {
    /// What is let through.
    pub(super) allows: BTreeSet<AllowId>,
    /// What is not, whatever is let through; only with `except-denies`.
    pub(super) denies: BTreeSet<Range>,
}

/// Everything that policies say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Isolation {
    pub(super) allows: Vec<Allow>,
    /// What isolated pods may receive.
    pub(super) ingress: BTreeMap<Subject, Rules>,
    /// What isolated pods may send.
    pub(super) egress: BTreeMap<Subject, Rules>,
}

/// One rule's peers as far as they do not depend on ports.
struct Resolved {
    /// Indices of pods; `None` when every peer is meant.
    pods: Option<BTreeSet<usize>>,
    ranges: Vec<Range>,
}

/// The state's policies as the API's types.
pub(super) fn read(state: &State) -> Result<Vec<NetworkPolicy>, String> {
    let read = |value: &Value| serde_json::from_value(value.clone());
    let policies = state.policies.iter().map(read).collect::<Result<_, _>>();
    policies.map_err(|error| format!("a NetworkPolicy cannot be read: {error}"))
}

/// Resolves policies; pods whose uid is in `exempt` are not isolated by any.
pub(super) fn resolve(
    state: &State,
    policies: &[NetworkPolicy],
    exempt: &HashSet<String>,
) -> Result<Isolation, String> {
    let mut resolver = Resolver { state, exempt, isolation: Isolation::default(), known: HashMap::new() };
    for policy in policies {
        let name = || {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            format!("NetworkPolicy {}/{}", part(&policy.metadata.namespace), part(&policy.metadata.name))
        };
        resolver.policy(policy).map_err(|why| format!("{}: {why}", name()))?;
    }
    Ok(resolver.isolation)
}

struct Resolver<'a> {
    state: &'a State,
    exempt: &'a HashSet<String>,
    isolation: Isolation,
    known: HashMap<Allow, AllowId>,
}

/// The directions in which a policy isolates: ingress, egress. Without types: ingress always, egress when there is a
/// rule for it.
pub(super) fn directions(spec: &NetworkPolicySpec) -> (bool, bool) {
    match spec.policy_types.as_deref().unwrap_or_default() {
        [] => (true, spec.egress.as_ref().is_some_and(|rules| !rules.is_empty())),
        types => {
            let isolates = |kind: &str| types.iter().any(|t| t == kind);
            (isolates("Ingress"), isolates("Egress"))
        }
    }
}

impl Resolver<'_> {
    fn policy(&mut self, policy: &NetworkPolicy) -> Result<(), String> {
        let Some(spec) = &policy.spec else { return Ok(()) };
        let namespace = policy.metadata.namespace.as_deref().unwrap_or("default");
        let selector = spec.pod_selector.clone().unwrap_or_default();
        let first_only = self.state.traits.first_policy_only;
        let mut receivers: Vec<(Subject, usize)> = self
            .own_networks()
            .filter(|(_, pod)| pod.namespace == namespace && selects(&selector, &pod.labels))
            .filter(|(_, pod)| !self.exempt.contains(&pod.uid))
            .filter_map(|(index, pod)| match pod.place {
                Place::Pod(node) => Some((Subject { node, ips: pod.ips.clone() }, index)),
                _ => None,
            })
            .collect();
        let mut senders = receivers.clone();
        if first_only {
            receivers.retain(|(subject, _)| !self.isolation.ingress.contains_key(subject));
            senders.retain(|(subject, _)| !self.isolation.egress.contains_key(subject));
        }
        let (ingress, egress) = directions(spec);
        if ingress {
            for (subject, _) in &receivers {
                self.isolation.ingress.entry(subject.clone()).or_default();
            }
            let own: Vec<usize> = receivers.iter().map(|(_, index)| *index).collect();
            let rules = spec.ingress.iter().flatten().map(|rule| (&rule.from, &rule.ports));
            for rule in self.resolutions(rules, namespace, Some(&own))? {
                let Resolution { from, peers, ports, lists } = rule;
                let denies = self.denies(from)?;
                let addresses = self.addresses(&peers);
                let merged = self.merged_ports(ports, &receivers)?;
                for (subject, index) in &receivers {
                    let ports = match (&merged, &lists) {
                        (Some(merged), _) => Some(merged.clone()),
                        (None, Some(lists)) => lists.on(*index, ports)?,
                        (None, None) => ingress_ports(ports, &self.state.pods[*index])?,
                    };
                    let id = self.intern(Allow { peers: addresses.clone(), ports });
                    let rules = self.isolation.ingress.entry(subject.clone()).or_default();
                    rules.allows.insert(id);
                    rules.denies.extend(&denies);
                }
            }
        }
        if egress {
            for (subject, _) in &senders {
                self.isolation.egress.entry(subject.clone()).or_default();
            }
            let rules = spec.egress.iter().flatten().map(|rule| (&rule.to, &rule.ports));
            for rule in self.resolutions(rules, namespace, None)? {
                let Resolution { from: to, peers, ports, lists } = rule;
                let denies = self.denies(to)?;
                let mut allows = self.egress_allows(ports, &peers, namespace, lists.as_ref())?;
                if self.state.traits.egress_sees_services {
                    allows.extend(self.cluster_ips(ports, to, namespace)?);
                }
                let ids: Vec<AllowId> = allows.into_iter().map(|allow| self.intern(allow)).collect();
                for (subject, _) in &senders {
                    let rules = self.isolation.egress.entry(subject.clone()).or_default();
                    rules.allows.extend(&ids);
                    rules.denies.extend(&denies);
                }
            }
        }
        Ok(())
    }

    /// The exceptions of a rule's blocks, where they deny.
    fn denies(&self, peers: &[NetworkPolicyPeer]) -> Result<Vec<Range>, String> {
        if !self.state.traits.except_denies {
            return Ok(vec![]);
        }
        let blocks = peers.iter().filter_map(|peer| peer.ip_block.as_ref());
        let excepts = blocks.flat_map(|block| block.except.iter().flatten());
        let ranges = excepts.map(|except| ranges::block(except, &[])).collect::<Result<Vec<_>, _>>()?;
        Ok(ranges.into_iter().flatten().collect())
    }

    /// Pods that have a network of their own: only these are subjects, and only these are peers by selector (N42).
    fn own_networks(&self) -> impl Iterator<Item = (usize, &PodState)> {
        self.state.pods.iter().enumerate().filter(|(_, pod)| matches!(pod.place, Place::Pod(_)))
    }

    fn intern(&mut self, allow: Allow) -> AllowId {
        let next = self.isolation.allows.len();
        *self.known.entry(allow).or_insert_with_key(|allow| {
            self.isolation.allows.push(allow.clone());
            next
        })
    }

    fn peers(&self, peers: &[NetworkPolicyPeer], namespace: &str) -> Result<Resolved, String> {
        if peers.is_empty() {
            return Ok(Resolved { pods: None, ranges: vec![] });
        }
        let mut pods = BTreeSet::new();
        let mut ranges = vec![];
        for peer in peers {
            if let Some(block) = &peer.ip_block {
                let except = block.except.iter().flatten().cloned().chain(self.never_in_blocks());
                ranges.extend(ranges::block(&block.cidr, &except.collect::<Vec<_>>())?);
            }
            if peer.pod_selector.is_none() && peer.namespace_selector.is_none() {
                continue;
            }
            let selected = |pod: &PodState| {
                peer.pod_selector.as_ref().is_none_or(|selector| selects(selector, &pod.labels))
            };
            let on_node = self.state.traits.selects_host_network && peer.pod_selector.is_some();
            let candidates = self.state.pods.iter().enumerate().filter(|(_, pod)| match pod.place {
                Place::Pod(_) => true,
                Place::Node(_) => on_node,
                Place::External => false,
            });
            pods.extend(
                candidates
                    .filter(|(_, pod)| self.is_meant(peer, &pod.namespace, namespace) && selected(pod))
                    .map(|(index, _)| index),
            );
        }
        Ok(Resolved { pods: Some(pods), ranges })
    }

    /// Whether a peer with a selector means a namespace, in a policy of another.
    fn is_meant(&self, peer: &NetworkPolicyPeer, namespace: &str, own: &str) -> bool {
        match &peer.namespace_selector {
            None => namespace == own,
            Some(selector) => {
                self.state.namespaces.get(namespace).is_some_and(|labels| selects(selector, labels))
            }
        }
    }

    /// What a block does not match, though it lies in it.
    fn never_in_blocks(&self) -> impl Iterator<Item = String> {
        let traits = &self.state.traits;
        let pods = traits.blocks_skip_pods.then_some(plan::POD_CIDRS).into_iter().flatten();
        let nodes = traits.blocks_skip_nodes.then_some(0..plan::NODES).into_iter().flatten();
        pods.map(str::to_owned)
            .chain(nodes.flat_map(plan::node_ips).map(|ip| ipnet::IpNet::from(ip).to_string()))
    }

    fn addresses(&self, peers: &Resolved) -> Peers {
        match &peers.pods {
            None => Peers::Any,
            Some(pods) => Peers::Only {
                pods: pods.iter().flat_map(|index| &self.state.pods[*index].ips).copied().collect(),
                ranges: peers.ranges.clone(),
            },
        }
    }

    /// A named port of an egress rule is looked up in each peer, and so gives one [`Allow`] for each number it has.
    fn egress_allows(
        &self,
        ports: &[NetworkPolicyPort],
        peers: &Resolved,
        namespace: &str,
        lists: Option<&Lists>,
    ) -> Result<Vec<Allow>, String> {
        if ports.is_empty() {
            return Ok(vec![Allow { peers: self.addresses(peers), ports: None }]);
        }
        let mut plain = BTreeSet::new();
        let mut named: BTreeMap<Ports, BTreeSet<IpAddr>> = BTreeMap::new();
        for port in ports {
            let protocol = protocol(port)?;
            match &port.port {
                Some(IntOrString::String(_)) if lists.is_some() => {}
                Some(IntOrString::String(name)) => {
                    let found = self.destinations(peers, namespace, name, protocol);
                    if found.len() <= 1 || !self.state.traits.ignores_ambiguous_port_names {
                        found
                            .into_iter()
                            .for_each(|(ports, ips)| named.entry(ports).or_default().extend(ips));
                    }
                }
                _ => {
                    plain.insert(numbers(port, protocol.1)?);
                }
            }
        }
        for (ports, pods) in lists.iter().flat_map(|lists| lists.all()) {
            let ips = pods.iter().flat_map(|index| &self.state.pods[*index].ips);
            named.entry(*ports).or_default().extend(ips);
        }
        let mut allows = vec![];
        if !plain.is_empty() {
            allows.push(Allow { peers: self.addresses(peers), ports: Some(plain) });
        }
        allows.extend(named.into_iter().map(|(ports, pods)| Allow {
            peers: Peers::Only { pods, ranges: vec![] },
            ports: Some(BTreeSet::from([ports])),
        }));
        Ok(allows)
    }

    /// The addresses on which a port's name in an egress rule is looked up, by the number that it has there.
    fn destinations(
        &self,
        peers: &Resolved,
        namespace: &str,
        name: &str,
        (protocol, number): (&str, u8),
    ) -> BTreeMap<Ports, BTreeSet<IpAddr>> {
        let traits = &self.state.traits;
        let meant = |chosen: bool, home: &str, ip: IpAddr| match &peers.pods {
            None if traits.ignores_port_names_without_peers => false,
            None => !traits.port_names_of_own_namespace || home == namespace,
            Some(_) => chosen || ranges::contains(&peers.ranges, ip) && !traits.ignores_port_names_of_blocks,
        };
        let mut found: BTreeMap<Ports, BTreeSet<IpAddr>> = BTreeMap::new();
        let mut add = |port: u16, ips: &[IpAddr], chosen: bool, home: &str| {
            for ip in ips.iter().copied().filter(|ip| meant(chosen, home, *ip)) {
                found.entry(Ports { protocol: number, low: port, high: port }).or_default().insert(ip);
            }
        };
        for (index, pod) in self.own_networks() {
            if let Some(port) = named_port(pod, name, protocol) {
                let chosen = peers.pods.as_ref().is_some_and(|pods| pods.contains(&index));
                add(port, &pod.ips, chosen, &pod.namespace);
            }
        }
        found
    }

    /// What an ingress rule opens on every pod of its policy, where names of ports are not looked up on each.
    fn merged_ports(
        &self,
        ports: &[NetworkPolicyPort],
        receivers: &[(Subject, usize)],
    ) -> Result<Option<BTreeSet<Ports>>, String> {
        if ports.is_empty() || !self.state.traits.merges_port_names {
            return Ok(None);
        }
        let of = |(_, index): &(Subject, usize)| ingress_ports(ports, &self.state.pods[*index]);
        let each = receivers.iter().map(of).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(each.into_iter().flatten().flatten().collect()))
    }
}
