//! What is neither plainly right nor plainly wrong, such as known deviations: scenario by scenario, step by step.

use verdikt_model::{AnchoredBy, Outcome, Record, ScenarioOutcome, StepRecord};

use crate::{
    checks,
    details::step_name,
    escape::{NAME, SENTENCE, cut},
    sentence,
};

/// Cells and checks of one step with one outcome and one reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    /// The scenario, escaped.
    pub(crate) scenario: String,
    /// The step, escaped.
    pub(crate) step: String,
    /// The first of them as a sentence, escaped.
    pub(crate) example: String,
    /// Why, escaped; empty when nobody said.
    pub(crate) reason: String,
    /// How many.
    pub(crate) count: u64,
}

/// Everything with one outcome, in the order of the record.
pub(crate) fn remarks(record: &Record, outcome: Outcome) -> Vec<Remark> {
    let mut found: Vec<Remark> = Vec::new();
    for scenario in &record.scenarios {
        for step in &scenario.steps {
            let first = found.len();
            let mut add = |reason: Option<&str>, example: &dyn Fn() -> String| {
                let reason = reason.map(|reason| cut(reason, SENTENCE)).unwrap_or_default();
                match found[first..].iter_mut().find(|remark| remark.reason == reason) {
                    Some(remark) => remark.count += 1,
                    None => found.push(Remark {
                        scenario: cut(&scenario.name, NAME).into_owned(),
                        step: step_name(step),
                        example: example(),
                        reason: reason.into_owned(),
                        count: 1,
                    }),
                }
            };
            for (row, reason) in step.cells.iter().filter(|(row, _)| row.outcome == outcome) {
                add(reason, &|| sentence::cell(&step.cells, row));
            }
            for check in step.checks.iter().filter(|check| check.outcome == outcome) {
                add(check.reason.as_deref(), &|| checks::sentence(check));
            }
        }
    }
    found
}

/// Scenarios that passed, but about which there is something to say, such as that it took a second attempt, or that nothing
/// shows whether a step was in force: name and reason, escaped.
pub(crate) fn reservations(record: &Record) -> Vec<(String, String)> {
    let passed = record.scenarios.iter().filter(|scenario| scenario.outcome == ScenarioOutcome::Passed);
    passed
        .flat_map(|scenario| {
            let reason = scenario.reason.as_deref().map(|reason| cut(reason, SENTENCE).into_owned());
            let unanchored = scenario.steps.iter().filter(|step| is_unanchored(step));
            let steps = unanchored.map(|step| {
                let why = step.anchor.as_ref().and_then(|anchor| anchor.why.as_deref()).unwrap_or_default();
                format!("step {} is not anchored: {}", step_name(step), cut(why, SENTENCE))
            });
            reason.into_iter().chain(steps).map(|reason| (cut(&scenario.name, NAME).into_owned(), reason))
        })
        .collect()
}

/// Whether nothing shows that a step was in force when its matrix was taken.
pub(crate) fn is_unanchored(step: &StepRecord) -> bool {
    step.anchor.as_ref().is_some_and(|anchor| anchor.by == AnchoredBy::None)
}

/// What shows that a step was in force: `anchored by its cells`.
pub(crate) fn anchor(step: &StepRecord) -> Option<String> {
    let anchor = step.anchor.as_ref()?;
    Some(match (anchor.by, anchor.measured_ms) {
        (AnchoredBy::Cells, _) => "anchored by its cells".to_owned(),
        (AnchoredBy::SettleTime, Some(longest)) => {
            format!("held for {} ms, others of its kind took {longest} ms at most", anchor.held_ms)
        }
        (AnchoredBy::SettleTime | AnchoredBy::None, _) => {
            format!("held for {} ms, not anchored", anchor.held_ms)
        }
    })
}

#[cfg(test)]
mod tests {
    use verdikt_model::Anchor;

    use super::*;
    use crate::sample;

    #[test]
    fn equal_reasons_of_a_step_are_one_remark() {
        let mut record = sample::record();
        let cells = &mut record.scenarios[4].steps[0].cells;
        cells.rows[1].outcome = Outcome::Deviation;
        cells.reasons.insert(1, cells.reasons[&0].clone());
        let found = remarks(&record, Outcome::Deviation);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].count, found[0].scenario.as_str()), (2, "field/three-tier"));
        assert!(found[0].example.starts_with("x/a -> x/a 80/tcp ipv4: expected deny"), "{found:?}");
        assert_eq!(remarks(&record, Outcome::Flaky).len(), 1);
    }

    #[test]
    fn a_scenario_that_passed_at_last_is_told() {
        let mut record = sample::record();
        assert_eq!(reservations(&record), []);
        record.scenarios[0].reason = Some("as expected only at attempt 2\u{1b}".into());
        let name = "isolation/no-policy-allows-all".to_owned();
        assert_eq!(reservations(&record), [(name, r"as expected only at attempt 2\u{1b}".to_owned())]);
    }

    #[test]
    fn a_step_that_nothing_anchors_is_told() {
        let mut record = sample::record();
        let of = |by, measured_ms, why: Option<&str>| {
            Some(Anchor { by, measured_ms, held_ms: 2500, why: why.map(str::to_owned) })
        };
        let step = |record: &mut Record, of| record.scenarios[0].steps[0].anchor = of;
        step(&mut record, of(AnchoredBy::SettleTime, Some(40), None));
        assert_eq!(reservations(&record), []);
        let told = anchor(&record.scenarios[0].steps[0]).unwrap();
        assert_eq!(told, "held for 2500 ms, others of its kind took 40 ms at most");
        step(&mut record, of(AnchoredBy::None, None, Some("nothing has shown it\u{1b}")));
        let name = "isolation/no-policy-allows-all".to_owned();
        let why = r"step no-policy is not anchored: nothing has shown it\u{1b}".to_owned();
        assert_eq!(reservations(&record), [(name, why)]);
        let line = crate::status::outcome_text(&record.scenarios[0]);
        assert_eq!(line, "162 cells, 1 step not anchored");
    }
}
