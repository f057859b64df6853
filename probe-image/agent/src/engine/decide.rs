//! From what was heard to a verdict.

use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use nix::sys::epoll::EpollEvent;
use verdikt_protocol::{CONNECTED_UNANSWERED, ProbeVerdict};

use super::{
    Engine, Talk,
    outcome::{Finished, Outcome},
    probe::Phase,
    slab::Key,
};
use crate::talk::{Answer, Heard, identified, source_seen};

/// Silence is believed only when it was concluded within this part of the deadline after its end.
const LATE: u32 = 8;

impl Engine {
    /// Takes what was heard on one of a probe's sockets (none when it could not even be opened).
    pub(super) fn decide(&mut self, key: Key, talk: Option<Key>, heard: Heard) {
        let Some(active) = self.probes.get_mut(key) else { return };
        let resolving = matches!(active.phase, Phase::Resolving { .. });
        match heard {
            Heard::Nothing => {}
            Heard::Odd(why) => active.oddity = Some(why),
            Heard::Asked => {
                if let Some(key) = talk
                    && let Some(talk) = self.talks.get_mut(key)
                {
                    let mut event = EpollEvent::new(talk.interest(), key);
                    // Cannot fail for a descriptor that is in the set; if it did, the deadline would decide.
                    let _ = self.epoll.modify(&talk.socket, &mut event);
                }
            }
            Heard::Greeting(greeting) => {
                let mut outcome = Outcome::of(identified(&greeting.id, &active.job.probe.expect));
                outcome.greeting = Some(greeting);
                self.finish(key, talk, outcome);
            }
            Heard::Echo => self.finish(key, talk, Outcome::bare(ProbeVerdict::Allowed, None)),
            // Any answer in HTTP is an answer; only another verdikt server than those meant is none.
            Heard::Http(answer) => {
                let expect = &active.job.probe.expect;
                let outcome = Outcome::of(answer.id.as_ref().map_or(Ok(()), |id| identified(id, expect)));
                self.finish(key, talk, Outcome { http: Some(answer), ..outcome });
            }
            Heard::Answers(answers) if resolving => self.resolved(key, talk, answers),
            Heard::Answers(answers) => {
                let detail = codes(&answers);
                self.finish(key, talk, Outcome { answers, ..Outcome::bare(ProbeVerdict::Allowed, detail) });
            }
            Heard::Rejected(why) if resolving => self.try_elsewhere(key, talk, &format!("rejected: {why}")),
            Heard::Failed(why) if resolving => self.try_elsewhere(key, talk, &format!("failed: {why}")),
            Heard::Filtered(why) => self.filtered(key, talk, &why),
            // A rejection proves itself: the network has answered, and another socket would be told the same.
            Heard::Rejected(why) => self.finish(key, talk, Outcome::bare(ProbeVerdict::Rejected, Some(why))),
            Heard::Failed(why) => self.finish(key, talk, Outcome::bare(ProbeVerdict::Error, Some(why))),
        }
    }

    /// The deadline has passed without a proof, `late` ago.
    pub(super) fn end(&mut self, key: Key, now: Instant, late: Duration) {
        let Some(active) = self.probes.get_mut(key) else { return };
        let mut connected = false;
        for talk in active.talks.into_iter().flatten() {
            if let Some(talk) = self.talks.get_mut(talk) {
                connected |= talk.is_connected();
                active.oddity = active.oddity.take().or_else(|| talk.half_answered());
            }
        }
        let outcome = match &active.phase {
            Phase::Resolving { servers, last } => {
                let asked = &servers[..servers.len().min(2)];
                let asked: Vec<String> = asked.iter().map(|server| server.ip().to_string()).collect();
                let why =
                    last.clone().unwrap_or_else(|| format!("DNS query to {} unanswered", asked.join(", ")));
                Outcome::bare(ProbeVerdict::Error, Some(format!("resolution: {why}")))
            }
            Phase::Probing(_) if active.oddity.is_some() => {
                Outcome::bare(ProbeVerdict::Error, active.oddity.take())
            }
            // The handshake went through both ways, so this is no silence. A server that is starved of
            // processor time gets more; a peer that never greets proves nothing.
            Phase::Probing(_) if connected && active.grace.is_none() => {
                active.grace = Some(now + active.grace());
                return;
            }
            Phase::Probing(_) if connected => {
                Outcome::bare(ProbeVerdict::Error, Some(CONNECTED_UNANSWERED.into()))
            }
            // This process was not run in time: then nor were others, and the servers may be among them.
            Phase::Probing(_) if late > active.job.deadline / LATE && active.grace.is_none() => {
                active.grace = Some(now + active.job.deadline);
                for at in 0..active.talks.len() {
                    self.again(key, at);
                }
                return;
            }
            Phase::Probing(_) if active.filtered > 0 => Outcome::bare(
                ProbeVerdict::Error,
                Some("a filter of this host refused one socket, and the other one heard nothing".into()),
            ),
            Phase::Probing(_) => Outcome::bare(ProbeVerdict::Dropped, None),
        };
        self.finish(key, None, outcome);
    }

