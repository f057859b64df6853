//! A whole run: look, prepare, lanes, clean-up.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use ipnet::IpNet;
use tokio::{
    sync::{Semaphore, mpsc::UnboundedSender},
    task::JoinSet,
    time::Instant,
};
use verdikt_cluster::{Cluster, ClusterError, DEFAULT_IMAGE, DeployOptions, Node, Scope};
use verdikt_model::{Environment, Event, Family, RunInfo, Scenario, ScenarioOutcome, Serve, Summary};

use crate::{
    facts::Facts,
    lane::Lane,
    options::{Keep, Options},
    prepare::{Prepared, external_serve, prepare},
    queue::{Job, Queue},
    scenario::Setting,
    stop::Stop,
    sweep::IN_FLIGHT,
    tell::{Teller, unmeasured},
};

/// Longest clean-up after an interrupt: the user waits for the prompt.
const CLEAN_UP_INTERRUPTED: Duration = Duration::from_secs(4);
/// After so many set-ups in a row that failed, and none that worked, no more are tried.
const HOPELESS: u32 = 2;

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Id, start, duration.
    pub run: RunInfo,
    /// Where it ran.
    pub environment: Environment,
    /// Counts.
    pub summary: Summary,
    /// Whether it was stopped from outside.
    pub interrupted: bool,
    /// What could not be removed, or was kept on purpose, in words.
    pub left_behind: Vec<String>,
}

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The cluster could not be set up for any scenario.
    #[error("nothing could be set up: {0}")]
    Setup(String),
    /// The cluster lacks an IP family that was asked for.
    #[error("this cluster has no {family}; it has {}", have.iter().map(|f| f.as_str()).collect::<Vec<_>>().join(", "))]
    Family {
        /// Asked for.
        family: Family,
        /// What there is.
        have: Vec<Family>,
    },
    /// A part of the runner panicked; what it had made was removed as far as possible.
    #[error("internal error: a lane panicked: {0}")]
    Panicked(String),
}

impl From<ClusterError> for RunError {
    fn from(error: ClusterError) -> Self {
        Self::Setup(error.to_string())
    }
}

/// Runs scenarios on a cluster and tells `events` what happens. It goes on after failures, removes what it made, and
/// ends early, with the same care, when `stop` says so.
///
/// # Errors
/// If nothing could be set up at all; what was made until then is removed.
pub async fn run(
    cluster: &Cluster,
    scenarios: Vec<Scenario>,
    options: Options,
    events: UnboundedSender<Event>,
    stop: Stop,
) -> Result<Finished, RunError> {
    let started = Instant::now();
    let scope = Scope::new(&options.namespace_prefix);
    let mut info = RunInfo {
        id: scope.run.to_string(),
        started: scope.started.clone(),
        duration_ms: 0,
        command: options.command.clone(),
    };
    let tell = Arc::new(Teller::new(events));
    let total = scenarios.len();
    let looked = tokio::select! {
        looked = look(cluster, scope, scenarios, &options) => Some(looked?),
        () = stop.stopped() => None,
    };
    let Some((facts, prepared)) = looked else {
        tell.event(Event::Interrupted);
        info.duration_ms = millis(started.elapsed());
        let (environment, summary) = (Environment::default(), Summary::default());
        return Ok(Finished { run: info, environment, summary, interrupted: true, left_behind: Vec::new() });
    };
    let environment = Environment { ip_families: facts.families.clone(), ..facts.environment.clone() };
    let lanes = options.lanes.max(1);
    tell.event(Event::RunStarted {
        run: info.clone(),
        environment: environment.clone(),
        scenarios: total,
        lanes,
    });
    for (scenario, why) in prepared.skipped {
        tell.started(&scenario.name);
        tell.finished(unmeasured(&scenario, ScenarioOutcome::Skipped, why));
    }

    let crew = Arc::new(Crew {
        facts: Arc::new(facts),
        options,
        tell: Arc::clone(&tell),
        in_flight: Semaphore::new(IN_FLIGHT),
        lanes_made: AtomicU32::new(0),
        halted: Mutex::default(),
        set_up: AtomicBool::new(false),
        failed_set_ups: AtomicU32::new(0),
        kept: Mutex::default(),
    });
    let mut panicked = None;
    for (queue, lanes) in [(prepared.shared, lanes), (prepared.alone, 1)] {
        let queue = Arc::new(Queue::new(queue));
        panicked = panicked.or(crew.work(&queue, lanes, &stop).await);
        if stop.is_stopped() {
            break;
        }
        crew.give_up_on(&queue);
    }
    let interrupted = stop.is_stopped();
    if interrupted {
        tell.event(Event::Interrupted);
    }
    let left_behind = crew.clean_up(interrupted).await;
    info.duration_ms = millis(started.elapsed());
    let summary = tell.summary();
    tell.event(Event::RunFinished { run: info.clone(), summary });
    if let Some(panic) = panicked {
        return Err(RunError::Panicked(panic));
    }
    let halt = crew.halted.lock().expect("no holder of the lock panics").take();
    match halt {
        Some(Halt::NoSetUp(why)) if !interrupted => Err(RunError::Setup(why)),
        _ => Ok(Finished { run: info, environment, summary, interrupted, left_behind }),
    }
}

