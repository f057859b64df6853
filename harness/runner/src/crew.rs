//! The lanes of a run at work: each takes scenarios, runs them where their topology stands, and goes on.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};
use verdikt_model::{
    Dataplane, Enforced, Enforcement, FRESH_LANE, Known, PodBlocks, ScenarioOutcome, ScenarioRecord,
};
use verdikt_oracle::Habits;

use crate::{
    anchor::Measured,
    blocks, enforcement,
    facts::Facts,
    lane::Lane,
    options::{Keep, Options},
    queue::{Job, Queue},
    scenario::{HAND_IN, Setting},
    stop::Stop,
    sweep::IN_FLIGHT,
    tell::{Teller, unmeasured},
    tries::Tries,
};

/// Longest clean-up after an interrupt: the user waits for the prompt.
const CLEAN_UP_INTERRUPTED: Duration = Duration::from_secs(4);
/// How long a creation may still be on its way when nobody waits for it any more.
const LATE_CREATION: Duration = Duration::from_millis(300);
/// After so many set-ups in a row that failed, no more are tried: when none has ever worked, and when one has.
const HOPELESS: u32 = 2;
const HOPELESS_NOW: u32 = 4;

/// How the reason begins of what a panic left unmeasured.
const PANICKED: &str = "internal error: a lane panicked";

/// What all lanes of a run share.
pub(crate) struct Crew {
    pub(crate) facts: Arc<Facts>,
    options: Options,
    tell: Arc<Teller>,
    known: Arc<Known>,
    stop: Stop,
    measured: Measured,
    habits: Habits,
    in_flight: Semaphore,
    lanes_made: AtomicU32,
    progress: Mutex<Progress>,
    /// Namespaces that stay, with what for.
    kept: Mutex<Vec<(String, Vec<String>)>>,
}

#[derive(Default)]
struct Progress {
    /// Why nothing new is begun.
    halted: Option<Halt>,
    /// Whether any lane could be set up.
    ever_set_up: bool,
    /// Set-ups in a row that failed.
    failed_set_ups: u32,
    /// Whether any has failed, and so may have left creations on their way.
    ever_failed: bool,
}

#[derive(Clone)]
enum Halt {
    /// `--fail-fast`: this scenario was not as expected.
    FailFast(String),
    /// Nothing can be set up on this cluster, or not any more.
    NoSetUp(String),
    /// A bug.
    Panicked(String),
}