    /// A filter of this host did not let a packet of this socket out. Only when the second socket, which has its own turn
    /// as ever, meets the same is that a refusal.
    fn filtered(&mut self, key: Key, talk: Option<Key>, why: &str) {
        let Some(active) = self.probes.get_mut(key) else { return };
        active.filtered += 1;
        for slot in active.talks.iter_mut().filter(|slot| talk.is_some() && **slot == talk) {
            *slot = None;
        }
        if let Some(talk) = talk {
            self.talks.remove(talk);
        }
        let twice = active.filtered > 1;
        let outcome = match &mut active.phase {
            Phase::Probing(_) => Outcome::bare(ProbeVerdict::Rejected, Some(why.to_owned())),
            Phase::Resolving { servers, last } => {
                let server = servers[usize::from(active.sockets - 1) % servers.len()].ip();
                let verb = if twice { "rejected" } else { "failed once" };
                let why = format!("DNS query to {server} {verb}: {why}");
                *last = Some(why.clone());
                Outcome::bare(ProbeVerdict::Error, Some(format!("resolution: {why}")))
            }
        };
        if twice {
            self.finish(key, None, outcome);
        }
    }

    /// A name server has answered.
    fn resolved(&mut self, key: Key, talk: Option<Key>, answers: Vec<Answer>) {
        let (Some(active), Some(answer)) = (self.probes.get_mut(key), answers.into_iter().next()) else {
            return;
        };
        let Some((at, talk)) = talk.and_then(|t| Some((active.talks.iter().position(|k| *k == Some(t))?, t)))
        else {
            return;
        };
        let Some(conversation) = self.talks.get_mut(talk) else { return };
        let (server, stream) = (conversation.to, conversation.is_stream());
        if answer.truncated && !stream {
            let questions = self.talks.remove(talk).map(Talk::into_questions).unwrap_or_default();
            active.talks[at] = None;
            if let Err(cause) = self.ask_over_tcp(key, at, server, questions) {
                self.decide(key, None, cause.into());
            }
        } else if let Some(ip) = answer.addresses.first() {
            let (to, now) = ((*ip, active.job.probe.port).into(), Instant::now());
            for talk in std::mem::take(&mut active.talks).into_iter().flatten() {
                self.talks.remove(talk);
            }
            active.probe(to, now);
            self.begin(key, now);
        } else {
            match answer.code {
                ResponseCode::NoError => {
                    let why =
                        format!("resolution: {} knows no {} record of the name", server.ip(), answer.kind);
                    self.finish(key, None, Outcome::bare(ProbeVerdict::Error, Some(why)));
                }
                ResponseCode::NXDomain => {
                    let why =
                        format!("resolution: {} says that there is no such name (NXDOMAIN)", server.ip());
                    self.finish(key, None, Outcome::bare(ProbeVerdict::Error, Some(why)));
                }
                code => self.try_elsewhere(key, Some(talk), &format!("answered with: {code}")),
            }
        }
    }

    /// A name server was of no help: asks the next one now, and fails when there was a second try already.
    fn try_elsewhere(&mut self, key: Key, talk: Option<Key>, why: &str) {
        if let Some(talk) = talk {
            self.talks.remove(talk);
        }
        let Some(active) = self.probes.get_mut(key) else { return };
        let Phase::Resolving { servers, last } = &mut active.phase else { return };
        // Without a conversation it is the socket that was opened last which could not be.
        let at = active.talks.iter().position(|slot| slot.is_some() && *slot == talk);
        let server = servers[at.unwrap_or(usize::from(active.sockets) - 1) % servers.len()];
        let why = format!("DNS query to {} {why}", server.ip());
        *last = Some(why.clone());
        if let Some(at) = at {
            active.talks[at] = None;
        }
        if active.hasten() {
            self.open(key, Instant::now());
        } else if active.talks == [None, None] {
            self.finish(key, None, Outcome::bare(ProbeVerdict::Error, Some(format!("resolution: {why}"))));
        }
    }

    /// Ends a probe. `talk` is the conversation that has decided.
    fn finish(&mut self, key: Key, talk: Option<Key>, mut outcome: Outcome) {
        let Some(active) = self.probes.remove(key) else { return };
        let mut answered = None;
        if let Some(talk) = talk.and_then(|talk| self.talks.get_mut(talk)) {
            let rtt = talk.started.elapsed();
            outcome.source = outcome.client().and_then(|client| source_seen(client, &talk.socket));
            answered = Some(rtt);
            outcome.rtt = active.resolution + rtt;
        }
        for talk in active.talks.into_iter().flatten() {
            self.talks.remove(talk);
        }
        outcome.sockets = active.sockets;
        if active.paced {
            self.pace.ended(answered);
        }
        self.finished.push(Finished { batch: active.job.batch, n: active.job.probe.n, outcome });
    }
}

/// The codes of answers, unless all is well.
fn codes(answers: &[Answer]) -> Option<String> {
    let code = |answer: &Answer| format!("{}: {}", answer.kind, answer.code);
    answers
        .iter()
        .any(|answer| answer.code != ResponseCode::NoError)
        .then(|| answers.iter().map(code).collect::<Vec<_>>().join(", "))
}
