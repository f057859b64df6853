//! What goes into the engine and what comes out.

use std::{net::IpAddr, time::Duration};

use verdikt_protocol::{Greeting, Probe, ProbeResult, ProbeVerdict};

use crate::talk::{Answer, HttpAnswer};

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
    /// What was answered in HTTP.
    pub(crate) http: Option<HttpAnswer>,
    /// Our address as the server saw it, where it is another.
    pub(crate) source: Option<IpAddr>,
}

impl Outcome {
    /// An outcome with nothing but a verdict and its cause.
    pub(super) const fn bare(verdict: ProbeVerdict, detail: Option<String>) -> Self {
        Self {
            verdict,
            rtt: Duration::ZERO,
            sockets: 0,
            detail,
            greeting: None,
            answers: Vec::new(),
            http: None,
            source: None,
        }
    }

    /// Allowed, or an error because somebody else has answered.
    pub(super) fn of(identified: Result<(), String>) -> Self {
        match identified {
            Ok(()) => Self::bare(ProbeVerdict::Allowed, None),
            Err(why) => Self::bare(ProbeVerdict::Error, Some(why)),
        }
    }

    /// The client's address and port as the server told them.
    pub(super) fn client(&self) -> Option<&str> {
        let http = || self.http.as_ref().and_then(|answer| answer.client.as_deref());
        self.greeting.as_ref().map(|greeting| greeting.client.as_str()).or_else(http)
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
            source: self.source,
            status: self.http.map(|answer| answer.status),
        }
    }
}
