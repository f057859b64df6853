//! Source ports of UDP and SCTP probes.
//!
//! A stateful dataplane keeps a UDP flow's entry for 30 to 180 s, and that of an SCTP association for 10 s after an ABORT
//! has ended it, or for 210 s when it was not seen to end. A probe that came from the port of an earlier, allowed one
//! would be taken as part of that flow and be let through by a policy that denies it: a false "allowed". So ports come
//! from a cursor that walks through the ephemeral range, and a port is never used twice towards one destination within
//! [`REST`].
//!
//! Tasks that go on, which take a port every millisecond, have a range of their own: they must not use up the probes'.
//!
//! TCP needs none of this: the kernel's choice is fine, because connection tracking takes a SYN on a closed
//! entry as a new flow, and every probe closes its connection with RST (see [`super::socket`]).

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use super::cause::Peer;

/// Ports of probes: Linux' default ephemeral ports.
pub(crate) const PROBES: RangeInclusive<u16> = 32_768..=60_999;

/// Ports of tasks: above what usually listens, below Kubernetes' node ports.
pub(crate) const TASKS: RangeInclusive<u16> = 10_240..=29_999;

/// Longer than any dataplane keeps a flow.
const REST: Duration = Duration::from_secs(600);

/// The cursor, and what it has given out lately.
pub(crate) struct SourcePorts {
    first: u16,
    count: usize,
    /// Offset of the port that is next.
    next: usize,
    /// What was given out within [`REST`], oldest first: (hash of the destination, when). The last entry used
    /// the port before `next`, the one before it the port before that, and so on.
    given: VecDeque<(u32, Instant)>,
    /// Destinations towards which every port has been used, and until when: looking for one takes long.
    used_up: HashMap<u32, Instant>,
    hasher: RandomState,
}

impl SourcePorts {
    /// Starts anywhere in the range: sessions that follow one another in a pod shall not begin alike.
    pub(crate) fn new(range: RangeInclusive<u16>, seed: u64) -> Self {
        let (first, count) = (*range.start(), range.len());
        let next = (seed % count as u64) as usize;
        let (given, used_up) = (VecDeque::new(), HashMap::new());
        Self { first, count, next, given, used_up, hasher: RandomState::new() }
    }

    /// A port that has not been used towards this destination, in this protocol, lately; `None` when there is none.
    pub(crate) fn take(&mut self, to: Peer, now: Instant) -> Option<u16> {
        while self.given.front().is_some_and(|(_, when)| *when + REST < now) {
            self.given.pop_front();
        }
        let destination = self.hasher.hash_one(to) as u32;
        if self.used_up.get(&destination).is_some_and(|until| now <= *until) {
            return None;
        }
        let (count, known) = (self.count, self.given.len());
        for _ in 0..count {
            let port = self.first + self.next as u16;
            let rounds = (1..=self.given.len() / count).map(|round| self.given.len() - round * count);
            let used = rounds.into_iter().any(|at| self.given[at].0 == destination);
            self.next = (self.next + 1) % count;
            self.given.push_back((destination, now));
            if !used {
                return Some(port);
            }
        }
        // The cursor is back where it was, and nothing was given out.
        self.given.truncate(known);
        if let Some((_, oldest)) = self.given.front() {
            self.used_up.insert(destination, *oldest + REST);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use verdikt_protocol::Transport;

    use super::*;

    fn to(n: u8) -> Peer {
        (Transport::Udp, ([10, 0, 0, n], 80).into())
    }

    #[test]
    fn no_port_comes_twice_until_all_are_used_up() {
        let (mut ports, now) = (SourcePorts::new(PROBES, 60_000), Instant::now());
        let taken: HashSet<u16> = (0..PROBES.len()).filter_map(|_| ports.take(to(1), now)).collect();
        assert_eq!(taken.len(), PROBES.len());
        assert!(taken.iter().all(|port| (32_768..=60_999).contains(port)));
        for _ in 0..3 {
            assert_eq!(ports.take(to(1), now + REST), None, "all have been used towards this destination");
        }
        assert_eq!(ports.given.len(), PROBES.len(), "asking in vain costs no memory");
        assert!(ports.take(to(2), now + REST).is_some());
        assert!(ports.take(to(1), now + REST + Duration::from_millis(1)).is_some(), "they have rested");
    }

    #[test]
    fn a_port_comes_back_for_another_destination_and_after_its_rest() {
        let (mut ports, now) = (SourcePorts::new(PROBES, 0), Instant::now());
        let first = ports.take(to(1), now).unwrap();
        for _ in 1..PROBES.len() {
            ports.take(to(2), now).unwrap();
        }
        assert_eq!(ports.take(to(3), now), Some(first));
        for _ in 1..PROBES.len() {
            ports.take(to(4), now).unwrap();
        }
        assert_ne!(ports.take(to(1), now), Some(first), "two rounds later it is still known");
        let later = now + REST + Duration::from_secs(1);
        assert!(ports.take(to(1), later).is_some());
        assert_eq!(ports.given.len(), 1, "what has rested is forgotten");
    }

    #[test]
    fn protocols_do_not_use_up_each_others_ports() {
        let (mut ports, now) = (SourcePorts::new(PROBES, 0), Instant::now());
        let (udp, sctp) = (to(1), (Transport::Sctp, to(1).1));
        for _ in 0..PROBES.len() {
            ports.take(udp, now).unwrap();
        }
        assert_eq!(ports.take(udp, now), None);
        assert!(ports.take(sctp, now).is_some());
    }
}
