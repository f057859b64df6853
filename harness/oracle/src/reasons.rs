//! Reasons in words: which rule allowed, or how near each rule came.

use std::fmt::Write as _;

use crate::{
    block::Holds,
    compile::{Direction, Matcher, Policy, Port, Ports, Rule},
    ends::{Connection, End, Role, Who},
    oracle::Oracle,
    selector_words::{describe_peer, labels_against, namespace_against},
    side::{Finding, Place, Why, ends_of},
    trace::Trace,
    truth::{Open, Truth},
};

/// How many policies, and rules of each, a denial speaks of.
const MOST: usize = 3;
/// How many peers of a rule: the one that was meant is among them, and nobody knows which.
const MOST_PEERS: usize = 8;

impl Oracle<'_> {
    /// The reasons of both sides of a connection.
    pub(crate) fn note_sides(
        &self,
        connection: &Connection,
        egress: Finding,
        ingress: Finding,
        trace: &mut Trace,
    ) {
        match (egress.why, ingress.why) {
            (Why::NotIsolated, Why::NotIsolated) => trace.add(Truth::Yes, || {
                let (from, to) = (self.who(&connection.from), self.who(&connection.to));
                format!("no policy isolates {to} for ingress and none isolates {from} for egress (N7, N9)")
            }),
            (Why::NoPod, Why::NoPod) => trace.add(Truth::Yes, || {
                let (from, to) = (self.who(&connection.from), self.who(&connection.to));
                format!("neither {from} nor {to} is a pod that policies apply to (N2)")
            }),
            _ => {
                self.note_side(Direction::Egress, connection, egress, trace);
                self.note_side(Direction::Ingress, connection, ingress, trace);
            }
        }
    }

    /// The policies that isolate a connection's end in a direction.
    pub(crate) fn isolating_names(&self, direction: Direction, connection: &Connection) -> String {
        let (subject, _) = ends_of(direction, connection);
        let Role::Pod(pod) = subject.role else { return String::new() };
        let policies = self.isolating(direction, pod).iter().map(|policy| &self.policies[*policy as usize]);
        list(policies.map(|policy| format!("{}/{}", policy.namespace, policy.name)), MOST)
    }

    /// The reasons of one side.
    pub(crate) fn note_side(
        &self,
        direction: Direction,
        connection: &Connection,
        finding: Finding,
        trace: &mut Trace,
    ) {
        let (subject, peer) = ends_of(direction, connection);
        let (word, truth) = (direction.word(), finding.truth);
        match finding.why {
            Why::NoPod => {}
            Why::NotIsolated => trace.add(truth, || {
                let statement = if direction == Direction::Ingress { "N9" } else { "N7" };
                format!("no policy isolates {} for {word} ({statement})", self.who(subject))
            }),
            Why::OwnNode => trace.add(truth, || {
                format!(
                    "{} is on the node of {}, which is always let in (N5, N10)",
                    self.who(peer),
                    self.who(subject)
                )
            }),
            Why::PerhapsOwnNode => trace.add(truth, || {
                let (subject, peer) = (self.who(subject), self.who(peer));
                format!(
                    "{subject} is isolated for {word}, and whether {peer} counts as its own node is open (N5)"
                )
            }),
            Why::Undefined => trace.add(truth, || {
                format!(
                    "{} is isolated for {word}, and what that means for ICMP is undefined (N31)",
                    self.who(subject)
                )
            }),
            Why::Rule(place) => trace.add(truth, || self.matched(direction, connection, place, truth)),
            Why::NoRule => self.note_denial(direction, connection, truth, trace),
        }
    }

    /// The rule that matched, surely or perhaps.
    fn matched(&self, direction: Direction, connection: &Connection, place: Place, truth: Truth) -> String {
        let policy = &self.policies[place.policy as usize];
        let rule = &policy.rules(direction).unwrap_or_default()[place.rule];
        let word = direction.word();
        let mut text = format!("{word} rule {}", place.rule);
        if let Some(peer) = place.peer {
            let _ = write!(text, " peer {peer}");
        }
        let _ = write!(
            text,
            " of {}/{}: {}",
            policy.namespace,
            policy.name,
            describe_rule(policy, rule, place.peer)
        );
        let (_, end) = ends_of(direction, connection);
        match truth {
            Truth::Open(Open { statement: "N24", .. })
                if direction == Direction::Egress && rule.peers.is_none() =>
            {
                text.push_str("; without peers there is no pod to look the name up on (N24, k8s#99256)")
            }
            Truth::Open(Open { statement: "N24", .. }) => {
                let to = self.who(&connection.to);
                let _ = write!(
                    text,
                    "; containers of {to} give that name to different ports, and which counts is open (N24)"
                );
            }
            Truth::Open(Open { statement: "N20", .. }) if end.role == Role::External => {
                let matcher =
                    place.peer.and_then(|index| rule.peers.as_ref()?.get(index)).map(|peer| &peer.matcher);
                let written = match (matcher, end.ip) {
                    (Some(Matcher::Block(block)), Some(ip)) if block.holds(ip) == Holds::Doubtful => {
                        "leading zeros or as an IPv6 form of IPv4 addresses"
                    }
                    _ => "host bits",
                };
                let _ = write!(text, "; how a CIDR with {written} is read is open (N20)");
            }
            Truth::Open(Open { statement, .. }) => {
                let what = if matches!(end.who, Who::Pod(_)) { "pod" } else { "node" };
                let _ = match end.ip {
                    Some(ip) => write!(
                        text,
                        " holds {ip}, but whether a block finds a {what}'s address here is open ({statement})"
                    ),
                    None => write!(text, " may hold the address, which is not known ({statement})"),
                };
            }
            Truth::No | Truth::Yes => {}
        }
        text
    }

    /// Each policy that isolates the subject, with how its rules missed.
    fn note_denial(&self, direction: Direction, connection: &Connection, truth: Truth, trace: &mut Trace) {
        let (subject, _) = ends_of(direction, connection);
        let Role::Pod(pod) = subject.role else { return };
        // What missed by a port only is what was meant, most likely.
        let is_near = |rule: &Rule<'_>| self.a_peer_matches(direction, rule, connection);
        let mut policies: Vec<&Policy<'_>> =
            self.isolating(direction, pod).iter().map(|policy| &self.policies[*policy as usize]).collect();
        policies.sort_by_key(|policy| !policy.rules(direction).unwrap_or_default().iter().any(is_near));
        for policy in policies.iter().take(MOST) {
            trace.add(truth, || {
                let word = direction.word();
                let mut text = format!(
                    "policy {}/{} isolates {} for {word}",
                    policy.namespace,
                    policy.name,
                    self.who(subject)
                );
                let rules = policy.rules(direction).unwrap_or_default();
                if rules.is_empty() {
                    let statement = if direction == Direction::Ingress { "N10" } else { "N8" };
                    let _ = write!(text, " and has no {word} rule ({statement})");
                }
                let mut nearest: Vec<(usize, &Rule<'_>)> = rules.iter().enumerate().collect();
                nearest.sort_by_key(|(_, rule)| !is_near(rule));
                for (index, rule) in nearest.into_iter().take(MOST) {
                    let _ =
                        write!(text, "; rule {index}{}", self.missed(direction, connection, policy, rule));
                }
                if rules.len() > MOST {
                    let _ = match rules.len() - MOST {
                        1 => write!(text, "; 1 more rule does not match"),
                        more => write!(text, "; {more} more rules do not match"),
                    };
                }
                text
            });
        }
        if policies.len() > MOST {
            trace.add(truth, || match policies.len() - MOST {
                1 => format!("1 more policy isolates {} and does not allow it", self.who(subject)),
                more => format!("{more} more policies isolate {} and do not allow it", self.who(subject)),
            });
        }
    }

    /// How a rule missed: its ports where a peer matches, else its peers, those that came nearest first.
    fn missed(
        &self,
        direction: Direction,
        connection: &Connection,
        policy: &Policy<'_>,
        rule: &Rule<'_>,
    ) -> String {
        let (_, end) = ends_of(direction, connection);
        let peers = rule.peers.as_deref().unwrap_or_default();
        if self.a_peer_matches(direction, rule, connection) {
            let ports = rule.ports.iter().flatten().map(|port| self.describe_port(port, &connection.to));
            return format!(" allows only {}, not {}", list(ports, 4), connection.port);
        }
        let mut order: Vec<usize> = (0..peers.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(self.nearness(policy, &peers[*index], end)));
        let told = order.iter().take(MOST_PEERS).map(|index| {
            let peer = &peers[*index];
            let allows = describe_peer(policy.namespace, peer.source);
            format!(" peer {index} allows {allows}, {}", self.peer_missed(policy, peer, end))
        });
        let mut text = told.collect::<Vec<_>>().join(";");
        if peers.len() > MOST_PEERS {
            let _ = match peers.len() - MOST_PEERS {
                1 => write!(text, "; 1 more peer does not match"),
                more => write!(text, "; {more} more peers do not match"),
            };
        }
        text
    }

    /// Whether a rule's peers include the other end.
    fn a_peer_matches(&self, direction: Direction, rule: &Rule<'_>, connection: &Connection) -> bool {
        let (_, end) = ends_of(direction, connection);
        let matches = |matcher: &Matcher| self.peer(direction, matcher, end, connection.path) != Truth::No;
        rule.peers.as_ref().is_none_or(|peers| peers.iter().any(|peer| matches(&peer.matcher)))
    }

    /// How near a peer came: 1 when only the pod's own labels missed.
    fn nearness(&self, policy: &Policy<'_>, peer: &crate::compile::Peer<'_>, end: &End) -> u8 {
        let Role::Pod(pod) = end.role else { return u8::from(matches!(peer.matcher, Matcher::Block(_))) };
        let facts = self.pods.get(pod);
        let namespace = match &peer.source.namespace_selector {
            None => facts.namespace == policy.namespace,
            Some(selector) => self.pods.namespace_matches(selector, &facts.namespace),
        };
        u8::from(namespace && matches!(peer.matcher, Matcher::Pods(_)))
    }

    /// Why a peer does not match the other end.
    fn peer_missed(&self, policy: &Policy<'_>, peer: &crate::compile::Peer<'_>, end: &End) -> String {
        let who = self.who(end);
        match (&peer.matcher, end.role) {
            (Matcher::Nobody, _) => "which matches nobody (N25)".into(),
            (Matcher::Block(block), _) => match end.ip {
                Some(ip) if block.holds(ip) == Holds::No && block.excepts(ip) => {
                    format!("which excepts {ip} of {who}")
                }
                Some(ip) => format!("which does not hold {ip} of {who}"),
                None => format!("the address of {who} is not known"),
            },
            (Matcher::Pods(_), Role::External) => format!("{who} is no pod"),
            (Matcher::Pods(_), Role::Node(_)) if matches!(end.who, Who::Pod(_)) => {
                format!("{who} counts as its node")
            }
            (Matcher::Pods(_), Role::Node(_)) => format!("{who} is no pod"),
            (Matcher::Pods(_), Role::Pod(pod)) => {
                let facts = self.pods.get(pod);
                let namespace = match &peer.source.namespace_selector {
                    None if facts.namespace != policy.namespace => {
                        Some(format!("{who} is in {}", facts.namespace))
                    }
                    None => None,
                    Some(selector) => namespace_against(self.world, selector, &facts.namespace)
                        .map(|why| format!("{who} is in {}, which {why}", facts.namespace)),
                };
                let labels = || {
                    let selector = peer.source.pod_selector.as_ref()?;
                    labels_against(selector, &facts.labels).map(|why| format!("{who} {why}"))
                };
                namespace.or_else(labels).unwrap_or_else(|| format!("which does not match {who}"))
            }
        }
    }

    /// A port of a rule; a name with what it means on the destination.
    fn describe_port(&self, port: &Port<'_>, to: &End) -> String {
        let Ports::Named(name) = port.ports else { return port_words(port) };
        let (Role::Pod(pod), Some(protocol)) = (to.role, port.protocol) else { return port_words(port) };
        let numbers: Vec<String> = self
            .pods
            .get(pod)
            .numbers_of(name, protocol)
            .map(|number| format!("{number}/{protocol}"))
            .collect();
        match numbers.as_slice() {
            [] => format!("{name}/{protocol} (not declared on {})", self.who(to)),
            numbers => format!("{name} ({} on {})", numbers.join(" or "), self.who(to)),
        }
    }
}

