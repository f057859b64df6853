//! What the tests that run scenarios share: one sandbox for the whole test binary.

use std::sync::{Arc, OnceLock};

use tokio::{runtime::Handle, sync::mpsc};
use verdikt_cluster::{Cluster, Target};
use verdikt_model::{Event, Scenario, ScenarioRecord};
use verdikt_runner::{Options, Stop};
use verdikt_sandbox::{Config, Profile, Sandbox};

/// A sandbox and the way to it, started on first use.
pub(crate) struct Lab {
    handle: Handle,
    started: OnceLock<(Sandbox, Arc<Cluster>)>,
    profile: Profile,
}

impl Lab {
    /// A lab whose sandbox is not started yet: listing tests costs nothing.
    pub(crate) fn new(handle: Handle, profile: Profile) -> Self {
        Self { handle, started: OnceLock::new(), profile }
    }

    fn cluster(&self) -> Arc<Cluster> {
        let (_, cluster) = self.started.get_or_init(|| {
            self.handle.block_on(async {
                let sandbox = Sandbox::start(Config {
                    exe: std::env::current_exe().expect("a running test has a path"),
                    profile: self.profile.clone(),
                    listen: ([127, 0, 0, 1], 0).into(),
                    token: None,
                })
                .await
                .unwrap_or_else(|e| panic!("the sandbox does not start: {e}"));
                let target = Target::Sandbox { url: sandbox.url(), token: sandbox.token().to_owned() };
                let cluster =
                    Cluster::connect(&target).await.unwrap_or_else(|e| panic!("no connection: {e}"));
                (sandbox, Arc::new(cluster))
            })
        });
        Arc::clone(cluster)
    }

    /// Runs scenarios; `told` hears each record as it comes.
    pub(crate) fn run(
        &self,
        scenarios: Vec<Scenario>,
        options: Options,
        mut told: impl FnMut(ScenarioRecord),
    ) -> Result<(), String> {
        let cluster = self.cluster();
        self.handle.block_on(async {
            let (events, mut inbox) = mpsc::unbounded_channel();
            let run = verdikt_runner::run(&cluster, scenarios, options, events, Stop::new());
            let collect = async {
                while let Some(event) = inbox.recv().await {
                    if let Event::ScenarioFinished { record } = event {
                        told(*record);
                    }
                }
            };
            let (finished, ()) = tokio::join!(run, collect);
            finished.map(|_| ()).map_err(|e| e.to_string())
        })
    }

    /// Ends the sandbox, if it was started.
    pub(crate) fn close(mut self) {
        if let Some((sandbox, cluster)) = self.started.take() {
            drop(cluster);
            self.handle.block_on(sandbox.stop());
        }
    }
}

/// The wrong and unmeasured cells of a scenario, as text for a failed test.
#[expect(clippy::allow_attributes, reason = "some test binaries use it")]
#[allow(dead_code, reason = "and others do not")]
pub(crate) fn findings(record: &ScenarioRecord) -> String {
    use std::fmt::Write;
    let mut text = format!("{}: {}", record.name, record.outcome);
    if let Some(reason) = &record.reason {
        let _ = write!(text, ": {reason}");
    }
    for step in &record.steps {
        for check in step.checks.iter().filter(|check| check.outcome != verdikt_model::Outcome::Pass) {
            let _ = write!(text, "\n  step {}: {check:?}", step.name);
        }
        for (row, reason) in step.cells.iter() {
            use verdikt_model::Outcome::{Pass, Skipped};
            if matches!(row.outcome, Pass | Skipped) {
                continue;
            }
            let observed = row.observed.map_or("nothing", verdikt_model::Verdict::as_str);
            let _ = write!(
                text,
                "\n  step {}: {} -> {}:{} via {} over {}: expected {}, observed {observed} ({}): {}",
                step.name,
                step.cells.name(row.cell.from),
                step.cells.name(row.cell.to),
                row.cell.port_protocol(),
                row.cell.via,
                row.cell.family,
                row.expected,
                row.outcome,
                reason.unwrap_or("no reason recorded"),
            );
        }
    }
    text
}
