//! The JSON events of `cargo test -- --format json`, as libtest and libtest-mimic write them.
//!
//! libtest knows no third outcome beside ok and failed: a scenario that could not be measured is `failed` here, and
//! its output says that nothing was proved.

use std::io::{self, Write};

use serde::Serialize;
use verdikt_model::{Event, ScenarioOutcome, ScenarioRecord};

use crate::{
    details::plain_sentences, output::Output, record_builder::Tally, repeat::target_flags,
    reporter::Reporter, status,
};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Suite(Suite),
    Test {
        event: &'static str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        exec_time: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        stdout: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<&'a str>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Suite {
    Started {
        event: &'static str,
        test_count: usize,
    },
    Ended {
        event: &'static str,
        passed: u32,
        failed: u32,
        ignored: u32,
        measured: u32,
        filtered_out: u32,
        exec_time: f64,
    },
}

/// Writes libtest's JSON events.
pub struct LibtestReporter {
    out: Output,
    tally: Tally,
    target: Vec<String>,
    /// Whether a flaky scenario is a failure.
    repeated: bool,
}

impl LibtestReporter {
    /// Writes to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Output::new(out), tally: Tally::default(), target: Vec::new(), repeated: false }
    }

    fn ended(&mut self, record: &ScenarioRecord) -> io::Result<()> {
        let exec_time = Some(record.duration_ms as f64 / 1000.0);
        let name = record.name.as_str();
        let line = match record.outcome {
            ScenarioOutcome::Passed => {
                Line::Test { event: "ok", name, exec_time, stdout: None, message: None }
            }
            ScenarioOutcome::Flaky if !self.repeated => {
                let stdout = Some(format!("FLAKY {}\n", status::outcome_text(record)));
                Line::Test { event: "ok", name, exec_time, stdout, message: None }
            }
            ScenarioOutcome::Skipped => Line::Test {
                event: "ignored",
                name,
                exec_time: None,
                stdout: None,
                message: record.reason.as_deref(),
            },
            ScenarioOutcome::Failed | ScenarioOutcome::Flaky | ScenarioOutcome::Errored => {
                let head = match record.outcome {
                    ScenarioOutcome::Errored => "inconclusive, no difference proved: ",
                    ScenarioOutcome::Flaky => "FLAKY ",
                    _ => "",
                };
                let sentences = plain_sentences(record, &self.target);
                let stdout = Some(format!("{head}{}\n{sentences}", status::outcome_text(record)));
                Line::Test { event: "failed", name, exec_time, stdout, message: None }
            }
        };
        self.out.print_json(&line)
    }
}

impl Reporter for LibtestReporter {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.tally.event(event);
        match event {
            Event::RunStarted { run, scenarios, .. } => {
                self.target = target_flags(&run.command);
                self.repeated = run.is_repeated();
                self.out.print_json(&Line::Suite(Suite::Started { event: "started", test_count: *scenarios }))
            }
            Event::ScenarioStarted { name } => self.out.print_json(&Line::Test {
                event: "started",
                name,
                exec_time: None,
                stdout: None,
                message: None,
            }),
            Event::ScenarioFinished { record } => self.ended(record),
            Event::Progress { .. }
            | Event::Swept { .. }
            | Event::Warning { .. }
            | Event::Checking { .. }
            | Event::Interrupted
            | Event::RunFinished { .. } => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        let Some(run) = self.tally.run() else { return Ok(()) };
        let scenarios = self.tally.summary().scenarios;
        let (flaky_failed, flaky_passed) =
            if self.repeated { (scenarios.flaky, 0) } else { (0, scenarios.flaky) };
        let failed = scenarios.failed + scenarios.errored + flaky_failed;
        self.out.print_json(&Line::Suite(Suite::Ended {
            event: if failed == 0 && self.tally.is_complete() { "ok" } else { "failed" },
            passed: scenarios.passed + flaky_passed,
            failed,
            ignored: scenarios.skipped,
            measured: 0,
            filtered_out: 0,
            exec_time: run.duration_ms as f64 / 1000.0,
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sample::{self, Sink};

    fn report(events: &[Event]) -> String {
        let sink = Sink::default();
        let mut reporter = LibtestReporter::new(Box::new(sink.clone()));
        events.iter().for_each(|event| reporter.event(event).unwrap());
        reporter.finish().unwrap();
        sink.text()
    }

    #[test]
    fn the_events_are_those_of_libtest() {
        insta::assert_snapshot!(report(&sample::events()));
    }

    #[test]
    fn every_line_is_an_object_and_every_test_that_starts_ends() {
        let text = report(&sample::events());
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let tests = |event: &dyn Fn(&str) -> bool| {
            let of = lines.iter().filter(|l| l["type"] == "test" && event(l["event"].as_str().unwrap()));
            of.map(|l| l["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(tests(&|e| e == "started"), tests(&|e| e != "started"));
        let last = lines.last().unwrap();
        assert_eq!((&last["type"], &last["event"]), (&"suite".into(), &"failed".into()));
    }

    #[test]
    fn a_run_that_was_cut_short_is_not_ok() {
        let events = sample::events();
        let text = report(&events[..4]);
        assert!(text.lines().last().unwrap().contains(r#""event":"failed","passed":1,"failed":0"#), "{text}");
    }
}
