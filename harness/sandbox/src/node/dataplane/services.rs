//! Services by rewriting addresses, as kube-proxy does it.
//!
//! ```text
//! prerouting, output (nat):  address . protocol . port in @services ─► that service port's chain: pick, rewrite
//! postrouting (nat):         marked, or a pod to itself ─► the source becomes the node's address
//! forward, input, output:    address . protocol . port in @closed ─► refuse (a Service without endpoints)
//! ```
//!
//! Rewriting comes before policies are judged, so policies see the pod behind a Service (N21 leaves that open).

use std::net::IpAddr;

use super::{bytes, length, policy::protocol_number, registers, way_back};
use crate::{
    node::netlink::{Batch, Element, Expr, Hook, Verdict},
    plan,
    traits::Traits,
    wire::{Place, ServicePortState, ServiceState, State},
};

/// kube-proxy's mark of packets whose source is to be rewritten.
const MASQUERADE: u32 = 0x4000;
/// The mark of connections that came through a node port with externalTrafficPolicy Cluster.
const NODE_PORT: u32 = 1;

const PREROUTING: u32 = 0;
const INPUT: u32 = 1;
const FORWARD: u32 = 2;
const OUTPUT: u32 = 3;
const POSTROUTING: u32 = 4;

/// A backend: address and port, and the node it is on.
type Backend = (IpAddr, u16, u16);

/// The parts for one IP version.
struct Family<'a> {
    batch: &'a mut Batch,
    v6: bool,
    node: u16,
    own: IpAddr,
    traits: &'a Traits,
    services: Vec<Element<Verdict>>,
    closed: Vec<Element>,
}

/// Adds the Services as one node has them.
pub(super) fn add(batch: &mut Batch, state: &State, node: u16) {
    for (name, number) in [("prerouting", PREROUTING), ("output", OUTPUT)] {
        batch.base_chain(name, Hook { kind: "nat", number, priority: -100 });
    }
    batch.base_chain("postrouting", Hook { kind: "nat", number: POSTROUTING, priority: 100 });
    let closed = [("closed-input", INPUT), ("closed-forward", FORWARD), ("closed-output", OUTPUT)];
    for (name, number) in closed {
        batch.base_chain(name, Hook { kind: "filter", number, priority: -110 });
    }
    for own in plan::node_ips(node) {
        let v6 = own.is_ipv6();
        let traits = &state.traits;
        let mut family = Family { batch, v6, node, own, traits, services: vec![], closed: vec![] };
        for (index, service) in state.services.iter().enumerate() {
            for (number, port) in service.ports.iter().enumerate() {
                family.port(&format!("{index}-{number}-{}", version(v6)), service, port);
            }
        }
        let Family { services, closed: refused, .. } = family;
        if !services.is_empty() {
            let map = format!("services{}", version(v6));
            batch.verdicts(&map, length(v6) + 8, services);
            for chain in ["prerouting", "output"] {
                batch.rule(chain, load_target(v6).verdict_from(0, &map));
            }
        }
        if !refused.is_empty() {
            let set = format!("closed{}", version(v6));
            batch.keys(&set, length(v6) + 8, refused);
            for (chain, _) in closed {
                batch.rule(chain, load_target(v6).in_set(0, &set, false).reject());
            }
        }
        masquerade(batch, state, own);
    }
    if state.traits.node_ports_keep_source {
        way_back::add(batch, node);
    }
}

fn version(v6: bool) -> u8 {
    if v6 { 6 } else { 4 }
}

/// Loads target address, protocol and port side by side.
fn load_target(v6: bool) -> Expr {
    let next = registers(v6);
    Expr::new().family(v6).load_target(0, v6).load_protocol(next).load_port(next + 1)
}

/// Address, protocol and port as [`load_target`] has them: every field fills whole registers.
fn key(address: IpAddr, protocol: u8, port: u16) -> Vec<u8> {
    let mut key = bytes(address);
    key.extend([protocol, 0, 0, 0]);
    key.extend(port.to_be_bytes());
    key.extend([0, 0]);
    key
}

