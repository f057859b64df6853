//! One run of verdikt through a proxy, and what is held against it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, api::ListParams};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use verdikt_cluster::{Cluster, DeployOptions, Patience, RUN_LABEL, Target};
use verdikt_model::{Event, Record, Scenario, ScenarioOutcome};
use verdikt_report::{RecordBuilder, Reporter};
use verdikt_runner::{Finished, Options, RunError, Stop};

use crate::{
    dice::Dice,
    harm::Harm,
    proxy::{Counts, Proxy},
    truth::Truth,
};

/// No run may take longer, whatever happens to it.
const LONGEST: Duration = Duration::from_secs(60);

/// As the default, but for a test that cannot wait for what never comes.
const PATIENCE: Patience = Patience {
    call: Duration::from_secs(8),
    connect: Duration::from_secs(8),
    open: Duration::from_secs(6),
    hello: Duration::from_secs(2),
    answer: Duration::from_millis(2500),
    lost: Duration::from_secs(8),
    watch: Duration::from_secs(1),
};

/// What runs share.
pub(crate) struct Lab {
    pub(crate) upstream: SocketAddr,
    pub(crate) token: String,
    /// Past every proxy.
    pub(crate) direct: Cluster,
    pub(crate) client: Client,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) truth: Truth,
    pub(crate) counts: Counts,
}

/// How a run ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) passed: usize,
    pub(crate) errored: usize,
    pub(crate) measured: usize,
    /// Why it could not begin.
    pub(crate) not_begun: Option<String>,
    pub(crate) left_behind: bool,
    /// Whether harm was to come to one of its pods.
    pub(crate) harmed: bool,
    pub(crate) causes: Vec<String>,
    pub(crate) took: Duration,
}

impl Lab {
    /// One run with the faults of a seed.
    pub(crate) async fn run(self: &Arc<Self>, seed: u64) -> Result<Ended, String> {
        let started = Instant::now();
        let ended = timeout(LONGEST, self.faulty(seed)).await;
        let mut ended = ended.map_err(|_| format!("it still runs after {} s", LONGEST.as_secs()))??;
        ended.took = started.elapsed();
        Ok(ended)
    }

    async fn faulty(self: &Arc<Self>, seed: u64) -> Result<Ended, String> {
        let mut dice = Dice::new(seed, "run");
        let scenarios = self.choose(&mut dice);
        let options = options(format!("f{seed}"), 1 + dice.below(2) as usize, dice.below(2) as u32);
        let prefix = format!("{}-", options.namespace_prefix);
        let proxy = Proxy::start(self.upstream, seed, self.counts.clone()).await;
        let harm = Harm::of(seed).map(|(harm, after)| {
            let (lab, prefix) = (Arc::clone(self), prefix.clone());
            tokio::spawn(async move {
                sleep(after).await;
                if harm.come(&lab.client, &prefix, seed).await {
                    lab.counts.add(&format!("{harm:?}"));
                }
            })
        });
        let through = connect(&proxy.url(), &self.token).await;
        let (finished, record) = match through {
            Ok(cluster) => recorded(&cluster, scenarios.clone(), options, Stop::new()).await,
            Err(error) => (Err(RunError::Setup(error.to_string())), None),
        };
        let mut ended = Ended { harmed: harm.is_some(), ..Ended::default() };
        if let Some(harm) = harm {
            harm.abort();
            // A panic there is a fault of the test, not of verdikt.
            if let Err(error) = harm.await
                && error.is_panic()
            {
                return Err(format!("the test itself: {error}"));
            }
        }
        match &finished {
            Ok(finished) => {
                ended.left_behind = !finished.left_behind.is_empty();
                if finished.interrupted {
                    return Err("it says that it was interrupted".into());
                }
                let record = record.as_ref().ok_or("a run without a record")?;
                ended.measured = self.truth.judge(record, &scenarios)?;
                for scenario in &record.scenarios {
                    match scenario.outcome {
                        ScenarioOutcome::Passed => ended.passed += 1,
                        _ => ended.errored += 1,
                    }
                    if scenario.outcome != ScenarioOutcome::Passed {
                        ended.causes.extend(scenario.reason.clone());
                    }
                }
                if let Some(trouble @ RunError::Panicked(_)) = &finished.trouble {
                    return Err(trouble.to_string());
                }
            }
            Err(error @ RunError::Setup(_)) => ended.not_begun = Some(error.to_string()),
            Err(error) => return Err(error.to_string()),
        }
        drop(proxy);
        self.nothing_is_left(&prefix, finished.as_ref().ok()).await?;
        Ok(ended)
    }

