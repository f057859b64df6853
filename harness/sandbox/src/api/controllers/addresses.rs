//! Addresses for pods: each node counts up and comes back to a freed number only after a full round.

use std::{collections::BTreeSet, net::IpAddr};

use crate::plan;

/// Numbers of one node: 1 to this.
const LAST: u16 = 4094;

/// Numbers in use on each node.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    nodes: [Node; plan::NODES as usize],
}

#[derive(Debug, Default)]
struct Node {
    newest: u16,
    used: BTreeSet<u16>,
}

impl Addresses {
    /// Takes a number on a node; `None` when all are in use.
    pub(crate) fn take(&mut self, node: u16) -> Option<(u16, [IpAddr; 2])> {
        let state = &mut self.nodes[usize::from(node)];
        let number =
            (1..=LAST).map(|step| (state.newest + step - 1) % LAST + 1).find(|n| !state.used.contains(n))?;
        state.newest = number;
        state.used.insert(number);
        Some((number, plan::pod_ips(node, number)))
    }

    /// How many numbers each node has in use.
    pub(crate) fn load(&self) -> [usize; plan::NODES as usize] {
        std::array::from_fn(|node| self.nodes[node].used.len())
    }

    /// Gives a number back.
    pub(crate) fn free(&mut self, node: u16, number: u16) {
        self.nodes[usize::from(node)].used.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_address_waits_for_a_full_round() {
        let mut addresses = Addresses::default();
        let (first, ips) = addresses.take(1).unwrap();
        assert_eq!((first, ips), (1, plan::pod_ips(1, 1)));
        addresses.free(1, first);
        let others: Vec<u16> = (2..=LAST).map(|_| addresses.take(1).unwrap().0).collect();
        assert!(!others.contains(&first));
        assert_eq!(addresses.take(1).unwrap().0, first);
        assert_eq!(addresses.take(1), None);
        assert_eq!(addresses.take(0).unwrap().0, 1);
        assert_eq!(addresses.load(), [1, usize::from(LAST)]);
    }
}
