//! Results by batch, gathered into few lines: a line for each result would cost the runner more than the probe.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use verdikt_protocol::{ProbeResult, Reply};

use super::output::Output;

/// Results that make a line.
const LINE: usize = 64;

/// How long a result waits for others at most.
const WAIT: Duration = Duration::from_millis(5);

/// The batches that are not done.
pub(super) struct Batches {
    open: HashMap<u64, Batch>,
    flush_at: Option<Instant>,
}

struct Batch {
    count: u32,
    left: u32,
    pending: Vec<ProbeResult>,
}

impl Batches {
    /// None.
    pub(super) fn new() -> Self {
        Self { open: HashMap::new(), flush_at: None }
    }

    /// Whether all are done.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When [`Self::flush`] has something to do.
    pub(super) const fn flush_at(&self) -> Option<Instant> {
        self.flush_at
    }

    /// Begins a batch of so many probes.
    pub(super) fn begin(&mut self, batch: u64, count: u32, output: &mut Output) -> Result<(), String> {
        if self.open.contains_key(&batch) {
            return Err(format!("batch {batch} is not done yet"));
        }
        if count == 0 {
            output.say(&Reply::Done { batch, count });
        } else {
            self.open.insert(batch, Batch { count, left: count, pending: Vec::new() });
        }
        Ok(())
    }

    /// Adds a result. Says what makes a line, and the end of the batch with its last one.
    pub(super) fn add(&mut self, batch: u64, result: ProbeResult, output: &mut Output) {
        let Some(entry) = self.open.get_mut(&batch) else { return };
        entry.pending.push(result);
        entry.left -= 1;
        if entry.left == 0 || entry.pending.len() >= LINE {
            entry.say(batch, output);
        } else if self.flush_at.is_none() {
            self.flush_at = Some(Instant::now() + WAIT);
        }
        if entry.left == 0 {
            output.say(&Reply::Done { batch, count: entry.count });
            self.open.remove(&batch);
        }
    }

    /// Says what has waited long enough.
    pub(super) fn flush(&mut self, output: &mut Output) {
        if self.flush_at.is_some_and(|at| at <= Instant::now()) {
            for (batch, entry) in &mut self.open {
                if !entry.pending.is_empty() {
                    entry.say(*batch, output);
                }
            }
            self.flush_at = None;
        }
    }
}

impl Batch {
    fn say(&mut self, batch: u64, output: &mut Output) {
        output.say(&Reply::Results { batch, results: std::mem::take(&mut self.pending) });
    }
}