/// Looks at the cluster and at what the scenarios need of it.
async fn look(
    cluster: &Cluster,
    scope: Scope,
    scenarios: Vec<Scenario>,
    options: &Options,
) -> Result<(Facts, Prepared), RunError> {
    let service_cidrs =
        if mentions(&scenarios, "cluster.serviceCIDR") { cluster.service_cidrs().await } else { vec![] };
    let serve = external_serve(scenarios.iter().map(|scenario| &scenario.topology));
    let facts = facts(cluster, scope, options, serve, service_cidrs).await?;
    let prepared = prepare(&facts, scenarios, options).await?;
    Ok((facts, prepared))
}

/// What is the same for all lanes of a run.
async fn facts(
    cluster: &Cluster,
    scope: Scope,
    options: &Options,
    external_serve: Serve,
    service_cidrs: Vec<IpNet>,
) -> Result<Facts, RunError> {
    let (environment, nodes): (Environment, Vec<Node>) =
        tokio::try_join!(cluster.environment(), cluster.nodes())?;
    let deploy = DeployOptions {
        image: options.image.clone().unwrap_or_else(|| DEFAULT_IMAGE.to_owned()),
        ready_limit: options.ready,
    };
    let have = environment.ip_families.clone();
    let mut facts = Facts::new(cluster, scope, environment, nodes, deploy, external_serve, service_cidrs);
    if !options.families.is_empty() {
        if let Some(family) = options.families.iter().find(|family| !have.contains(family)) {
            return Err(RunError::Family { family: *family, have });
        }
        facts.families.retain(|family| options.families.contains(family));
    }
    Ok(facts)
}

/// Whether any policy mentions a variable.
fn mentions(scenarios: &[Scenario], variable: &str) -> bool {
    scenarios.iter().any(|scenario| format!("{:?}", scenario.steps).contains(variable))
}

/// What all lanes of a run share.
struct Crew {
    facts: Arc<Facts>,
    options: Options,
    tell: Arc<Teller>,
    in_flight: Semaphore,
    lanes_made: AtomicU32,
    /// Why nothing new is begun.
    halted: Mutex<Option<Halt>>,
    /// Whether any lane could be set up.
    set_up: AtomicBool,
    failed_set_ups: AtomicU32,
    /// Namespaces that stay, with their scenario.
    kept: Mutex<Vec<(String, Vec<String>)>>,
}

#[derive(Clone)]
enum Halt {
    /// `--fail-fast`: this scenario was not as expected.
    FailFast(String),
    /// Nothing can be set up on this cluster.
    NoSetUp(String),
}

impl Crew {
    /// Works on a queue until it is empty or the run is stopped; tells whether a lane panicked.
    async fn work(self: &Arc<Self>, queue: &Arc<Queue>, lanes: usize, stop: &Stop) -> Option<String> {
        let mut workers = JoinSet::new();
        for _ in 0..lanes {
            let (crew, queue) = (Arc::clone(self), Arc::clone(queue));
            workers.spawn(async move { crew.worker(&queue).await });
        }
        let mut panicked = None;
        loop {
            let ended = tokio::select! {
                ended = workers.join_next() => ended,
                () = stop.stopped() => {
                    workers.shutdown().await;
                    return panicked;
                }
            };
            match ended {
                None => return panicked,
                Some(Ok(())) => {}
                Some(Err(error)) => panicked = Some(error.to_string()),
            }
        }
    }

    /// One lane after another, each with the scenarios of its topology.
    async fn worker(&self, queue: &Queue) {
        let mut lane: Option<(usize, Lane)> = None;
        let mut group = None;
        loop {
            // Left before the next one is asked for: nodes' ports must be free by then.
            if lane.as_ref().is_some_and(|(group, _)| queue.is_exhausted(*group)) {
                self.retire(lane.take()).await;
            }
            let Some(job) = queue.next(group.take()).await else { break };
            group = Some(job.group);
            if lane.as_ref().is_some_and(|(of, _)| *of != job.group) {
                self.retire(lane.take()).await;
            }
            self.scenario(&mut lane, &job).await;
            if self.halted().is_some() {
                self.give_up_on(queue);
            }
        }
        self.retire(lane).await;
    }

