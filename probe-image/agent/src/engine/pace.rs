//! How fast probes are started.
//!
//! All at once would make the servers' queues the thing that is measured: answers would come late, or on UDP not
//! at all. So a few probes are in the open at a time, and the next one starts when one of them has been answered,
//! as in TCP's own congestion window. Silence must not hold others up: a probe that has waited several times as
//! long as answers take is taken out of the count, though it goes on waiting for its deadline.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::slab::Key;

/// Most probes in the open, and fewest: where answers take longer than [`PROMPT`], there are as many fewer as they
/// take longer. Hundreds of agents on one machine slow each other down so, and not their servers.
const WINDOW: usize = 32;
const NARROWEST: usize = 4;
const PROMPT: Duration = Duration::from_millis(5);

/// How long a probe counts: twice the usual time of an answer, within these bounds.
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);

/// The pace of an engine.
pub(super) struct Pace {
    /// Probes in the open, and some that have ended meanwhile, in the order in which they were started.
    open: VecDeque<(Instant, Key)>,
    /// How many of those have ended.
    ended: usize,
    /// Usual time of an answer, smoothed as TCP does it (RFC 6298).
    usual: Duration,
}

impl Pace {
    /// Nothing in the open.
    pub(super) const fn new() -> Self {
        Self { open: VecDeque::new(), ended: 0, usual: Duration::ZERO }
    }

    /// Whether one more may start.
    pub(super) fn has_room(&self) -> bool {
        self.open.len() - self.ended < self.window()
    }

    fn window(&self) -> usize {
        let usual = self.usual.max(PROMPT).as_micros() as usize;
        (WINDOW * PROMPT.as_micros() as usize / usual).max(NARROWEST)
    }

    /// One has started.
    pub(super) fn started(&mut self, key: Key, now: Instant) {
        self.open.push_back((now, key));
    }

    /// One that [`Self::expire`] has not taken out has ended.
    pub(super) fn ended(&mut self, answered_in: Option<Duration>) {
        self.ended += 1;
        if let Some(rtt) = answered_in {
            self.usual = (self.usual * 7 + rtt) / 8;
        }
    }

    /// Takes out those that have waited for long. `still` says whether one is in flight, and notes that it does
    /// not count any more.
    pub(super) fn expire(&mut self, now: Instant, mut still: impl FnMut(Key) -> bool) {
        while self.due().is_some_and(|due| due <= now)
            && let Some((_, key)) = self.open.pop_front()
        {
            if !still(key) {
                self.ended -= 1;
            }
        }
    }

    /// When [`Self::expire`] makes room.
    pub(super) fn due(&self) -> Option<Instant> {
        self.open.front().map(|(start, _)| *start + (self.usual * 2).clamp(SHORTEST, LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_answers_narrow_the_window() {
        let mut pace = Pace::new();
        let widths = [0, 5, 20, 1000].map(|ms| {
            pace.usual = Duration::from_millis(ms);
            pace.window()
        });
        assert_eq!(widths, [WINDOW, WINDOW, WINDOW / 4, NARROWEST]);
    }

    #[test]
    fn answers_and_time_make_room() {
        let (mut pace, now) = (Pace::new(), Instant::now());
        for key in 0..WINDOW as u64 {
            assert!(pace.has_room());
            pace.started(key, now);
        }
        assert!(!pace.has_room());
        pace.ended(Some(Duration::from_micros(80)));
        assert!(pace.has_room());
        pace.started(99, now);
        assert!(!pace.has_room());
        pace.expire(now, |_| unreachable!("nothing is due"));
        pace.expire(now + SHORTEST, |key| key != 7);
        assert!(pace.has_room() && pace.open.is_empty() && pace.ended == 0);
    }
}
