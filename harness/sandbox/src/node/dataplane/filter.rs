//! Isolation as rules.
//!
//! ```text
//! egress  (forward, 0):  known ─► accept;  source in @egress  ─► that pod's chain
//! ingress (forward, 10): known ─► accept;  target in @ingress ─► that pod's chain
//! a pod's chain: each rule without ports: peers ─► accept;  not TCP, UDP, SCTP ─► drop;
//!                each rule with ports: peers ─► ports ─► accept;  drop
//! ```
//!
//! Two base chains, because `accept` ends only the chain that says it: a packet must pass both. Pods with the same
//! rules share a chain, and lists of ports and of addresses are shared as well. What a node sends to its own pods is
//! not forwarded and so passes (N5), as does what a pod sends to its own node.
//!
//! What traits let past a base chain is in [`super::passes`]; what they do to connections that are known, in
//! [`super::established`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use super::{
    bytes, established, length, passes,
    policy::{Allow, Isolation, Peers, Ports, Rules, Subject},
};
use crate::{
    node::netlink::{Batch, Element, Expr, Hook, Verdict},
    traits::Traits,
    wire::State,
};

/// The set of protocols that policies speak of (N1).
const PROTOCOLS: &str = "protocols";
const TCP: u8 = 6;
const INPUT: u32 = 1;
const FORWARD: u32 = 2;
const OUTPUT: u32 = 3;

/// Which side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Side {
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

    fn of(self, isolation: &Isolation) -> &BTreeMap<Subject, Rules> {
        match self {
            Side::Egress => &isolation.egress,
            Side::Ingress => &isolation.ingress,
        }
    }
}

/// What is judged, and what becomes of what no rule lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Judge {
    pub(super) side: Side,
    /// Number of the isolation: 0 is the one in force, others were before it.
    pub(super) number: usize,
    /// The packets are replies: the connection that they belong to is judged.
    pub(super) reply: bool,
    /// What is denied is left to the next rule.
    pub(super) lenient: bool,
    /// The target is what the connection began with, before the translation of a Service's address.
    pub(super) original: bool,
}

impl Judge {
    fn name(self) -> String {
        let Self { side, number, reply, lenient, .. } = self;
        let side = side.name();
        match (number, reply, lenient) {
            (0, false, false) => side.to_owned(),
            _ => format!("{side}-{number}{}", if reply { "-replies" } else { "" }),
        }
    }

    fn load_address(self, rule: Expr, v6: bool, of_subject: bool) -> Expr {
        if self.original && !of_subject {
            return rule.load_original_target(0, v6);
        }
        // The subject of egress sends what is no reply.
        let is_source = (self.side == Side::Egress) == (of_subject != self.reply);
        if is_source { rule.load_source(0, v6) } else { rule.load_target(0, v6) }
    }

    /// The port of the side that was connected to.
    fn load_port(self, rule: Expr) -> Expr {
        if self.original {
            return rule.load_original_port(0);
        }
        if self.reply { rule.load_source_port(0) } else { rule.load_port(0) }
    }
}

/// Adds the isolation of one node's pods. `past` are isolations by which connections may live on, see
/// [`super::established`].
pub(super) fn add(batch: &mut Batch, state: &State, isolation: &Isolation, past: &[&Isolation], node: u16) {
    let traits = &state.traits;
    let isolations: Vec<&Isolation> = [isolation].into_iter().chain(past.iter().copied()).collect();
    let names = Names::default();
    let mut filter = Filter { batch, traits, isolations, node, names };
    let protocols = [6, 17, 132].map(|protocol: u8| Element { key: vec![protocol], data: () });
    filter.batch.keys(PROTOCOLS, 1, protocols.into());
    passes::prepare(filter.batch, state, node);
    filter.side(Side::Egress, "egress", Hook { kind: "filter", number: FORWARD, priority: 0 });
    filter.side(Side::Ingress, "ingress", Hook { kind: "filter", number: FORWARD, priority: 10 });
    if traits.polices_to_own_node {
        filter.side(Side::Egress, "to-own-node", Hook { kind: "filter", number: INPUT, priority: 0 });
    }
    if traits.polices_own_node {
        filter.side(Side::Ingress, "from-own-node", Hook { kind: "filter", number: OUTPUT, priority: 10 });
    }
}

