//! The human form: status lines as scenarios end, what differs below each, a summary.

use std::io::{self, Write};

use verdikt_model::{Enforced, Environment, Event, ScenarioOutcome};

use crate::{
    details::{Details, details},
    deviations,
    escape::{SENTENCE, cut},
    output::Output,
    reporter::Reporter,
    status,
    style::{self, Paint},
};

/// How the human form looks.
#[derive(Debug, Clone)]
pub struct TerminalOptions {
    /// Every matrix, settle times, attempts and round trips.
    pub wide: bool,
    /// Each failure once: those of all scenarios are not repeated at the end.
    pub quiet: bool,
    /// Colours.
    pub color: bool,
    /// Columns of the terminal; lines of matrices do not exceed it.
    pub width: usize,
    /// Flags, unquoted, with which a command reaches the same cluster and files again.
    pub target_flags: Vec<String>,
}

/// Writes the human form. Warnings and progress are not results: [`crate::ProgressReporter`] has them.
pub struct TerminalReporter {
    out: Output,
    options: TerminalOptions,
    planned: usize,
    ended: usize,
    /// The lines of scenarios that need attention, repeated at the end.
    unclean: Vec<String>,
    /// The cluster enforces no policy: every denial differs for that one reason, so a count of them is enough.
    counts_only: bool,
}

impl TerminalReporter {
    /// Writes to `out`, which for standard output should be wrapped by [`crate::ProgressReporter::guard`].
    pub fn new(out: Box<dyn Write + Send>, options: TerminalOptions) -> Self {
        let unclean = Vec::new();
        Self { out: Output::new(out), options, planned: 0, ended: 0, unclean, counts_only: false }
    }
}

