//! Links, addresses, routes and neighbours of one network namespace.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, BorrowedFd},
};

use netlink_bindings::{
    rt_addr::{self, Ifaddrmsg},
    rt_link::{self, Ifinfomsg},
    rt_neigh::{self, Ndmsg},
    rt_route::{self, Rtmsg},
    rt_rule::{self, FibRuleHdr},
    traits::{NetlinkRequest, Pusher},
    utils::{finalize_nested_header, push_header, push_nested_header},
};
use netlink_socket2::NetlinkSocket;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::failed;
use crate::node::errors::doing;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFF_UP: u32 = 1;
const VETH_INFO_PEER: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 2;
const NUD_PERMANENT: u16 = 0x80;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_NOWHERE: u8 = 255;
const RTN_UNICAST: u8 = 1;
const FR_ACT_TO_TBL: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;
/// Number of the loopback device of every namespace.
const LOOPBACK: u32 = 1;

/// Sends requests into one namespace.
pub(crate) struct Route {
    socket: NetlinkSocket,
}

/// One end of a veth pair to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link<'a> {
    /// At most 15 bytes.
    pub(crate) name: &'a str,
    /// Number, which must be free in its namespace.
    pub(crate) index: u32,
    pub(crate) mac: [u8; 6],
}

/// How a route leads on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Via {
    /// Over which link.
    pub(crate) link: u32,
    /// Whom to give packets to; otherwise the target itself is on the link.
    pub(crate) gateway: Option<IpAddr>,
    /// Which address own packets carry.
    pub(crate) source: Option<IpAddr>,
}

impl Route {
    /// Opens a socket in the calling thread's network namespace, and brings the loopback device up, as the socket is
    /// only really opened by its first request.
    pub(crate) fn open() -> io::Result<Self> {
        // The library calls every failure to open one "not permitted"; this asks the kernel why.
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
            .map_err(|errno| doing("open a netlink socket", errno.into()))?;
        let mut route = Self { socket: NetlinkSocket::new() };
        route.up(LOOPBACK)?;
        Ok(route)
    }

    fn ask<R: NetlinkRequest>(&mut self, what: impl Fn() -> String, request: &R) -> io::Result<()> {
        self.socket
            .request(request)
            .map_err(|error| crate::node::errors::doing(what(), error))?
            .recv_ack()
            .map_err(|error| failed(what(), &error))
    }

    /// Brings a link up.
    pub(crate) fn up(&mut self, link: u32) -> io::Result<()> {
        let header =
            Ifinfomsg { ifi_index: link as i32, ifi_flags: IFF_UP, ifi_change: IFF_UP, ..Default::default() };
        let request = rt_link::Request::new().op_setlink_do(&header);
        self.ask(|| format!("bring link {link} up"), &request)
    }

    /// Makes a veth pair: `here` in this namespace, `there` in another one.
    pub(crate) fn veth(&mut self, here: Link<'_>, there: Link<'_>, other: BorrowedFd<'_>) -> io::Result<()> {
        let header = Ifinfomsg { ifi_index: here.index as i32, ..Default::default() };
        let mut request = rt_link::Request::new().set_create().set_excl().op_newlink_do(&header);
        let mut info = request
            .encode()
            .push_ifname_bytes(here.name.as_bytes())
            .push_address(&here.mac)
            .nested_linkinfo()
            .push_kind(c"veth");
        // The bindings have no attributes for veth: its data is one attribute, a whole link message for the peer.
        let buffer = info.as_vec_mut();
        let data = push_nested_header(buffer, IFLA_INFO_DATA);
        let peer = push_nested_header(buffer, VETH_INFO_PEER);
        let header = Ifinfomsg { ifi_index: there.index as i32, ..Default::default() };
        buffer.extend_from_slice(header.as_slice());
        let _ = rt_link::PushLinkAttrs::new(&mut *buffer)
            .push_ifname_bytes(there.name.as_bytes())
            .push_address(&there.mac)
            .push_net_ns_fd(other.as_raw_fd() as u32);
        finalize_nested_header(buffer, peer);
        finalize_nested_header(buffer, data);
        drop(info);
        self.ask(|| format!("make link {}", here.name), &request)
    }

