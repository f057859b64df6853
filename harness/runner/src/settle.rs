//! One step's end: poll until the matrix is as expected and has held, or until its limit passes.
//!
//! ```text
//! sweep all ──► wrong cells? ──no──► hold sweep of all ──► wrong cells? ──no──► settled
//!                 │ yes                                      │ yes: they changed
//!                 ▼                                          ▼
//!             pause 10→250 ms, sweep only these ◄────────────┘        limit ──► a last look at the others, unsettled
//! ```
//!
//! A cell that was as expected, was not in a hold sweep, and is again at the end, is flaky. One that stays wrong
//! fails: what is proved last counts. Errors are retried within the same limit and never count as a change.

use std::collections::BTreeMap;

use tokio::time::{Duration, Instant, sleep};
use verdikt_model::{Cell, Expectation, Outcome, Row, Verdict, Via};

use crate::sweep::{Observation, Prober};

/// Pauses between sweeps of cells that are not yet as expected.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Times of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// After which silence means dropped.
    pub(crate) deadline: Duration,
    /// After the API's acceptance, until when the matrix may be not yet as expected.
    pub(crate) settle: Duration,
    /// How long a matrix of which nothing is expected must not change.
    pub(crate) quiet: Duration,
}

/// What is known of a cell besides its row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// Cause of the last refusal or error.
    pub(crate) detail: Option<Box<str>>,
    /// Verdicts in hold sweeps that differed from the one before: (before, then).
    pub(crate) changed: Option<(Verdict, Verdict)>,
}

/// How a step ended.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// From the API's acceptance to the start of the sweep in which the last wrong cell became right; `None` when
    /// the limit passed.
    pub(crate) after: Option<Duration>,
    /// Notes by index.
    pub(crate) notes: BTreeMap<u32, Note>,
}

/// A step's cells while they are probed.
pub(crate) struct Settling<'a, P> {
    pub(crate) prober: &'a P,
    /// The cells, in the order of `rows`.
    pub(crate) cells: &'a [Cell],
    /// Those with outcome [`Outcome::Skipped`] are left alone.
    pub(crate) rows: &'a mut [Row],
    /// Whether a cell's name was resolved before the first policy: only then is an unanswered DNS query silence on
    /// the path, and not a broken DNS.
    pub(crate) resolved_before: &'a (dyn Fn(&Cell) -> bool + Sync),
    pub(crate) limits: Limits,
}

