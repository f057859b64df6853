//! Every two of the sandbox's dataplanes, compared: what their documentation has them do differently is what the
//! comparison of their records says, topic by topic, and nothing else is.

mod lab;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use verdikt_model::{
    CheckWord, Dataplane, Environment, Record, RunInfo, SCHEMA, Scenario, ScenarioRecord, Summary, Topic,
};
use verdikt_report::{CompareOptions, Comparison, compare, compare_human};
use verdikt_runner::Options;
use verdikt_sandbox::{Base, Profile, Traits};

/// Scenarios at once.
const LANES: usize = 8;

/// How long a step is waited for that will not become as expected: longer than what the dataplanes do late.
const SETTLE: Duration = Duration::from_millis(2500);

/// Scenarios that may show no topic and are needed all the same: plain denials, and what says that there is no SCTP.
const PLAIN: [&str; 2] = ["basics/default-deny-both", "ports/sctp-allow-and-deny"];

fn main() -> ExitCode {
    if let Some(code) = verdikt_sandbox::reexec() {
        return ExitCode::from(code);
    }
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("an async runtime starts");
    let runs = Arc::new(Runs { handle: runtime.handle().clone(), records: Mutex::default() });
    let mut trials = Vec::new();
    for (index, one) in Base::ALL.iter().copied().enumerate() {
        for two in Base::ALL[index + 1..].iter().copied() {
            let runs = Arc::clone(&runs);
            trials.push(Trial::test(format!("{}_and_{}", one.as_str(), two.as_str()), move || {
                differ_as_documented(&runs, one, two)
            }));
        }
    }
    // One sandbox at a time.
    libtest_mimic::run(&Arguments { test_threads: Some(1), ..arguments }, trials).exit_code()
}

/// Records of dataplanes, made when they are asked for.
struct Runs {
    handle: tokio::runtime::Handle,
    records: Mutex<BTreeMap<&'static str, Arc<Record>>>,
}

impl Runs {
    fn of(&self, base: Base) -> Result<Arc<Record>, Failed> {
        if let Some(record) = self.records.lock().expect("no holder panics").get(base.as_str()) {
            return Ok(Arc::clone(record));
        }
        let mut scenarios = verdikt_scenario::catalogue().scenarios;
        if base != Base::Reference {
            let telling = telling(&*self.of(Base::Reference)?);
            scenarios.retain(|scenario| telling.contains(&scenario.name));
        }
        let record = Arc::new(self.run(base, scenarios)?);
        self.records.lock().expect("no holder panics").insert(base.as_str(), Arc::clone(&record));
        Ok(record)
    }

    fn run(&self, base: Base, scenarios: Vec<Scenario>) -> Result<Record, Failed> {
        let lab = lab::Lab::new(self.handle.clone(), Profile::from(base));
        let options = Options { lanes: LANES, settle: SETTLE, ..Options::default() };
        let mut measured: Vec<ScenarioRecord> = Vec::new();
        let ran = lab.run(scenarios, options, |record| measured.push(record));
        lab.close();
        ran?;
        let dataplane = Dataplane { name: base.as_str().into(), emulated: true, ..Dataplane::default() };
        Ok(Record {
            schema: SCHEMA.into(),
            run: RunInfo::default(),
            environment: Environment { dataplane, ..Environment::default() },
            summary: Summary::default(),
            deviations: Vec::new(),
            scenarios: measured,
        })
    }
}

/// Scenarios in which something turns on a topic.
fn telling(record: &Record) -> BTreeSet<String> {
    let tells = |scenario: &&ScenarioRecord| {
        let mut rows = scenario.steps.iter().flat_map(|step| &step.cells.rows);
        let mut checks = scenario.steps.iter().flat_map(|step| &step.checks);
        rows.any(|row| !row.topics.is_empty())
            || checks.any(|check| matches!(check.kind, CheckWord::Hold | CheckWord::First))
            || PLAIN.contains(&scenario.name.as_str())
    };
    record.scenarios.iter().filter(tells).map(|scenario| scenario.name.clone()).collect()
}

fn differ_as_documented(runs: &Runs, one: Base, two: Base) -> Result<(), Failed> {
    let records = [runs.of(one)?, runs.of(two)?];
    let comparison = compare((one.as_str(), &records[0]), (two.as_str(), &records[1]));
    let shown: BTreeSet<Option<Topic>> = comparison.patterns.iter().map(|pattern| pattern.topic).collect();
    let documented: BTreeSet<Option<Topic>> =
        documented(one, two).into_iter().filter(|topic| measured(*topic, &comparison)).map(Some).collect();
    let missed: Vec<_> = documented.difference(&shown).collect();
    let unexpected: Vec<_> = shown.difference(&documented).collect();
    if missed.is_empty() && unexpected.is_empty() && !comparison.is_inconclusive() {
        return Ok(());
    }
    let told = compare_human(&comparison, CompareOptions { color: false });
    Err(format!("documented and not shown: {missed:?}; shown and not documented: {unexpected:?}\n{told}")
        .into())
}

/// The topics in which two dataplanes are documented to differ.
fn documented(one: Base, two: Base) -> BTreeSet<Topic> {
    let (one, two) = (one.traits(), two.traits());
    if one.enforces_nothing != two.enforces_nothing {
        // The rest is about what is enforced.
        return [Topic::Enforcement].into();
    }
    // How long something takes is a time, and no difference of what happens.
    let words = |traits: &Traits, topic| -> Vec<String> {
        let word = |text: String| text.split_once('=').map_or(text.clone(), |(word, _)| word.to_owned());
        traits.of_topic(topic).into_iter().map(word).collect()
    };
    Topic::ALL.iter().copied().filter(|topic| words(&one, *topic) != words(&two, *topic)).collect()
}

/// Whether this kernel can show a topic; where it cannot, the comparison says that it was left out.
fn measured(topic: Topic, comparison: &Comparison) -> bool {
    let is_left_out = |scenario| comparison.missing.iter().any(|missing| missing.scenario == scenario);
    topic != Topic::Sctp || !is_left_out("ports/sctp-allow-and-deny")
}
