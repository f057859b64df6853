//! The built-in catalogue on the embedded sandbox: one test a scenario, named like it.
//!
//! `cargo test -p verdikt --test catalogue -- ipblock` runs those whose name contains `ipblock`.

mod lab;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use verdikt_model::{Scenario, ScenarioOutcome};
use verdikt_sandbox::Profile;

fn main() -> ExitCode {
    if let Some(code) = verdikt_sandbox::reexec() {
        return ExitCode::from(code);
    }
    let arguments = Arguments::from_args();
    let loaded = verdikt_scenario::catalogue();
    let runtime = tokio::runtime::Runtime::new().expect("an async runtime starts");
    let lab = Arc::new(lab::Lab::new(runtime.handle().clone(), Profile::Reference));
    let mut trials: Vec<Trial> = loaded
        .scenarios
        .into_iter()
        .map(|scenario| {
            let lab = Arc::clone(&lab);
            Trial::ignorable_test(scenario.name.clone(), move || run(&lab, scenario))
        })
        .collect();
    let diagnostics = loaded.diagnostics;
    trials.push(Trial::test("catalogue_is_clean", move || {
        if diagnostics.is_empty() {
            Ok(())
        } else {
            Err(verdikt_scenario::render(&diagnostics, false, 100).into())
        }
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(lab) = Arc::into_inner(lab) {
        lab.close();
    }
    conclusion.exit_code()
}

fn run(lab: &lab::Lab, scenario: Scenario) -> Result<Completion, Failed> {
    let records = lab.run(vec![scenario], 1)?;
    let [record] = records.as_slice() else {
        return Err(format!("expected one record, got {}", records.len()).into());
    };
    match record.outcome {
        ScenarioOutcome::Passed => Ok(Completion::Completed),
        ScenarioOutcome::Skipped => {
            Ok(Completion::ignored_with(record.reason.clone().unwrap_or_else(|| "no reason recorded".into())))
        }
        ScenarioOutcome::Failed | ScenarioOutcome::Errored => Err(lab::findings(record).into()),
    }
}
