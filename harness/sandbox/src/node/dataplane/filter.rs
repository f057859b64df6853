//! Isolation as rules.
//!
//! ```text
//! egress  (forward, 0):  known ─► accept;  source in @egress  ─► that pod's chain
//! ingress (forward, 10): known ─► accept;  target in @ingress ─► that pod's chain
//! a pod's chain: not TCP, UDP, SCTP ─► drop;  each rule: peers ─► ports ─► accept;  drop
//! ```
//!
//! Two base chains, because `accept` ends only the chain that says it: a packet must pass both. Pods with the same
//! rules share a chain, and lists of ports and of addresses are shared as well. What a node sends to its own pods is
//! not forwarded and so passes (N5), as does what a pod sends to its own node.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use super::{
    bytes, length,
    policy::{Allow, AllowId, Isolation, Peers, Ports},
};
use crate::{
    node::netlink::{Batch, Element, Expr, Hook, Verdict},
    wire::{Place, State},
};

/// The set of protocols that policies speak of (N1).
const PROTOCOLS: &str = "protocols";
const FORWARD: u32 = 2;

/// Which side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Side {
    Egress,
    Ingress,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Egress => "egress",
            Side::Ingress => "ingress",
        }
    }

    /// The subject's own address.
    fn load_own(self, rule: Expr, v6: bool) -> Expr {
        match self {
            Side::Egress => rule.load_source(0, v6),
            Side::Ingress => rule.load_target(0, v6),
        }
    }

    /// The other end's address.
    fn load_peer(self, rule: Expr, v6: bool) -> Expr {
        match self {
            Side::Egress => rule.load_target(0, v6),
            Side::Ingress => rule.load_source(0, v6),
        }
    }
}

/// Adds the isolation of one node's pods.
pub(super) fn add(batch: &mut Batch, state: &State, isolation: &Isolation, node: u16) {
    let mut filter =
        Filter { batch, isolation, chains: HashMap::new(), ports: HashMap::new(), sets: HashMap::new() };
    let protocols = [6, 17, 132].map(|protocol: u8| Element { key: vec![protocol], data: () });
    filter.batch.keys(PROTOCOLS, 1, protocols.into());
    filter.side(state, node, Side::Egress, &isolation.egress, 0);
    filter.side(state, node, Side::Ingress, &isolation.ingress, 10);
}

struct Filter<'a> {
    batch: &'a mut Batch,
    isolation: &'a Isolation,
    /// Chains of pods, by what they let through.
    chains: HashMap<(Side, &'a BTreeSet<AllowId>), String>,
    /// Chains of ports.
    ports: HashMap<&'a BTreeSet<Ports>, String>,
    /// Sets of addresses of one family.
    sets: HashMap<Vec<IpAddr>, String>,
}

impl<'a> Filter<'a> {
    fn side(
        &mut self,
        state: &State,
        node: u16,
        side: Side,
        subjects: &'a BTreeMap<usize, BTreeSet<AllowId>>,
        priority: i32,
    ) {
        let mut maps: [Vec<Element<Verdict>>; 2] = Default::default();
        for (index, allows) in subjects {
            let pod = &state.pods[*index];
            if pod.place != Place::Pod(node) {
                continue;
            }
            let chain = self.pod_chain(side, allows);
            for ip in &pod.ips {
                maps[usize::from(ip.is_ipv6())]
                    .push(Element { key: bytes(*ip), data: Verdict::Jump(chain.clone()) });
            }
        }
        self.batch.base_chain(side.name(), Hook { kind: "filter", number: FORWARD, priority });
        self.batch.rule(side.name(), Expr::new().known().verdict(&Verdict::Accept));
        for (v6, elements) in [false, true].into_iter().zip(maps) {
            if elements.is_empty() {
                continue;
            }
            let map = format!("{}{}", side.name(), if v6 { 6 } else { 4 });
            self.batch.verdicts(&map, length(v6), elements);
            let rule = side.load_own(Expr::new().family(v6), v6).verdict_from(0, &map);
            self.batch.rule(side.name(), rule);
        }
    }

