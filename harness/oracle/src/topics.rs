//! What the verdict on a cell turns on.
//!
//! Where the specification leaves a cell open, the answer itself says why. Where it decides, another reading of the
//! policies, as some dataplane has it, may decide otherwise: each such reading is tried.

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPort},
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
            // The own node passes for sure, or there is nothing to forbid.
            Topic::FromOwnNode => truth == Truth::Yes && !other.same(truth),
            Topic::Sctp => cell.protocol == Protocol::Sctp && !other.same(truth),
            // What a name means without peers is a topic of its own.
            Topic::NamedPorts => !truth.topics().has(Topic::EgressPortNames) && !other.same(truth),
            _ => !other.same(truth),
        };
        let others = self.others.iter().filter(|(topic, other)| turns(*topic, judge(other)));
        truth.topics().and(others.map(|(topic, _)| *topic).collect())
    }
}

/// Policies as some dataplane reads them.
struct Reading {
    topic: Topic,
    concerns: fn(&NetworkPolicyPort) -> bool,
    becomes: Becomes,
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

const READINGS: &[Reading] = &[
    Reading {
        topic: Topic::NamedPorts,
        concerns: is_named,
        becomes: Becomes::Port(|port| NetworkPolicyPort { port: None, ..port }),
    },
    Reading { topic: Topic::NamedPorts, concerns: is_named, becomes: Becomes::Nothing },
    Reading { topic: Topic::NamedPorts, concerns: is_named, becomes: Becomes::NoPolicy },
    Reading {
        topic: Topic::EndPort,
        concerns: is_range,
        becomes: Becomes::Port(|port| NetworkPolicyPort { end_port: None, ..port }),
    },
    Reading { topic: Topic::EndPort, concerns: is_range, becomes: Becomes::NoPolicy },
    Reading { topic: Topic::Sctp, concerns: is_sctp, becomes: Becomes::Nothing },
    Reading { topic: Topic::Sctp, concerns: is_sctp, becomes: Becomes::NoPolicy },
];

fn is_named(port: &NetworkPolicyPort) -> bool {
    matches!(port.port, Some(IntOrString::String(_)))
}

fn is_range(port: &NetworkPolicyPort) -> bool {
    port.end_port.is_some()
}

fn is_sctp(port: &NetworkPolicyPort) -> bool {
    port.protocol.as_deref() == Some("SCTP")
}

impl Reading {
    fn matters(&self, world: &World) -> bool {
        world.policies.iter().flat_map(ports).any(self.concerns)
    }

    fn of(&self, policies: &[NetworkPolicy]) -> Vec<NetworkPolicy> {
        let mut read = policies.to_vec();
        if matches!(self.becomes, Becomes::NoPolicy) {
            read.retain(|policy| !ports(policy).any(self.concerns));
            return read;
        }
        for spec in read.iter_mut().filter_map(|policy| policy.spec.as_mut()) {
            let ingress = spec.ingress.iter_mut().flatten().map(|rule| &mut rule.ports);
            let egress = spec.egress.iter_mut().flatten().map(|rule| &mut rule.ports);
            for port in ingress.chain(egress).flatten().flatten().filter(|port| (self.concerns)(port)) {
                let old = std::mem::take(port);
                *port = match &self.becomes {
                    Becomes::Port(other) => other(old),
                    // A range that begins nowhere.
                    Becomes::Nothing | Becomes::NoPolicy => {
                        NetworkPolicyPort { port: None, end_port: Some(0), ..old }
                    }
                };
            }
        }
        read
    }
}

fn ports(policy: &NetworkPolicy) -> impl Iterator<Item = &NetworkPolicyPort> {
    let spec = policy.spec.iter();
    let ingress = spec.clone().flat_map(|spec| spec.ingress.iter().flatten()).map(|rule| &rule.ports);
    let egress = spec.flat_map(|spec| spec.egress.iter().flatten()).map(|rule| &rule.ports);
    ingress.chain(egress).flatten().flatten()
}
