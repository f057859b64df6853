//! Whether what is known still happens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use std::{fmt, str::FromStr};

use crate::{
    known::judge::Known,
    net::{ParseWordError, words},
    record::ScenarioRecord,
    verdict::{Expectation, Outcome, ScenarioOutcome},
};

words! {
    /// What became of a known deviation.
    DeviationState, "state of a deviation", "happened, fixed, expired, not-reached",
    /// At least one of its cells showed it.
    Happened = "happened",
    /// All of its cells are as expected: it can be taken out of the file.
    Fixed = "fixed",
    /// It showed after its last day, and its cells fail.
    Expired = "expired",
    /// Not measured, or not enough to say that it is fixed.
    NotReached = "not-reached"
}

/// A known deviation and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviationRecord {
    /// Name of the file that knows it.
    pub file: String,
    /// Glob over scenarios.
    pub scenario: String,
    /// Glob over steps; null for all.
    pub step: Option<String>,
    /// What it covers in a step, in words: cell patterns, kinds of checks, what is observed; empty for all cells.
    pub covers: Vec<String>,
    /// Why it is so.
    pub reason: String,
    /// Where that is told.
    pub link: String,
    /// Its last day; null when it has none.
    pub expires: Option<String>,
    /// What became of it.
    pub state: DeviationState,
    /// Cells and checks that showed it.
    pub cells: u64,
    /// Cells and checks that it covers and that were as expected.
    pub as_expected: u64,
    /// Cells and checks that it covers and that tell nothing of it: not measured, flaky, or wrong in another way.
    pub unclear: u64,
}

impl DeviationRecord {
    /// Whether both are of the same entry of a file.
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        let key = |of: &Self| {
            let texts = [&of.file, &of.scenario, &of.reason, &of.link].map(String::clone);
            (texts, of.step.clone(), of.covers.clone(), of.expires.clone())
        };
        key(self) == key(other)
    }

    /// The state that follows from the counts.
    fn settle(&mut self, expired: bool, whole: bool) {
        // Of a choice of scenarios a glob says too little.
        let told = self.unclear == 0 && (whole || !self.scenario.contains('*'));
        self.state = match (self.cells, self.as_expected) {
            (1.., _) if expired => DeviationState::Expired,
            (1.., _) => DeviationState::Happened,
            (0, 1..) if told => DeviationState::Fixed,
            _ => DeviationState::NotReached,
        };
    }
}

/// What became of known deviations in the scenarios that have ended so far.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    /// In the order of the entries.
    records: Vec<DeviationRecord>,
}

impl Sightings {
    /// Before the first scenario.
    pub fn new(known: &Known) -> Self {
        let record = |entry: &super::judge::Entry| {
            let of = &entry.of;
            let mut covers: Vec<String> = of.checks.iter().map(|kind| format!("{kind} checks")).collect();
            covers.extend(of.cells.iter().map(ToString::to_string));
            covers.extend(of.observed.map(|verdict| format!("observed {verdict}")));
            DeviationRecord {
                file: entry.file.clone(),
                scenario: of.scenario.clone(),
                step: of.step.clone(),
                covers,
                reason: of.reason.clone(),
                link: of.link.clone(),
                expires: of.expires.map(|date| date.to_string()),
                state: DeviationState::NotReached,
                cells: 0,
                as_expected: 0,
                unclear: 0,
            }
        };
        Self { records: known.entries.iter().map(record).collect() }
    }

    /// Counts a scenario that [`Known::judge`] has judged. `known` must be that of [`Self::new`].
    pub fn see(&mut self, known: &Known, scenario: &ScenarioRecord) {
        for (entry, record) in known.entries.iter().zip(&mut self.records) {
            if !entry.of.is_of_scenario(&scenario.name) {
                continue;
            }
            record.unclear += u64::from(scenario.outcome == ScenarioOutcome::Errored);
            for step in scenario.steps.iter().filter(|step| entry.of.is_of_step(&step.name)) {
                for row in &step.cells.rows {
                    let (from, to) = (step.cells.name(row.cell.from), step.cells.name(row.cell.to));
                    if row.expected != Expectation::Either && entry.of.is_of_cell(from, to, &row.cell) {
                        let shows = row.observed.is_some_and(|verdict| entry.of.is_of_verdict(verdict));
                        record.count(row.outcome, shows);
                    }
                }
                for check in step.checks.iter().filter(|check| entry.of.is_of_check(check)) {
                    if check.expected != Expectation::Either.as_str() {
                        record.count(check.outcome, true);
                    }
                }
            }
        }
    }

    /// What became of each. `whole`: whether all scenarios have ended that a glob could mean.
    pub fn records(&self, known: &Known, whole: bool) -> Vec<DeviationRecord> {
        let mut records = self.records.clone();
        records.iter_mut().zip(&known.entries).for_each(|(of, entry)| of.settle(entry.expired, whole));
        records
    }
}

impl DeviationRecord {
    /// `shows`: whether what was observed, if it was wrong, is what is known.
    fn count(&mut self, outcome: Outcome, shows: bool) {
        match outcome {
            Outcome::Fail | Outcome::Deviation if shows => self.cells += 1,
            Outcome::Pass => self.as_expected += 1,
            Outcome::Fail | Outcome::Deviation | Outcome::Flaky | Outcome::Error => self.unclear += 1,
            Outcome::Skipped => {}
        }
    }
}

/// Joins what parts of a run say. `whole`: whether no part is missing.
pub fn join(parts: impl IntoIterator<Item = DeviationRecord>, whole: bool) -> Vec<DeviationRecord> {
    let mut joined: Vec<DeviationRecord> = Vec::new();
    for part in parts {
        match joined.iter_mut().find(|have| have.is_of_the_same(&part)) {
            None => joined.push(part),
            Some(have) => {
                have.cells += part.cells;
                have.as_expected += part.as_expected;
                have.unclear += part.unclear;
                if part.state == DeviationState::Expired {
                    have.state = part.state;
                }
            }
        }
    }
    for of in &mut joined {
        let expired = of.state == DeviationState::Expired;
        of.settle(expired, whole);
    }
    joined
}