impl Family<'_> {
    fn port(&mut self, id: &str, service: &ServiceState, port: &ServicePortState) {
        let Some(protocol) = protocol_number(&port.protocol) else { return };
        let backends: Vec<Backend> =
            port.backends.iter().copied().filter(|(ip, ..)| ip.is_ipv6() == self.v6).collect();
        let clusters: Vec<IpAddr> =
            service.cluster_ips.iter().copied().filter(|ip| ip.is_ipv6() == self.v6).collect();
        if clusters.is_empty() {
            // Headless, or not of this family: then it has no node port here either.
            return;
        }
        let cluster = key_list(&clusters, protocol, port.port);
        let node_ports = port.node_port.into_iter().flat_map(|number| {
            self.entries(service).into_iter().map(move |node| key(node, protocol, number))
        });
        let node_ports: Vec<Vec<u8>> = node_ports.collect();
        if backends.is_empty() {
            self.closed.extend(cluster.into_iter().chain(node_ports).map(|key| Element { key, data: () }));
            return;
        }
        let chain = format!("service-{id}");
        self.batch.chain(&chain);
        self.pick(&chain, &backends);
        let to = |chain: &str| Verdict::Goto(chain.to_owned());
        self.services.extend(cluster.into_iter().map(|key| Element { key, data: to(&chain) }));
        if !node_ports.is_empty() {
            let entry = format!("node-port-{id}");
            self.batch.chain(&entry);
            if service.local {
                self.local_entry(&entry, &chain, &backends);
            } else {
                if self.traits.trusts_node_ports {
                    self.batch.rule(&entry, Expr::new().set_connection_mark(NODE_PORT));
                }
                let first = if self.traits.node_ports_keep_source {
                    Expr::new()
                } else {
                    Expr::new().set_mark(MASQUERADE)
                };
                self.batch.rule(&entry, first.verdict(&to(&chain)));
            }
            self.services.extend(node_ports.into_iter().map(|key| Element { key, data: to(&entry) }));
        }
    }

    /// Addresses of nodes whose node ports of a Service are translated here.
    fn entries(&self, service: &ServiceState) -> Vec<IpAddr> {
        if self.traits.node_ports_keep_source && !service.local {
            // At the client's own node, to which all replies come: nothing else needs to see them.
            (0..plan::NODES).flat_map(plan::node_ips).filter(|ip| ip.is_ipv6() == self.v6).collect()
        } else {
            vec![self.own]
        }
    }

    /// externalTrafficPolicy Local: the node's own pods and the node itself get all backends, whose answers come back here
    /// in any case. Everybody else gets only this node's and keeps the address, pods of other nodes too: what a backend
    /// elsewhere answered them would go around this node, which alone can turn the translation back.
    fn local_entry(&mut self, entry: &str, all: &str, backends: &[Backend]) {
        let to_all = Verdict::Goto(all.to_owned());
        let inside = || Expr::new().load_source(0, self.v6);
        let own = plan::pod_cidrs(self.node);
        let pods = own.iter().filter_map(|cidr| cidr.parse::<ipnet::IpNet>().ok());
        for net in pods.filter(|net| net.addr().is_ipv6() == self.v6) {
            let pods = inside().between(0, &bytes(net.network()), &bytes(net.broadcast()));
            self.batch.rule(entry, pods.verdict(&to_all));
        }
        let own = inside().equal(0, &bytes(self.own)).set_mark(MASQUERADE);
        self.batch.rule(entry, own.verdict(&to_all));
        let local: Vec<Backend> =
            backends.iter().copied().filter(|(_, _, node)| *node == self.node).collect();
        if local.is_empty() {
            self.batch.rule(entry, Expr::new().verdict(&Verdict::Drop));
        } else {
            self.pick(entry, &local);
        }
    }

    /// Sends a connection to one of these at random. They must not be empty.
    fn pick(&mut self, chain: &str, backends: &[Backend]) {
        let next = registers(self.v6);
        let rule = match backends {
            [(ip, port, _)] => Expr::new().load(0, &bytes(*ip)).load(next, &port.to_be_bytes()),
            _ => {
                let map = format!("{chain}-backends");
                let elements = backends.iter().zip(0u32..).map(|((ip, port, _), number)| {
                    let mut data = bytes(*ip);
                    data.extend(port.to_be_bytes());
                    data.extend([0, 0]);
                    Element { key: number.to_ne_bytes().to_vec(), data }
                });
                self.batch.map(&map, 4, length(self.v6) + 4, elements.collect());
                let after = next + 1;
                Expr::new().load_random(after, backends.len() as u32).load_from(after, &map, 0)
            }
        };
        self.batch.rule(chain, rule.dnat(self.v6, 0, next));
    }
}

fn key_list(addresses: &[IpAddr], protocol: u8, port: u16) -> Vec<Vec<u8>> {
    addresses.iter().map(|ip| key(*ip, protocol, port)).collect()
}

/// The source becomes the node's address for what came in by a node port, and for a pod that reaches itself through
/// a Service, be it by way of another node: it would not take answers from itself.
fn masquerade(batch: &mut Batch, state: &State, own: IpAddr) {
    let v6 = own.is_ipv6();
    let rewrite = |rule: Expr| rule.load(0, &bytes(own)).snat(v6, 0);
    batch.rule("postrouting", rewrite(Expr::new().family(v6).marked(MASQUERADE)));
    let pods = state.pods.iter().filter(|pod| matches!(pod.place, Place::Pod(_)));
    let pairs: Vec<Element> = pods
        .flat_map(|pod| pod.ips.iter().filter(|ip| ip.is_ipv6() == v6))
        .map(|ip| Element { key: [bytes(*ip), bytes(*ip)].concat(), data: () })
        .collect();
    batch.keys(own_pairs(v6), 2 * length(v6), pairs);
    batch.rule("postrouting", rewrite(to_itself(v6)));
}

/// Only what came through a node port of this node with externalTrafficPolicy Cluster.
pub(super) fn by_node_port() -> Expr {
    Expr::new().connection_marked(NODE_PORT)
}

/// The set of pairs of a pod's address and itself.
fn own_pairs(v6: bool) -> &'static str {
    if v6 { "self6" } else { "self4" }
}

/// Only what a pod sends to itself, by way of a Service: otherwise it stays inside of the pod.
pub(super) fn to_itself(v6: bool) -> Expr {
    let both = Expr::new().family(v6).load_source(0, v6).load_target(registers(v6), v6);
    both.in_set(0, own_pairs(v6), false)
}
