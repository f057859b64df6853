//! The sandbox's fixed networks: two nodes and an external host, each linked with each.
//!
//! ```text
//!  pods ─ veth ─► node 0 ◄───────► node 1 ◄─ veth ─ pods
//!                    └─► external ◄─┘
//! ```
//!
//! Every host has its addresses on its loopback device, and reaches others by a gateway address that exists nowhere
//! but in its own neighbour table: no ARP, no neighbour discovery, nothing that could be lost or that fills the
//! kernel's one neighbour table. The external host is everybody's default route and forwards nothing, so that
//! addresses which do not exist stay silent.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    path::Path,
};

use super::{
    errors::doing,
    netlink::{Link, Route, Via, any},
    netns::NetNs,
};
use crate::plan;

/// Link-layer address of the end that a node, or the first of two hosts, has.
pub(crate) const NODE_MAC: [u8; 6] = [0x02, 0x76, 0, 0, 0, 1];
/// Link-layer address of the other end.
pub(crate) const POD_MAC: [u8; 6] = [0x02, 0x76, 0, 0, 0, 2];
/// First number of a node's links to pods.
pub(crate) const FIRST_POD_LINK: u32 = 1000;

/// The gateway address of a family: it belongs to nobody.
pub(crate) fn gateway(v6: bool) -> IpAddr {
    if v6 { Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into() } else { Ipv4Addr::new(169, 254, 1, 1).into() }
}

/// Number of every host's link to a node; the external host counts as the one after the last.
pub(crate) const fn link_to(host: u16) -> u32 {
    10 + host as u32
}

/// Networks that exist from start to end.
pub(crate) struct Fabric {
    pub(crate) nodes: [NetNs; plan::NODES as usize],
    pub(crate) external: NetNs,
    /// Whether the kernel has IPv6.
    pub(crate) ipv6: bool,
}

/// A host of the fabric while it is being made.
struct Host {
    space: NetNs,
    route: Route,
    addresses: Vec<IpAddr>,
    /// What is behind it besides its own addresses.
    behind: Vec<(IpAddr, u8)>,
}

impl Fabric {
    /// Makes the networks. Must be called from a thread that may change its namespace; it comes back to its own.
    pub(crate) fn make() -> io::Result<Self> {
        let home = NetNs::current()?;
        let ipv6 = Path::new("/proc/sys/net/ipv6").exists();
        let usable = |addresses: Vec<IpAddr>| -> Vec<IpAddr> {
            addresses.into_iter().filter(|address| ipv6 || address.is_ipv4()).collect()
        };
        let host = |addresses: Vec<IpAddr>, behind: Vec<(IpAddr, u8)>, forwards: bool| -> io::Result<Host> {
            let space = NetNs::make()?;
            switches(forwards, ipv6)?;
            let mut route = Route::open()?;
            let addresses = usable(addresses);
            for address in &addresses {
                route.own_address(*address)?;
            }
            let behind = behind.into_iter().filter(|(address, _)| ipv6 || address.is_ipv4()).collect();
            Ok(Host { space, route, addresses, behind })
        };
        let mut hosts = vec![];
        for node in 0..plan::NODES {
            let pods =
                plan::pod_cidrs(node).iter().map(|cidr| parse(cidr)).collect::<io::Result<Vec<_>>>()?;
            hosts.push(host(plan::node_ips(node).to_vec(), pods, true)?);
        }
        let external = (1..=2).flat_map(plan::external_ips).collect();
        hosts.push(host(external, vec![], false)?);
        home.enter()?;

        let last = hosts.len() - 1;
        for left in 0..hosts.len() {
            for right in left + 1..hosts.len() {
                let (head, tail) = hosts.split_at_mut(right);
                let (a, b) = (&mut head[left], &mut tail[0]);
                let (to_b, to_a) = (link_to(right as u16), link_to(left as u16));
                let here = Link { name: &format!("to{right}"), index: to_b, mac: NODE_MAC };
                let there = Link { name: &format!("to{left}"), index: to_a, mac: POD_MAC };
                a.route.veth(here, there, b.space.as_fd())?;
                connect(a, to_b, POD_MAC, b, right == last)?;
                connect(b, to_a, NODE_MAC, a, false)?;
            }
        }
        let external = hosts.pop().map(|mut external| {
            sink(&mut external)?;
            Ok::<_, io::Error>(external.space)
        });
        let external = external.transpose()?;
        let mut nodes = hosts.into_iter().map(|host| host.space);
        match (nodes.next(), nodes.next(), external) {
            (Some(one), Some(two), Some(external)) => Ok(Self { nodes: [one, two], external, ipv6 }),
            _ => Err(io::Error::other("a host of the fabric is missing")),
        }
    }
}

