//! Addresses for pods: each node hands out its lowest free number, so that a freed address is the next pod's.

use std::{collections::BTreeSet, net::IpAddr};

use crate::plan;

/// Numbers of one node: 1 to this.
const LAST: u16 = 4094;

/// Numbers in use on each node.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    used: [BTreeSet<u16>; plan::NODES as usize],
}

impl Addresses {
    /// Takes a number on a node; `None` when all are in use.
    pub(crate) fn take(&mut self, node: u16) -> Option<(u16, [IpAddr; 2])> {
        let used = &mut self.used[usize::from(node)];
        let number = (1..=LAST).find(|n| !used.contains(n))?;
        used.insert(number);
        Some((number, plan::pod_ips(node, number)))
    }

    /// How many numbers each node has in use.
    pub(crate) fn load(&self) -> [usize; plan::NODES as usize] {
        std::array::from_fn(|node| self.used[node].len())
    }

    /// Gives a number back.
    pub(crate) fn free(&mut self, node: u16, number: u16) {
        self.used[usize::from(node)].remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_address_is_next() {
        let mut addresses = Addresses::default();
        for number in 1..=3 {
            assert_eq!(addresses.take(1).unwrap(), (number, plan::pod_ips(1, number)));
        }
        addresses.free(1, 2);
        assert_eq!(addresses.take(0).unwrap().0, 1);
        assert_eq!(addresses.load(), [1, 2]);
        assert_eq!(addresses.take(1).unwrap().0, 2);
        assert_eq!((4..=LAST).map(|_| addresses.take(1).unwrap().0).max(), Some(LAST));
        assert_eq!(addresses.take(1), None);
    }
}
