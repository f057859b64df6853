//! Until when attempts wait.

use std::{cmp::Reverse, collections::BinaryHeap};

/// (until when, attempt), the earliest first. An entry outlives its attempt; then it means nothing.
#[derive(Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<(u64, u64)>>);

impl Deadlines {
    /// An attempt waits until then.
    pub(super) fn push(&mut self, until: u64, attempt: u64) {
        self.0.push(Reverse((until, attempt)));
    }

    /// The earliest end of an attempt of which `waits` says that it still does.
    pub(super) fn due(&mut self, waits: impl Fn(u64) -> bool) -> Option<u64> {
        while let Some(Reverse((until, attempt))) = self.0.peek() {
            if waits(*attempt) {
                return Some(*until);
            }
            self.0.pop();
        }
        None
    }

    /// Takes an attempt whose time was over at `looked`, and how late that is.
    pub(super) fn pop(&mut self, looked: u64) -> Option<(u64, u64)> {
        let Reverse((until, attempt)) = *self.0.peek()?;
        if until > looked {
            return None;
        }
        self.0.pop();
        Some((attempt, looked - until))
    }
}

/// Silence is believed only when it was concluded within this part of the patience after its end: a process that
/// was not run for longer may not have been the only one, and waits once more.
const LATE: u64 = 8;

/// Whether so late an end proves nothing.
pub(super) const fn is_late(late: u64, patience: u64) -> bool {
    late > patience / LATE
}

/// The next point of a grid after `now`: what was missed is not made up for.
pub(super) const fn next_on_grid(last: u64, interval: u64, now: u64) -> u64 {
    let next = last + interval;
    if next > now { next } else { now + interval - (now - last) % interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_kept_and_misses_are_skipped() {
        assert_eq!(next_on_grid(1000, 100, 1003), 1100);
        assert_eq!(next_on_grid(1000, 100, 1100), 1200);
        assert_eq!(next_on_grid(1000, 100, 1555), 1600);
        assert_eq!(next_on_grid(1000, 100, 1600), 1700);
    }

    #[test]
    fn ends_come_in_order_and_those_of_the_gone_do_not() {
        let mut deadlines = Deadlines::default();
        for (until, attempt) in [(30, 0), (10, 1), (20, 2)] {
            deadlines.push(until, attempt);
        }
        assert_eq!(deadlines.due(|attempt| attempt != 1), Some(20));
        assert_eq!(deadlines.pop(19), None);
        assert_eq!(deadlines.pop(25), Some((2, 5)));
        assert_eq!(deadlines.due(|_| false), None);
    }
}
