//! The sandbox's address plan, shared by API server and node. All ranges are private or for documentation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Number of nodes.
pub(crate) const NODES: u16 = 2;

/// Names of the nodes.
pub(crate) const NODE_NAMES: [&str; NODES as usize] = ["sandbox-1", "sandbox-2"];

/// Range of pod addresses.
pub(crate) const POD_CIDRS: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];

/// Range of cluster IPs.
pub(crate) const SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];

/// Addresses of a node, counted from 0.
pub(crate) fn node_ips(node: u16) -> [IpAddr; 2] {
    [
        Ipv4Addr::new(172, 30, 0, node as u8 + 1).into(),
        Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, node + 1).into(),
    ]
}

/// Addresses of the external host: it has two identities, counted from 1 (`external`, `external/2`).
pub(crate) fn external_ips(n: u16) -> [IpAddr; 2] {
    [
        Ipv4Addr::new(198, 51, 100, 10 * n as u8).into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0x100, 0, 0, 0, 10 * n).into(),
    ]
}

/// Ranges of a node's pods: a /20 and a /64 for each node.
pub(crate) fn pod_cidrs(node: u16) -> [String; 2] {
    [format!("10.244.{}.0/20", node * 16), format!("fd00:10:244:{node}::/64")]
}

/// Addresses of the n-th pod (from 1) of a node: at most 4,094.
pub(crate) fn pod_ips(node: u16, n: u16) -> [IpAddr; 2] {
    [
        Ipv4Addr::new(10, 244, node as u8 * 16 + (n >> 8) as u8, n as u8).into(),
        Ipv6Addr::new(0xfd00, 0x10, 0x244, node, 0, 0, 0, n).into(),
    ]
}

/// Number of kube-dns among the Services; `resolv.conf` of every pod names its cluster IPs.
pub(crate) const DNS_SERVICE: u16 = 10;

/// Cluster IPs of the n-th Service.
pub(crate) fn service_ips(n: u16) -> [IpAddr; 2] {
    [
        Ipv4Addr::new(10, 96, (n >> 8) as u8, n as u8).into(),
        Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, n).into(),
    ]
}
