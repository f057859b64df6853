//! The order in which scenarios are shown: what needs a reader first, then by name.
//!
//! A record has them in the order in which they ended, which says nothing.

use verdikt_model::{Record, ScenarioOutcome, ScenarioRecord};

/// Scenarios with their index in the record.
pub(super) fn ordered(record: &Record) -> Vec<(usize, &ScenarioRecord)> {
    let mut all: Vec<_> = record.scenarios.iter().enumerate().collect();
    all.sort_by(|(_, a), (_, b)| (rank(a), &a.name).cmp(&(rank(b), &b.name)));
    all
}

const fn rank(scenario: &ScenarioRecord) -> u8 {
    match scenario.outcome {
        ScenarioOutcome::Failed => 0,
        ScenarioOutcome::Flaky => 1,
        ScenarioOutcome::Errored => 2,
        ScenarioOutcome::Passed => 3,
        ScenarioOutcome::Skipped => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn what_failed_comes_first_and_skipped_last() {
        let record = sample::record();
        let names: Vec<_> = ordered(&record).into_iter().map(|(_, s)| s.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "selectors/and-versus-or",
                "ports/named",
                "field/three-tier",
                "isolation/no-policy-allows-all",
                "sctp/port-match"
            ]
        );
    }
}
