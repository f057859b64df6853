//! What goes into the engine and what comes out.

use std::time::Duration;

use verdikt_protocol::{Greeting, Probe, ProbeResult, ProbeVerdict};

use super::dns::Answer;

/// A probe to be made.
pub(crate) struct Job {
    /// Given back with the outcome.
    pub(crate) batch: u64,
    /// What to probe.
    pub(crate) probe: Probe,
    /// Silence for so long, counted from when its first socket is opened, means dropped.
    pub(crate) deadline: Duration,
}

/// A probe that has ended.
pub(crate) struct Finished {
    /// Of the job.
    pub(crate) batch: u64,
    /// Of the probe.
    pub(crate) n: u32,
    /// What was observed.
    pub(crate) outcome: Outcome,
}

/// What was observed.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The verdict.
    pub(crate) verdict: ProbeVerdict,
    /// From the deciding socket's first packet to its answer; zero without one.
    pub(crate) rtt: Duration,
    /// Sockets used.
    pub(crate) sockets: u8,
    /// Cause of a refusal or an error; a DNS answer's code when it is not NOERROR.
    pub(crate) detail: Option<String>,
    /// Who has answered.
    pub(crate) greeting: Option<Greeting>,
    /// What a name server has answered.
    pub(crate) answers: Vec<Answer>,
}

impl Outcome {
    /// An outcome with nothing but a verdict and its cause.
    pub(super) const fn bare(verdict: ProbeVerdict, detail: Option<String>) -> Self {
        Self { verdict, rtt: Duration::ZERO, sockets: 0, detail, greeting: None, answers: Vec::new() }
    }

    /// As it goes over the wire.
    pub(crate) fn result(self, n: u32) -> ProbeResult {
        let rtt_us = u32::try_from(self.rtt.as_micros()).unwrap_or(u32::MAX);
        ProbeResult {
            n,
            verdict: self.verdict,
            rtt_us,
            sockets: self.sockets,
            detail: self.detail,
            source: None,
            status: None,
        }
    }
}
