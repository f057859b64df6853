//! Every core scenario fails on a dataplane that is broken in the matching way: one that no defect can fail would
//! prove nothing. Which defect is matched with which scenario is written in `defects.txt`; `ci/defects.sh` finds it.

mod lab;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use verdikt_model::{Level, Scenario, ScenarioOutcome, ScenarioRecord};
use verdikt_runner::Options;
use verdikt_sandbox::Profile;

/// Scenarios at once.
const LANES: usize = 6;

/// Scenarios that need what not every kernel has.
const MAY_SKIP: [&str; 1] = ["ports/sctp-allow-and-deny"];

/// How long a step is waited for that will not become as expected.
const SETTLE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    if let Some(code) = verdikt_sandbox::reexec() {
        return ExitCode::from(code);
    }
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("an async runtime starts");
    let core: Vec<Scenario> =
        verdikt_scenario::catalogue().scenarios.into_iter().filter(|s| s.level == Level::Core).collect();
    let table = table();
    let mut trials = vec![Trial::test("every_core_scenario_has_its_defect", {
        let (core, table) = (core.clone(), table.clone());
        move || complete(&core, &table)
    })];
    let core = Arc::new(core);
    for (defect, names) in table {
        let (core, handle) = (Arc::clone(&core), runtime.handle().clone());
        trials.push(Trial::test(defect.clone(), move || fails(&handle, &core, &defect, &names)));
    }
    // One sandbox at a time: several would be slower, and noisier.
    libtest_mimic::run(&Arguments { test_threads: Some(1), ..arguments }, trials).exit_code()
}

/// Scenarios by defect: lines of a scenario and a defect.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let mut table: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in include_str!("defects.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some((scenario, defect)) = line.split_once(' ') {
            table.entry(defect.trim().to_owned()).or_default().insert(scenario.to_owned());
        }
    }
    table
}

fn complete(core: &[Scenario], table: &BTreeMap<String, BTreeSet<String>>) -> Result<(), Failed> {
    let known: BTreeSet<&str> = core.iter().map(|scenario| scenario.name.as_str()).collect();
    let matched: BTreeSet<&str> = table.values().flatten().map(String::as_str).collect();
    let without: Vec<&&str> = known.difference(&matched).collect();
    let unknown: Vec<&&str> = matched.difference(&known).collect();
    if without.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    Err(format!(
        "without a defect: {without:?}; no core scenario of the catalogue: {unknown:?}; see ci/defects.sh"
    )
    .into())
}

/// Runs the scenarios of a defect on a dataplane that has it.
fn fails(
    handle: &tokio::runtime::Handle,
    core: &[Scenario],
    defect: &str,
    names: &BTreeSet<String>,
) -> Result<(), Failed> {
    let profile: Profile = format!("reference+{defect}").parse().map_err(|e| format!("{e}"))?;
    let lab = lab::Lab::new(handle.clone(), profile);
    let scenarios: Vec<Scenario> = core.iter().filter(|s| names.contains(&s.name)).cloned().collect();
    let mut records: Vec<ScenarioRecord> = Vec::new();
    let options = Options { lanes: LANES, settle: SETTLE, ..Options::default() };
    let ran = lab.run(scenarios, options, |record| records.push(record));
    lab.close();
    ran?;
    let blind: Vec<String> = records
        .iter()
        .filter(|record| record.outcome != ScenarioOutcome::Failed)
        .filter(|record| {
            record.outcome != ScenarioOutcome::Skipped || !MAY_SKIP.contains(&record.name.as_str())
        })
        .map(lab::findings)
        .collect();
    if records.len() == names.len() && blind.is_empty() {
        return Ok(());
    }
    Err(format!("{} of {} ran; not failed on {defect}: {blind:#?}", records.len(), names.len()).into())
}