impl Fabric {
    /// Makes a node send packets with a mark to another one, whatever their target. `table` is the number of a routing
    /// table of their own.
    ///
    /// # Errors
    /// If the kernel has no policy routing, or refuses.
    pub(crate) fn lead(&self, node: u16, mark: u32, table: u8, to: u16) -> io::Result<()> {
        let families = [false, true].into_iter().filter(|v6| self.ipv6 || !v6);
        self.nodes[usize::from(node)].inside(|| {
            let mut route = Route::open()?;
            for v6 in families {
                let via = Via { link: link_to(to), gateway: Some(gateway(v6)), source: None };
                route.route_in(table, any(v6), via)?;
                route.lead(v6, mark, table)?;
            }
            Ok(())
        })
    }
}

/// Brings `from`'s link to `to` up, with routes to everything there; with `default`, to everything else as well.
fn connect(from: &mut Host, link: u32, mac: [u8; 6], to: &Host, default: bool) -> io::Result<()> {
    from.route.up(link)?;
    for v6 in [false, true] {
        let Some(source) = from.addresses.iter().copied().find(|address| address.is_ipv6() == v6) else {
            continue;
        };
        let via = Via { link, gateway: Some(gateway(v6)), source: Some(source) };
        from.route.neighbour(link, gateway(v6), mac)?;
        let own = to.addresses.iter().map(|address| (*address, if v6 { 128 } else { 32 }));
        for prefix in own.chain(to.behind.iter().copied()).filter(|(address, _)| address.is_ipv6() == v6) {
            from.route.route(prefix, via)?;
        }
        if default {
            from.route.route(any(v6), via)?;
        }
    }
    Ok(())
}

/// Makes a host swallow what is not for it, and what it sends to nowhere: without a route it would tell the sender
/// so. The way leads over a link to itself, to a link-layer address that the other end does not have.
fn sink(host: &mut Host) -> io::Result<()> {
    const HERE: u32 = 20;
    const THERE: u32 = 21;
    const NOBODY: [u8; 6] = [0x02, 0x76, 0, 0, 0, 0xff];
    host.route.veth(
        Link { name: "nowhere", index: HERE, mac: NODE_MAC },
        Link { name: "nowhere-end", index: THERE, mac: POD_MAC },
        host.space.as_fd(),
    )?;
    host.route.up(THERE)?;
    host.route.up(HERE)?;
    for v6 in [false, true] {
        if let Some(source) = host.addresses.iter().copied().find(|address| address.is_ipv6() == v6) {
            host.route.neighbour(HERE, gateway(v6), NOBODY)?;
            host.route
                .route(any(v6), Via { link: HERE, gateway: Some(gateway(v6)), source: Some(source) })?;
        }
    }
    Ok(())
}

fn parse(cidr: &str) -> io::Result<(IpAddr, u8)> {
    let net: ipnet::IpNet = cidr.parse().map_err(|error| io::Error::other(format!("{cidr}: {error}")))?;
    Ok((net.network(), net.prefix_len()))
}

/// Sets a switch under `/proc/sys/net` of the calling thread's network namespace.
pub(crate) fn switch(name: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/net/{name}"), value)
        .map_err(|error| doing(format!("set net/{name} to {value}"), error))
}

/// What every network of the sandbox has: no checks on where packets come from, no automatic addresses, and errors
/// by ICMP for every packet that deserves one: a rate limit would turn refusals into silence.
pub(crate) fn switches(forwards: bool, ipv6: bool) -> io::Result<()> {
    // The host's setting is inherited, and the stricter of `all` and the link's own counts.
    switch("ipv4/conf/all/rp_filter", "0")?;
    switch("ipv4/conf/default/rp_filter", "0")?;
    switch("ipv4/icmp_ratelimit", "0")?;
    switch("ipv4/ip_forward", if forwards { "1" } else { "0" })?;
    // Not in every kernel, and no harm without.
    let _ = switch("ipv4/icmp_msgs_per_sec", "1000000");
    let _ = switch("ipv4/ip_unprivileged_port_start", "0");
    // Who may send echo requests without rights, in both families. The one group that a user namespace is sure to map
    // is 0; the kernel refuses others. Where this fails, the probe says that it cannot.
    let _ = switch("ipv4/ping_group_range", "0 0");
    if forwards {
        // A node with forwarding on would tell pods about shorter ways that policies do not watch.
        switch("ipv4/conf/all/send_redirects", "0")?;
        switch("ipv4/conf/default/send_redirects", "0")?;
    }
    if ipv6 {
        // Hosts of containers may have switched it off for new networks.
        switch("ipv6/conf/all/disable_ipv6", "0")?;
        switch("ipv6/conf/default/disable_ipv6", "0")?;
        switch("ipv6/conf/default/accept_dad", "0")?;
        switch("ipv6/conf/default/accept_ra", "0")?;
        switch("ipv6/conf/default/addr_gen_mode", "1")?;
        switch("ipv6/icmp/ratelimit", "0")?;
        if forwards {
            switch("ipv6/conf/all/forwarding", "1")?;
        }
    }
    Ok(())
}