impl Crew {
    pub(crate) fn new(
        facts: Facts,
        options: Options,
        tell: &Arc<Teller>,
        known: Arc<Known>,
        stop: Stop,
    ) -> Self {
        Self {
            facts: Arc::new(facts),
            options,
            tell: Arc::clone(tell),
            known,
            stop,
            measured: Measured::default(),
            habits: Habits::default(),
            in_flight: Semaphore::new(IN_FLIGHT),
            lanes_made: AtomicU32::new(0),
            progress: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    fn setting(&self) -> Setting<'_> {
        Setting {
            options: &self.options,
            in_flight: &self.in_flight,
            tell: &self.tell,
            known: &self.known,
            stop: &self.stop,
            measured: &self.measured,
            habits: self.habits,
        }
    }

    /// Most lanes at once.
    pub(crate) fn lanes(&self) -> usize {
        self.options.lanes.max(1)
    }

    /// Looks whether the cluster enforces policies at all, and says so when it does not. Where not even that can be
    /// set up, nothing else is tried.
    pub(crate) async fn check_enforcement(&mut self) -> Option<Enforcement> {
        let setting = self.setting();
        let number = || self.lanes_made.fetch_add(1, Ordering::Relaxed);
        let mut seen = enforcement::check(&setting, &self.facts, number()).await;
        // One pod that was evicted must not end the run.
        if let Err(error) = &seen
            && !error.is_fatal()
        {
            self.tell.warn(format!("the enforcement check is tried once more: {error}"));
            seen = enforcement::check(&setting, &self.facts, number()).await;
        }
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                let mut progress = self.progress();
                progress.ever_failed = true;
                progress.halted.get_or_insert(Halt::NoSetUp(error.to_string()));
                return None;
            }
        };
        self.progress().ever_set_up = true;
        let what = match seen.enforced {
            Enforced::Yes => return Some(seen),
            Enforced::No => {
                // There is nothing to wait for.
                self.options.settle = self.options.settle_unenforced;
                "this cluster does not enforce NetworkPolicy"
            }
            Enforced::Partly => "this cluster enforces NetworkPolicy only partly",
            Enforced::Unknown => "whether this cluster enforces NetworkPolicy could not be measured",
        };
        let Dataplane { name, version, .. } = &self.facts.environment.dataplane;
        let found = format!("{name} {version}");
        let goes_on = match seen.enforced {
            Enforced::Unknown => "the scenarios run all the same",
            _ => "the scenarios run all the same, as a measurement of that",
        };
        self.tell.warn(format!("{what}: {}; dataplane found: {}; {goes_on}", seen.evidence, found.trim()));
        Some(seen)
    }

    /// Looks whether ipBlocks match the addresses of pods, and holds the dataplane to it from now on.
    pub(crate) async fn check_blocks(&mut self) -> Option<PodBlocks> {
        let number = self.lanes_made.fetch_add(1, Ordering::Relaxed);
        let seen = blocks::check(&self.setting(), &self.facts, number).await;
        match seen {
            Ok(seen) => {
                self.habits = blocks::habits(&seen);
                Some(seen)
            }
            Err(error) => {
                self.progress().ever_failed = true;
                let what = "whether ipBlocks match the addresses of pods could not be measured";
                self.tell.warn(format!("{what}: {error}"));
                None
            }
        }
    }

    /// Works on a queue until it is empty or the run is stopped; tells whether a lane panicked. Lanes that are stopped
    /// have a moment to hand in what they have measured.
    pub(crate) async fn work(self: &Arc<Self>, queue: Queue, lanes: usize) -> Option<String> {
        let queue = Arc::new(queue);
        self.give_up_on(&queue);
        let mut workers = JoinSet::new();
        for _ in 0..lanes {
            let (crew, queue) = (Arc::clone(self), Arc::clone(&queue));
            workers.spawn(async move { crew.worker(&queue).await });
        }
        let mut panicked = None;
        let too_late = async {
            self.stop.stopped().await;
            queue.close();
            sleep(HAND_IN * 3 / 2).await;
        };
        let mut too_late = std::pin::pin!(too_late);
        loop {
            let ended = tokio::select! {
                ended = workers.join_next() => ended,
                () = &mut too_late => {
                    workers.shutdown().await;
                    return panicked;
                }
            };
            match ended {
                None => break,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    // Its place in the queue is taken for ever, and others may wait for it.
                    let why = format!("{PANICKED}: {error}");
                    panicked = Some(error.to_string());
                    self.progress().halted.get_or_insert(Halt::Panicked(why));
                    self.give_up_on(&queue);
                    queue.close();
                }
            }
        }
        if !self.stop.is_stopped() {
            self.give_up_on(&queue);
        }
        panicked
    }

    /// Why nothing could be set up, if nothing could.
    pub(crate) fn no_set_up(&self) -> Option<String> {
        let progress = self.progress();
        match &progress.halted {
            Some(Halt::NoSetUp(why)) if !progress.ever_set_up => Some(why.clone()),
            _ => None,
        }
    }

    /// One lane after another, each with the scenarios of its topology.
    async fn worker(&self, queue: &Queue) {
        let mut lane: Option<(usize, Lane)> = None;
        let mut group = None;
        loop {
            // Left before the next one is asked for: nodes' ports must be free by then.
            if lane.as_ref().is_some_and(|(group, _)| queue.is_exhausted(*group)) {
                self.retire(lane.take().map(|(_, lane)| lane)).await;
            }
            let Some(job) = queue.next(group.take()).await else { break };
            group = Some(job.group);
            let own = match lane.take() {
                Some((of, own)) if of == job.group => Some(own),
                other => {
                    self.retire(other.map(|(_, lane)| lane)).await;
                    None
                }
            };
            lane = self.scenario(own, &job).await.map(|own| (job.group, own));
            self.give_up_on(queue);
        }
        self.retire(lane.map(|(_, lane)| lane)).await;
    }

    /// One scenario, with its retries, in this lane or a new one. Gives the lane back if it can be used again.
    async fn scenario(&self, lane: Option<Lane>, job: &Job) -> Option<Lane> {
        let scenario = &job.scenario;
        self.tell.started(&scenario.name);
        let attempts = AssertUnwindSafe(self.attempts(lane, job)).catch_unwind();
        let (record, lane) = attempts.await.unwrap_or_else(|panic| {
            // What was begun must end in the record, too, before the lane is lost.
            let why = format!("{PANICKED}: {}", message(&*panic));
            self.tell.finished(unmeasured(scenario, ScenarioOutcome::Errored, why));
            resume_unwind(panic)
        });
        if self.stop.is_stopped() {
            // What was begun and has measured nothing counts as not begun. All that was made is removed at once, as a whole.
            let measured = record.tries.len() > 1 || !record.steps.is_empty();
            if !record.interrupted || measured {
                self.finish(record);
            }
            return None;
        }
        let keeps = match self.options.keep {
            Keep::Never => false,
            Keep::OnFailure => !self.is_good(&record),
            // With its policies: the next scenario gets a lane of its own.
            Keep::Always => !record.steps.is_empty(),
        };
        self.finish(record);
        let lane = lane?;
        if keeps {
            self.leave_for_a_look(&scenario.name, lane).await;
            return None;
        }
        self.reset(lane).await
    }

    /// Runs a scenario as often as is asked for, or until it is as expected or no retry is left. Gives the lane as the
    /// last attempt left it.
    ///
    /// The attempts follow each other, so that whatever has ended is whole in the record when a run is cut short.
    async fn attempts(&self, lane: Option<Lane>, job: &Job) -> (ScenarioRecord, Option<Lane>) {
        let (scenario, mut lane) = (&job.scenario, lane);
        let setting = self.setting();
        let repeated = self.options.repeat > 1;
        let mut tries = Tries::default();
        let mut fresh: Option<String> = None;
        let lane = loop {
            let (mut own, used) = match lane.take() {
                Some(own) => (own, true),
                None => match self.stop.unless(self.set_up(job)).await {
                    Some(Ok(made)) => (made, false),
                    Some(Err(why)) => {
                        tries.push(unmeasured(scenario, ScenarioOutcome::Errored, why));
                        break None;
                    }
                    None => {
                        let why = "interrupted during the set-up".to_owned();
                        let unmeasured = unmeasured(scenario, ScenarioOutcome::Errored, why);
                        tries.push(ScenarioRecord { interrupted: true, ..unmeasured });
                        break None;
                    }
                },
            };
            let record = setting.run(&mut own, scenario).await;
            // A network that is broken where scenarios have been before says more about the lane than about itself.
            if used && !own.is_sound() && record.steps.is_empty() && !record.interrupted {
                let why = record.reason.unwrap_or_default();
                self.tell.warn(format!("{} gets a fresh lane: {why}", scenario.name));
                fresh = Some(format!("{FRESH_LANE}, because one that others had used was not as new: {why}"));
                self.retire(Some(own)).await;
                continue;
            }
            let outcome = record.outcome;
            tries.push(record);
            if self.stop.is_stopped() || !self.once_more(outcome, tries.count()) {
                break Some(own);
            }
            if !repeated {
                let (attempt, of) = (tries.count(), self.options.retries);
                self.tell
                    .warn(format!("{} {outcome}, and is tried again ({attempt} of {of})", scenario.name));
            }
            lane = self.reset(own).await;
        };
        // There is one attempt at least.
        let mut record = tries
            .record(repeated)
            .unwrap_or_else(|| unmeasured(scenario, ScenarioOutcome::Errored, "not tried".to_owned()));
        if let Some(reason) = record.reason.as_ref().filter(|_| !repeated && record.tries.len() > 1)
            && matches!(record.outcome, ScenarioOutcome::Passed | ScenarioOutcome::Flaky)
        {
            self.tell.warn(format!("{} is {reason}", scenario.name));
        }
        if record.reason.is_none() {
            record.reason = fresh;
        }
        (record, lane)
    }

    /// Whether a scenario ended so that the run goes on. A flaky one was as expected in the end, which is enough where
    /// it was tried again, and not where it was asked whether it is stable.
    fn is_good(&self, record: &ScenarioRecord) -> bool {
        match record.outcome {
            ScenarioOutcome::Passed | ScenarioOutcome::Skipped => true,
            ScenarioOutcome::Flaky => self.options.repeat <= 1,
            ScenarioOutcome::Failed | ScenarioOutcome::Errored => false,
        }
    }

    /// Whether so many attempts, of which the last ended so, are too few.
    fn once_more(&self, last: ScenarioOutcome, attempts: u32) -> bool {
        let good = matches!(last, ScenarioOutcome::Passed | ScenarioOutcome::Skipped);
        match self.options.repeat {
            0 | 1 => !good && attempts <= self.options.retries,
            // What is left out on purpose would be so again.
            repeat => {
                attempts < repeat && last != ScenarioOutcome::Skipped && (good || !self.options.fail_fast)
            }
        }
    }

    fn finish(&self, record: ScenarioRecord) {
        if !self.is_good(&record) && self.options.fail_fast {
            self.progress().halted.get_or_insert(Halt::FailFast(record.name.clone()));
        }
        self.tell.finished(record);
    }

    async fn set_up(&self, job: &Job) -> Result<Lane, String> {
        let number = self.lanes_made.fetch_add(1, Ordering::Relaxed);
        self.tell.progress(&job.scenario.name, format!("set-up: {} pods", job.topology.pods().count()));
        let made = Lane::deploy(&self.facts, number, &job.topology).await;
        let mut progress = self.progress();
        match made {
            Ok(lane) => {
                progress.ever_set_up = true;
                progress.failed_set_ups = 0;
                Ok(lane)
            }
            Err(error) => {
                progress.failed_set_ups += 1;
                progress.ever_failed = true;
                let hopeless = if progress.ever_set_up { HOPELESS_NOW } else { HOPELESS };
                if progress.failed_set_ups >= hopeless || error.is_fatal() && !progress.ever_set_up {
                    progress.halted.get_or_insert(Halt::NoSetUp(error.to_string()));
                }
                Err(format!("set-up: {error}"))
            }
        }
    }

    /// Makes a lane as its topology says again; `None` when that cannot be, and the lane is gone.
    async fn reset(&self, mut lane: Lane) -> Option<Lane> {
        let why = match lane.reset().await {
            Ok(()) if lane.is_sound() => return Some(lane),
            Ok(()) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = why {
            self.tell.warn(format!("lane {} is given up: {error}", lane.deployment.lane));
        }
        self.retire(Some(lane)).await;
        None
    }

    async fn retire(&self, lane: Option<Lane>) {
        let Some(lane) = lane else { return };
        let name = lane.deployment.lane.clone();
        if let Err(error) = lane.remove().await {
            self.tell.warn(format!("lane {name} could not be removed yet: {error}"));
        }
    }

    /// Keeps the namespaces of a scenario's lane as it has left them, but for what would be in the way of others.
    async fn leave_for_a_look(&self, scenario: &str, mut lane: Lane) {
        if let Err(error) = lane.withdraw().await {
            self.tell.warn(format!("cluster-scoped objects of {scenario} are still in force: {error}"));
        }
        if let Err(error) = lane.free_node_ports().await {
            self.tell.warn(format!("pods of {scenario} still hold ports of nodes: {error}"));
        }
        let mut kept = self.kept.lock().expect("no holder of the lock panics");
        kept.push((scenario.to_owned(), lane.namespaces()));
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().expect("no holder of the lock panics")
    }

    /// Once the run is halted: reports what will not be begun any more.
    fn give_up_on(&self, queue: &Queue) {
        let Some(halt) = self.progress().halted.clone() else { return };
        for scenario in queue.drain() {
            let (outcome, why) = match &halt {
                Halt::FailFast(name) => {
                    (ScenarioOutcome::Skipped, format!("not begun: {name} was not as expected (--fail-fast)"))
                }
                Halt::NoSetUp(why) => (ScenarioOutcome::Errored, format!("set-up: {why}")),
                Halt::Panicked(why) => (ScenarioOutcome::Errored, format!("not begun: {why}")),
            };
            self.tell.started(&scenario.name);
            self.tell.finished(unmeasured(&scenario, outcome, why));
        }
    }

    /// Removes everything that is not kept; tells what stays.
    pub(crate) async fn clean_up(&self, interrupted: bool) -> Vec<String> {
        let kept = self.kept.lock().expect("no holder of the lock panics").clone();
        let mut left = Vec::new();
        let mut names: Vec<String> = Vec::new();
        for (what_for, namespaces) in kept {
            left.push(format!("kept of {what_for}: {}", namespaces.join(", ")));
            names.extend(namespaces);
        }
        let limit =
            if interrupted { CLEAN_UP_INTERRUPTED.min(self.options.clean_up) } else { self.options.clean_up };
        let run = &self.facts.scope.run;
        // What was being created when the run was stopped, or a set-up failed, appears a moment later.
        let late = interrupted || self.progress().ever_failed;
        let late = if late { LATE_CREATION } else { Duration::ZERO };
        let removing = self.facts.cluster.delete_run(run, &names, limit, late);
        match tokio::time::timeout(limit + Duration::from_millis(500), removing).await {
            Ok(Ok(report)) => left.extend(report.left),
            Ok(Err(error)) => left.push(format!("perhaps namespaces of run {run}: {error}")),
            Err(_) => left.push(format!("perhaps namespaces of run {run}: the API server does not answer")),
        }
        left
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it said nothing")
}
