//! Whom the parts of a policy find in a world: a part that finds nobody decides nothing.

use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use verdikt_model::{
    EndpointKind, METADATA_NAME, PodFacts, PortProtocol, Protocol, Serve, World, cidr, is_empty_selector,
    selector_matches,
};

use crate::{
    block::{Block, Holds},
    compile::{Matcher, Peer, PodIndex, Pods, Policy, Port, Ports},
};

/// The namespace of the cluster's own pods, of which nobody knows here what they are.
const CLUSTERS_OWN: &str = "kube-system";

/// Which parts of a policy find somebody. Lists are as long as the policy's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finds {
    /// Whether its `podSelector` selects a pod that is there.
    pub subjects: bool,
    /// Its ingress rules.
    pub ingress: Vec<RuleFinds>,
    /// Its egress rules.
    pub egress: Vec<RuleFinds>,
}

/// Which parts of a rule find somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleFinds {
    /// Whether each peer matches somebody: a pod that is there, or, for a block, a node, a host outside or a Service.
    pub peers: Vec<bool>,
    /// Whether each port is served by somebody whom the rule is about. Named ports are not looked at.
    pub ports: Vec<bool>,
}

impl Finds {
    /// Looks at a policy of this world, with its variables filled in.
    pub fn of(policy: &NetworkPolicy, world: &World) -> Self {
        let view = View { world, pods: Pods::of(world) };
        let compiled = Policy::compile(policy, &view.pods);
        let subjects: Vec<PodIndex> = view
            .pods
            .iter()
            .filter(|(pod, facts)| facts.is_there() && compiled.subjects.contains(*pod))
            .map(|(pod, _)| pod)
            .collect();
        let own = compiled.namespace;
        let spec = policy.spec.as_ref();
        let ingress = spec.and_then(|spec| spec.ingress.as_deref()).unwrap_or_default();
        let egress = spec.and_then(|spec| spec.egress.as_deref()).unwrap_or_default();
        Self {
            subjects: !subjects.is_empty(),
            ingress: ingress.iter().map(|r| view.rule(own, &r.from, &r.ports, Some(&subjects))).collect(),
            egress: egress.iter().map(|r| view.rule(own, &r.to, &r.ports, None)).collect(),
        }
    }

    /// Whether every part finds somebody.
    pub fn is_complete(&self) -> bool {
        let all = |rules: &[RuleFinds]| {
            rules.iter().all(|rule| !rule.peers.contains(&false) && !rule.ports.contains(&false))
        };
        self.subjects && all(&self.ingress) && all(&self.egress)
    }

    /// Adds what was found in another world.
    pub fn or(&mut self, other: &Self) {
        self.subjects |= other.subjects;
        for (rules, others) in [(&mut self.ingress, &other.ingress), (&mut self.egress, &other.egress)] {
            rules.resize_with(rules.len().max(others.len()), RuleFinds::default);
            for (rule, other) in rules.iter_mut().zip(others) {
                or(&mut rule.peers, &other.peers);
                or(&mut rule.ports, &other.ports);
            }
        }
    }
}

fn or(list: &mut Vec<bool>, other: &[bool]) {
    list.resize(list.len().max(other.len()), false);
    list.iter_mut().zip(other).for_each(|(have, other)| *have |= other);
}

struct View<'w> {
    world: &'w World,
    pods: Pods<'w>,
}

/// Whom a rule's ports are about.
#[derive(Default)]
struct Servers<'w> {
    serves: Vec<&'w Serve>,
    /// Ports of Services in front of them.
    dialled: Vec<PortProtocol>,
    /// Whether there may be others, of which nobody knows what they serve.
    unknown: bool,
}

impl<'w> View<'w> {
    /// `subjects`: those whom an ingress rule lets others reach.
    fn rule(
        &self,
        own: &'w str,
        peers: &'w Option<Vec<NetworkPolicyPeer>>,
        ports: &'w Option<Vec<NetworkPolicyPort>>,
        subjects: Option<&[PodIndex]>,
    ) -> RuleFinds {
        let peers: Vec<Peer<'w>> =
            peers.iter().flatten().map(|peer| Peer::compile(peer, own, &self.pods)).collect();
        let mut servers = Servers::default();
        let found = peers.iter().map(|peer| self.peer(peer, &mut servers)).collect();
        if let Some(subjects) = subjects {
            servers = Servers::default();
            servers.serves.extend(subjects.iter().map(|pod| &self.pods.get(*pod).serve));
        }
        // Whoever could be meant, where nobody is: who has misspelt a peer hears of its ports only if nobody has them.
        if servers.serves.is_empty() && !servers.unknown {
            servers = self.everybody();
        }
        let ports = ports.iter().flatten().map(|port| serves(&servers, &Port::compile(port))).collect();
        RuleFinds { peers: found, ports }
    }

    fn there(&self) -> impl Iterator<Item = (PodIndex, &'w PodFacts)> {
        self.pods.iter().filter(|(_, facts)| facts.is_there())
    }

