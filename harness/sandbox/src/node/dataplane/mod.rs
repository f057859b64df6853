//! From the cluster's state to nf_tables, one table a node.
//!
//! ```text
//! State ─► memory ─► Scene ─► defects ─► policy (isolation, resolved) ─► filter ┐
//!          (what is in force)     └────► services ──────────────────────────────┴─► one batch a node ─► kernel
//! ```
//!
//! How a batch takes the place of the one before is in [`tables`]. What is wrong or late on purpose ([`crate::traits::Traits`]) is in
//! [`memory`], [`defects`], [`joined`], [`passes`], [`established`] and [`way_back`], and where they change what policies and Services mean, in
//! [`policy`] and [`services`].
//!
//! Written from the API's text alone, without a look at the oracle, so that each checks the other.

mod defects;
mod established;
mod filter;
mod joined;
mod memory;
mod passes;
mod policy;
mod ranges;
mod select;
mod services;
mod tables;
mod way_back;

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use memory::{Memory, Scene};
use policy::Isolation;
use tables::Tables;

use super::{
    fabric::{Fabric, switch},
    netlink::Batch,
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
    fabric: Arc<Fabric>,
    tables: Tables,
    /// Whether replies can be led back through another node.
    leads_back: bool,
    current: Isolation,
    /// Isolations by which existing connections may live on, and until when; the newest is the last.
    past: VecDeque<(Instant, Isolation)>,
}

impl Dataplane {
    /// Opens a socket into each node.
    pub(crate) fn open(fabric: Arc<Fabric>) -> io::Result<Self> {
        let tables = Tables::open(&fabric)?;
        Ok(Self { fabric, tables, leads_back: false, current: Isolation::default(), past: VecDeque::new() })
    }

    /// Makes all nodes follow the scene. Connections that exist live on (N41 leaves that open) unless a trait cuts
    /// them.
    pub(crate) fn apply(&mut self, scene: &Scene) -> io::Result<()> {
        let Scene { state, exempt } = scene;
        if state.traits.node_ports_keep_source && !self.leads_back {
            way_back::open(&self.fabric)?;
            self.leads_back = true;
        }
        let now = Instant::now();
        self.past.retain(|(until, _)| *until > now);
        let policies = policy::read(state).map_err(io::Error::other)?;
        let policies = defects::rewrite(policies, &state.traits, state.namespaces.keys());
        let mut isolation = policy::resolve(state, &policies, exempt).map_err(io::Error::other)?;
        if state.traits.joins_names {
            joined::pods(state, &mut isolation);
        }
        let grace = state.traits.cuts_established.filter(|grace| *grace > Duration::ZERO);
        if let Some(grace) = grace
            && isolation != self.current
        {
            self.past.push_back((now + grace, self.current.clone()));
        }
        let past: Vec<&Isolation> = self.past.iter().map(|(_, isolation)| isolation).collect();
        self.tables.replace(std::array::from_fn(|number| {
            let node = number as u16;
            let mut batch = Batch::new();
            services::add(&mut batch, state, node);
            filter::add(&mut batch, state, &isolation, &past, node);
            batch
        }))?;
        self.current = isolation;
        Ok(())
    }

    /// When existing connections are to be judged anew.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.past.front().map(|(until, _)| *until)
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
