//! From the cluster's state to nf_tables, one table a node.
//!
//! ```text
//! State ─► memory ─► Scene ─► defects ─► policy (isolation, resolved) ─► filter ┐
//!          (what is in force)     └────► services ──────────────────────────────┴─► one batch a node ─► kernel
//! ```
//!
//! Each batch replaces the one before at once. What is wrong or late on purpose ([`crate::traits::Traits`]) is in
//! [`memory`], [`defects`], [`passes`] and [`established`], and beside them nothing is.
//!
//! Written from the API's text alone, without a look at the oracle, so that each checks the other.

mod defects;
mod established;
mod filter;
mod memory;
mod passes;
mod policy;
mod ranges;
mod select;
mod services;

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    time::{Duration, Instant},
};

pub(crate) use memory::{Memory, Scene};
use policy::Isolation;

use super::{
    errors::doing,
    fabric::{Fabric, switch},
    netlink::{Batch, Nft},
};

/// Seconds; closed connections are forgotten soon, for probes make many and never use one again.
const TIMEOUTS: [(&str, &str); 6] = [
    ("tcp_timeout_time_wait", "1"),
    ("tcp_timeout_close", "1"),
    ("tcp_timeout_close_wait", "5"),
    ("tcp_timeout_last_ack", "2"),
    ("tcp_timeout_fin_wait", "5"),
    ("udp_timeout", "5"),
];

/// The dataplanes of all nodes.
pub(crate) struct Dataplane {
    tables: Vec<Table>,
    current: Isolation,
    /// Isolations by which existing connections may live on, and until when; the newest is the last.
    past: VecDeque<(Instant, Isolation)>,
}

/// The table of one node.
struct Table {
    nft: Nft,
    /// What is loaded.
    current: Option<(&'static str, Batch)>,
    /// How many tables there have been.
    generation: i32,
}

impl Dataplane {
    /// Opens a socket into each node.
    pub(crate) fn open(fabric: &Fabric) -> io::Result<Self> {
        let open = |node: &super::netns::NetNs| {
            Ok(Table { nft: node.inside(Nft::open)?, current: None, generation: 0 })
        };
        let tables = fabric.nodes.iter().map(open).collect::<io::Result<_>>()?;
        Ok(Self { tables, current: Isolation::default(), past: VecDeque::new() })
    }

    /// Makes all nodes follow the scene. Connections that exist live on (N41 leaves that open) unless a trait cuts
    /// them.
    pub(crate) fn apply(&mut self, scene: &Scene) -> io::Result<()> {
        let Scene { state, exempt } = scene;
        let now = Instant::now();
        self.past.retain(|(until, _)| *until > now);
        let policies = policy::read(state).map_err(io::Error::other)?;
        let policies = defects::rewrite(policies, &state.traits, state.namespaces.keys());
        let isolation = policy::resolve(state, &policies, exempt).map_err(io::Error::other)?;
        let grace = state.traits.cuts_established.filter(|grace| *grace > Duration::ZERO);
        if let Some(grace) = grace
            && isolation != self.current
        {
            self.past.push_back((now + grace, self.current.clone()));
        }
        let past: Vec<&Isolation> = self.past.iter().map(|(_, isolation)| isolation).collect();
        for (number, table) in self.tables.iter_mut().enumerate() {
            let node = number as u16;
            let mut batch = Batch::new();
            services::add(&mut batch, state, node);
            filter::add(&mut batch, state, &isolation, &past, node);
            table.put(batch).map_err(|error| doing(format!("node {node}"), error))?;
        }
        self.current = isolation;
        Ok(())
    }

    /// When existing connections are to be judged anew.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.past.front().map(|(until, _)| *until)
    }
}

impl Table {
    fn put(&mut self, batch: Batch) -> io::Result<()> {
        let old = match &self.current {
            Some((_, current)) if *current == batch => return Ok(()),
            Some((name, _)) => Some(*name),
            None => None,
        };
        // The old table and the new one exist side by side for a moment, and so need two names.
        let name = if old == Some("verdikt-a") { "verdikt-b" } else { "verdikt-a" };
        self.nft.replace(name, &batch, self.generation, old)?;
        self.generation += 1;
        self.current = Some((name, batch));
        Ok(())
    }
}

/// Shortens the memory of connection tracking in the calling thread's network namespace. Needs a table that tracks.
pub(crate) fn tune_connection_tracking() -> io::Result<()> {
    for (name, seconds) in TIMEOUTS {
        // Some kernels keep these to real root; their defaults do for all but the largest matrices.
        let _ = switch(&format!("netfilter/nf_conntrack_{name}"), seconds);
    }
    // Only ever allowed to real root without a user namespace, and only worth it upwards.
    let most = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max").unwrap_or_default();
    if most.trim().parse::<u32>().is_ok_and(|most| most < 262_144) {
        let _ = switch("netfilter/nf_conntrack_max", "262144");
    }
    Ok(())
}

/// An address as the kernel has it in a register.
fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Length of an address.
fn length(v6: bool) -> u32 {
    if v6 { 16 } else { 4 }
}

/// Registers that an address takes.
fn registers(v6: bool) -> u32 {
    length(v6) / 4
}