    /// One scenario, with its retries.
    async fn scenario(&self, lane: &mut Option<(usize, Lane)>, job: &Job) {
        let scenario = &job.scenario;
        self.tell.started(&scenario.name);
        let setting = Setting { options: &self.options, in_flight: &self.in_flight, tell: &self.tell };
        for attempt in 0..=self.options.retries {
            let (group, mut own) = match lane.take() {
                Some(lane) => lane,
                None => match self.set_up(job).await {
                    Ok(made) => (job.group, made),
                    Err(why) => {
                        self.tell.finished(unmeasured(scenario, ScenarioOutcome::Errored, why));
                        return;
                    }
                },
            };
            let record = setting.run(&mut own, scenario).await;
            let good = matches!(record.outcome, ScenarioOutcome::Passed | ScenarioOutcome::Skipped);
            let again = !good && attempt < self.options.retries;
            if !good && self.options.keep == Keep::OnFailure && !again {
                self.keep(&scenario.name, &own);
                drop(own);
            } else if good || again {
                // The last state is worth keeping only with `--keep always`, and then of the last scenario.
                match own.reset().await {
                    Ok(()) => *lane = Some((group, own)),
                    Err(error) => {
                        self.tell.warn(format!("lane {} is given up: {error}", own.deployment.lane));
                        self.retire(Some((group, own))).await;
                    }
                }
            } else {
                self.retire(Some((group, own))).await;
            }
            if again {
                let (outcome, left) = (record.outcome, self.options.retries - attempt);
                self.tell.warn(format!("{} {outcome}, and is tried again ({left} left)", scenario.name));
                continue;
            }
            if good && attempt > 0 {
                self.tell.warn(format!("{} is as expected only at attempt {}", scenario.name, attempt + 1));
            }
            let name = record.name.clone();
            self.tell.finished(record);
            if !good && self.options.fail_fast {
                self.halt(Halt::FailFast(name));
            }
            return;
        }
    }

    async fn set_up(&self, job: &Job) -> Result<Lane, String> {
        let number = self.lanes_made.fetch_add(1, Ordering::Relaxed);
        self.tell.progress(&job.scenario.name, format!("set-up: {} pods", job.topology.pods().count()));
        match Lane::deploy(&self.facts, number, &job.topology).await {
            Ok(lane) => {
                self.set_up.store(true, Ordering::Relaxed);
                Ok(lane)
            }
            Err(error) => {
                let failed = self.failed_set_ups.fetch_add(1, Ordering::Relaxed) + 1;
                if !self.set_up.load(Ordering::Relaxed) && (error.is_fatal() || failed >= HOPELESS) {
                    self.halt(Halt::NoSetUp(error.to_string()));
                }
                Err(format!("set-up: {error}"))
            }
        }
    }

    async fn retire(&self, lane: Option<(usize, Lane)>) {
        let Some((_, lane)) = lane else { return };
        if self.options.keep == Keep::Always {
            self.keep("a lane", &lane);
            return;
        }
        let name = lane.deployment.lane.clone();
        if let Err(error) = lane.remove().await {
            self.tell.warn(format!("lane {name} could not be removed yet: {error}"));
        }
    }

    fn keep(&self, scenario: &str, lane: &Lane) {
        let mut kept = self.kept.lock().expect("no holder of the lock panics");
        kept.push((scenario.to_owned(), lane.namespaces()));
    }

    fn halt(&self, halt: Halt) {
        self.halted.lock().expect("no holder of the lock panics").get_or_insert(halt);
    }

    fn halted(&self) -> Option<Halt> {
        self.halted.lock().expect("no holder of the lock panics").clone()
    }

    /// Reports what will not be begun any more.
    fn give_up_on(&self, queue: &Queue) {
        let Some(halt) = self.halted() else { return };
        for scenario in queue.drain() {
            let (outcome, why) = match &halt {
                Halt::FailFast(name) => {
                    (ScenarioOutcome::Skipped, format!("not begun: {name} was not as expected (--fail-fast)"))
                }
                Halt::NoSetUp(why) => (ScenarioOutcome::Errored, format!("set-up: {why}")),
            };
            self.tell.started(&scenario.name);
            self.tell.finished(unmeasured(&scenario, outcome, why));
        }
    }

    /// Removes everything that is not kept; tells what stays.
    async fn clean_up(&self, interrupted: bool) -> Vec<String> {
        let kept = self.kept.lock().expect("no holder of the lock panics").clone();
        let mut left = Vec::new();
        let mut names: Vec<String> = Vec::new();
        for (scenario, namespaces) in kept {
            left.push(format!("kept of {scenario}: {}", namespaces.join(", ")));
            names.extend(namespaces);
        }
        let limit =
            if interrupted { CLEAN_UP_INTERRUPTED.min(self.options.clean_up) } else { self.options.clean_up };
        let scope = &self.facts.scope;
        let removing = self.facts.cluster.delete_run(&scope.run, &names, limit);
        match tokio::time::timeout(limit + Duration::from_secs(1), removing).await {
            Ok(Ok(report)) => left.extend(report.left),
            Ok(Err(error)) => left.push(format!("perhaps namespaces of run {}: {error}", scope.run)),
            Err(_) => {
                left.push(format!("perhaps namespaces of run {}: the API server does not answer", scope.run))
            }
        }
        left
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
