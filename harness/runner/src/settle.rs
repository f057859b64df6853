//! One step's end: poll until the matrix is as expected and has held, or until its limit passes.
//!
//! ```text
//! probe all ──► wrong ones are probed again ──► all right ──► hold: probe all once more ──► all right ──► settled
//!                 ▲  (pause 10→250 ms, while       │              │ some wrong: they changed
//!                 │   others are still silent)     │              │
//!                 └────────────────────────────────┴──────────────┘     limit ──► a last look, unsettled
//! ```
//!
//! The hold sweep begins no sooner than the matrix has had time to change: as long again as it took to become right, at
//! most a quiet time (a sixth of `--settle`), and where the step changes no definite expectation, so that being right
//! proves nothing, as long as [`crate::anchor`] says.
//!
//! A cell that was as expected, was not in a hold sweep, and is again at the end, is flaky. One that stays wrong
//! fails: what is proved last counts. Errors are retried within the same limit and never count as a change.
//!
//! A cell that shows a wrong verdict which it is known to show is not waited for; but since being wrong proves nothing
//! of the step, the hold sweep then begins as long after the others are right. One that has become right by
//! then was late, not known: everything has to hold once more.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{Duration, Instant, sleep, sleep_until},
};
use verdikt_model::{Cell, Expectation, Outcome, Row, Verdict, Via};

use crate::sweep::{Observation, Prober};

/// Pauses between probes of cells that are not yet as expected.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Times of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// After which silence means dropped.
    pub(crate) deadline: Duration,
    /// After the API's acceptance, until when the matrix may be not yet as expected.
    pub(crate) settle: Duration,
    /// How long a matrix must not change at most once its being right has proved that the step is in force.
    pub(crate) quiet: Duration,
    /// How long a matrix must not change whose being right does not prove it.
    pub(crate) unanchored: Duration,
    /// Whether the step changes what is expected of any cell.
    pub(crate) telling: bool,
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
    /// From the API's acceptance to the start of the probe with which the last wrong cell became right; `None` when
    /// the limit passed.
    pub(crate) after: Option<Duration>,
    /// The same for the last cell that became right, though others never did or may not have had to; `None` where nothing
    /// shows that any has turned.
    pub(crate) turned: Option<Duration>,
    /// Whether being right has proved that the step is in force.
    pub(crate) anchored: bool,
    /// For how long all cells held at least before the last sweep of them; `None` when there was no such sweep.
    pub(crate) held: Option<Duration>,
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
    /// Wrong verdicts, by index, that are known deviations.
    pub(crate) known: &'a BTreeSet<(u32, Verdict)>,
    pub(crate) limits: Limits,
}