/// What a rule that matched allows: the peer that matched and the ports.
fn describe_rule(policy: &Policy<'_>, rule: &Rule<'_>, peer: Option<usize>) -> String {
    let peer = peer.and_then(|index| rule.peers.as_ref()?.get(index));
    let ports = rule.ports.as_ref().map(|ports| list(ports.iter().map(port_words), 4));
    match (peer, ports) {
        (None, None) => "everybody on every port".into(),
        (None, Some(ports)) => format!("everybody on {ports}"),
        (Some(peer), None) => describe_peer(policy.namespace, peer.source),
        (Some(peer), Some(ports)) => format!("{} on {ports}", describe_peer(policy.namespace, peer.source)),
    }
}

fn port_words(port: &Port<'_>) -> String {
    let Some(protocol) = port.protocol else { return "an unknown protocol".into() };
    match port.ports {
        Ports::All => format!("every {protocol} port"),
        Ports::Range(first, last) if first == last => format!("{first}/{protocol}"),
        Ports::Range(first, last) => format!("{first}-{last}/{protocol}"),
        Ports::Named(name) => format!("{name}/{protocol}"),
        Ports::Nothing => "an endPort without a numeric port".into(),
    }
}

/// Joins the first `most` words, and says how many more there are.
pub(crate) fn list(words: impl Iterator<Item = String>, most: usize) -> String {
    let mut words: Vec<String> = words.collect();
    let more = words.len().saturating_sub(most);
    words.truncate(most);
    let mut text = words.join(", ");
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}
