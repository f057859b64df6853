//! What the cells and checks of a scenario mean for it.

use crate::{
    record::StepRecord,
    verdict::{Outcome, ScenarioOutcome},
};

/// How a scenario ended: failed when a cell is proved different or did not hold, else errored when one could not
/// be measured, else skipped when none was measured.
///
/// A flaky cell fails its scenario: what does not hold is not as expected. `--retries` gives it another chance.
pub fn ending(steps: &[StepRecord]) -> (ScenarioOutcome, Option<String>) {
    let (mut measured, mut wrong, mut unmeasured, mut skipped) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut first_error = None;
    let mut first_skip = None;
    for step in steps {
        for (row, reason) in step.cells.iter() {
            match row.outcome {
                Outcome::Pass | Outcome::Deviation => measured += 1,
                Outcome::Fail | Outcome::Flaky => wrong += 1,
                Outcome::Error => {
                    unmeasured += 1;
                    first_error = first_error.or_else(|| {
                        let (from, to) = (step.cells.name(row.cell.from), step.cells.name(row.cell.to));
                        let reason = reason.unwrap_or("no answer");
                        Some(format!("{from} -> {to}:{}: {reason}", row.cell.port_protocol()))
                    });
                }
                Outcome::Skipped => {
                    skipped += 1;
                    first_skip = first_skip.or_else(|| reason.map(str::to_owned));
                }
            }
        }
        for check in &step.checks {
            match check.outcome {
                Outcome::Pass | Outcome::Deviation => measured += 1,
                Outcome::Fail | Outcome::Flaky => wrong += 1,
                Outcome::Error => {
                    unmeasured += 1;
                    first_error = first_error.or_else(|| {
                        let reason = check.reason.as_deref().unwrap_or("no answer");
                        Some(format!("the {} check {} -> {}: {reason}", check.kind, check.from, check.to))
                    });
                }
                Outcome::Skipped => {
                    skipped += 1;
                    first_skip = first_skip.or_else(|| check.reason.clone());
                }
            }
        }
    }
    if wrong > 0 {
        (ScenarioOutcome::Failed, None)
    } else if unmeasured > 0 {
        let cause = first_error.unwrap_or_default();
        (
            ScenarioOutcome::Errored,
            Some(format!("{unmeasured} of its cells and checks could not be measured, such as {cause}")),
        )
    } else if measured > 0 {
        (ScenarioOutcome::Passed, None)
    } else if skipped > 0 {
        (ScenarioOutcome::Skipped, first_skip)
    } else {
        (ScenarioOutcome::Skipped, Some("no cell to probe: the IP families or --cell leave none".into()))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::{Cell, EndpointId, Expectation, Family, Matrix, Protocol, Row, Topics, Verdict, Via};

    fn step(outcomes: &[Outcome]) -> StepRecord {
        let cell = Cell {
            from: EndpointId(0),
            to: EndpointId(0),
            via: Via::PodIp,
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            port: 80,
        };
        let row = |outcome| Row {
            cell,
            expected: Expectation::Deny,
            observed: Some(Verdict::Allowed),
            outcome,
            attempts: 1,
            rtt_us: 0,
            seen_as: None,
            topics: Topics::default(),
        };
        let cells = Matrix {
            names: Arc::new(vec!["x/a".into()]),
            rows: outcomes.iter().map(|o| row(*o)).collect(),
            reasons: BTreeMap::new(),
        };
        StepRecord {
            name: "s".into(),
            changes: Vec::new(),
            settle_ms: None,
            pass: 1,
            checks: Vec::new(),
            cells,
        }
    }

    #[test]
    fn proof_comes_before_doubt() {
        let of = |outcomes: &[Outcome]| ending(&[step(outcomes)]).0;
        assert_eq!(of(&[Outcome::Pass, Outcome::Skipped]), ScenarioOutcome::Passed);
        assert_eq!(of(&[Outcome::Pass, Outcome::Error, Outcome::Fail]), ScenarioOutcome::Failed);
        assert_eq!(of(&[Outcome::Pass, Outcome::Flaky]), ScenarioOutcome::Failed);
        assert_eq!(of(&[Outcome::Pass, Outcome::Error]), ScenarioOutcome::Errored);
        assert_eq!(of(&[Outcome::Skipped]), ScenarioOutcome::Skipped);
        assert_eq!(of(&[]), ScenarioOutcome::Skipped);
    }
}
