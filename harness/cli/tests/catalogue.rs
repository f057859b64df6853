//! The built-in catalogue on the embedded sandbox: one test a scenario, named like it.
//!
//! `cargo test -p verdikt --test catalogue -- ipblock` runs those whose name contains `ipblock`.

mod lab;

use std::{
    collections::HashMap,
    process::ExitCode,
    sync::{
        Arc, Mutex, OnceLock,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use verdikt_model::{Scenario, ScenarioOutcome, ScenarioRecord};
use verdikt_runner::Options;
use verdikt_sandbox::Profile;

/// Scenarios at once.
const LANES: usize = 6;

fn main() -> ExitCode {
    if let Some(code) = verdikt_sandbox::reexec() {
        return ExitCode::from(code);
    }
    let arguments = Arguments::from_args();
    let loaded = verdikt_scenario::catalogue();
    let runtime = tokio::runtime::Runtime::new().expect("an async runtime starts");
    let run = Arc::new(Run::new(lab::Lab::new(runtime.handle().clone(), Profile::default())));
    let mut trials = Vec::new();
    for scenario in loaded.scenarios {
        let (own, name) = (Arc::clone(&run), scenario.name.clone());
        let trial = Trial::ignorable_test(scenario.name.clone(), move || judge(&own.record(&name)?));
        if !arguments.is_filtered_out(&trial) {
            run.wants(scenario);
        }
        trials.push(trial);
    }
    let diagnostics = loaded.diagnostics;
    trials.push(Trial::test("catalogue_is_clean", move || {
        if diagnostics.is_empty() {
            Ok(())
        } else {
            Err(verdikt_scenario::render(&diagnostics, false, 100).into())
        }
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(run) = Arc::into_inner(run) {
        run.close();
    }
    conclusion.exit_code()
}

/// One run of verdikt for all wanted scenarios, begun by the first test that asks: scenarios that need the same
/// ports of a node would be in each other's way in several runs.
struct Run {
    lab: Arc<lab::Lab>,
    wanted: Mutex<Vec<(Scenario, Sender<ScenarioRecord>)>>,
    records: Mutex<HashMap<String, Receiver<ScenarioRecord>>>,
    begun: OnceLock<thread::JoinHandle<()>>,
    failure: Arc<OnceLock<String>>,
}

impl Run {
    fn new(lab: lab::Lab) -> Self {
        Self {
            lab: Arc::new(lab),
            wanted: Mutex::default(),
            records: Mutex::default(),
            begun: OnceLock::new(),
            failure: Arc::default(),
        }
    }

    fn wants(&self, scenario: Scenario) {
        let (tell, told) = channel();
        self.records.lock().unwrap().insert(scenario.name.clone(), told);
        self.wanted.lock().unwrap().push((scenario, tell));
    }

    /// Waits for the end of what was begun, and ends the sandbox.
    fn close(self) {
        if let Some(begun) = self.begun.into_inner() {
            begun.join().expect("the run does not panic");
        }
        if let Some(lab) = Arc::into_inner(self.lab) {
            lab.close();
        }
    }

    /// Waits for the record of a scenario.
    fn record(&self, name: &str) -> Result<ScenarioRecord, Failed> {
        self.begun.get_or_init(|| {
            let wanted = std::mem::take(&mut *self.wanted.lock().unwrap());
            let (lab, failure) = (Arc::clone(&self.lab), Arc::clone(&self.failure));
            thread::spawn(move || {
                let (scenarios, tells): (Vec<_>, Vec<_>) = wanted
                    .into_iter()
                    .map(|(scenario, tell)| (scenario.clone(), (scenario.name, tell)))
                    .unzip();
                let tells: HashMap<String, Sender<ScenarioRecord>> = tells.into_iter().collect();
                let told = |record: ScenarioRecord| {
                    // A test that was given up hears nothing any more.
                    let _ = tells[&record.name].send(record);
                };
                if let Err(why) = lab.run(scenarios, Options { lanes: LANES, ..Options::default() }, told) {
                    failure.get_or_init(|| why);
                }
            })
        });
        let told = self.records.lock().unwrap().remove(name).ok_or("it was not selected")?;
        Ok(told.recv().map_err(|_| match self.failure.get() {
            Some(why) => why.clone(),
            None => "the run ended without it".to_owned(),
        })?)
    }
}

fn judge(record: &ScenarioRecord) -> Result<Completion, Failed> {
    match record.outcome {
        ScenarioOutcome::Passed => Ok(Completion::Completed),
        ScenarioOutcome::Skipped => {
            Ok(Completion::ignored_with(record.reason.clone().unwrap_or_else(|| "no reason recorded".into())))
        }
        ScenarioOutcome::Failed | ScenarioOutcome::Flaky | ScenarioOutcome::Errored => {
            Err(lab::findings(record).into())
        }
    }
}
