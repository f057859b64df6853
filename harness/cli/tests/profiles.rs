//! Bases that emulate dataplanes: what the records of whole runs on them show is what is documented. Which cell shows
//! what is written in `profiles.txt`.

mod lab;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use verdikt_model::{Family, PortProtocol, Scenario, ScenarioRecord, StepRecord, Verdict};
use verdikt_runner::Options;
use verdikt_sandbox::Base;

/// Scenarios at once.
const LANES: usize = 6;

/// How long a step is waited for that will not become as expected. A sixth of it is how long a matrix of which nothing
/// is expected is watched: longer than what the bases do late.
const SETTLE: Duration = Duration::from_secs(8);

/// What one base shows in one place.
#[derive(Debug, Clone)]
struct Row {
    scenario: String,
    step: String,
    from: String,
    to: String,
    port: String,
    family: String,
    seen: String,
}

fn main() -> ExitCode {
    if let Some(code) = verdikt_sandbox::reexec() {
        return ExitCode::from(code);
    }
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("an async runtime starts");
    let table = table();
    let bases: BTreeSet<String> = table.keys().cloned().collect();
    let mut trials = vec![Trial::test("every_base_is_in_the_table", move || complete(&bases))];
    for (base, rows) in table {
        let handle = runtime.handle().clone();
        trials.push(Trial::test(base.clone(), move || shows(&handle, &base, &rows)));
    }
    // One sandbox at a time: several would be slower, and noisier.
    libtest_mimic::run(&Arguments { test_threads: Some(1), ..arguments }, trials).exit_code()
}

fn table() -> BTreeMap<String, Vec<Row>> {
    let mut table: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for line in include_str!("profiles.txt").lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let [bases, scenario, step, from, to, port, family, seen] =
            <[String; 8]>::try_from(words).unwrap_or_else(|_| panic!("`{line}` has not eight words"));
        let row = Row { scenario, step, from, to, port, family, seen };
        for base in bases.split(',') {
            table.entry(base.to_owned()).or_default().push(row.clone());
        }
    }
    table
}

fn complete(tested: &BTreeSet<String>) -> Result<(), Failed> {
    let emulations = Base::ALL.iter().filter(|base| base.is_emulation());
    let known: BTreeSet<String> = emulations.map(|base| base.as_str().to_owned()).collect();
    if known == *tested { Ok(()) } else { Err(format!("known {known:?}, in the table {tested:?}").into()) }
}

/// Runs the scenarios of a base's rows, and holds the records against the rows.
fn shows(handle: &tokio::runtime::Handle, base: &str, rows: &[Row]) -> Result<(), Failed> {
    let profile = base.parse().map_err(|error| format!("{error}"))?;
    let names: BTreeSet<&str> = rows.iter().map(|row| row.scenario.as_str()).collect();
    let catalogue = verdikt_scenario::catalogue().scenarios;
    let scenarios: Vec<Scenario> =
        catalogue.into_iter().filter(|scenario| names.contains(scenario.name.as_str())).collect();
    let lab = lab::Lab::new(handle.clone(), profile);
    let mut records: BTreeMap<String, ScenarioRecord> = BTreeMap::new();
    let options = Options { lanes: LANES, settle: SETTLE, ..Options::default() };
    let ran = lab.run(scenarios, options, |record| {
        records.insert(record.name.clone(), record);
    });
    lab.close();
    ran?;
    let wrong: Vec<String> = rows.iter().filter_map(|row| differs(row, &records)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// What is otherwise than the row says.
fn differs(row: &Row, records: &BTreeMap<String, ScenarioRecord>) -> Option<String> {
    let Some(record) = records.get(&row.scenario) else {
        return Some(format!("{row:?}: the scenario did not run"));
    };
    let steps = record.steps.iter();
    let seen: Vec<String> =
        steps.filter(|step| step.name == row.step).flat_map(|step| seen(row, step)).collect();
    let right = !seen.is_empty() && seen.iter().all(|seen| *seen == row.seen);
    (!right).then(|| format!("{row:?}: {seen:?}; {}", lab::findings(record)))
}

/// What was seen in the row's place: of checks where there are some, else of cells.
fn seen(row: &Row, step: &StepRecord) -> Vec<String> {
    let is_meant = |from: &str, to: &str, port: PortProtocol, family: Family| {
        let family = ["*", family.as_str()].contains(&row.family.as_str());
        from == row.from && to == row.to && port.to_string() == row.port && family
    };
    let checks: Vec<String> = step
        .checks
        .iter()
        .filter(|check| {
            let port = PortProtocol { port: check.port, protocol: check.protocol };
            is_meant(&check.from, &check.to, port, check.family)
        })
        .map(|check| check.seen.map_or("nothing".to_owned(), |seen| seen.to_string()))
        .collect();
    if !checks.is_empty() {
        return checks;
    }
    let (names, rows) = (&step.cells, &step.cells.rows);
    let cells = rows.iter().filter(|row| {
        let cell = row.cell;
        is_meant(names.name(cell.from), names.name(cell.to), cell.port_protocol(), cell.family)
    });
    cells.map(|row| row.observed.map_or("nothing", Verdict::as_str).to_owned()).collect()
}
