//! The nodes' tables, and how one takes the place of another.
//!
//! ```text
//! add the new tables ─► wait until no packet is on its way that came before ─► remove the old ones
//! ```
//!
//! The moment of change and the list of hooks that a packet goes through are not one to the kernel: a packet that took
//! the list before the new table was in it may reach the old table when that is gone, and pass both. So the two are in
//! force together until all such packets are through. Meanwhile a packet must pass both: denials hold from the first
//! moment, allowances from the last. Of two chains that translate addresses only the first to do so is heard, and the
//! kernel asks the newer one first.
//!
//! Chains and hooks that stay, with other rules put into them in one transaction, would not do: which rules a packet
//! meets is settled when it comes to a chain, and which elements of a set are there only when it looks them up, so that
//! old rules find a map whose elements are gone and nobody isolated; and of two chains, egress and ingress, it may meet the
//! old and the new. docs/architecture.md has what was measured.

use std::{io, thread, time::Duration};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use crate::{
    node::{
        errors::doing,
        fabric::Fabric,
        netlink::{Batch, Nft},
        netns::NetNs,
    },
    plan,
};

/// The tables of all nodes.
pub(super) struct Tables {
    nodes: Vec<Table>,
}

/// The table of one node.
struct Table {
    nft: Nft,
    current: Option<Loaded>,
    /// What is to take its place, and is in force beside it.
    coming: Option<Loaded>,
}

/// What a table has, and its name.
struct Loaded {
    name: &'static str,
    batch: Batch,
}

impl Tables {
    /// Opens a socket into each node.
    pub(super) fn open(fabric: &Fabric) -> io::Result<Self> {
        let open = |node: &NetNs| Ok(Table { nft: node.inside(Nft::open)?, current: None, coming: None });
        Ok(Self { nodes: fabric.nodes.iter().map(open).collect::<io::Result<_>>()? })
    }

    /// Puts a batch in force on each node. When a node refuses, all keep what they have.
    pub(super) fn replace(&mut self, batches: [Batch; plan::NODES as usize]) -> io::Result<()> {
        let done = self.exchange(batches);
        if done.is_err() {
            for table in &mut self.nodes {
                table.abandon();
            }
        }
        done
    }

    fn exchange(&mut self, batches: [Batch; plan::NODES as usize]) -> io::Result<()> {
        let on = |number: usize| move |error| doing(format!("node {number}"), error);
        let mut waits = false;
        for ((number, table), batch) in self.nodes.iter_mut().enumerate().zip(batches) {
            waits |= table.add(batch).map_err(on(number))?;
        }
        if waits {
            until_earlier_packets_are_through();
        }
        self.nodes.iter_mut().enumerate().try_for_each(|(number, table)| table.settle().map_err(on(number)))
    }
}

impl Table {
    /// Adds what is to take the current table's place, if it is another; whether there are two now.
    fn add(&mut self, batch: Batch) -> io::Result<bool> {
        if self.current.as_ref().is_some_and(|current| current.batch == batch) {
            return Ok(false);
        }
        let old = self.current.as_ref().map(|current| current.name);
        let name = if old == Some("verdikt-a") { "verdikt-b" } else { "verdikt-a" };
        self.nft.add(name, &batch)?;
        self.coming = Some(Loaded { name, batch });
        Ok(old.is_some())
    }

    /// Removes the old table, if there are two.
    fn settle(&mut self) -> io::Result<()> {
        if let (Some(old), Some(_)) = (&self.current, &self.coming) {
            self.nft.remove(old.name)?;
        }
        if self.coming.is_some() {
            self.current = self.coming.take();
        }
        Ok(())
    }

    /// Removes the new table, if there are two.
    fn abandon(&mut self) {
        if let Some(new) = self.coming.take() {
            // If it stays, the next one cannot have its name, and says so.
            let _ = self.nft.remove(new.name);
        }
    }
}

/// Waits for every packet that is among the chains of a hook.
fn until_earlier_packets_are_through() {
    // A packet goes through all chains of a hook in one RCU read-side section, and this waits until every such section
    // that has begun has ended.
    // SAFETY: the command has no arguments.
    let waited =
        unsafe { nix::libc::syscall(nix::libc::SYS_membarrier, nix::libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if Errno::result(waited).is_err() && close_packet_socket().is_err() {
        // Neither in every kernel and every container. A packet takes microseconds, but its processor may be taken away.
        thread::sleep(Duration::from_millis(100));
    }
}

/// The kernel waits for the same before it lets go of such a socket, whatever it was used for.
fn close_packet_socket() -> nix::Result<()> {
    socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).map(drop)
}
