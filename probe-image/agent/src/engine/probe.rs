//! A probe in flight: its phases, and its plan in time.
//!
//! ```text
//! 0        D/3       D/2       2D/3        D
//! ├─ first socket ─────┬─ again ────────────┤   silence on both until D: dropped
//!          ├─ second socket ─────┬─ again ──┤   (again: UDP and ICMP, the same datagram)
//! ```
//!
//! Two sockets, because Linux sends the first SYN again only after a second: with one socket, one lost packet
//! would be a false "dropped". They have different source ports, which hash to different paths.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use verdikt_protocol::Transport;

use super::{outcome::Job, slab::Key};

/// What is due at a point of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Open the second socket.
    Second,
    /// Say it again on this socket.
    Again(usize),
    /// Decide.
    End,
}

/// (share of the deadline in sixths, what is due).
type Plan = &'static [(u32, Step)];

const STREAM: Plan = &[(2, Step::Second), (6, Step::End)];
const DATAGRAM: Plan = &[(2, Step::Second), (3, Step::Again(0)), (4, Step::Again(1)), (6, Step::End)];

/// What a probe is doing.
pub(super) enum Phase {
    /// Asking these name servers for its destination; the last failure, if any.
    Resolving {
        /// In turn, one a socket.
        servers: Vec<SocketAddr>,
        /// What the last server that did not help had to say.
        last: Option<String>,
    },
    /// Probing this destination.
    Probing(SocketAddr),
}

/// A probe in flight.
pub(super) struct Active {
    /// What was asked.
    pub(super) job: Job,
    /// What it is doing.
    pub(super) phase: Phase,
    /// When this phase's first socket was opened, moved on when the process came late.
    pub(super) started: Instant,
    /// Conversations of this phase, oldest first; the second one when it has begun.
    pub(super) talks: [Option<Key>; 2],
    /// Sockets opened in this phase.
    pub(super) sockets: u8,
    /// An answer that proved nothing, but was no silence.
    pub(super) oddity: Option<String>,
    /// Sockets of this phase whose packets a filter of this host did not let out.
    pub(super) filtered: u8,
    /// Until when it lasts, if its deadline was put off.
    pub(super) grace: Option<Instant>,
    /// How long it took to resolve the name, if there is one.
    pub(super) resolution: Duration,
    /// Whether it counts for the pace.
    pub(super) paced: bool,
    next: usize,
}

impl Active {
    /// A probe that is about to open its first socket.
    pub(super) const fn new(job: Job, phase: Phase, now: Instant) -> Self {
        Self {
            job,
            phase,
            started: now,
            talks: [None, None],
            sockets: 0,
            oddity: None,
            filtered: 0,
            grace: None,
            resolution: Duration::ZERO,
            paced: true,
            next: 0,
        }
    }

    /// Begins the second phase.
    pub(super) fn probe(&mut self, to: SocketAddr, now: Instant) {
        self.phase = Phase::Probing(to);
        self.resolution = now.saturating_duration_since(self.started);
        self.started = now;
        (self.sockets, self.oddity, self.filtered, self.next) = (0, None, 0, 0);
    }

    /// When something is due.
    pub(super) fn due(&self) -> Instant {
        self.grace.unwrap_or_else(|| {
            let (share, _) = self.plan()[self.next];
            self.started + self.job.deadline * share / 6
        })
    }

    /// What is due, when it is time; the next call gives what comes then.
    pub(super) fn step(&mut self, now: Instant) -> Option<Step> {
        let due = self.due();
        if due > now {
            return None;
        }
        let plan = self.plan();
        let (_, step) = plan[self.next];
        self.next = (self.next + 1).min(plan.len() - 1);
        if step == Step::Second {
            // However late this process was: the second socket gets its two thirds.
            self.started += now - due;
        }
        Some(step)
    }

    /// Takes the second socket's turn now, if it has not come yet.
    pub(super) fn hasten(&mut self) -> bool {
        let hastened = self.plan()[self.next].1 == Step::Second;
        if hastened {
            self.next += 1;
        }
        hastened
    }

    /// How long a connection that stands may take to greet.
    pub(super) fn grace(&self) -> Duration {
        (self.job.deadline * 2).max(Duration::from_secs(1))
    }

    fn plan(&self) -> Plan {
        match (&self.phase, self.job.probe.transport) {
            (Phase::Resolving { .. }, _) | (_, Transport::Udp | Transport::Icmp) => DATAGRAM,
            _ => STREAM,
        }
    }
}