impl<P: Prober + Sync> Settling<'_, P> {
    /// Runs the step's probes; `accepted` is when the API accepted its last action. `progress` hears how many cells
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
        loop {
            let right_since = self.until_right(&pending, limit, &mut settled.notes, &mut progress).await;
            let right_since = match right_since {
                Ok(since) => since,
                Err(turned) => {
                    let took = turned.map(|turned| turned.saturating_duration_since(accepted));
                    settled.turned = took.or(settled.turned);
                    self.last_look(&all, &mut settled.notes).await;
                    break;
                }
            };
            let after = right_since.saturating_duration_since(accepted);
            let deviating: Vec<u32> = all.iter().copied().filter(|i| self.is_known(*i)).collect();
            let telling = self.limits.telling && deviating.is_empty();
            let again = if telling { after.min(self.limits.quiet) } else { self.limits.unanchored };
            (settled.anchored, settled.held) = (telling, Some(again));
            settled.turned = telling.then_some(after).or(settled.turned);
            self.hold(&all, right_since.max(accepted) + again, limit, &mut settled.notes).await;
            pending = all.iter().copied().filter(|i| !self.is_settled(*i)).collect();
            let late = deviating.iter().any(|i| is_right(&self.rows[*i as usize]));
            if pending.is_empty() && !late {
                settled.after = Some(after);
                break;
            }
            // A path that carries some cells but never all at once would be asked for ever. What the hold sweep found
            // wrong has been asked only once, so it is asked again before it is judged.
            if Instant::now() >= limit {
                self.sweep(&pending, &mut settled.notes).await;
                self.last_look(&all, &mut settled.notes).await;
                break;
            }
        }
        self.judge(&all, &settled);
        settled
    }

    /// Probes these cells, and those that are wrong again and again while the others still wait for an answer, until
    /// all are right. Gives the start of the probe that made the last one right; when the limit passed, as an error that
    /// of the last one that became right after the first probe, if any did.
    async fn until_right(
        &mut self,
        which: &[u32],
        limit: Instant,
        notes: &mut BTreeMap<u32, Note>,
        progress: &mut (impl FnMut(usize) + Send),
    ) -> Result<Instant, Option<Instant>> {
        let (prober, cells, deadline) = (self.prober, self.cells, self.limits.deadline);
        let (tell, mut told) = mpsc::unbounded_channel();
        let launch = |which: Vec<u32>| {
            let (tell, start) = (tell.clone(), Instant::now());
            async move {
                let mut sink = |index: u32, observation: Observation| {
                    // The receiver lives as long as this future.
                    let _ = tell.send((start, index, observation));
                };
                prober.sweep(cells, &which, deadline, &mut sink).await;
            }
        };
        let first = Instant::now();
        let mut right_since = first;
        let mut sweeps = FuturesUnordered::new();
        if !which.is_empty() {
            sweeps.push(launch(which.to_vec()));
        }
        // Wrong cells that are not being probed, and when they will be.
        let mut wrong: Vec<u32> = Vec::new();
        let mut again: Option<Instant> = None;
        // Whether some cell was asked after the limit, or had no time left to be.
        let mut late = false;
        let mut pause = PAUSE;
        loop {
            if sweeps.is_empty() && told.is_empty() && again.is_none() {
                let turned = (right_since > first).then_some(right_since);
                return if late { Err(turned) } else { Ok(right_since) };
            }
            tokio::select! {
                biased;
                Some((start, index, observation)) = told.recv() => {
                    self.observe(index, observation, notes, false);
                    if is_right(&self.rows[index as usize]) {
                        if start > first {
                            right_since = right_since.max(start);
                        }
                    } else if !self.is_known(index) {
                        let now = Instant::now();
                        late |= now >= limit;
                        // What was asked in time and is told of after it has proved nothing: on a slow machine it may have
                        // been asked before the step was in force, and a connection that a change cuts takes seconds to
                        // be given up.
                        if start < limit {
                            wrong.push(index);
                            // The last time is at the limit, not before.
                            again = again.or(Some((now + pause).min(limit)));
                        }
                    }
                }
                Some(()) = sweeps.next(), if !sweeps.is_empty() => {}
                () = sleep_until(again.unwrap_or(limit)), if again.is_some() => {
                    progress(wrong.len());
                    wrong.sort_unstable();
                    sweeps.push(launch(std::mem::take(&mut wrong)));
                    again = None;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// The hold sweep, not before `begin`. Where nothing definite is expected of any cell, nothing tells when the step
    /// has taken effect, so it is repeated until nothing has changed for a while.
    async fn hold(&mut self, all: &[u32], begin: Instant, limit: Instant, notes: &mut BTreeMap<u32, Note>) {
        let open = all.iter().all(|i| self.rows[*i as usize].expected == Expectation::Either);
        if !open || all.is_empty() {
            sleep_until(begin).await;
            self.sweep(all, notes).await;
            return;
        }
        let mut since = Instant::now();
        loop {
            let before: Vec<Option<Verdict>> = all.iter().map(|i| self.rows[*i as usize].observed).collect();
            sleep(PAUSE_MAX.min(self.limits.quiet)).await;
            let start = Instant::now();
            self.sweep(all, notes).await;
            let same = all.iter().zip(&before).all(|(i, before)| self.rows[*i as usize].observed == *before);
            if !same {
                since = start;
            }
            if since.elapsed() >= self.limits.quiet && start >= begin || start >= limit {
                return;
            }
        }
    }

    /// At the limit: the cells that are right are looked at once more, so that the record shows one moment, and those
    /// that are not any more a second time.
    async fn last_look(&mut self, all: &[u32], notes: &mut BTreeMap<u32, Note>) {
        let right: Vec<u32> = all.iter().copied().filter(|i| self.is_settled(*i)).collect();
        self.sweep(&right, notes).await;
        let wrong: Vec<u32> = right.into_iter().filter(|i| !self.is_settled(*i)).collect();
        self.sweep(&wrong, notes).await;
    }

    /// Probes these cells once; what differs from before is noted as a change.
    async fn sweep(&mut self, which: &[u32], notes: &mut BTreeMap<u32, Note>) {
        if which.is_empty() {
            return;
        }
        let (prober, cells, deadline) = (self.prober, self.cells, self.limits.deadline);
        let mut sink = |index: u32, observation: Observation| self.observe(index, observation, notes, true);
        prober.sweep(cells, which, deadline, &mut sink).await;
    }

    fn observe(&mut self, index: u32, observation: Observation, notes: &mut BTreeMap<u32, Note>, hold: bool) {
        let row = &mut self.rows[index as usize];
        let Observation { verdict, rtt_us, detail, seen_as } =
            silence_of_dns(row, observation, self.resolved_before);
        let before = row.observed.replace(verdict);
        // That a known deviation ends is lateness, as of any other cell before it holds.
        let late = before.is_some_and(|before| self.known.contains(&(index, before)))
            && row.expected.admits(verdict) == Some(true);
        row.attempts = row.attempts.saturating_add(1);
        row.rtt_us = rtt_us;
        row.seen_as = seen_as;
        if detail.is_some() && !is_right(row) {
            notes.entry(index).or_default().detail = detail;
        } else if let Some(note) = notes.get_mut(&index) {
            note.detail = None;
        }
        if let (true, Some(before)) = (hold && !late, before)
            && before != verdict
            && before != Verdict::Error
            && verdict != Verdict::Error
        {
            // One change is told; one with a verdict that is wrong is never forgotten for one without.
            let wrong = |verdict: Verdict| row.expected.admits(verdict) == Some(false);
            let changed = &mut notes.entry(index).or_default().changed;
            if !changed.is_some_and(|(before, then)| wrong(before) || wrong(then)) {
                *changed = Some((before, verdict));
            }
        }
    }

    /// Whether a cell shows a wrong verdict that it is known to show.
    fn is_known(&self, index: u32) -> bool {
        self.rows[index as usize].observed.is_some_and(|verdict| self.known.contains(&(index, verdict)))
    }

    /// Whether a cell need not be waited for.
    fn is_settled(&self, index: u32) -> bool {
        is_right(&self.rows[index as usize]) || self.is_known(index)
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

/// Whether a cell is as expected, or nothing more can be asked of it.
fn is_right(row: &Row) -> bool {
    row.observed.is_some_and(|verdict| row.expected.admits(verdict) == Some(true))
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
    } else if detail.contains(" rejected: ") {
        Verdict::Rejected
    } else {
        return observation;
    };
    let text = detail.strip_prefix("resolution: ").unwrap_or(detail);
    Observation { verdict, rtt_us: 0, detail: Some(text.into()), seen_as: None }
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
