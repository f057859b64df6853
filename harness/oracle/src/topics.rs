//! What the verdict on a cell turns on.
//!
//! Where the specification leaves a cell open, the answer itself says why. Where it decides, another reading of the
//! policies, as some dataplane has it, may decide otherwise: each such reading is tried.

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPort},
    apimachinery::pkg::util::intstr::IntOrString,
};
use verdikt_model::{Cell, Protocol, Topic, Topics, World};

use crate::{oracle::Oracle, trace::Trace, truth::Truth};

/// For each cell, the topics on which its verdict turns.
///
/// # Panics
/// If a cell is not of this world.
pub fn topics(world: &World, cells: &[Cell]) -> Vec<Topics> {
    let oracle = Oracle::new(world);
    let worlds: Vec<(Topic, World)> = READINGS
        .iter()
        .filter(|reading| reading.matters(world))
        .map(|reading| (reading.topic, World { policies: reading.of(&world.policies), ..world.clone() }))
        .collect();
    let others: Vec<(Topic, Oracle<'_>)> =
        worlds.iter().map(|(topic, world)| (*topic, Oracle::new(world))).collect();
    let mut strict = Oracle::new(world);
    strict.own_node_passes = false;
    let of = |cell: &Cell| {
        let judge = |oracle: &Oracle<'_>| oracle.judge(cell, &mut Trace::off());
        let truth = judge(&oracle);
        let mut topics = truth.topics();
        let mut turn = |topic, other: Truth| {
            if !other.same(truth) {
                topics = topics.and(Topics::of(topic));
            }
        };
        for (topic, other) in &others {
            if *topic != Topic::Sctp || cell.protocol == Protocol::Sctp {
                turn(*topic, judge(other));
            }
        }
        if truth == Truth::Yes {
            turn(Topic::FromOwnNode, judge(&strict));
        }
        topics
    };
    cells.iter().map(of).collect()
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