impl Reporter for TerminalReporter {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let paint = Paint { color: self.options.color };
        match event {
            Event::RunStarted { run, environment, scenarios, lanes } => {
                self.planned = *scenarios;
                let mut text = status::starting(run, environment, *scenarios, *lanes, paint);
                if let Some(nothing) = enforces_nothing(environment) {
                    self.counts_only = !self.options.wide;
                    text.push_str(&format!("    {}\n", paint.paint(style::FAIL, nothing)));
                    if self.counts_only {
                        text.push_str("    what differs is counted below; -o wide shows every cell\n");
                    }
                }
                self.out.print(text.as_bytes())
            }
            Event::ScenarioFinished { record } => {
                self.ended += 1;
                let mut text = status::scenario(record, self.ended, self.planned.max(self.ended), paint);
                if self.counts_only && record.outcome == ScenarioOutcome::Failed {
                    return self.out.print(text.as_bytes());
                }
                if matches!(
                    record.outcome,
                    ScenarioOutcome::Failed | ScenarioOutcome::Flaky | ScenarioOutcome::Errored
                ) {
                    self.unclean.push(text.clone());
                }
                let TerminalOptions { wide, width, ref target_flags, .. } = self.options;
                text.push_str(&details(record, Details { wide, width, paint, target: target_flags }));
                self.out.print(text.as_bytes())
            }
            Event::RunFinished { run, summary, deviations } => {
                let mut text = status::summary(run, self.planned, summary, paint);
                // With one scenario the line still stands right above.
                if self.planned > 1 && !self.options.quiet {
                    text.extend(self.unclean.drain(..));
                }
                text.push_str(&deviations::deviations(deviations, self.options.wide, paint));
                self.out.print(text.as_bytes())
            }
            Event::ScenarioStarted { .. }
            | Event::Progress { .. }
            | Event::Swept { .. }
            | Event::Warning { .. }
            | Event::Checking { .. }
            | Event::Interrupted => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is to be said of a cluster on which a deny-all denied nothing.
fn enforces_nothing(environment: &Environment) -> Option<String> {
    let seen = environment.enforcement.as_ref().filter(|seen| seen.enforced == Enforced::No)?;
    let evidence = cut(&seen.evidence, SENTENCE);
    Some(format!("this cluster does not enforce NetworkPolicy: {evidence}"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use verdikt_model::{Expectation, Protocol, Verdict};

    use super::*;
    use crate::sample::{self, Sink};

    fn report(events: &[Event], wide: bool, color: bool, width: usize) -> String {
        let sink = Sink::default();
        let target_flags = vec!["--sandbox".to_owned(), "flannel".to_owned()];
        let options = TerminalOptions { wide, quiet: false, color, width, target_flags };
        let mut reporter = TerminalReporter::new(Box::new(sink.clone()), options);
        events.iter().for_each(|event| reporter.event(event).unwrap());
        reporter.finish().unwrap();
        sink.text()
    }

    #[test]
    fn human() {
        insta::assert_snapshot!(report(&sample::events(), false, false, 100));
    }

    #[test]
    fn human_in_colour() {
        insta::assert_snapshot!(sample::visible(&report(&sample::events(), false, true, 100)));
    }

    #[test]
    fn wide() {
        insta::assert_snapshot!(report(&sample::events(), true, false, 100));
    }

    #[test]
    fn what_a_cluster_that_enforces_nothing_gets_wrong_is_counted_and_not_shown() {
        let mut events = sample::events();
        let Some(Event::RunStarted { environment, .. }) = events.first_mut() else { panic!() };
        let evidence = "all 4 connections that a deny-all forbids succeeded".to_owned();
        environment.enforcement = Some(verdikt_model::Enforcement { enforced: Enforced::No, evidence });
        let text = report(&events, false, false, 100);
        let second = text.lines().nth(1).unwrap();
        assert_eq!(
            second.trim(),
            "this cluster does not enforce NetworkPolicy: all 4 connections that a deny-all forbids succeeded"
        );
        assert!(text.contains("FAIL") && text.contains("-o wide"), "{text}");
        // What could not be measured has another cause, and is told.
        assert!(
            !text.contains("selectors/and-versus-or --cell") && text.contains("ports/named --cell"),
            "{text}"
        );
        // Whoever asks for everything gets it.
        assert!(report(&events, true, false, 100).contains("selectors/and-versus-or --cell"));
    }

    #[test]
    fn who_wants_quiet_reads_of_each_failure_once() {
        let lines = |quiet| {
            let sink = Sink::default();
            let options =
                TerminalOptions { wide: false, quiet, color: false, width: 100, target_flags: Vec::new() };
            let mut reporter = TerminalReporter::new(Box::new(sink.clone()), options);
            sample::events().iter().for_each(|event| reporter.event(event).unwrap());
            sink.text().lines().filter(|line| line.trim_start().starts_with("FAIL [")).count()
        };
        assert_eq!((lines(true), lines(false)), (1, 2));
    }

    #[test]
    fn plain_output_has_no_escape_sequence_whatever_the_input() {
        let mut record = sample::failed();
        let hostile = "\u{1b}]0;pwned\u{7}\u{202e}\n  PASS everything";
        record.name = hostile.into();
        record.reason = Some(hostile.into());
        for step in &mut record.steps {
            step.name = hostile.into();
            step.cells.names =
                std::sync::Arc::new(step.cells.names.iter().map(|n| format!("{hostile}{n}")).collect());
            step.cells.reasons.values_mut().for_each(|reason| *reason = hostile.into());
        }
        let text = report(&[Event::ScenarioFinished { record: Box::new(record) }], true, false, 100);
        assert!(text.contains("FAIL"));
        assert!(text.chars().all(|c| c == '\n' || !crate::escape::is_harmful(c)), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("  PASS")));
    }

    #[test]
    fn a_hostile_record_is_shown_and_not_obeyed() {
        let record = sample::hostile();
        let environment = Box::new(record.environment);
        let mut events = vec![Event::RunStarted { run: record.run, environment, scenarios: 1, lanes: 2 }];
        for scenario in record.scenarios {
            events.push(Event::ScenarioFinished { record: Box::new(scenario) });
        }
        let (summary, deviations) = (record.summary, record.deviations);
        events.push(Event::RunFinished { run: sample::run_info(1), summary, deviations });
        for wide in [false, true] {
            let text = report(&events, wide, false, 100);
            let harmful = text.chars().find(|c| *c != '\n' && crate::escape::is_harmful(*c));
            assert_eq!(harmful, None);
            // No line but verdikt's own begins a line.
            assert!(
                text.lines().all(|line| line.is_empty() || line.starts_with("    ") || line.starts_with('─'))
            );
        }
    }

    #[test]
    fn forty_thousand_wrong_cells_are_few_lines_and_little_time() {
        let pods: Vec<String> = (0..200).map(|i| format!("p{i:03}")).collect();
        let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
        let mut record = sample::failed();
        record.steps.truncate(1);
        let matrix = &mut record.steps[0].cells;
        *matrix = sample::matrix(&["x"], &pods, &[(80, Protocol::Tcp)], |_, _, _| {
            (Expectation::Deny, Verdict::Allowed)
        });
        matrix.rows.retain(|row| row.cell.family == verdikt_model::Family::Ipv4);
        for index in 0..matrix.rows.len() {
            let reason = format!("policy x/p isolates {}", matrix.name(matrix.rows[index].cell.to));
            matrix.reasons.insert(index as u32, reason);
        }
        assert_eq!(matrix.rows.len(), 40_000);
        let event = Event::ScenarioFinished { record: Box::new(record) };
        let start = Instant::now();
        let text = report(std::slice::from_ref(&event), false, false, 120);
        let took = start.elapsed();
        assert!(text.lines().count() < 100, "{} lines", text.lines().count());
        assert!(text.contains("shown: 40 of 200 rows"), "{text}");
        assert!(
            text.contains("and 39,990 more like these (all 40,000: x/* -> x/*:80/tcp over ipv4"),
            "{text}"
        );
        // Far more than it takes, even in a debug build on a busy machine.
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}
