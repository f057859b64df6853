//! What several attempts at a scenario say together.

use verdikt_model::{ScenarioOutcome, ScenarioRecord, Try};

/// The attempts at a scenario so far: what each ended with, and the records that may be reported.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    tries: Vec<Try>,
    /// Whether one was interrupted.
    interrupted: bool,
    /// The first that failed.
    failed_first: Option<ScenarioRecord>,
    /// The last of each outcome, the last one at the end.
    last: Vec<ScenarioRecord>,
}

impl Tries {
    /// Adds an attempt.
    pub(crate) fn push(&mut self, record: ScenarioRecord) {
        self.tries.push(Try {
            outcome: record.outcome,
            duration_ms: record.duration_ms,
            reason: record.reason.clone(),
            wrong: record.wrong(),
        });
        self.interrupted |= record.interrupted;
        if record.outcome == ScenarioOutcome::Failed && self.failed_first.is_none() {
            self.failed_first = Some(record.clone());
        }
        self.last.retain(|have| have.outcome != record.outcome);
        self.last.push(record);
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.tries.len()).unwrap_or(u32::MAX)
    }

    /// The record of them all; `None` without an attempt. `repeated`: whether all attempts were asked for, and not only
    /// as many as it took until one was as expected.
    ///
    /// What failed at one attempt and passed at another is flaky. Otherwise a failure outlives attempts that measured
    /// nothing: they undo no proof.
    pub(crate) fn record(mut self, repeated: bool) -> Option<ScenarioRecord> {
        use ScenarioOutcome::{Errored, Failed, Flaky, Passed};
        let had = |outcome| self.tries.iter().any(|of| of.outcome == outcome);
        let outcome = match (had(Passed), had(Failed), had(Errored)) {
            (true, true, _) => Flaky,
            (false, true, _) => Failed,
            (passed, false, true) if repeated || !passed => Errored,
            (true, false, _) => Passed,
            _ => self.last.last()?.outcome,
        };
        let mut record = match outcome {
            Flaky => self.failed_first.take()?,
            _ => self.last.into_iter().find(|record| record.outcome == outcome)?,
        };
        record.outcome = outcome;
        let all = self.tries.len();
        let good = self.tries.iter().filter(|of| of.outcome == Passed).count();
        match outcome {
            Flaky => {
                let failed = self.tries.iter().filter(|of| of.outcome == Failed).count();
                let unmeasured = all - good - failed;
                let rest =
                    if unmeasured > 0 { format!(", {unmeasured} not measured") } else { String::new() };
                record.reason =
                    Some(format!("as expected at {good} of {all} attempts, different at {failed}{rest}"));
            }
            Passed if !repeated && all > 1 => {
                record.reason.get_or_insert_with(|| format!("as expected only at attempt {all}"));
            }
            _ => {}
        }
        // Of a single attempt the steps have all.
        if let [only] = self.tries.as_mut_slice() {
            only.wrong.clear();
        }
        record.tries = self.tries;
        record.interrupted = self.interrupted;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use ScenarioOutcome::{Errored, Failed, Flaky, Passed, Skipped};
    use verdikt_model::{
        Cell, EndpointId, Expectation, Family, Level, Matrix, Outcome, Protocol, Row, StepRecord, Topics,
        Verdict, Via,
    };

    use super::*;

    /// The record of attempts that ended so; each lasts a millisecond longer than the one before.
    fn of(outcomes: &[ScenarioOutcome], repeated: bool) -> ScenarioRecord {
        let mut tries = Tries::default();
        for (outcome, duration_ms) in outcomes.iter().zip(1..) {
            tries.push(ScenarioRecord {
                digest: String::new(),
                name: "s".into(),
                level: Level::Core,
                labels: BTreeMap::new(),
                clauses: vec![],
                summary: String::new(),
                references: Vec::new(),
                differs: Vec::new(),
                outcome: *outcome,
                reason: (*outcome == Errored).then(|| "no answer".into()),
                duration_ms,
                interrupted: false,
                tries: Vec::new(),
                nodes: BTreeMap::new(),
                steps: vec![],
            });
        }
        tries.record(repeated).unwrap()
    }

    #[test]
    fn attempts_that_disagree_are_flaky_and_show_the_first_that_failed() {
        for repeated in [false, true] {
            let record = of(&[Passed, Failed, Errored, Failed, Passed], repeated);
            assert_eq!((record.outcome, record.duration_ms, record.tries.len()), (Flaky, 2, 5));
            let reason = "as expected at 2 of 5 attempts, different at 2, 1 not measured";
            assert_eq!(record.reason.as_deref(), Some(reason));
            let outcomes: Vec<ScenarioOutcome> = record.tries.iter().map(|of| of.outcome).collect();
            assert_eq!(outcomes, [Passed, Failed, Errored, Failed, Passed]);
            assert_eq!(record.tries[2].reason.as_deref(), Some("no answer"));
        }
    }

    #[test]
    fn each_of_several_attempts_keeps_what_was_wrong() {
        let failed = |observed| {
            let cell = Cell {
                from: EndpointId(0),
                to: EndpointId(1),
                via: Via::PodIp,
                family: Family::Ipv4,
                protocol: Protocol::Tcp,
                port: 80,
            };
            let row = |to, outcome| Row {
                cell: Cell { to: EndpointId(to), ..cell },
                expected: Expectation::Deny,
                observed: Some(observed),
                outcome,
                attempts: 1,
                rtt_us: 0,
                seen_as: None,
                topics: Topics::default(),
            };
            let names = ["x/a", "x/b", "x/c"].map(str::to_owned).to_vec();
            let rows = vec![row(1, Outcome::Pass), row(2, Outcome::Fail)];
            let reasons = BTreeMap::from([(1, "why".to_owned())]);
            let mut record = of(&[Failed], false);
            record.steps = vec![StepRecord {
                name: "s".into(),
                changes: Vec::new(),
                settle_ms: None,
                anchor: None,
                pass: 1,
                checks: Vec::new(),
                cells: Matrix { names: Arc::new(names), rows, reasons },
            }];
            record
        };
        let mut tries = Tries::default();
        tries.push(failed(Verdict::Allowed));
        tries.push(failed(Verdict::Rejected));
        let record = tries.record(false).unwrap();
        let wrong = |of: &Try| {
            let [step] = of.wrong.as_slice() else { panic!("{of:?}") };
            let cells: Vec<_> = step.cells.iter().collect();
            let [(row, Some("why"))] = cells.as_slice() else { panic!("{cells:?}") };
            (step.step.clone(), step.cells.name(row.cell.to).to_owned(), row.observed)
        };
        let seen = |verdict| ("s".to_owned(), "x/c".to_owned(), Some(verdict));
        assert_eq!(wrong(&record.tries[0]), seen(Verdict::Allowed));
        assert_eq!(wrong(&record.tries[1]), seen(Verdict::Rejected));
        // Of a single attempt the steps have all.
        let mut single = Tries::default();
        single.push(failed(Verdict::Allowed));
        assert!(single.record(false).unwrap().tries[0].wrong.is_empty());
    }

    #[test]
    fn proof_outlives_an_attempt_that_measured_nothing() {
        for last in [Errored, Skipped] {
            assert_eq!(of(&[Failed, last], false).outcome, Failed);
        }
        assert_eq!(of(&[Failed, Failed], false).duration_ms, 2, "the last one is shown");
    }

    #[test]
    fn what_could_not_be_measured_once_is_passed_when_tried_again_and_not_stable_when_repeated() {
        let retried = of(&[Errored, Passed], false);
        assert_eq!(
            (retried.outcome, retried.reason.as_deref()),
            (Passed, Some("as expected only at attempt 2"))
        );
        let repeated = of(&[Errored, Passed], true);
        assert_eq!((repeated.outcome, repeated.reason.as_deref()), (Errored, Some("no answer")));
        assert_eq!(of(&[Passed, Passed], true).reason, None);
        assert_eq!(of(&[Skipped], true).outcome, Skipped);
    }
}
