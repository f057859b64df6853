//! One JSON object a line for each event.
//!
//! | `type` | other fields |
//! |---|---|
//! | `run-started` | `run`, `environment`, `scenarios` (how many), `lanes` |
//! | `checking` | `what`; before `run-started` |
//! | `scenario-started` | `name` |
//! | `progress` | `name`, `what` |
//! | `swept` | `name`, `cells` (how many were probed once), `durationUs` |
//! | `scenario-finished` | `scenario`: as in `scenarios[]` of the record |
//! | `warning` | `message` |
//! | `interrupted` | – |
//! | `summary` | `run`, `summary`, `complete`: always the last line |
//!
//! `run`, `environment` and `summary` are those of the record (docs/record.md). `complete` is false when not every
//! scenario of `run-started` has ended.

use std::io::{self, Write};

use serde::Serialize;
use verdikt_model::{DeviationRecord, Environment, Event, RunInfo, ScenarioRecord, Summary};

use crate::{output::Output, record_builder::Tally, reporter::Reporter};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Line<'a> {
    RunStarted {
        run: &'a RunInfo,
        environment: &'a Environment,
        scenarios: usize,
        lanes: usize,
    },
    Checking {
        what: &'a str,
    },
    ScenarioStarted {
        name: &'a str,
    },
    Progress {
        name: &'a str,
        what: &'a str,
    },
    #[serde(rename_all = "camelCase")]
    Swept {
        name: &'a str,
        cells: usize,
        duration_us: u64,
    },
    ScenarioFinished {
        scenario: &'a ScenarioRecord,
    },
    Warning {
        message: &'a str,
    },
    Interrupted,
    Summary {
        run: &'a RunInfo,
        summary: &'a Summary,
        deviations: &'a [DeviationRecord],
        complete: bool,
    },
}

/// Writes JSON lines.
pub struct JsonlReporter {
    out: Output,
    tally: Tally,
}

impl JsonlReporter {
    /// Writes to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Output::new(out), tally: Tally::default() }
    }
}

impl Reporter for JsonlReporter {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.tally.event(event);
        let line = match event {
            Event::RunStarted { run, environment, scenarios, lanes } => {
                Line::RunStarted { run, environment, scenarios: *scenarios, lanes: *lanes }
            }
            Event::Checking { what } => Line::Checking { what },
            Event::ScenarioStarted { name } => Line::ScenarioStarted { name },
            Event::Progress { name, what } => Line::Progress { name, what },
            Event::Swept { name, cells, duration } => Line::Swept {
                name,
                cells: *cells,
                duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            },
            Event::ScenarioFinished { record } => Line::ScenarioFinished { scenario: record },
            Event::Warning { message } => Line::Warning { message },
            Event::Interrupted => Line::Interrupted,
            // Warnings about clean-up may still follow: the summary waits for the end.
            Event::RunFinished { .. } => return Ok(()),
        };
        self.out.print_json(&line)
    }

    fn finish(&mut self) -> io::Result<()> {
        let Some(run) = self.tally.run() else { return Ok(()) };
        let line = Line::Summary {
            run: &run,
            summary: self.tally.summary(),
            deviations: self.tally.deviations(),
            complete: self.tally.is_complete(),
        };
        self.out.print_json(&line)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sample::{self, Sink};

    fn report(events: &[Event]) -> Vec<Value> {
        let sink = Sink::default();
        let mut reporter = JsonlReporter::new(Box::new(sink.clone()));
        events.iter().for_each(|event| reporter.event(event).unwrap());
        reporter.finish().unwrap();
        sink.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_line_is_an_object_with_a_type_and_the_last_is_the_summary() {
        let mut lines = report(&sample::events());
        for line in &mut lines {
            if let Some(steps) = line.pointer_mut("/scenario/steps") {
                *steps = "…".into();
            }
        }
        let text: Vec<_> = lines.iter().map(Value::to_string).collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn a_run_that_was_cut_short_still_ends_in_a_summary() {
        let mut events = sample::events();
        events.truncate(8);
        events.push(Event::Interrupted);
        let last = report(&events).pop().unwrap();
        assert_eq!(last["type"], "summary");
        assert_eq!(last["complete"], false);
        assert_eq!(last["summary"]["scenarios"]["failed"], 1);
        assert!(report(&[]).is_empty());
    }
}