    /// The chain for pods with these rules.
    fn pod_chain(&mut self, side: Side, allows: &'a BTreeSet<AllowId>) -> String {
        if let Some(name) = self.chains.get(&(side, allows)) {
            return name.clone();
        }
        let name = format!("{}-{}", side.name(), self.chains.len());
        self.chains.insert((side, allows), name.clone());
        let mut rules = vec![Expr::new().load_protocol(0).in_set(0, PROTOCOLS, true).verdict(&Verdict::Drop)];
        for id in allows {
            self.allow(side, &self.isolation.allows[*id], &mut rules);
        }
        rules.push(Expr::new().verdict(&Verdict::Drop));
        self.batch.chain(&name);
        for rule in rules {
            self.batch.rule(&name, rule);
        }
        name
    }

    fn allow(&mut self, side: Side, allow: &'a Allow, rules: &mut Vec<Expr>) {
        let then = match &allow.ports {
            None => Then::Accept,
            Some(ports) if ports.is_empty() => return,
            Some(ports) => match ports.first() {
                Some(only) if ports.len() == 1 => Then::Port(*only),
                _ => Then::Chain(self.port_chain(ports)),
            },
        };
        let (pods, ranges) = match &allow.peers {
            Peers::Any => {
                rules.push(then.after(Expr::new()));
                return;
            }
            Peers::Only { pods, ranges } => (pods, ranges),
        };
        for v6 in [false, true] {
            let family: Vec<IpAddr> = pods.iter().copied().filter(|ip| ip.is_ipv6() == v6).collect();
            if !family.is_empty() {
                let set = self.set(family, v6);
                let peers = side.load_peer(Expr::new().family(v6), v6).in_set(0, &set, false);
                rules.push(then.after(peers));
            }
        }
        for (low, high) in ranges {
            let v6 = low.is_ipv6();
            let peers = side.load_peer(Expr::new().family(v6), v6).between(0, &bytes(*low), &bytes(*high));
            rules.push(then.after(peers));
        }
    }

    fn set(&mut self, addresses: Vec<IpAddr>, v6: bool) -> String {
        if let Some(name) = self.sets.get(&addresses) {
            return name.clone();
        }
        let name = format!("peers-{}", self.sets.len());
        let elements = addresses.iter().map(|ip| Element { key: bytes(*ip), data: () }).collect();
        self.batch.keys(&name, length(v6), elements);
        self.sets.insert(addresses, name.clone());
        name
    }

    /// A chain that accepts these ports and otherwise leads back.
    fn port_chain(&mut self, ports: &'a BTreeSet<Ports>) -> String {
        if let Some(name) = self.ports.get(ports) {
            return name.clone();
        }
        let name = format!("ports-{}", self.ports.len());
        self.batch.chain(&name);
        for ports in ports {
            self.batch.rule(&name, Then::Port(*ports).after(Expr::new()));
        }
        self.ports.insert(ports, name.clone());
        name
    }
}

/// What becomes of a packet whose peer matches.
enum Then {
    Accept,
    Port(Ports),
    Chain(String),
}

impl Then {
    fn after(&self, rule: Expr) -> Expr {
        match self {
            Then::Accept => rule.verdict(&Verdict::Accept),
            Then::Chain(chain) => rule.verdict(&Verdict::Jump(chain.clone())),
            Then::Port(ports) => {
                let rule = rule.load_protocol(0).equal(0, &[ports.protocol]);
                let all = (ports.low, ports.high) == (0, u16::MAX);
                let rule = if all {
                    rule
                } else {
                    rule.load_port(0).between(0, &ports.low.to_be_bytes(), &ports.high.to_be_bytes())
                };
                rule.verdict(&Verdict::Accept)
            }
        }
    }
}