    /// Gives a link an address, at once usable.
    pub(crate) fn address(&mut self, link: u32, address: IpAddr) -> io::Result<()> {
        let header = Ifaddrmsg {
            ifa_family: family(address),
            ifa_prefixlen: bits(address),
            ifa_index: link,
            ..Default::default()
        };
        let mut request = rt_addr::Request::new().set_create().set_replace().op_newaddr_do(&header);
        let mut attributes = request.encode().push_local(address).push_address(address);
        if address.is_ipv6() {
            // As a pushed attribute: the bindings' push_flags is meant for replies.
            let buffer = attributes.as_vec_mut();
            push_header(buffer, IFA_FLAGS, 4);
            buffer.extend(IFA_F_NODAD.to_ne_bytes());
        }
        drop(attributes);
        self.ask(|| format!("give link {link} the address {address}"), &request)
    }

    /// Gives the loopback device an address.
    pub(crate) fn own_address(&mut self, address: IpAddr) -> io::Result<()> {
        self.address(LOOPBACK, address)
    }

    /// Fixes the link-layer address of a neighbour, so that it is never asked for.
    pub(crate) fn neighbour(&mut self, link: u32, address: IpAddr, mac: [u8; 6]) -> io::Result<()> {
        let header = Ndmsg {
            ndm_family: family(address),
            ndm_ifindex: link as i32,
            ndm_state: NUD_PERMANENT,
            ..Default::default()
        };
        let mut request = rt_neigh::Request::new().set_create().set_replace().op_newneigh_do(&header);
        request.encode().push_dst(address).push_lladdr(&mac);
        self.ask(|| format!("fix neighbour {address} on link {link}"), &request)
    }

    /// Adds or replaces a route. A prefix of length 0 is the default route.
    pub(crate) fn route(&mut self, to: (IpAddr, u8), via: Via) -> io::Result<()> {
        self.route_in(RT_TABLE_MAIN, to, via)
    }

    /// The same in a table of this number.
    pub(crate) fn route_in(&mut self, table: u8, to: (IpAddr, u8), via: Via) -> io::Result<()> {
        let header = Rtmsg {
            rtm_family: family(to.0),
            rtm_dst_len: to.1,
            rtm_table: table,
            rtm_protocol: RTPROT_STATIC,
            rtm_scope: if via.gateway.is_none() && to.0.is_ipv4() { RT_SCOPE_LINK } else { 0 },
            rtm_type: RTN_UNICAST,
            rtm_flags: if via.gateway.is_some() { RTNH_F_ONLINK } else { 0 },
            ..Default::default()
        };
        let mut request = rt_route::Request::new().set_create().set_replace().op_newroute_do(&header);
        let mut attributes = request.encode().push_oif(via.link);
        if to.1 > 0 {
            attributes = attributes.push_dst(to.0);
        }
        if let Some(gateway) = via.gateway {
            attributes = attributes.push_gateway(gateway);
        }
        if let Some(source) = via.source {
            attributes = attributes.push_prefsrc(source);
        }
        drop(attributes);
        self.ask(|| format!("route {}/{} over link {}", to.0, to.1, via.link), &request)
    }

    /// Has packets of a family with this mark routed by a table of their own.
    pub(crate) fn lead(&mut self, v6: bool, mark: u32, table: u8) -> io::Result<()> {
        let header = FibRuleHdr {
            family: if v6 { AF_INET6 } else { AF_INET },
            table,
            action: FR_ACT_TO_TBL,
            ..Default::default()
        };
        let mut request = rt_rule::Request::new().set_create().set_excl().op_newrule_do(&header);
        request.encode().push_fwmark(mark);
        self.ask(|| format!("lead packets with mark {mark} to routing table {table}"), &request)
    }

    /// Removes the route to one address over one link.
    pub(crate) fn unroute(&mut self, to: IpAddr, link: u32) -> io::Result<()> {
        let header = Rtmsg {
            rtm_family: family(to),
            rtm_dst_len: bits(to),
            rtm_table: RT_TABLE_MAIN,
            // Of whatever scope.
            rtm_scope: RT_SCOPE_NOWHERE,
            ..Default::default()
        };
        let mut request = rt_route::Request::new().op_delroute_do(&header);
        request.encode().push_dst(to).push_oif(link);
        self.ask(|| format!("remove the route to {to}"), &request)
    }
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// Length of a host prefix.
fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The prefix of a family that holds every address.
pub(crate) fn any(v6: bool) -> (IpAddr, u8) {
    if v6 { (Ipv6Addr::UNSPECIFIED.into(), 0) } else { (Ipv4Addr::UNSPECIFIED.into(), 0) }
}