    /// Whether nothing is left of a run, or it says so and `clean` removes it.
    pub(crate) async fn nothing_is_left(
        &self,
        prefix: &str,
        finished: Option<&Finished>,
    ) -> Result<(), String> {
        let left = self.namespaces(prefix).await?;
        if left.is_empty() {
            return Ok(());
        }
        let told = finished.filter(|finished| !finished.left_behind.is_empty());
        let told = told.ok_or_else(|| format!("{left:?} are left, and nobody says so"))?;
        let cleaned = self.direct.clean(Some(&told.run.id), None, false).await;
        let cleaned = cleaned.map_err(|error| format!("clean: {error}"))?;
        let left = self.namespaces(prefix).await?;
        if !left.is_empty() || !cleaned.left.is_empty() {
            return Err(format!("clean leaves {left:?}, {:?}", cleaned.left));
        }
        Ok(())
    }

    /// One scenario, or two.
    pub(crate) fn choose(&self, dice: &mut Dice) -> Vec<Scenario> {
        let first = dice.below(self.scenarios.len() as u64) as usize;
        let second = dice.below(3 * self.scenarios.len() as u64) as usize;
        let chosen = self.scenarios.iter().enumerate();
        chosen.filter(|(n, _)| [first, second].contains(n)).map(|(_, scenario)| scenario.clone()).collect()
    }

    /// The namespaces of runs that begin so, as the API server itself tells.
    pub(crate) async fn namespaces(&self, prefix: &str) -> Result<Vec<String>, String> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let list = api.list(&ListParams::default().labels(RUN_LABEL)).await.map_err(|e| e.to_string())?;
        let names = list.items.into_iter().filter_map(|namespace| namespace.metadata.name);
        Ok(names.filter(|name| name.starts_with(prefix)).collect())
    }
}

pub(crate) async fn connect(url: &str, token: &str) -> Result<Cluster, verdikt_cluster::ClusterError> {
    let target = Target::Sandbox { url: url.to_owned(), token: token.to_owned() };
    Ok(Cluster::connect(&target).await?.with_patience(PATIENCE))
}

pub(crate) fn options(prefix: String, lanes: usize, retries: u32) -> Options {
    Options {
        lanes,
        retries,
        namespace_prefix: prefix,
        settle: Duration::from_secs(4),
        positive_control: Duration::from_secs(6),
        deploy: DeployOptions { ready_limit: Duration::from_secs(15), ..DeployOptions::default() },
        clean_up: Duration::from_secs(15),
        ..Options::default()
    }
}

/// Runs, and builds the record out of what is told.
pub(crate) async fn recorded(
    cluster: &Cluster,
    scenarios: Vec<Scenario>,
    options: Options,
    stop: Stop,
) -> (Result<Finished, RunError>, Option<Record>) {
    let (events, mut inbox) = mpsc::unbounded_channel::<Event>();
    let collect = async {
        let mut builder = RecordBuilder::new();
        while let Some(event) = inbox.recv().await {
            match &event {
                Event::Progress { name, what } => crate::tell(|| format!("{name}: {what}")),
                Event::Warning { message } => crate::tell(|| format!("warning: {message}")),
                Event::ScenarioFinished { record } => {
                    crate::tell(|| format!("{} {}: {:?}", record.name, record.outcome, record.reason));
                }
                _ => {}
            }
            builder.event(&event).expect("a record is built in memory");
        }
        builder.build()
    };
    tokio::join!(verdikt_runner::run(cluster, scenarios, options, events, stop), collect)
}
