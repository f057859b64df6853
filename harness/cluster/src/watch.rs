//! What goes on in a pod beside probes: groups of tasks, and the clock in which they tell their times.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use verdikt_protocol::{FIRST_GROUP, Request, Task, TaskReport};

use crate::{agent::Agent, session::Session};

/// A group of tasks in a pod. It ends with its session, or with [`Self::end`].
pub struct Watch {
    session: Arc<Session>,
    group: u64,
    limit: Duration,
}

/// How a group stands.
#[derive(Debug, Clone)]
pub struct GroupReport {
    /// Its tasks.
    pub tasks: Vec<TaskReport>,
    /// The pod's clock at the answer.
    now_us: u64,
    asked: Instant,
    answered: Instant,
}

/// How far a pod's clock is from ours: known to half a round trip, by the quickest answer so far.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    now_us: u64,
    at: Instant,
    /// How far off it may be.
    pub error: Duration,
}

impl GroupReport {
    /// The pod's clock at the answer, in microseconds.
    pub const fn now_us(&self) -> u64 {
        self.now_us
    }

    /// From the question to the answer.
    pub fn round_trip(&self) -> Duration {
        self.answered - self.asked
    }

    /// The pod's clock by this answer alone.
    fn clock(&self) -> Clock {
        let half = (self.answered - self.asked) / 2;
        Clock { now_us: self.now_us, at: self.asked + half, error: half }
    }
}

impl Clock {
    /// The clock of a pod by its answers.
    pub fn of(reports: &[GroupReport]) -> Option<Self> {
        reports.iter().map(GroupReport::clock).min_by_key(|clock| clock.error)
    }

    /// Our time of the pod's `us`, as the signed distance from `zero` in microseconds.
    pub fn since(&self, zero: Instant, us: u64) -> i64 {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let anchor = match self.at.checked_duration_since(zero) {
            Some(after) => micros(after),
            None => -micros(zero.duration_since(self.at)),
        };
        let signed = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
        anchor + signed(us) - signed(self.now_us)
    }
}

impl Watch {
    /// How does it stand?
    ///
    /// # Errors
    /// Why nobody can tell any more.
    pub async fn look(&self) -> Result<GroupReport, String> {
        self.ask(&Request::Look { group: self.group }).await
    }

    /// Ends it.
    ///
    /// # Errors
    /// Why nobody can tell any more.
    pub async fn end(self) -> Result<GroupReport, String> {
        self.ask(&Request::End { group: self.group }).await
    }

    async fn ask(&self, request: &Request) -> Result<GroupReport, String> {
        let asked = Instant::now();
        let (now_us, tasks) = self.session.group(self.group, request, self.limit).await?;
        Ok(GroupReport { tasks: tasks?, now_us, asked, answered: Instant::now() })
    }
}

impl Agent {
    /// Begins a group of tasks.
    ///
    /// # Errors
    /// Why there is no session.
    pub async fn begin(&self, tasks: Vec<Task>) -> Result<Watch, String> {
        let session = self.session().await?;
        let group = session.begin(tasks).await?;
        Ok(Watch { session, group, limit: self.answer_limit() })
    }

    /// What the pod's servers began with their first instruction.
    ///
    /// # Errors
    /// Why there is no session.
    pub async fn first(&self) -> Result<Watch, String> {
        let session = self.session().await?;
        Ok(Watch { session, group: FIRST_GROUP, limit: self.answer_limit() })
    }

    /// Has the pod's servers end with code 0.
    ///
    /// # Errors
    /// Why they could not be asked.
    pub async fn finish(&self) -> Result<(), String> {
        self.session().await?.finish(self.answer_limit()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pods_times_are_told_in_ours_by_the_quickest_answer() {
        let zero = Instant::now();
        let ms = Duration::from_millis;
        let report = |now_us, asked, answered| GroupReport {
            tasks: vec![],
            now_us,
            asked: zero + ms(asked),
            answered: zero + ms(answered),
        };
        // The pod's clock is 1 s ahead; the slow answer was held up on its way back.
        let clock = Clock::of(&[report(1_110_000, 100, 200), report(1_301_000, 300, 302)]).unwrap();
        assert_eq!(clock.error, ms(1));
        assert_eq!(clock.since(zero, 1_250_000), 250_000);
        assert_eq!(clock.since(zero + ms(400), 1_250_000), -150_000);
        assert!(Clock::of(&[]).is_none());
    }
}