/// Makes the rules of one table.
pub(super) struct Filter<'a> {
    pub(super) batch: &'a mut Batch,
    pub(super) traits: &'a Traits,
    /// By [`Judge::number`].
    pub(super) isolations: Vec<&'a Isolation>,
    node: u16,
    names: Names<'a>,
}

/// Ports; whether of replies, and whether as the connection began.
type PortsAt<'a> = (&'a BTreeSet<Ports>, bool, bool);

/// What is there already, by what it does.
#[derive(Default)]
struct Names<'a> {
    /// Maps from subjects' addresses to their chains: whether there is one of each family.
    maps: HashMap<Judge, [bool; 2]>,
    /// Chains of pods, by what they let through.
    chains: HashMap<(Judge, &'a Rules), String>,
    /// Chains of ports.
    ports: HashMap<PortsAt<'a>, String>,
    /// Sets of addresses of one family.
    sets: HashMap<Vec<IpAddr>, String>,
}

impl<'a> Filter<'a> {
    fn side(&mut self, side: Side, chain: &str, hook: Hook) {
        self.batch.base_chain(chain, hook);
        passes::add(self.batch, self.traits, self.node, chain, side);
        established::add(self, chain, side);
        self.judge(chain, self.judge_of(side, 0));
    }

    /// The strict judge of what the side that began sends.
    pub(super) fn judge_of(&self, side: Side, number: usize) -> Judge {
        let original = side == Side::Egress && self.traits.egress_sees_services;
        Judge { side, number, reply: false, lenient: false, original }
    }

    /// Adds rules that lead to the chains of subjects. With a lenient judge they are gone to, so that what is denied
    /// comes back to where this chain was called.
    pub(super) fn judge(&mut self, chain: &str, judge: Judge) {
        let maps = match self.names.maps.get(&judge) {
            Some(maps) => *maps,
            None => self.maps(judge),
        };
        for v6 in [false, true] {
            if maps[usize::from(v6)] {
                let rule = judge.load_address(Expr::new().family(v6), v6, true);
                self.batch.rule(chain, rule.verdict_from(0, &map_name(judge, v6)));
            }
        }
    }

    /// Makes the maps from subjects to their chains; whether there is one of each family.
    fn maps(&mut self, judge: Judge) -> [bool; 2] {
        let isolation = self.isolations[judge.number];
        let mut maps: [Vec<Element<Verdict>>; 2] = Default::default();
        for (subject, rules) in judge.side.of(isolation) {
            if subject.node != self.node {
                continue;
            }
            let chain = self.pod_chain(judge, rules);
            let ips = subject.ips.iter().filter(|ip| ip.is_ipv4() || !self.traits.leaks_ipv6);
            for ip in ips {
                let to = chain.clone();
                let data = if judge.lenient { Verdict::Goto(to) } else { Verdict::Jump(to) };
                maps[usize::from(ip.is_ipv6())].push(Element { key: bytes(*ip), data });
            }
        }
        let made = [false, true].map(|v6| !maps[usize::from(v6)].is_empty());
        for (v6, elements) in [false, true].into_iter().zip(maps) {
            if !elements.is_empty() {
                self.batch.verdicts(&map_name(judge, v6), length(v6), elements);
            }
        }
        self.names.maps.insert(judge, made);
        made
    }

    /// The chain for pods with these rules.
    fn pod_chain(&mut self, judge: Judge, rules: &'a Rules) -> String {
        if let Some(name) = self.names.chains.get(&(judge, rules)) {
            return name.clone();
        }
        let name = format!("{}-pods-{}", judge.name(), self.names.chains.len());
        self.names.chains.insert((judge, rules), name.clone());
        // Linux forgets an ICMP error that comes while connect() still holds the socket, as it often does from a neighbour in
        // the same kernel; a reset it keeps.
        let denied = |rule: Expr| match (judge.lenient, self.traits.rejects) {
            (true, _) => vec![rule.verdict(&Verdict::Return)],
            (false, true) => vec![rule.clone().load_protocol(0).equal(0, &[TCP]).reset(), rule.reject()],
            (false, false) => vec![rule.verdict(&Verdict::Drop)],
        };
        // Other protocols are never refused: their senders would not understand it.
        let other = if judge.lenient { Verdict::Return } else { Verdict::Drop };
        let is_other = |rule: Expr| rule.load_protocol(0).in_set(0, PROTOCOLS, true).verdict(&other);
        let mut made = vec![];
        for (low, high) in &rules.denies {
            made.push(is_other(self.in_range(judge, *low, *high)));
            made.extend(denied(self.in_range(judge, *low, *high)));
        }
        let last = denied(Expr::new());
        let all = &self.isolations[judge.number].allows;
        let (with_ports, without): (Vec<&Allow>, Vec<&Allow>) =
            rules.allows.iter().map(|id| &all[*id]).partition(|allow| allow.ports.is_some());
        without.into_iter().for_each(|allow| self.allow(judge, allow, &mut made));
        made.push(is_other(Expr::new()));
        with_ports.into_iter().for_each(|allow| self.allow(judge, allow, &mut made));
        made.extend(last);
        self.batch.chain(&name);
        for rule in made {
            self.batch.rule(&name, rule);
        }
        name
    }

