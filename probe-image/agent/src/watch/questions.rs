//! The questions on a held connection or socket: when the next one is due, and what became of each.

use verdikt_protocol::{ProbeVerdict, Run};

use super::{
    deadlines::{Deadlines, is_late, next_on_grid},
    runs::Runs,
};

/// Questions of one task.
pub(super) struct Questions {
    interval: u64,
    patience: u64,
    /// When the next one is due; `None` when there are no more.
    next: Option<u64>,
    runs: Runs,
    deadlines: Deadlines,
    /// Those before this one have waited a second time.
    again: u64,
}

impl Questions {
    /// The first one is due at `now`.
    pub(super) fn new(now: u64, interval_us: u32, patience_ms: u32) -> Self {
        Self {
            interval: interval_us.into(),
            patience: u64::from(patience_ms) * 1000,
            next: Some(now),
            runs: Runs::default(),
            deadlines: Deadlines::default(),
            again: 0,
        }
    }

    /// Whether one is due.
    pub(super) fn is_due(&self, looked: u64) -> bool {
        self.next.is_some_and(|next| next <= looked)
    }

    /// One is asked. Its number.
    pub(super) fn ask(&mut self, now: u64) -> u64 {
        self.skip(now);
        let number = self.runs.begin(now);
        self.deadlines.push(now + self.patience, number);
        number
    }

    /// One is left out.
    pub(super) fn skip(&mut self, now: u64) {
        self.next = self.next.map(|next| next_on_grid(next, self.interval, now));
    }

    /// When something is due.
    pub(super) fn due(&mut self) -> Option<u64> {
        let runs = &self.runs;
        self.next.into_iter().chain(self.deadlines.due(|number| runs.waits(number))).min()
    }

    /// One has ended; too late for one that counts as dropped already.
    pub(super) fn end(&mut self, number: u64, verdict: ProbeVerdict, detail: Option<String>) {
        self.runs.end(number, verdict, detail);
    }

    /// The one that was asked last and still waits.
    pub(super) fn newest(&self) -> Option<u64> {
        self.runs.newest()
    }

    /// Those whose patience was over at `looked` count as dropped.
    pub(super) fn expire(&mut self, looked: u64) {
        while let Some((number, late)) = self.deadlines.pop(looked) {
            if number >= self.again && is_late(late, self.patience) {
                self.again = number + 1;
                self.deadlines.push(looked + self.patience, number);
            } else {
                self.runs.end(number, ProbeVerdict::Dropped, None);
            }
        }
    }

    /// There are no more, and those that wait end so. Without any, the end itself counts as one.
    pub(super) fn finish(&mut self, now: u64, verdict: ProbeVerdict, detail: Option<&str>) {
        self.next = None;
        if self.runs.newest().is_none() {
            self.runs.begin(now);
        }
        self.runs.end_all(verdict, detail);
    }

    /// There are no more; those that wait go on doing so.
    pub(super) fn stop(&mut self) {
        self.next = None;
    }

    /// What is known.
    pub(super) fn known(&self) -> &[Run] {
        self.runs.known()
    }
}

#[cfg(test)]
mod tests {
    use ProbeVerdict::{Allowed, Dropped, Rejected};

    use super::*;

    fn brief(questions: &Questions) -> Vec<(u64, u32, ProbeVerdict)> {
        questions.known().iter().map(|run| (run.first_us, run.count, run.verdict)).collect()
    }

    #[test]
    fn an_answer_after_the_patience_is_too_late() {
        let mut questions = Questions::new(0, 1000, 10);
        let (late, prompt) = (questions.ask(0), questions.ask(1000));
        questions.end(prompt, Allowed, None);
        assert_eq!(questions.due(), Some(2000));
        questions.expire(10_001);
        questions.end(late, Allowed, None);
        assert_eq!(brief(&questions), [(0, 1, Dropped), (1000, 1, Allowed)]);
    }

    #[test]
    fn a_process_that_was_not_run_waits_once_more() {
        let mut questions = Questions::new(0, 1000, 10);
        questions.ask(0);
        questions.expire(500_000);
        assert_eq!(brief(&questions), []);
        questions.expire(600_000);
        assert_eq!(brief(&questions), [(0, 1, Dropped)]);
    }

    #[test]
    fn the_end_is_a_run_even_when_nothing_waits() {
        let mut questions = Questions::new(0, 1000, 10);
        let asked = questions.ask(0);
        questions.end(asked, Allowed, None);
        questions.finish(700, Rejected, Some("reset"));
        assert_eq!(brief(&questions), [(0, 1, Allowed), (700, 1, Rejected)]);
        assert_eq!(questions.due(), None);
    }
}
