//! The way back of clients who came through another node and kept their address.
//!
//! ```text
//! prerouting:          came over the other node's link ─► the connection is marked
//! prerouting, output:  reply of a marked connection ─► the packet is marked ─► rule ─► that link
//! ```
//!
//! The other node has rewritten the target's address, and only it can turn that back.

use std::io;

use crate::{
    node::{
        fabric::{Fabric, link_to},
        netlink::{Batch, Expr, Hook},
    },
    plan,
};

/// The mark of connections that came through the other node.
const CAME_OVER: u32 = 0x4;
/// The mark of packets that go back there.
const GOES_BACK: u32 = 0x8;
/// Number of the routing table for them.
const TABLE: u8 = 100;

const PREROUTING: u32 = 0;
const OUTPUT: u32 = 3;
/// After connections are known, before addresses are rewritten.
const PRIORITY: i32 = -150;

const _: () = assert!(plan::NODES == 2, "there is one other node");

/// The other node.
const fn other(node: u16) -> u16 {
    plan::NODES - 1 - node
}

/// Adds the marks of one node.
pub(super) fn add(batch: &mut Batch, node: u16) {
    batch.base_chain("way-back", Hook { kind: "filter", number: PREROUTING, priority: PRIORITY });
    let came = Expr::new().came_over(link_to(other(node))).replies(false);
    batch.rule("way-back", came.set_connection_mark(CAME_OVER));
    // What the node sends by itself is routed before it can be marked: this kind of chain has it routed again.
    batch.base_chain("way-back-output", Hook { kind: "route", number: OUTPUT, priority: PRIORITY });
    for chain in ["way-back", "way-back-output"] {
        batch.rule(chain, Expr::new().connection_marked(CAME_OVER).replies(true).set_mark(GOES_BACK));
    }
}

/// Leads marked packets of every node to the other one.
pub(super) fn open(fabric: &Fabric) -> io::Result<()> {
    (0..plan::NODES).try_for_each(|node| fabric.lead(node, GOES_BACK, TABLE, other(node)))
}
