//! A sample: an attempt every interval, each on a socket of its own.

use std::{collections::HashMap, net::SocketAddr};

use nix::sys::epoll::EpollFlags;
use verdikt_protocol::{CONNECTED_UNANSWERED, Probe, ProbeVerdict, Run};

use super::{
    Running,
    deadlines::{Deadlines, is_late, next_on_grid},
    hearing::{End, Follows, of_cause},
    room::Seat,
    runs::Runs,
    tools::Tools,
};
use crate::{
    system::now_us,
    talk::{Again, Heard, Talk},
};

/// How long a connection that stands may take to greet, at least.
const GREETING_US: u64 = 1_000_000;

/// A sample.
pub(super) struct Sample {
    key: u64,
    probe: Probe,
    to: SocketAddr,
    interval: u64,
    patience: u64,
    /// When the next attempt is due.
    next: u64,
    /// When no more are begun.
    until: Option<u64>,
    runs: Runs,
    waiting: HashMap<u64, Attempt>,
    deadlines: Deadlines,
}

struct Attempt {
    talk: Talk,
    _seat: Seat,
    oddity: Option<String>,
    /// Whether its end was put off.
    again: bool,
}

impl Sample {
    /// A sample whose first attempt is due at `began`.
    pub(super) fn new(
        key: u64,
        probe: Probe,
        to: SocketAddr,
        began: u64,
        interval_us: u32,
        patience_ms: u32,
        until: Option<u64>,
    ) -> Self {
        Self {
            key,
            probe,
            to,
            interval: interval_us.into(),
            patience: u64::from(patience_ms) * 1000,
            next: began,
            until,
            runs: Runs::default(),
            waiting: HashMap::new(),
            deadlines: Deadlines::default(),
        }
    }

    fn attempt(&mut self, tools: &mut Tools) {
        let now = now_us();
        let number = self.runs.begin(now);
        match self.open(self.key | number, tools) {
            Ok(attempt) => {
                self.waiting.insert(number, attempt);
                self.deadlines.push(now + self.patience, number);
            }
            Err((verdict, detail)) => self.runs.end(number, verdict, detail),
        }
        self.next = next_on_grid(self.next, self.interval, now);
    }

    fn open(&self, key: u64, tools: &mut Tools) -> Result<Attempt, End> {
        let seat = tools.room.take().map_err(|why| (ProbeVerdict::Error, Some(why)))?;
        let talk = Talk::open(
            key,
            &self.probe,
            self.to,
            &mut tools.ports,
            &mut tools.random,
            // An INIT that is sent again would tell of a later time.
            Again::Late,
        );
        let talk = talk.map_err(of_cause)?;
        tools.wait_for(&talk.socket, talk.interest(), key).map_err(of_cause)?;
        Ok(Attempt { talk, _seat: seat, oddity: None, again: false })
    }

    fn follow(&mut self, number: u64, heard: Heard, tools: &Tools) {
        let Some(attempt) = self.waiting.get_mut(&number) else { return };
        match Follows::from(heard, &self.probe.expect) {
            Follows::Nothing => {}
            Follows::Oddity(why) => attempt.oddity = Some(why),
            Follows::Asked => tools.change(&attempt.talk.socket, attempt.talk.interest(), attempt.talk.owner),
            Follows::End(end) => self.end(number, end),
        }
    }

    fn end(&mut self, number: u64, (verdict, said): End) {
        self.waiting.remove(&number);
        // Attempts to a Service meet its backends in turn: that would fill the runs.
        self.runs.end(number, verdict, said.filter(|_| verdict != ProbeVerdict::Allowed));
    }

    /// An attempt has heard nothing that counts until its end, and it is `late` after that.
    fn expire(&mut self, number: u64, looked: u64, late: u64) {
        let Some(attempt) = self.waiting.get_mut(&number) else { return };
        let oddity = attempt.oddity.take().or_else(|| attempt.talk.half_answered());
        let connected = attempt.talk.is_connected();
        let first = !std::mem::replace(&mut attempt.again, true);
        if let Some(why) = oddity {
            self.end(number, (ProbeVerdict::Error, Some(why)));
        } else if connected && first {
            // The handshake went through: no silence, but a server that is slow.
            self.deadlines.push(looked + (2 * self.patience).max(GREETING_US), number);
        } else if connected {
            self.end(number, (ProbeVerdict::Error, Some(CONNECTED_UNANSWERED.into())));
        } else if first && is_late(late, self.patience) {
            // Without asking again: the answer would tell of a later time.
            self.deadlines.push(looked + self.patience, number);
        } else {
            self.end(number, (ProbeVerdict::Dropped, None));
        }
    }
}

impl Running for Sample {
    fn due(&mut self) -> Option<u64> {
        let next = Some(self.next).filter(|next| self.until.is_none_or(|until| *next < until));
        next.into_iter().chain(self.deadlines.due(|number| self.waiting.contains_key(&number))).min()
    }

    fn hear(&mut self, number: u64, events: EpollFlags, tools: &mut Tools) {
        if let Some(attempt) = self.waiting.get_mut(&number) {
            let heard = attempt.talk.listen(events);
            self.follow(number, heard, tools);
        }
    }

    fn keep_time(&mut self, looked: u64, tools: &mut Tools) {
        while let Some((number, late)) = self.deadlines.pop(looked) {
            self.expire(number, looked, late);
        }
        if self.next <= looked && self.until.is_none_or(|until| self.next < until) {
            self.attempt(tools);
        }
    }

    fn runs(&self) -> &[Run] {
        self.runs.known()
    }
}
