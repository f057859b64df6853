//! What became of attempts, in the order in which they were begun.

use std::collections::VecDeque;

use verdikt_protocol::{MAX_RUNS, ProbeVerdict, Run};

use super::hearing::End;

/// The attempts of a task.
#[derive(Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
    /// Those of which an earlier one still waits; the first one is number `first`.
    open: VecDeque<Attempt>,
    first: u64,
}

struct Attempt {
    began: u64,
    end: Option<End>,
}

impl Runs {
    /// An attempt has begun. Its number.
    pub(super) fn begin(&mut self, began: u64) -> u64 {
        self.open.push_back(Attempt { began, end: None });
        self.first + self.open.len() as u64 - 1
    }

    /// Whether an attempt has no end yet.
    pub(super) fn waits(&self, attempt: u64) -> bool {
        self.find(attempt).is_some_and(|at| self.open[at].end.is_none())
    }

    /// The attempt without an end that was begun last.
    pub(super) fn newest(&self) -> Option<u64> {
        Some(self.first + self.open.iter().rposition(|attempt| attempt.end.is_none())? as u64)
    }

    /// An attempt has ended; `said` is the cause, or who answered. One that has ended before is left as it is.
    pub(super) fn end(&mut self, attempt: u64, verdict: ProbeVerdict, said: Option<String>) {
        if let Some(at) = self.find(attempt) {
            self.open[at].end.get_or_insert((verdict, said));
        }
        while let Some(Attempt { end: Some(_), .. }) = self.open.front()
            && let Some(Attempt { began, end: Some(end) }) = self.open.pop_front()
        {
            self.first += 1;
            self.append(began, end);
        }
    }

    /// All that wait have ended.
    pub(super) fn end_all(&mut self, verdict: ProbeVerdict, detail: Option<&str>) {
        for attempt in self.first..self.first + self.open.len() as u64 {
            self.end(attempt, verdict, detail.map(Into::into));
        }
    }

    /// The only attempt was over then.
    pub(super) fn over_at(&mut self, now: u64) {
        if let Some(run) = self.runs.last_mut() {
            run.last_us = now;
        }
    }

    /// What is known.
    pub(super) fn known(&self) -> &[Run] {
        &self.runs
    }

    fn find(&self, attempt: u64) -> Option<usize> {
        let at = usize::try_from(attempt.checked_sub(self.first)?).ok()?;
        (at < self.open.len()).then_some(at)
    }

    fn append(&mut self, began: u64, (verdict, said): End) {
        let (by, detail) = if verdict == ProbeVerdict::Allowed { (said, None) } else { (None, said) };
        let full = self.runs.len() >= MAX_RUNS;
        match self.runs.last_mut() {
            Some(last) if last.verdict == verdict && last.by == by || full => {
                last.last_us = began;
                last.count = last.count.saturating_add(1);
            }
            _ => self.runs.push(Run { first_us: began, last_us: began, count: 1, verdict, detail, by }),
        }
    }
}

#[cfg(test)]
mod tests {
    use ProbeVerdict::{Allowed, Dropped, Rejected};

    use super::*;

    fn brief(runs: &Runs) -> Vec<(u64, u64, u32, ProbeVerdict)> {
        runs.known().iter().map(|run| (run.first_us, run.last_us, run.count, run.verdict)).collect()
    }

    #[test]
    fn the_order_is_that_of_the_beginnings() {
        let mut runs = Runs::default();
        let attempts: Vec<u64> = (10..16).map(|began| runs.begin(began)).collect();
        for late in [5, 2, 1] {
            runs.end(attempts[late], Allowed, None);
        }
        assert_eq!(brief(&runs), [], "the first one still waits");
        assert_eq!(runs.newest(), Some(attempts[4]));
        runs.end(attempts[0], Allowed, None);
        assert_eq!(brief(&runs), [(10, 12, 3, Allowed)]);
        runs.end(attempts[3], Dropped, Some("first".into()));
        runs.end(attempts[4], Dropped, Some("second".into()));
        runs.end(attempts[4], Allowed, None);
        assert_eq!(brief(&runs), [(10, 12, 3, Allowed), (13, 14, 2, Dropped), (15, 15, 1, Allowed)]);
        assert_eq!(runs.known()[1].detail.as_deref(), Some("first"));
        assert!(!runs.waits(attempts[0]) && runs.newest().is_none());
    }

    #[test]
    fn another_server_begins_another_run() {
        let mut runs = Runs::default();
        for (began, by) in [(1, "s1"), (2, "s1"), (3, "s2")] {
            let attempt = runs.begin(began);
            runs.end(attempt, Allowed, Some(by.into()));
        }
        assert_eq!(brief(&runs), [(1, 2, 2, Allowed), (3, 3, 1, Allowed)]);
        let by: Vec<_> = runs.known().iter().map(|run| (run.by.as_deref(), run.detail.as_deref())).collect();
        assert_eq!(by, [(Some("s1"), None), (Some("s2"), None)]);
    }

    #[test]
    fn what_waits_ends_together() {
        let mut runs = Runs::default();
        let first = runs.begin(1);
        runs.begin(2);
        runs.begin(3);
        runs.end(first, Allowed, None);
        runs.end_all(Rejected, Some("reset"));
        assert_eq!(brief(&runs), [(1, 1, 1, Allowed), (2, 3, 2, Rejected)]);
    }

    #[test]
    fn what_comes_after_the_last_run_is_added_to_it() {
        let mut runs = Runs::default();
        for n in 0..MAX_RUNS as u64 + 10 {
            let attempt = runs.begin(n);
            runs.end(attempt, if n % 2 == 0 { Allowed } else { Dropped }, None);
        }
        let last = runs.known().last().unwrap();
        assert_eq!((runs.known().len(), last.count, last.last_us), (MAX_RUNS, 11, MAX_RUNS as u64 + 9));
    }
}
