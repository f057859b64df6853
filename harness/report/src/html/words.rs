//! Words, signs and classes of outcomes. Every colour has a sign and a word beside it.

use verdikt_model::{CellCounts, CheckWord, DeviationState, Outcome, ScenarioOutcome, ScenarioRecord};

/// How one kind of result is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Class of its colour.
    pub(super) class: &'static str,
    /// Its sign.
    pub(super) sign: &'static str,
    /// Its word.
    pub(super) word: &'static str,
}

/// Of a scenario.
pub(super) const fn of_scenario(outcome: ScenarioOutcome) -> Look {
    match outcome {
        ScenarioOutcome::Passed => Look { class: "pass", sign: "✓", word: "passed" },
        ScenarioOutcome::Failed => Look { class: "fail", sign: "✗", word: "failed" },
        ScenarioOutcome::Flaky => Look { class: "flaky", sign: "%", word: "flaky" },
        ScenarioOutcome::Errored => Look { class: "error", sign: "?", word: "errored" },
        ScenarioOutcome::Skipped => Look { class: "skipped", sign: "–", word: "skipped" },
    }
}

/// Of a cell or check.
pub(super) const fn of_cell(outcome: Outcome) -> Look {
    match outcome {
        Outcome::Pass => Look { class: "pass", sign: "✓", word: "as expected" },
        Outcome::Fail => Look { class: "fail", sign: "✗", word: "different" },
        Outcome::Deviation => Look { class: "deviation", sign: "=", word: "known deviation" },
        Outcome::Flaky => Look { class: "flaky", sign: "%", word: "flaky" },
        Outcome::Error => Look { class: "error", sign: "?", word: "not measured" },
        Outcome::Skipped => Look { class: "skipped", sign: "–", word: "skipped" },
    }
}

/// Counts of cells or checks by outcome, worst first.
pub(super) fn by_outcome(counts: &CellCounts) -> [(Look, u64); 6] {
    [
        (of_cell(Outcome::Fail), counts.fail),
        (of_cell(Outcome::Flaky), counts.flaky),
        (of_cell(Outcome::Error), counts.error),
        (of_cell(Outcome::Deviation), counts.deviation),
        (of_cell(Outcome::Pass), counts.pass),
        (of_cell(Outcome::Skipped), counts.skipped),
    ]
}

/// What a check measures, for readers who have not written it.
pub(super) const fn of_check(kind: CheckWord) -> &'static str {
    match kind {
        CheckWord::Hold => "connections held across the change",
        CheckWord::First => "first moments of a new pod",
        CheckWord::Sample => "what is seen while the change comes into force",
        CheckWord::Transfer => "transfers",
        CheckWord::Http => "HTTP requests",
    }
}

/// What a scenario is counted under: its label `feature`, else the first part of its name.
pub(super) fn feature(scenario: &ScenarioRecord) -> &str {
    match scenario.labels.get("feature") {
        Some(feature) => feature,
        None => scenario.name.split_once('/').map_or("other", |(area, _)| area),
    }
}

/// Whether anything in a scenario is not plainly as expected: different, flaky, not measured or a known deviation.
pub(super) fn differs(scenario: &ScenarioRecord) -> bool {
    let (cells, checks) = (scenario.counts(), scenario.check_counts());
    matches!(scenario.outcome, ScenarioOutcome::Failed | ScenarioOutcome::Flaky | ScenarioOutcome::Errored)
        || [cells, checks].iter().any(|n| n.fail + n.flaky + n.error + n.deviation > 0)
}

/// Of what became of a known deviation.
pub(super) const fn of_deviation(state: DeviationState) -> Look {
    match state {
        DeviationState::Happened => Look { class: "deviation", sign: "=", word: "happened" },
        DeviationState::Expired => Look { class: "fail", sign: "✗", word: "expired, and happened" },
        DeviationState::Fixed => Look { class: "pass", sign: "✓", word: "fixed" },
        DeviationState::NotReached => Look { class: "skipped", sign: "–", word: "not reached" },
    }
}
