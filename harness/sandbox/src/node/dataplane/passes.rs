//! What a trait lets past isolation, whatever policies say: rules at the head of a base chain.

use super::{
    bytes,
    filter::Side,
    length,
    services::{by_node_port, to_itself},
};
use crate::{
    node::netlink::{Batch, Element, Expr, Hook, Verdict},
    plan,
    traits::Traits,
    wire::{Place, State},
};

const TCP: u8 = 6;
const UDP: u8 = 17;
const DNS: u16 = 53;
/// Protocol, and types of request and reply.
const ECHO: [(u8, [u8; 2]); 2] = [(1, [8, 0]), (58, [128, 129])];
/// The mark of connections that another node says are a pod's to itself.
const OWN_SERVICE: u32 = 0x2;
const FORWARD: u32 = 2;
const POSTROUTING: u32 = 4;

/// Adds what the rules need.
pub(super) fn prepare(batch: &mut Batch, state: &State, node: u16) {
    // Only the node that rewrites an address knows of it: it tells the next one.
    let trusted = [
        (state.traits.trusts_services, Expr::new().rewritten()),
        (state.traits.trusts_node_ports, by_node_port()),
    ];
    if trusted.iter().any(|(trusts, _)| *trusts) {
        batch.base_chain("trusted", Hook { kind: "filter", number: POSTROUTING, priority: 150 });
    }
    for (_, which) in trusted.into_iter().filter(|(trusts, _)| *trusts) {
        for v6 in [false, true] {
            batch.rule("trusted", which.clone().family(v6).set_class(v6));
        }
    }
    if state.traits.allows_own_service {
        // After this the source becomes a node's address.
        batch.base_chain("own-service", Hook { kind: "filter", number: FORWARD, priority: -10 });
        for v6 in [false, true] {
            batch.rule("own-service", to_itself(v6).set_class(v6));
        }
    }
    if state.traits.same_node_skips_ingress {
        for v6 in [false, true] {
            let own = state.pods.iter().filter(|pod| pod.place == Place::Pod(node));
            let ips = own.flat_map(|pod| &pod.ips).filter(|ip| ip.is_ipv6() == v6);
            let elements = ips.map(|ip| Element { key: bytes(*ip), data: () }).collect();
            batch.keys(neighbours(v6), length(v6), elements);
        }
    }
}

fn neighbours(v6: bool) -> &'static str {
    if v6 { "neighbours6" } else { "neighbours4" }
}

/// Adds the rules to a base chain.
pub(super) fn add(batch: &mut Batch, traits: &Traits, node: u16, chain: &str, side: Side) {
    let mut pass = |rule: Expr| batch.rule(chain, rule.verdict(&Verdict::Accept));
    let protocol = |number: u8| Expr::new().load_protocol(0).equal(0, &[number]);
    if traits.allows_icmp {
        for (number, types) in ECHO {
            for kind in types {
                pass(protocol(number).load_icmp_type(0).equal(0, &[kind]));
            }
        }
    }
    if traits.forgets_tcp {
        pass(protocol(TCP));
    }
    if traits.forgets_udp {
        pass(protocol(UDP));
    }
    if traits.allows_dns {
        for number in [TCP, UDP] {
            pass(protocol(number).load_port(0).equal(0, &DNS.to_be_bytes()));
        }
    }
    if traits.trusts_services {
        pass(Expr::new().rewritten());
        for v6 in [false, true] {
            pass(Expr::new().family(v6).has_class(v6));
        }
    }
    if traits.trusts_node_ports && side == Side::Ingress {
        pass(by_node_port());
        for v6 in [false, true] {
            pass(Expr::new().family(v6).has_class(v6));
        }
    }
    if traits.egress_sees_services && side == Side::Egress {
        // The own node's address is open, and with it its node ports.
        for own in plan::node_ips(node) {
            let v6 = own.is_ipv6();
            pass(Expr::new().family(v6).load_original_target(0, v6).equal(0, &bytes(own)));
        }
    }
    if traits.allows_own_service {
        for v6 in [false, true] {
            pass(to_itself(v6));
            if side == Side::Ingress {
                pass(Expr::new().family(v6).has_class(v6).set_connection_mark(OWN_SERVICE));
            }
        }
        // Replies to another node, which nothing else tells from others where those that are known are judged.
        pass(Expr::new().connection_marked(OWN_SERVICE));
    }
    if traits.same_node_skips_ingress && side == Side::Ingress {
        for v6 in [false, true] {
            pass(Expr::new().family(v6).load_source(0, v6).in_set(0, neighbours(v6), false));
        }
    }
}
