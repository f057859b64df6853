//! What the cells and checks of a scenario mean for it.

use crate::{
    check::{CheckRecord, Seen},
    record::StepRecord,
    scenario::Level,
    verdict::{Expectation, Outcome, ScenarioOutcome},
};

/// How a scenario ended: failed when a cell is proved different or did not hold, else errored when one could not
/// be measured, else skipped when none was measured, or nothing that was measured proves anything.
///
/// A flaky cell fails its scenario: what does not hold is not as expected. `--retries` gives it another chance.
pub fn ending(level: Level, steps: &[StepRecord]) -> (ScenarioOutcome, Option<String>) {
    let (mut measured, mut wrong, mut unmeasured, mut skipped) = (0_usize, 0_usize, 0_usize, 0_usize);
    // Of what was measured: what is left open, what shows that policies are in force, and what a pod says to itself, which
    // nobody polices.
    let (mut open, mut telling, mut own) = (0_usize, 0_usize, 0_usize);
    let mut first_error = None;
    let mut first_skip = None;
    for step in steps {
        for (row, reason) in step.cells.iter() {
            match row.outcome {
                Outcome::Pass | Outcome::Deviation => {
                    measured += 1;
                    open += usize::from(row.expected == Expectation::Either);
                    telling += usize::from(row.expected.is_denial());
                    own += usize::from(row.expected == Expectation::Allow && row.cell.from == row.cell.to);
                }
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
                Outcome::Pass | Outcome::Deviation => {
                    measured += 1;
                    open += usize::from(is_open(check));
                    telling += usize::from(is_telling(check));
                }
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
    } else if measured > 0 && open == measured {
        let why = "nothing here that the specification decides: it leaves open all of the";
        (ScenarioOutcome::Skipped, Some(format!("{why} {measured} cells and checks that were measured")))
    } else if open > 0 && telling == 0 && (level == Level::ImplementationDefined || open + own == measured) {
        let why = "nothing here shows that a policy is in force: all that the specification decides is allowed without \
                   policies, too, and it leaves open";
        (
            ScenarioOutcome::Skipped,
            Some(format!("{why} {open} of {measured} cells and checks that were measured")),
        )
    } else if measured > 0 {
        (ScenarioOutcome::Passed, None)
    } else if skipped > 0 {
        (ScenarioOutcome::Skipped, first_skip)
    } else {
        (ScenarioOutcome::Skipped, Some("no cell to probe: the IP families or --cell leave none".into()))
    }
}

/// Whether a check passes whatever it sees.
fn is_open(check: &CheckRecord) -> bool {
    check.expected == "either"
}

/// Whether a check that passed would not have without a policy.
fn is_telling(check: &CheckRecord) -> bool {
    let works = ["either", "allow", "survives"].contains(&check.expected.as_str());
    !works || !is_open(check) && check.seen == Some(Seen::Changed)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::{Cell, EndpointId, Expectation, Family, Matrix, Protocol, Row, Topics, Verdict, Via};

    fn step(outcomes: &[Outcome]) -> StepRecord {
        let cell = Cell {
            from: EndpointId(0),
            to: EndpointId(1),
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
            names: Arc::new(vec!["x/a".into(), "x/b".into()]),
            rows: outcomes.iter().map(|o| row(*o)).collect(),
            reasons: BTreeMap::new(),
        };
        StepRecord {
            name: "s".into(),
            changes: Vec::new(),
            settle_ms: None,
            anchor: None,
            pass: 1,
            checks: Vec::new(),
            cells,
        }
    }

    #[test]
    fn proof_comes_before_doubt() {
        let of = |outcomes: &[Outcome]| ending(Level::Core, &[step(outcomes)]).0;
        assert_eq!(of(&[Outcome::Pass, Outcome::Skipped]), ScenarioOutcome::Passed);
        assert_eq!(of(&[Outcome::Pass, Outcome::Error, Outcome::Fail]), ScenarioOutcome::Failed);
        assert_eq!(of(&[Outcome::Pass, Outcome::Flaky]), ScenarioOutcome::Failed);
        assert_eq!(of(&[Outcome::Pass, Outcome::Error]), ScenarioOutcome::Errored);
        assert_eq!(of(&[Outcome::Skipped]), ScenarioOutcome::Skipped);
        assert_eq!(of(&[]), ScenarioOutcome::Skipped);
    }
    #[test]
    fn what_proves_nothing_does_not_pass() {
        use Expectation::{Allow, Deny, Either};
        let of = |level, expected: &[Expectation]| {
            let mut step = step(&vec![Outcome::Pass; expected.len()]);
            for (row, expected) in step.cells.rows.iter_mut().zip(expected) {
                row.expected = *expected;
            }
            ending(level, &[step])
        };
        for level in [Level::Core, Level::Extended, Level::ImplementationDefined] {
            let (outcome, why) = of(level, &[Either, Either]);
            assert_eq!(outcome, ScenarioOutcome::Skipped);
            assert!(why.unwrap().contains("leaves open all of the 2 cells"));
            assert_eq!(of(level, &[Either, Deny]), (ScenarioOutcome::Passed, None));
            assert_eq!(of(level, &[Allow]), (ScenarioOutcome::Passed, None));
        }
        // What is allowed before and after shows no policy; beside open cells that is all there would be.
        let (outcome, why) = of(Level::ImplementationDefined, &[Either, Allow]);
        assert_eq!(outcome, ScenarioOutcome::Skipped);
        assert!(why.unwrap().contains("nothing here shows that a policy is in force"));
        assert_eq!(of(Level::Core, &[Either, Allow]).0, ScenarioOutcome::Passed);
        // Nor does what a pod says to itself, on any level.
        let mut own = step(&[Outcome::Pass, Outcome::Pass]);
        own.cells.rows[0].expected = Either;
        own.cells.rows[1].expected = Allow;
        own.cells.rows[1].cell.to = EndpointId(0);
        assert_eq!(ending(Level::Core, &[own]).0, ScenarioOutcome::Skipped);
        let wrong = |outcome| {
            let mut step = step(&[outcome]);
            step.cells.rows[0].expected = Either;
            ending(Level::Core, &[step]).0
        };
        assert_eq!(wrong(Outcome::Error), ScenarioOutcome::Errored);
    }
}
