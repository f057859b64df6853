//! One side of a connection: does the isolation of the pod at one end let the other end through?

use verdikt_model::{PortProtocol, Protocol, Topic};

use crate::{
    block::Holds,
    compile::{Direction, Matcher, PodIndex, Port, Ports, Rule},
    ends::{Connection, End, Path, Role},
    oracle::Oracle,
    truth::Truth,
};

/// Where a rule stands: policy (index into the oracle's list), rule, peer (`None` for a rule without peers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) policy: u32,
    pub(crate) rule: usize,
    pub(crate) peer: Option<usize>,
}

/// Why one side answered as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The end is no pod that policies apply to (N2).
    NoPod,
    /// No policy isolates the pod in this direction (N7, N9).
    NotIsolated,
    /// Traffic from the pod's own node (N5, N10).
    OwnNode,
    /// Traffic to the pod's own node, or between a pod and a node that may be its own (N5).
    PerhapsOwnNode,
    /// A rule matches, surely or under one reading.
    Rule(Place),
    /// Isolated, and the protocol is none of which policies speak (N31).
    Undefined,
    /// Isolated, and no rule matches.
    NoRule,
}

/// The answer of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) truth: Truth,
    pub(crate) why: Why,
}

impl Oracle<'_> {
    /// Whether the source's egress isolation, or the destination's ingress isolation, lets a connection through.
    pub(crate) fn side(&self, direction: Direction, connection: &Connection) -> Finding {
        let (subject, peer) = ends_of(direction, connection);
        let Role::Pod(pod) = subject.role else { return Finding { truth: Truth::Yes, why: Why::NoPod } };
        let policies = self.isolating(direction, pod);
        if policies.is_empty() {
            return Finding { truth: Truth::Yes, why: Why::NotIsolated };
        }
        let own_node = self.own_node(pod, peer);
        if !self.liberties.polices_own_node && direction == Direction::Ingress && own_node == Some(true) {
            return Finding { truth: Truth::Yes, why: Why::OwnNode };
        }
        if connection.port.protocol == Protocol::Icmp {
            return Finding { truth: Truth::open_on("N31", Topic::Icmp), why: Why::Undefined };
        }
        let mut best = Finding { truth: Truth::No, why: Why::NoRule };
        for policy in policies {
            let rules = self.policies[*policy as usize].rules(direction).unwrap_or_default();
            for (index, rule) in rules.iter().enumerate() {
                let (truth, peer) = self.rule(direction, rule, connection);
                if truth.beats(best.truth) {
                    best = Finding { truth, why: Why::Rule(Place { policy: *policy, rule: index, peer }) };
                } else {
                    best.truth = best.truth.with(truth);
                }
                if best.truth == Truth::Yes {
                    return best;
                }
            }
        }
        // N5 promises traffic from the own node; for traffic to it the page contradicts itself. While the
        // pod's node is unknown, any node may be its own.
        let perhaps = match direction {
            Direction::Ingress => Truth::open_on("N5", Topic::FromOwnNode),
            Direction::Egress => Truth::open_on("N5", Topic::ToOwnNode),
        };
        if own_node != Some(false) && !self.liberties.polices_own_node {
            if perhaps.beats(best.truth) {
                best = Finding { truth: perhaps, why: Why::PerhapsOwnNode };
            } else {
                best.truth = best.truth.with(perhaps);
            }
        }
        best
    }

    /// Whether the peer is the node that the pod runs on; `None` when that is not known.
    fn own_node(&self, pod: PodIndex, peer: &End) -> Option<bool> {
        match peer.role {
            Role::Node(node) => Some(node? == self.pods.get(pod).node?),
            Role::Pod(_) | Role::External => Some(false),
        }
    }

    /// Whether one rule matches: any of its peers and any of its ports (N17). With the best peer.
    fn rule(&self, direction: Direction, rule: &Rule<'_>, connection: &Connection) -> (Truth, Option<usize>) {
        let ports = self.rule_ports(direction, rule, connection);
        let Some(peers) = &rule.peers else { return (ports, None) };
        let (mut best, mut place) = (Truth::No, None);
        if ports == Truth::No {
            return (best, place);
        }
        let (_, end) = ends_of(direction, connection);
        for (index, peer) in peers.iter().enumerate() {
            // Not one that takes a client's place.
            let found = self.liberties.finds_nodes
                && matches!(end.role, Role::Node(_))
                && end.ip.is_some()
                && peer.source.namespace_selector.is_some();
            let truth =
                if found { Truth::Yes } else { self.peer(direction, &peer.matcher, end, connection.path) };
            if truth.beats(best) {
                (best, place) = (truth, Some(index));
            } else {
                best = best.with(truth);
            }
        }
        (best.and(ports), place)
    }

    /// Whether a peer matches the other end.
    pub(crate) fn peer(&self, direction: Direction, matcher: &Matcher, end: &End, path: Path) -> Truth {
        let statement = match path {
            Path::Direct => "N20",
            Path::Service | Path::ServiceAddress => "N21",
        };
        let open = |topic| match path {
            Path::ServiceAddress => Truth::open_on(statement, Topic::ServiceAddresses),
            Path::Direct | Path::Service => Truth::open_on(statement, topic),
        };
        match matcher {
            // Selectors find pods only: no node, no external host (N18).
            Matcher::Pods(set) => match end.role {
                Role::Pod(pod) if set.contains(pod) => Truth::Yes,
                _ => Truth::No,
            },
            Matcher::Block(block) => match (end.ip.map(|ip| block.holds(ip)), end.role) {
                (Some(Holds::No), _) => Truth::No,
                (Some(Holds::Yes), Role::External) => Truth::Yes,
                (Some(Holds::HostBits), Role::External) => Truth::open_on("N20", Topic::HostBits),
                (Some(Holds::Doubtful), Role::External) => Truth::open("N20"),
                // A block is meant for addresses outside the cluster; whether it finds pods and nodes is open.
                (Some(Holds::HostBits), Role::Pod(_)) => open(Topic::IpBlockPods).with(open(Topic::HostBits)),
                (Some(Holds::Yes), Role::Pod(pod))
                    if path == Path::Direct && !self.pods.get(pod).host_network =>
                {
                    match self.liberties.habits.blocks(direction) {
                        Some(true) => Truth::Yes,
                        Some(false) => Truth::No,
                        None => open(Topic::IpBlockPods),
                    }
                }
                (Some(_) | None, Role::Pod(_)) => open(Topic::IpBlockPods),
                (Some(_) | None, Role::Node(_)) => open(Topic::IpBlockNodes),
                (None, Role::External) => Truth::open(statement),
            },
            Matcher::Nobody => Truth::No,
        }
    }

    /// Whether any of a rule's ports matches.
    pub(crate) fn rule_ports(&self, direction: Direction, rule: &Rule<'_>, connection: &Connection) -> Truth {
        let Some(ports) = &rule.ports else { return Truth::Yes };
        // Where an egress rule has no peers, a name has no pods to be looked up on (k8s#99256).
        let named = match direction {
            Direction::Egress if rule.peers.is_none() => Truth::open_on("N24", Topic::EgressPortNames),
            _ => Truth::Yes,
        };
        let matches = |port| self.port(port, &connection.to, connection.port, named);
        ports.iter().map(matches).fold(Truth::No, Truth::or)
    }

    /// Whether one port matches; `named` is the answer for a name that the destination gives to that port.
    fn port(&self, port: &Port<'_>, to: &End, dialled: PortProtocol, named: Truth) -> Truth {
        if port.protocol != Some(dialled.protocol) {
            return Truth::No;
        }
        let yes = match port.ports {
            Ports::All => true,
            Ports::Range(first, last) => (first..=last).contains(&i32::from(dialled.port)),
            Ports::Named(name) => {
                // Only pods have named ports: one that the destination does not declare matches nothing.
                let Role::Pod(pod) = to.role else { return Truth::No };
                let numbers = || self.pods.get(pod).numbers_of(name, dialled.protocol);
                return match numbers().any(|number| number == dialled.port) {
                    // Names are unique within a container only; which of two containers' one means, nothing says.
                    true if numbers().any(|number| number != dialled.port) => {
                        named.and(Truth::open_on("N24", Topic::NamedPorts))
                    }
                    true => named,
                    false => Truth::No,
                };
            }
            Ports::Nothing => false,
        };
        if yes { Truth::Yes } else { Truth::No }
    }
}

/// The pod that a direction's policies apply to, and its peer.
pub(crate) const fn ends_of(direction: Direction, connection: &Connection) -> (&End, &End) {
    match direction {
        Direction::Ingress => (&connection.to, &connection.from),
        Direction::Egress => (&connection.from, &connection.to),
    }
}
