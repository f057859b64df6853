//! Policies resolved against the pods that exist: for every isolated pod, what it may receive and send.
//!
//! Read straight from the text of the API: union of rules, each a list of peers and a list of ports. Everything that
//! depends on pods (selectors, named ports) is resolved here, so that only addresses and numbers are left. What is
//! wrong on purpose comes before ([`super::defects`]) and after ([`super::filter`]), but for traits that only show
//! here: exceptions that deny, pods for which only their first policy counts, and what blocks, selectors and the names
//! of ports are looked up on.

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
    wire::{Place, PodState, ServicePortState, State},
};

/// Ports of one protocol, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Ports {
    /// IP protocol number.
    pub(super) protocol: u8,
    pub(super) low: u16,
    pub(super) high: u16,
}

/// The other ends of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Peers {
    Any,
    Only { pods: BTreeSet<IpAddr>, ranges: Vec<Range> },
}

/// What is let through: these peers on these ports; without ports, all of TCP, UDP and SCTP.
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

/// The number of a protocol of the API.
pub(super) fn protocol_number(name: &str) -> Option<u8> {
    match name {
        "TCP" => Some(6),
        "UDP" => Some(17),
        "SCTP" => Some(132),
        _ => None,
    }
}

/// One rule's peers as far as they do not depend on ports.
struct Resolved {
    /// Indices of pods; `None` when every peer is meant.
    pods: Option<BTreeSet<usize>>,
    ranges: Vec<Range>,
    /// Indices of Services that are meant by their cluster IPs.
    services: BTreeSet<usize>,
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
            for rule in spec.ingress.iter().flatten() {
                let peers = rule.from.as_deref().unwrap_or_default();
                let denies = self.denies(peers)?;
                let addresses = self.addresses(&self.peers(peers, namespace)?);
                let ports = rule.ports.as_deref().unwrap_or_default();
                let merged = self.merged_ports(ports, &receivers)?;
                for (subject, index) in &receivers {
                    let ports = match &merged {
                        Some(merged) => Some(merged.clone()),
                        None => ingress_ports(ports, &self.state.pods[*index])?,
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
            for rule in spec.egress.iter().flatten() {
                let peers = rule.to.as_deref().unwrap_or_default();
                let denies = self.denies(peers)?;
                let mut resolved = self.peers(peers, namespace)?;
                if self.state.traits.egress_sees_services {
                    resolved.services = self.services(peers, namespace);
                }
                let allows =
                    self.egress_allows(rule.ports.as_deref().unwrap_or_default(), &resolved, namespace)?;
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
            return Ok(Resolved { pods: None, ranges: vec![], services: BTreeSet::new() });
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
        Ok(Resolved { pods: Some(pods), ranges, services: BTreeSet::new() })
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

    /// The Services that peers mean by what the Services select: those of which the selector, taken for labels,
    /// satisfies a peer's. One without a selector is never meant.
    fn services(&self, peers: &[NetworkPolicyPeer], namespace: &str) -> BTreeSet<usize> {
        let services = self.state.services.iter().enumerate();
        let meant = services.filter(|(_, service)| {
            !service.selector.is_empty()
                && peers.iter().any(|peer| {
                    (peer.pod_selector.is_some() || peer.namespace_selector.is_some())
                        && self.is_meant(peer, &service.namespace, namespace)
                        && peer.pod_selector.as_ref().is_none_or(|pods| selects(pods, &service.selector))
                })
        });
        meant.map(|(index, _)| index).collect()
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
                pods: pods
                    .iter()
                    .flat_map(|index| &self.state.pods[*index].ips)
                    .chain(peers.services.iter().flat_map(|index| &self.state.services[*index].cluster_ips))
                    .copied()
                    .collect(),
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
    ) -> Result<Vec<Allow>, String> {
        if ports.is_empty() {
            return Ok(vec![Allow { peers: self.addresses(peers), ports: None }]);
        }
        let mut plain = BTreeSet::new();
        let mut named: BTreeMap<Ports, BTreeSet<IpAddr>> = BTreeMap::new();
        for port in ports {
            let protocol = protocol(port)?;
            match &port.port {
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
        let services = self.state.services.iter().enumerate().filter(|_| traits.egress_sees_services);
        for (index, service) in services {
            let same = |port: &&ServicePortState| port.name == name && port.protocol == protocol;
            for port in service.ports.iter().filter(same) {
                let chosen = peers.services.contains(&index);
                add(port.port, &service.cluster_ips, chosen, &service.namespace);
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

/// Ports of an ingress rule, named ones looked up in the pod that receives. A name that the pod does not have gives
/// no port at all.
fn ingress_ports(ports: &[NetworkPolicyPort], pod: &PodState) -> Result<Option<BTreeSet<Ports>>, String> {
    if ports.is_empty() {
        return Ok(None);
    }
    let mut all = BTreeSet::new();
    for port in ports {
        let (name, number) = protocol(port)?;
        match &port.port {
            Some(IntOrString::String(wanted)) => {
                all.extend(named_port(pod, wanted, name).map(|port| Ports {
                    protocol: number,
                    low: port,
                    high: port,
                }));
            }
            _ => {
                all.insert(numbers(port, number)?);
            }
        }
    }
    Ok(Some(all))
}

/// Name and number of a port's protocol; TCP by default.
fn protocol(port: &NetworkPolicyPort) -> Result<(&str, u8), String> {
    let name = port.protocol.as_deref().unwrap_or("TCP");
    protocol_number(name).map(|number| (name, number)).ok_or_else(|| format!("there is no protocol `{name}`"))
}

/// A port without a name: one, a range, or all.
fn numbers(port: &NetworkPolicyPort, protocol: u8) -> Result<Ports, String> {
    let number = |n: i32| u16::try_from(n).map_err(|_| format!("{n} is no port"));
    let (low, high) = match (&port.port, port.end_port) {
        (Some(IntOrString::Int(low)), None) => (number(*low)?, number(*low)?),
        (Some(IntOrString::Int(low)), Some(high)) => (number(*low)?, number(high)?),
        _ => (0, u16::MAX),
    };
    Ok(Ports { protocol, low, high })
}

fn named_port(pod: &PodState, name: &str, protocol: &str) -> Option<u16> {
    pod.ports.iter().find(|(n, p, _)| n == name && p == protocol).map(|(_, _, number)| *number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::traits::Traits;

    fn pod(namespace: &str, name: &str, n: u8, web: Option<u16>) -> PodState {
        PodState {
            uid: format!("{namespace}-{name}"),
            namespace: namespace.into(),
            name: name.into(),
            place: Place::Pod(0),
            labels: BTreeMap::from([("pod".into(), name.into())]),
            ips: vec![[10, 0, 0, n].into()],
            ports: web.map(|port| ("web".into(), "TCP".into(), port)).into_iter().collect(),
            terminating: false,
        }
    }

    fn resolved(spec: serde_json::Value) -> Isolation {
        resolved_with(Traits::default(), spec)
    }

    fn resolved_with(traits: Traits, spec: serde_json::Value) -> Isolation {
        let state = State {
            traits,
            namespaces: BTreeMap::from([
                ("x".into(), BTreeMap::from([("ns".into(), "x".into())])),
                ("y".into(), BTreeMap::from([("ns".into(), "y".into())])),
            ]),
            pods: vec![pod("x", "a", 1, Some(80)), pod("x", "b", 2, None), pod("y", "a", 3, Some(8080))],
            services: vec![],
            policies: vec![json!({"metadata": {"name": "p", "namespace": "x"}, "spec": spec})],
        };
        resolve(&state, &read(&state).unwrap(), &HashSet::new()).unwrap()
    }

    /// What pods may receive or send, as text; a pod is the last number of its address.
    fn text(isolation: &Isolation, of: &BTreeMap<Subject, Rules>) -> Vec<String> {
        let port = |p: &Ports| format!("{}/{}-{}", p.protocol, p.low, p.high);
        of.iter()
            .map(|(pod, rules)| {
                let allows = rules.allows.iter().map(|id| {
                    let allow = &isolation.allows[*id];
                    let peers = match &allow.peers {
                        Peers::Any => "any".to_owned(),
                        Peers::Only { pods, ranges } => format!("{pods:?}{}", ranges.len()),
                    };
                    let ports = allow
                        .ports
                        .as_ref()
                        .map(|ports| ports.iter().map(port).collect::<Vec<_>>().join(","));
                    format!(" {peers}:{}", ports.unwrap_or("all".into()))
                });
                let pod = pod.ips[0].to_string().replace("10.0.0.", "");
                format!("{pod}{}", allows.collect::<String>())
            })
            .collect()
    }

    #[test]
    fn types_default_to_ingress_and_to_egress_when_it_has_rules() {
        let isolation = resolved(json!({"podSelector": {}}));
        assert_eq!(text(&isolation, &isolation.ingress), ["1", "2"]);
        assert!(isolation.egress.is_empty());
        let isolation = resolved(json!({"podSelector": {"matchLabels": {"pod": "a"}}, "egress": [{}]}));
        assert_eq!(text(&isolation, &isolation.ingress), ["1"]);
        assert_eq!(text(&isolation, &isolation.egress), ["1 any:all"]);
        let isolation = resolved(json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{}]}));
        assert!(isolation.ingress.is_empty());
        assert_eq!(text(&isolation, &isolation.egress), ["1", "2"]);
    }

    #[test]
    fn peers_are_and_within_an_element_and_or_between_elements() {
        let both = json!({"namespaceSelector": {"matchLabels": {"ns": "y"}}, "podSelector": {}});
        let isolation =
            resolved(json!({"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": [{"from": [both]}]}));
        assert_eq!(text(&isolation, &isolation.ingress), ["1 {10.0.0.3}0:all"]);
        let either = json!([{"namespaceSelector": {"matchLabels": {"ns": "y"}}}, {"podSelector": {}}]);
        let isolation =
            resolved(json!({"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": [{"from": either}]}));
        assert_eq!(text(&isolation, &isolation.ingress), ["1 {10.0.0.1, 10.0.0.2, 10.0.0.3}0:all"]);
        let nobody = json!([{"podSelector": {"matchLabels": {"pod": "none"}}}]);
        let isolation =
            resolved(json!({"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": [{"from": nobody}]}));
        assert_eq!(text(&isolation, &isolation.ingress), ["1 {}0:all"]);
    }

    #[test]
    fn a_named_port_is_each_destinations_own() {
        let ports =
            json!([{"port": "web"}, {"port": 5, "endPort": 7, "protocol": "UDP"}, {"protocol": "SCTP"}]);
        let isolation = resolved(json!({"podSelector": {}, "ingress": [{"ports": ports}]}));
        let rest = "17/5-7,132/0-65535";
        assert_eq!(
            text(&isolation, &isolation.ingress),
            [format!("1 any:6/80-80,{rest}"), format!("2 any:{rest}")]
        );

        let isolation =
            resolved(json!({"podSelector": {"matchLabels": {"pod": "b"}}, "policyTypes": ["Egress"],
            "egress": [{"ports": [{"port": "web"}]}]}));
        assert_eq!(text(&isolation, &isolation.egress), ["2 {10.0.0.1}0:6/80-80 {10.0.0.3}0:6/8080-8080"]);
        let isolation =
            resolved(json!({"podSelector": {"matchLabels": {"pod": "b"}}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.3/32"]}}],
                "ports": [{"port": "web"}]}]}));
        assert_eq!(text(&isolation, &isolation.egress), ["2 {10.0.0.1}0:6/80-80"]);
    }

    /// What the traits of these words make of the egress of pod b, or of the ingress of pods a and b.
    fn named(words: &[&str], rule: serde_json::Value, egress: bool) -> Vec<String> {
        let mut traits = Traits::default();
        words.iter().for_each(|word| traits.read(word, None).unwrap().unwrap());
        if egress {
            let isolation = resolved_with(
                traits,
                json!({"podSelector": {"matchLabels": {"pod": "b"}},
                "policyTypes": ["Egress"], "egress": [rule]}),
            );
            text(&isolation, &isolation.egress)
        } else {
            let isolation = resolved_with(traits, json!({"podSelector": {}, "ingress": [rule]}));
            text(&isolation, &isolation.ingress)
        }
    }

    #[test]
    fn names_of_ports_are_looked_up_where_a_trait_says() {
        let web = json!({"ports": [{"port": "web"}, {"port": 5}]});
        assert_eq!(
            named(&["merges-port-names"], web.clone(), false),
            ["1 any:6/5-5,6/80-80", "2 any:6/5-5,6/80-80"]
        );
        let both = "2 any:6/5-5 {10.0.0.1}0:6/80-80 {10.0.0.3}0:6/8080-8080";
        assert_eq!(named(&[], web.clone(), true), [both]);
        assert_eq!(named(&["ignores-ambiguous-port-names"], web.clone(), true), ["2 any:6/5-5"]);
        assert_eq!(named(&["ignores-port-names-without-peers"], web.clone(), true), ["2 any:6/5-5"]);
        assert_eq!(named(&["port-names-of-own-namespace"], web, true), ["2 any:6/5-5 {10.0.0.1}0:6/80-80"]);
        let one = json!({"to": [{"podSelector": {}}], "ports": [{"port": "web"}]});
        assert_eq!(named(&["ignores-ambiguous-port-names"], one, true), ["2 {10.0.0.1}0:6/80-80"]);
        let block = json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}, {"podSelector": {}}], "ports": [{"port": "web"}]});
        assert_eq!(named(&["ignores-port-names-of-blocks"], block, true), ["2 {10.0.0.1}0:6/80-80"]);
    }

    #[test]
    fn blocks_leave_out_what_a_trait_says() {
        let ranges = |word: &str, cidr: &str| {
            let isolation = {
                let mut traits = Traits::default();
                traits.read(word, None).unwrap().unwrap();
                resolved_with(
                    traits,
                    json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]}),
                )
            };
            match &isolation.allows[0].peers {
                Peers::Only { ranges, .. } => ranges.clone(),
                Peers::Any => panic!("a block is not everything"),
            }
        };
        let any = ranges("blocks-skip-pods", "0.0.0.0/0");
        let inside = |ranges: &[Range], ip: [u8; 4]| ranges::contains(ranges, ip.into());
        assert!(
            !inside(&any, [10, 244, 16, 1]) && inside(&any, [172, 30, 0, 1]) && inside(&any, [8, 8, 8, 8])
        );
        assert!(ranges("blocks-skip-pods", "10.244.16.1/32").is_empty());
        assert!(ranges("blocks-skip-nodes", "172.30.0.2/32").is_empty());
        let nodes = ranges("blocks-skip-nodes", "172.30.0.0/24");
        assert!(!inside(&nodes, [172, 30, 0, 1]) && inside(&nodes, [172, 30, 0, 3]));
    }
}
