//! What the verdict on a cell turns on.
//!
//! Where the specification leaves a cell open, the answer itself says why. Where it decides, another reading of the
//! policies, as some dataplane has it, may decide otherwise: each such reading is tried.

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::util::intstr::IntOrString,
};
use verdikt_model::{Cell, Protocol, Topic, Topics, World};

use crate::{
    oracle::{Liberties, Oracle},
    trace::Trace,
    truth::Truth,
};

/// For each cell, the topics on which its verdict turns.
///
/// # Panics
/// If a cell is not of this world.
pub fn topics(world: &World, cells: &[Cell]) -> Vec<Topics> {
    let worlds: Vec<(Topic, World)> = READINGS
        .iter()
        .filter(|reading| reading.matters(world))
        .map(|reading| (reading.topic, World { policies: reading.of(&world.policies), ..world.clone() }))
        .collect();
    let usual = Readings::new(world, &worlds, false);
    // Where that is open, it hides on what else the verdict turns if it is policed.
    let policed = Readings::new(world, &worlds, true);
    let of = |cell: &Cell| {
        let topics = usual.topics(cell);
        if topics.has(Topic::OwnService) { topics.and(policed.topics(cell)) } else { topics }
    };
    cells.iter().map(of).collect()
}

/// One world, and the same in other readings.
struct Readings<'w> {
    specified: Oracle<'w>,
    others: Vec<(Topic, Oracle<'w>)>,
}

impl<'w> Readings<'w> {
    fn new(world: &'w World, others: &'w [(Topic, World)], polices_own_service: bool) -> Self {
        let usual = Liberties { polices_own_service, ..Liberties::default() };
        let oracle = |world, liberties| Oracle { liberties, ..Oracle::new(world) };
        let policies = others.iter().map(|(topic, world)| (*topic, oracle(world, usual)));
        let liberties = [
            (Topic::FromOwnNode, Liberties { polices_own_node: true, ..usual }),
            (Topic::HostNetwork, Liberties { finds_nodes: true, ..usual }),
            (Topic::NodePorts, Liberties { trusts_node_ports: true, ..usual }),
            (Topic::ServiceAddresses, Liberties { sees_cluster_ips: true, ..usual }),
        ];
        let liberties = liberties.map(|(topic, liberties)| (topic, oracle(world, liberties)));
        Self { specified: oracle(world, usual), others: policies.chain(liberties).collect() }
    }

    fn topics(&self, cell: &Cell) -> Topics {
        let judge = |oracle: &Oracle<'_>| oracle.judge(cell, &mut Trace::off());
        let truth = judge(&self.specified);
        let turns = |topic, other: Truth| match topic {
            // The own node passes for sure, at least where a pod on its network is the node; or there is nothing to forbid.
            Topic::FromOwnNode => {
                (truth == Truth::Yes || truth.topics().has(Topic::HostNetwork)) && !other.same(truth)
            }
            Topic::Sctp => cell.protocol == Protocol::Sctp && !other.same(truth),
            _ => !other.same(truth),
        };
        let others = self.others.iter().filter(|(topic, other)| turns(*topic, judge(other)));
        truth.topics().and(others.map(|(topic, _)| *topic).collect())
    }
}

/// Policies as some dataplane reads them.
struct Reading {
    topic: Topic,
    concerns: fn(&NetworkPolicyPort, Place) -> bool,
    becomes: Becomes,
}

/// In what rule a port stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// One in which a port's name is looked up on the pods that the policy or its peers select.
    WithPods,
    /// An egress rule without selectors: nothing says on which pods (k8s#99256).
    WithoutPods,
}

/// What a reading makes of a port that it concerns.
enum Becomes {
    /// Another port.
    Port(fn(NetworkPolicyPort) -> NetworkPolicyPort),
    /// One that matches nothing.
    Nothing,
    /// Its whole policy is not there.
    NoPolicy,
}

const fn reading(topic: Topic, concerns: fn(&NetworkPolicyPort, Place) -> bool, becomes: Becomes) -> Reading {
    Reading { topic, concerns, becomes }
}

const READINGS: &[Reading] = &[
    reading(Topic::NamedPorts, is_named, Becomes::Port(without_number)),
    reading(Topic::NamedPorts, is_named, Becomes::Nothing),
    reading(Topic::NamedPorts, is_named, Becomes::NoPolicy),
    reading(Topic::EgressPortNames, is_named_without_pods, Becomes::Port(without_number)),
    reading(Topic::EgressPortNames, is_named_without_pods, Becomes::Nothing),
    reading(Topic::EgressPortNames, is_named_without_pods, Becomes::NoPolicy),
    reading(Topic::EndPort, is_range, Becomes::Port(without_end)),
    reading(Topic::EndPort, is_range, Becomes::NoPolicy),
    reading(Topic::Sctp, is_sctp, Becomes::Nothing),
    reading(Topic::Sctp, is_sctp, Becomes::NoPolicy),
];

fn without_number(port: NetworkPolicyPort) -> NetworkPolicyPort {
    NetworkPolicyPort { port: None, ..port }
}

fn without_end(port: NetworkPolicyPort) -> NetworkPolicyPort {
    NetworkPolicyPort { end_port: None, ..port }
}

fn has_name(port: &NetworkPolicyPort) -> bool {
    matches!(port.port, Some(IntOrString::String(_)))
}

fn is_named(port: &NetworkPolicyPort, place: Place) -> bool {
    has_name(port) && place == Place::WithPods
}

fn is_named_without_pods(port: &NetworkPolicyPort, place: Place) -> bool {
    has_name(port) && place == Place::WithoutPods
}

fn is_range(port: &NetworkPolicyPort, _: Place) -> bool {
    port.end_port.is_some()
}

fn is_sctp(port: &NetworkPolicyPort, _: Place) -> bool {
    port.protocol.as_deref() == Some("SCTP")
}

impl Reading {
    fn matters(&self, world: &World) -> bool {
        world.policies.iter().any(|policy| self.matters_to(policy))
    }

    fn matters_to(&self, policy: &NetworkPolicy) -> bool {
        let mut found = false;
        ports(&mut policy.clone(), |port, place| found |= (self.concerns)(port, place));
        found
    }

    fn of(&self, policies: &[NetworkPolicy]) -> Vec<NetworkPolicy> {
        let mut read = policies.to_vec();
        if matches!(self.becomes, Becomes::NoPolicy) {
            read.retain(|policy| !self.matters_to(policy));
            return read;
        }
        for policy in &mut read {
            ports(policy, |port, place| {
                if !(self.concerns)(port, place) {
                    return;
                }
                let old = std::mem::take(port);
                *port = match &self.becomes {
                    Becomes::Port(other) => other(old),
                    // A range that begins nowhere.
                    Becomes::Nothing | Becomes::NoPolicy => {
                        NetworkPolicyPort { port: None, end_port: Some(0), ..old }
                    }
                };
            });
        }
        read
    }
}

/// Every port of a policy, with the rule's kind.
fn ports(policy: &mut NetworkPolicy, mut of: impl FnMut(&mut NetworkPolicyPort, Place)) {
    let Some(spec) = &mut policy.spec else { return };
    for rule in spec.ingress.iter_mut().flatten() {
        rule.ports.iter_mut().flatten().for_each(|port| of(port, Place::WithPods));
    }
    for rule in spec.egress.iter_mut().flatten() {
        let selects = |peer: &NetworkPolicyPeer| peer.ip_block.is_none();
        let place = if rule.to.iter().flatten().any(selects) { Place::WithPods } else { Place::WithoutPods };
        rule.ports.iter_mut().flatten().for_each(|port| of(port, place));
    }
}