    /// Only what a peer in this range sends or receives.
    fn in_range(&self, judge: Judge, low: IpAddr, high: IpAddr) -> Expr {
        let v6 = low.is_ipv6();
        judge.load_address(Expr::new().family(v6), v6, false).between(0, &bytes(low), &bytes(high))
    }

    fn allow(&mut self, judge: Judge, allow: &'a Allow, rules: &mut Vec<Expr>) {
        let then = match &allow.ports {
            None => Then::Accept,
            Some(ports) if ports.is_empty() => return,
            Some(ports) => match ports.first() {
                Some(only) if ports.len() == 1 => Then::Port(*only),
                _ => Then::Chain(self.port_chain(judge, ports)),
            },
        };
        let (pods, ranges) = match &allow.peers {
            Peers::Any => {
                rules.push(then.after(judge, Expr::new()));
                return;
            }
            Peers::Only { pods, ranges } => (pods, ranges),
        };
        for v6 in [false, true] {
            let family: Vec<IpAddr> = pods.iter().copied().filter(|ip| ip.is_ipv6() == v6).collect();
            if !family.is_empty() {
                let set = self.set(family, v6);
                let peers = judge.load_address(Expr::new().family(v6), v6, false).in_set(0, &set, false);
                rules.push(then.after(judge, peers));
            }
        }
        for (low, high) in ranges {
            rules.push(then.after(judge, self.in_range(judge, *low, *high)));
        }
    }

    fn set(&mut self, addresses: Vec<IpAddr>, v6: bool) -> String {
        if let Some(name) = self.names.sets.get(&addresses) {
            return name.clone();
        }
        let name = format!("peers-{}", self.names.sets.len());
        let elements = addresses.iter().map(|ip| Element { key: bytes(*ip), data: () }).collect();
        self.batch.keys(&name, length(v6), elements);
        self.names.sets.insert(addresses, name.clone());
        name
    }

    /// A chain that accepts these ports and otherwise leads back.
    fn port_chain(&mut self, judge: Judge, ports: &'a BTreeSet<Ports>) -> String {
        let key = (ports, judge.reply, judge.original);
        if let Some(name) = self.names.ports.get(&key) {
            return name.clone();
        }
        let name = format!("ports-{}", self.names.ports.len());
        self.batch.chain(&name);
        for ports in ports {
            self.batch.rule(&name, Then::Port(*ports).after(judge, Expr::new()));
        }
        self.names.ports.insert(key, name.clone());
        name
    }
}

fn map_name(judge: Judge, v6: bool) -> String {
    format!("{}{}", judge.name(), if v6 { 6 } else { 4 })
}

/// What becomes of a packet whose peer matches.
enum Then {
    Accept,
    Port(Ports),
    Chain(String),
}

impl Then {
    fn after(&self, judge: Judge, rule: Expr) -> Expr {
        match self {
            Then::Accept => rule.verdict(&Verdict::Accept),
            Then::Chain(chain) => rule.verdict(&Verdict::Jump(chain.clone())),
            Then::Port(ports) => {
                let rule = rule.load_protocol(0).equal(0, &[ports.protocol]);
                let all = (ports.low, ports.high) == (0, u16::MAX);
                let rule = if all {
                    rule
                } else {
                    judge.load_port(rule).between(0, &ports.low.to_be_bytes(), &ports.high.to_be_bytes())
                };
                rule.verdict(&Verdict::Accept)
            }
        }
    }
}
