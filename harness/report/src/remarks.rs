//! What is neither plainly right nor plainly wrong, such as known deviations: scenario by scenario, step by step.

use verdikt_model::{Outcome, Record, ScenarioOutcome};

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

/// Scenarios that passed, but about which there is something to say, such as that it took a second attempt: name and
/// reason, escaped.
pub(crate) fn reservations(record: &Record) -> Vec<(String, String)> {
    let passed = record.scenarios.iter().filter(|scenario| scenario.outcome == ScenarioOutcome::Passed);
    passed
        .filter_map(|scenario| {
            let reason = scenario.reason.as_deref()?;
            Some((cut(&scenario.name, NAME).into_owned(), cut(reason, SENTENCE).into_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
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
}