impl<P: Prober> Settling<'_, P> {
    /// Runs the step's sweeps; `accepted` is when the API accepted its last action. `progress` hears how many cells
    /// are not yet as expected.
    pub(crate) async fn run(mut self, accepted: Instant, mut progress: impl FnMut(usize) + Send) -> Settled {
        let mut settled = Settled::default();
        let all: Vec<u32> = (0..)
            .zip(self.rows.iter())
            .filter(|(_, row)| row.outcome != Outcome::Skipped)
            .map(|(i, _)| i)
            .collect();
        let limit = accepted + self.limits.settle;
        let mut pending = all.clone();
        let mut pause = PAUSE;
        let mut quiet_since = Instant::now();
        loop {
            let start = Instant::now();
            self.sweep(&pending, &mut settled, false).await;
            pending.retain(|i| !self.is_right(*i));
            if pending.is_empty() {
                let (changed, hold_start) = self.hold(&all, &mut settled, start, &mut quiet_since).await;
                pending = all.iter().copied().filter(|i| !self.is_right(*i)).collect();
                if pending.is_empty() && !changed {
                    settled.after = Some(hold_start.saturating_duration_since(accepted));
                    break;
                }
                pause = PAUSE;
                if pending.is_empty() {
                    // Nothing is wrong, but it moved: held once more, as long as there is time.
                    if Instant::now() >= limit {
                        settled.after = Some(hold_start.saturating_duration_since(accepted));
                        break;
                    }
                    continue;
                }
            }
            progress(pending.len());
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.last_look(&all, &pending, &mut settled).await;
                break;
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        self.judge(&all, &settled);
        settled
    }

    /// The hold sweep. Where nothing definite is expected of any cell, nothing tells when the step has taken
    /// effect, so it is repeated until nothing has changed for a while; that counts as a hold. Tells whether such
    /// cells still move, and the start of the sweep before it.
    async fn hold(
        &mut self,
        all: &[u32],
        settled: &mut Settled,
        start: Instant,
        quiet_since: &mut Instant,
    ) -> (bool, Instant) {
        let open = all.iter().all(|i| self.rows[*i as usize].expected == Expectation::Either);
        if !open || all.is_empty() {
            self.sweep(all, settled, true).await;
            return (false, start);
        }
        loop {
            let before: Vec<Option<Verdict>> = all.iter().map(|i| self.rows[*i as usize].observed).collect();
            sleep(PAUSE_MAX.min(self.limits.quiet)).await;
            self.sweep(all, settled, true).await;
            let same = all.iter().zip(&before).all(|(i, before)| self.rows[*i as usize].observed == *before);
            if !same {
                *quiet_since = Instant::now();
                return (true, start);
            }
            if quiet_since.elapsed() >= self.limits.quiet {
                return (false, start);
            }
        }
    }

    /// At the limit: the cells that were right are looked at once more, so that the record shows one moment.
    async fn last_look(&mut self, all: &[u32], pending: &[u32], settled: &mut Settled) {
        let right: Vec<u32> = all.iter().copied().filter(|i| pending.binary_search(i).is_err()).collect();
        self.sweep(&right, settled, true).await;
        let wrong: Vec<u32> = right.into_iter().filter(|i| !self.is_right(*i)).collect();
        self.sweep(&wrong, settled, false).await;
    }

    async fn sweep(&mut self, which: &[u32], settled: &mut Settled, hold: bool) {
        if which.is_empty() {
            return;
        }
        let (rows, resolved_before, notes) = (&mut *self.rows, self.resolved_before, &mut settled.notes);
        let mut sink = |index: u32, observation: Observation| {
            let row = &mut rows[index as usize];
            let Observation { verdict, rtt_us, detail } = silence_of_dns(row, observation, resolved_before);
            let before = row.observed.replace(verdict);
            row.attempts = row.attempts.saturating_add(1);
            row.rtt_us = rtt_us;
            let right = row.expected.admits(verdict) == Some(true);
            if detail.is_some() && (!right || verdict == Verdict::Error) {
                notes.entry(index).or_default().detail = detail;
            } else if let Some(note) = notes.get_mut(&index) {
                note.detail = None;
            }
            if let (true, Some(before)) = (hold, before)
                && before != verdict
                && before != Verdict::Error
                && verdict != Verdict::Error
            {
                notes.entry(index).or_default().changed = Some((before, verdict));
            }
        };
        self.prober.sweep(self.cells, which, self.limits.deadline, &mut sink).await;
    }

    /// Whether a cell is as expected, or nothing more can be asked of it.
    fn is_right(&self, index: u32) -> bool {
        let row = &self.rows[index as usize];
        row.observed.is_some_and(|verdict| row.expected.admits(verdict) == Some(true))
    }

    fn judge(&mut self, all: &[u32], settled: &Settled) {
        for index in all {
            let row = &mut self.rows[*index as usize];
            let Some(verdict) = row.observed else {
                row.outcome = Outcome::Error;
                continue;
            };
            row.outcome = row.expected.compare(verdict);
            let wrong = |verdict: Verdict| row.expected.admits(verdict) == Some(false);
            let changed = settled.notes.get(index).and_then(|note| note.changed);
            if row.outcome == Outcome::Pass
                && changed.is_some_and(|(before, then)| wrong(before) || wrong(then))
            {
                row.outcome = Outcome::Flaky;
            }
        }
    }
}

/// An error of name resolution is an observation of the path when the same name was resolved before the first
/// policy: silence of the DNS server is then silence, and a refusal a refusal. Any other error stays one.
fn silence_of_dns(
    row: &Row,
    observation: Observation,
    resolved_before: &dyn Fn(&Cell) -> bool,
) -> Observation {
    let Observation { verdict: Verdict::Error, detail: Some(detail), .. } = &observation else {
        return observation;
    };
    if !matches!(row.cell.via, Via::Dns | Via::Headless)
        || !detail.starts_with("resolution: DNS query")
        || !resolved_before(&row.cell)
    {
        return observation;
    }
    let verdict = if detail.ends_with("unanswered") {
        Verdict::Dropped
    } else if detail.contains("(RST)") || detail.contains("ICMP") {
        Verdict::Rejected
    } else {
        return observation;
    };
    let text = detail.strip_prefix("resolution: ").unwrap_or(detail);
    Observation { verdict, rtt_us: 0, detail: Some(text.into()) }
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
