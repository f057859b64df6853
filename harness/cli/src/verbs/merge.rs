//! `verdikt merge`: several records, reported as one.

use tokio::sync::mpsc;
use verdikt_model::{Event, ExitCode, Record};

use super::run::exit_code;
use crate::{
    args::Merge,
    failure::{Failure, Outcome, with_unwritten},
    inputs::read_record,
    reporters::Reporters,
    terminal,
    ui::Ui,
};

pub(super) fn merge(args: &Merge, ui: &Ui) -> Outcome {
    let mut parts = Vec::new();
    for path in &args.records {
        parts.push((path.display().to_string(), read_record(path)?));
    }
    let merged = verdikt_report::merge(parts).map_err(Failure::usage)?;
    let record = &merged.record;
    let code = exit_code(&record.run, &record.summary, &record.deviations, args.strict_deviations);
    let reporters = Reporters::new(&args.reports, &merged.record.run.command, &[], &args.records, ui)?;
    let (tell, inbox) = mpsc::unbounded_channel();
    for event in events(merged.record, &merged.missing) {
        // The receiver lives until below.
        let _ = tell.send(event);
    }
    drop(tell);
    // There is no run that could be stopped.
    let written = reporters.consume(inbox, || {});
    let code = if code == ExitCode::Ok && !merged.missing.is_empty() { ExitCode::Inconclusive } else { code };
    terminal::told(with_unwritten(Ok(code), written.failures))
}

/// What a run with these results would have told.
fn events(record: Record, missing: &[String]) -> Vec<Event> {
    let Record { run, environment, summary, deviations, scenarios, .. } = record;
    let environment = Box::new(environment);
    let mut events =
        vec![Event::RunStarted { run: run.clone(), environment, scenarios: run.planned as usize, lanes: 0 }];
    for message in missing {
        events.push(Event::Warning { message: message.clone() });
    }
    for scenario in scenarios {
        events.push(Event::ScenarioStarted { name: scenario.name.clone() });
        events.push(Event::ScenarioFinished { record: Box::new(scenario) });
    }
    events.push(Event::RunFinished { run, summary, deviations });
    events
}
