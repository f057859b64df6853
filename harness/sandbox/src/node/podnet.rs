//! A pod's network: a namespace and a routed veth, as Calico has it.

use std::{
    io,
    net::IpAddr,
    os::fd::AsFd,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    fabric::{FIRST_POD_LINK, NODE_MAC, POD_MAC, gateway, switches},
    netlink::{Link, Route, Via, any},
    netns::NetNs,
};
use crate::plan;

/// Number of the pod's own end.
const ETH0: u32 = 2;

/// Numbers of the nodes' ends: never used twice, so that a link which the kernel is still taking down is in nobody's
/// way.
static NEXT: AtomicU32 = AtomicU32::new(FIRST_POD_LINK);

/// A pod's network. Dropping it does not remove the routes to it, see [`PodNet::unroute`].
#[derive(Debug)]
pub(crate) struct PodNet {
    pub(crate) space: NetNs,
    node: u16,
    link: u32,
    addresses: Vec<IpAddr>,
}

impl PodNet {
    /// Makes it, on a thread that may change its namespace and is left inside. `route` is a socket of the node.
    pub(crate) fn make(node: u16, addresses: &[IpAddr], ipv6: bool, route: &mut Route) -> io::Result<Self> {
        let addresses: Vec<IpAddr> = addresses.iter().copied().filter(|a| ipv6 || a.is_ipv4()).collect();
        let space = NetNs::make()?;
        switches(false, ipv6)?;
        let mut inside = Route::open()?;
        let link = NEXT.fetch_add(1, Ordering::Relaxed);
        route.veth(
            Link { name: &format!("pod{link}"), index: link, mac: NODE_MAC },
            Link { name: "eth0", index: ETH0, mac: POD_MAC },
            space.as_fd(),
        )?;
        inside.up(ETH0)?;
        route.up(link)?;
        for address in &addresses {
            let v6 = address.is_ipv6();
            inside.address(ETH0, *address)?;
            inside.neighbour(ETH0, gateway(v6), NODE_MAC)?;
            inside.route(any(v6), Via { link: ETH0, gateway: Some(gateway(v6)), source: None })?;
            route.neighbour(link, *address, POD_MAC)?;
            let own = plan::node_ips(node).into_iter().find(|own| own.is_ipv6() == v6);
            route.route((*address, if v6 { 128 } else { 32 }), Via { link, gateway: None, source: own })?;
        }
        Ok(Self { space, node, link, addresses })
    }

    /// On which node it is.
    pub(crate) fn node(&self) -> u16 {
        self.node
    }

    /// Removes the routes to it. The kernel takes the link down by itself once nothing uses the namespace any more;
    /// doing it here would cost several milliseconds a pod.
    pub(crate) fn unroute(&self, route: &mut Route) -> io::Result<()> {
        for address in &self.addresses {
            route.unroute(*address, self.link)?;
        }
        Ok(())
    }
}
