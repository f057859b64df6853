//! Figures of time agree with what the sandbox's dataplane was told to do: a delay of 200 ms is measured as 200 ms ± 20.
//!
//! A machine that is busy with other things may be late with either, so each measurement has three tries.

mod lab;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Handle;
use verdikt_model::{CheckRecord, CheckWord, Scenario, ScenarioOutcome, ScenarioRecord, Seen};
use verdikt_runner::Options;
use verdikt_scenario::{Source, Topologies};

/// How far a figure may be off, in milliseconds.
const OFF: f64 = 20.0;
const TRIES: usize = 3;

const SCENARIOS: &str = include_str!("figures.yaml");

fn main() -> ExitCode {
    if let Some(code) = verdikt_sandbox::reexec() {
        return ExitCode::from(code);
    }
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let runtime = tokio::runtime::Runtime::new().expect("an async runtime starts");
    let trial = |name: &str, profile: &'static str, judge: fn(&[ScenarioRecord]) -> Result<(), String>| {
        let handle = runtime.handle().clone();
        Trial::test(name, move || tries(&handle, profile, judge))
    };
    let trials = vec![
        trial("a_policys_delay_is_measured", "reference+policy-delay=200ms", |records| {
            ["create", "update", "delete", "relabel"]
                .into_iter()
                .try_for_each(|step| near(200.0, &times(records, step, CheckWord::Sample, Seen::Changed)))
        }),
        trial("a_start_up_window_is_measured", "reference+start-delay=200ms", |records| {
            near(200.0, &times(records, "start", CheckWord::First, Seen::Window))
        }),
        trial(
            "the_end_of_established_connections_is_measured",
            "reference+cuts-established=200ms",
            |records| near(200.0, &times(records, "create", CheckWord::Hold, Seen::Cut)),
        ),
        trial("the_reference_is_closed_and_keeps_connections", "reference", |records| {
            let kept = times(records, "create", CheckWord::Hold, Seen::Survived).len();
            let closed = times(records, "start", CheckWord::First, Seen::Closed).len();
            let all = |kind| all(records, kind).count();
            if (kept, closed) == (all(CheckWord::Hold), all(CheckWord::First)) && kept > 0 && closed > 0 {
                Ok(())
            } else {
                Err(format!("{kept} connections survived, {closed} first moments were closed"))
            }
        }),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn tries(
    handle: &Handle,
    profile: &str,
    judge: fn(&[ScenarioRecord]) -> Result<(), String>,
) -> Result<(), Failed> {
    let profile = profile.parse().map_err(|e| format!("{e}"))?;
    let lab = lab::Lab::new(handle.clone(), profile);
    let mut last = Err("it was not tried".to_owned());
    for _ in 0..TRIES {
        let mut records = Vec::new();
        if let Err(why) = lab.run(scenarios(), Options::default(), |record| records.push(record)) {
            last = Err(why);
            break;
        }
        last = judge(&records).map_err(|why| {
            let text: Vec<String> = records.iter().map(lab::findings).collect();
            format!("{why}\n{}", text.join("\n"))
        });
        if last.is_ok() {
            break;
        }
    }
    lab.close();
    last.map_err(Failed::from)
}

fn scenarios() -> Vec<Scenario> {
    let source = Source { name: "figures.yaml".into(), text: SCENARIOS.into() };
    let (scenarios, diagnostics) = verdikt_scenario::parse(&source, &Topologies::default());
    assert!(diagnostics.is_empty(), "{}", verdikt_scenario::render(&diagnostics, false, 100));
    scenarios
}

fn all(records: &[ScenarioRecord], kind: CheckWord) -> impl Iterator<Item = &CheckRecord> {
    records
        .iter()
        .flat_map(|record| &record.steps)
        .flat_map(|step| &step.checks)
        .filter(move |c| c.kind == kind)
}

/// The times of a step's checks that have seen this.
fn times(records: &[ScenarioRecord], step: &str, kind: CheckWord, seen: Seen) -> Vec<f64> {
    let ran = records.iter().filter(|record| record.outcome != ScenarioOutcome::Errored);
    let steps = ran.flat_map(|record| &record.steps).filter(|have| have.name == step);
    let checks = steps.flat_map(|step| &step.checks).filter(|c| c.kind == kind && c.seen == Some(seen));
    checks.map(|check| check.time_us.unwrap_or_default() as f64 / 1000.0).collect()
}

/// Whether the median is as it should be, and there is one.
fn near(expected: f64, times: &[f64]) -> Result<(), String> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().ok_or("nothing of the kind was seen")?;
    if (median - expected).abs() <= OFF {
        Ok(())
    } else {
        Err(format!("the median is {median} ms, not {expected} ± {OFF}: {sorted:?}"))
    }
}