    fn everybody(&self) -> Servers<'w> {
        let mut all = Servers::default();
        all.serves.extend(self.there().map(|(_, facts)| &facts.serve));
        for endpoint in &self.world.endpoints {
            match &endpoint.kind {
                EndpointKind::Node { serve, .. } | EndpointKind::External { serve, .. } => {
                    all.serves.push(serve)
                }
                EndpointKind::Service(service) | EndpointKind::Dns(service) => {
                    all.dialled.extend(service.ports.iter().map(|port| port.port));
                }
                EndpointKind::Pod(_) => {}
            }
        }
        all
    }

    /// Whether a peer finds somebody; whom is noted.
    fn peer(&self, peer: &Peer<'w>, servers: &mut Servers<'w>) -> bool {
        match &peer.matcher {
            Matcher::Pods(set) => {
                let found: Vec<(PodIndex, &PodFacts)> =
                    self.there().filter(|(pod, _)| set.contains(*pod)).collect();
                servers.serves.extend(found.iter().map(|(_, facts)| &facts.serve));
                let pods: Vec<&PodFacts> = found.iter().map(|(_, facts)| *facts).collect();
                self.services_before(&pods, servers);
                let unknown = self.is_of_the_cluster(peer.source);
                servers.unknown |= unknown;
                unknown || !found.is_empty()
            }
            Matcher::Block(block) => self.block(block, peer.source, servers),
            Matcher::Nobody => false,
        }
    }

    fn services_before(&self, pods: &[&PodFacts], servers: &mut Servers<'w>) {
        for endpoint in &self.world.endpoints {
            if let EndpointKind::Service(service) | EndpointKind::Dns(service) = &endpoint.kind {
                let behind = self.world.backends(service);
                if behind.iter().any(|pod| pods.iter().any(|have| std::ptr::eq(*have, *pod))) {
                    servers.dialled.extend(service.ports.iter().map(|port| port.port));
                }
            }
        }
    }

    /// Whether a peer is aimed at the cluster's own pods: its namespaceSelector finds their namespace and none of the
    /// scenario's.
    fn is_of_the_cluster(&self, peer: &NetworkPolicyPeer) -> bool {
        let Some(selector) = peer.namespace_selector.as_ref().filter(|s| !is_empty_selector(s)) else {
            return false;
        };
        let named = [(METADATA_NAME.to_owned(), CLUSTERS_OWN.to_owned())].into();
        let of = |name: &str| self.world.namespaces.get(name).unwrap_or(&named);
        let mut others = self.world.namespaces.keys().filter(|name| *name != CLUSTERS_OWN);
        selector_matches(selector, of(CLUSTERS_OWN))
            && !others.any(|name| selector_matches(selector, of(name)))
    }

    fn block(&self, block: &Block, source: &NetworkPolicyPeer, servers: &mut Servers<'w>) -> bool {
        let holds = |ips: &[IpAddr]| ips.iter().any(|ip| block.holds(*ip) != Holds::No);
        let mut found = self.world.nodes.iter().any(|ips| holds(ips));
        let pods: Vec<&PodFacts> =
            self.there().map(|(_, facts)| facts).filter(|facts| holds(&facts.ips)).collect();
        found |= !pods.is_empty();
        servers.serves.extend(pods.iter().map(|facts| &facts.serve));
        self.services_before(&pods, servers);
        let mut outside = false;
        for endpoint in &self.world.endpoints {
            match &endpoint.kind {
                EndpointKind::Node { node, serve } => {
                    if self.world.nodes.get(usize::from(*node)).is_some_and(|ips| holds(ips)) {
                        servers.serves.push(serve);
                    }
                }
                EndpointKind::External { ips, serve } => {
                    outside = true;
                    // Which address a host outside has is known only where there is one.
                    if holds(ips) || self.may_be_outside(source) {
                        found = true;
                        servers.serves.push(serve);
                    }
                }
                EndpointKind::Service(service) | EndpointKind::Dns(service) => {
                    if holds(&service.cluster_ips) {
                        found = true;
                        servers.dialled.extend(service.ports.iter().map(|port| port.port));
                        let behind = self.world.backends(service);
                        servers.serves.extend(behind.into_iter().map(|pod| &pod.serve));
                    }
                }
                EndpointKind::Pod(_) => {}
            }
        }
        // Nodes and hosts outside may serve anything where the topology does not have them.
        servers.unknown |= found && pods.is_empty() && !outside;
        found
    }

    /// Whether a block may be meant for hosts outside: it does not lie among the cluster's own addresses.
    fn may_be_outside(&self, source: &NetworkPolicyPeer) -> bool {
        let readings = source.ip_block.iter().flat_map(|block| cidr::readings(&block.cidr));
        let own = || self.world.pod_cidrs.iter().chain(&self.world.service_cidrs);
        readings.into_iter().any(|block| !own().any(|range| range.contains(&block.network())))
    }
}

/// Whether somebody serves a port of a rule.
fn serves(servers: &Servers<'_>, port: &Port<'_>) -> bool {
    let meant = |have: &PortProtocol| {
        port.protocol == Some(have.protocol)
            && match port.ports {
                Ports::All | Ports::Named(_) => true,
                Ports::Range(first, last) => (first..=last).contains(&i32::from(have.port)),
                Ports::Nothing => false,
            }
    };
    let http = |serve: &&Serve| {
        serve.http.iter().any(|port| meant(&PortProtocol { port: *port, protocol: Protocol::Tcp }))
    };
    servers.unknown
        || matches!(port.ports, Ports::Named(_))
        || servers.dialled.iter().any(meant)
        || servers.serves.iter().any(|serve| serve.ports.iter().any(meant) || http(serve))
}
