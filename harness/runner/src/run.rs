//! A whole run: look, prepare, lanes, clean-up.

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use tokio::{sync::mpsc::UnboundedSender, time::Instant};
use verdikt_cluster::{Cluster, ClusterError, Node, Scope};
use verdikt_model::{
    DeviationRecord, DeviationState, Enforced, Environment, Event, Family, Known, RunInfo, Scenario,
    ScenarioOutcome, Serve, Summary,
};

use crate::{
    blocks,
    crew::Crew,
    facts::Facts,
    options::Options,
    prepare::{Prepared, external_serve, prepare},
    queue::Queue,
    resume::Resumed,
    stop::Stop,
    tell::{Teller, unmeasured},
};

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Id, start, duration.
    pub run: RunInfo,
    /// Where it ran.
    pub environment: Environment,
    /// Counts.
    pub summary: Summary,
    /// What became of known deviations.
    pub deviations: Vec<DeviationRecord>,
    /// Whether it was stopped from outside.
    pub interrupted: bool,
    /// What could not be removed, or was kept on purpose, in words.
    pub left_behind: Vec<String>,
    /// Why it did not go to its end, other than by an interrupt.
    pub trouble: Option<RunError>,
}

/// Why a run could not be made.
#[derive(Debug, Clone, thiserror::Error)]
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
    /// The record that was to be resumed is of another run.
    #[error("cannot resume: {0}")]
    Resume(String),
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
    let total = scenarios.len() + options.resumed.as_ref().map_or(0, |resumed| resumed.done.len());
    let done = options.resumed.as_ref().map(|resumed| resumed.done.clone()).unwrap_or_default();
    let mut info = RunInfo {
        id: scope.run.to_string(),
        started: scope.started.clone(),
        duration_ms: 0,
        command: options.command.clone(),
        planned: u32::try_from(total).unwrap_or(u32::MAX),
        partition: options.partition.clone(),
        repeat: options.repeat.max(1),
        others: options.resumed.as_ref().map(Resumed::runs).unwrap_or_default(),
    };
    let tell = Arc::new(Teller::new(events));
    let looked = tokio::select! {
        looked = look(cluster, scope, scenarios, &options) => Some(looked?),
        () = stop.stopped() => None,
    };
    let Some((facts, prepared)) = looked else {
        tell.event(Event::Interrupted);
        info.duration_ms = millis(started.elapsed());
        let (environment, summary) = (Environment::default(), Summary::default());
        return Ok(Finished {
            run: info,
            environment,
            summary,
            deviations: Vec::new(),
            interrupted: true,
            left_behind: Vec::new(),
            trouble: None,
        });
    };
    let mut environment = Environment { ip_families: facts.families.clone(), ..facts.environment.clone() };
    if let Some(resumed) = &options.resumed {
        environment.enforcement.clone_from(resumed.enforcement());
        environment.pod_blocks.clone_from(resumed.pod_blocks());
    }
    let blocks_asked = [&prepared.shared, &prepared.alone].into_iter().any(|of| blocks::is_asked(of));
    let check = options.check_enforcement && !(prepared.shared.is_empty() && prepared.alone.is_empty());
    let (known, ignored) = Known::new(&options.known, &environment.dataplane, options.today);
    ignored.into_iter().for_each(|why| tell.warn(why));
    let known = Arc::new(known);
    tell.look_for(&known);
    let single_cells = !options.cells.is_empty();
    let mut crew = Crew::new(facts, options, &tell, Arc::clone(&known), stop.clone());
    if check {
        tell.event(Event::Checking { what: "whether the cluster enforces NetworkPolicy".to_owned() });
        environment.enforcement = tokio::select! {
            seen = crew.check_enforcement() => seen.or(environment.enforcement),
            () = stop.stopped() => None,
        };
    }
    let enforces_nothing = environment.enforcement.as_ref().is_some_and(|seen| seen.enforced == Enforced::No);
    if blocks_asked && !enforces_nothing && crew.no_set_up().is_none() && !stop.is_stopped() {
        tell.event(Event::Checking { what: "whether ipBlocks match the addresses of pods".to_owned() });
        environment.pod_blocks = tokio::select! {
            seen = crew.check_blocks() => seen,
            () = stop.stopped() => None,
        };
    }
    let lanes = crew.lanes();
    tell.event(Event::RunStarted {
        run: info.clone(),
        environment: Box::new(environment.clone()),
        scenarios: total,
        lanes,
    });
    for mut record in done {
        known.judge(&mut record);
        tell.started(&record.name);
        tell.finished(record);
    }
    for (scenario, why) in prepared.skipped {
        tell.started(&scenario.name);
        tell.finished(unmeasured(&scenario, ScenarioOutcome::Skipped, why));
    }

    let crew = Arc::new(crew);
    let mut panicked = None;
    for (scenarios, lanes) in [(prepared.shared, lanes), (prepared.alone, 1)] {
        if !stop.is_stopped() {
            panicked = crew.work(Queue::new(scenarios), lanes).await.or(panicked);
        }
    }
    let interrupted = stop.is_stopped();
    if interrupted {
        tell.event(Event::Interrupted);
    }
    let left_behind = crew.clean_up(interrupted).await;
    info.duration_ms = millis(started.elapsed());
    let summary = tell.summary();
    let whole = info.is_whole(summary.scenarios.total() as usize) && !interrupted;
    let deviations = deviations(&tell, whole, single_cells);
    tell.event(Event::RunFinished { run: info.clone(), summary, deviations: deviations.clone() });
    let trouble = match (panicked, crew.no_set_up()) {
        (Some(panic), _) => Some(RunError::Panicked(panic)),
        (None, Some(why)) if !interrupted => Some(RunError::Setup(why)),
        _ => None,
    };
    Ok(Finished { run: info, environment, summary, deviations, interrupted, left_behind, trouble })
}

/// What became of known deviations; of single cells nothing follows for the others.
fn deviations(tell: &Teller, whole: bool, single_cells: bool) -> Vec<DeviationRecord> {
    let mut deviations = tell.deviations(whole);
    for of in deviations.iter_mut().filter(|of| single_cells && of.state == DeviationState::Fixed) {
        of.state = DeviationState::NotReached;
    }
    deviations
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
    if let Some(resumed) = &options.resumed {
        resumed.fits(&facts.environment, &facts.families).map_err(RunError::Resume)?;
    }
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
    let mut deploy = options.deploy.clone();
    deploy.cluster_domain.clone_from(&options.cluster_domain);
    if let Some((namespace, name)) = &options.pull_secret {
        deploy.pull_secret = Some(cluster.pull_secret(namespace, name).await?);
    }
    let (environment, nodes): (Environment, Vec<Node>) =
        tokio::try_join!(cluster.environment(), cluster.nodes_for(&deploy))?;
    let mut environment = environment;
    if let Some(stated) = &options.dataplane {
        stated.correct(&mut environment.dataplane);
    }
    let have = environment.ip_families.clone();
    let mut facts = Facts::new(cluster, scope, environment, nodes, deploy, external_serve, service_cidrs);
    facts.given.clone_from(&options.external);
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
