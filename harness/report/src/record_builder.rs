//! Events to the record of the run.

use std::time::Instant;

use verdikt_model::{DeviationRecord, Environment, Event, Record, RunInfo, SCHEMA, ScenarioRecord, Summary};

use crate::reporter::Reporter;

/// Run, environment and counts so far: all of a record but its scenarios.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    started: Option<(RunInfo, Environment, Instant)>,
    finished: Option<RunInfo>,
    deviations: Vec<DeviationRecord>,
    summary: Summary,
    planned: usize,
    interrupted: bool,
}

impl Tally {
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { run, environment, scenarios, .. } => {
                self.planned = *scenarios;
                self.started = Some((run.clone(), (**environment).clone(), Instant::now()));
            }
            Event::ScenarioFinished { record } => self.summary.add(record),
            Event::RunFinished { run, summary, deviations } => {
                self.deviations.clone_from(deviations);
                self.finished = Some(run.clone());
                self.summary = *summary;
            }
            Event::ScenarioStarted { .. }
            | Event::Progress { .. }
            | Event::Swept { .. }
            | Event::Warning { .. }
            | Event::Checking { .. } => {}
            Event::Interrupted => self.interrupted = true,
        }
    }

    /// The run, with its duration so far; `None` before it has started.
    pub(crate) fn run(&self) -> Option<RunInfo> {
        self.finished.clone().or_else(|| {
            let (run, _, start) = self.started.as_ref()?;
            let duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            Some(RunInfo { duration_ms, ..run.clone() })
        })
    }

    pub(crate) fn environment(&self) -> Option<&Environment> {
        self.started.as_ref().map(|(_, environment, _)| environment)
    }

    pub(crate) const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What became of known deviations; empty before the end.
    pub(crate) fn deviations(&self) -> &[DeviationRecord] {
        &self.deviations
    }

    /// Whether every scenario that was planned has ended, and none in the middle.
    pub(crate) const fn is_complete(&self) -> bool {
        self.finished.is_some()
            && !self.interrupted
            && self.summary.scenarios.total() as usize >= self.planned
    }
}

/// Collects the events of a run into its record.
#[derive(Debug, Default)]
pub struct RecordBuilder {
    tally: Tally,
    scenarios: Vec<ScenarioRecord>,
}

impl RecordBuilder {
    /// Without any event so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// The record of what has happened; `None` when the run has not started.
    pub fn build(self) -> Option<Record> {
        Some(Record {
            schema: SCHEMA.to_owned(),
            run: self.tally.run()?,
            environment: self.tally.environment()?.clone(),
            summary: *self.tally.summary(),
            deviations: self.tally.deviations().to_vec(),
            scenarios: self.scenarios,
        })
    }
}

impl Reporter for RecordBuilder {
    fn event(&mut self, event: &Event) -> std::io::Result<()> {
        self.tally.event(event);
        if let Event::ScenarioFinished { record } = event {
            self.scenarios.push(record.as_ref().clone());
        }
        Ok(())
    }

    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn events_make_the_record() {
        let mut builder = RecordBuilder::new();
        sample::events().iter().for_each(|event| builder.event(event).unwrap());
        assert_eq!(builder.build(), Some(sample::record()));
        assert_eq!(RecordBuilder::new().build(), None);
    }

    #[test]
    fn a_run_that_was_cut_short_is_counted_as_far_as_it_came() {
        let mut builder = RecordBuilder::new();
        sample::events()[..8].iter().for_each(|event| builder.event(event).unwrap());
        let record = builder.build().unwrap();
        assert_eq!((record.scenarios.len(), record.summary.scenarios.total()), (2, 2));
        let mut counted = Summary::default();
        record.scenarios.iter().for_each(|scenario| counted.add(scenario));
        assert_eq!(record.summary, counted);
    }

    #[test]
    fn a_record_survives_reading_and_writing() {
        let text = serde_json::to_string(&sample::record()).unwrap();
        let read: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
