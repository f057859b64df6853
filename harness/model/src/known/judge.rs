//! Which wrong cells are known.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::{
    ending::ending,
    known::{
        file::{KnownDeviation, KnownDeviations},
        sightings::Sightings,
    },
    matrix::{Matrix, Row},
    record::{Dataplane, Record, ScenarioRecord, StepRecord, Summary},
    verdict::{Outcome, ScenarioOutcome, Verdict},
};

/// The deviations that are known of one dataplane, on one day.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub(super) entries: Vec<Entry>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Name of its file.
    pub(super) file: String,
    pub(super) of: KnownDeviation,
    /// Whether its last day has passed.
    pub(super) expired: bool,
}

impl Known {
    /// What the files say of this dataplane, and which of them say nothing of it: one sentence each. Of the files that
    /// verdikt brings along most are of others, which is told only when all are.
    pub fn new(files: &[KnownDeviations], plane: &Dataplane, today: Date) -> (Self, Vec<String>) {
        let (mut entries, mut notes) = (Vec::new(), Vec::new());
        let mut built_in = Vec::new();
        for file in files {
            if let Some(why) = file.mismatch(plane) {
                if !file.is_built_in() {
                    notes.push(format!("{} is ignored: {why}", file.source));
                } else if file.dataplane == plane.name {
                    built_in.push((false, format!("{} is ignored: {why}", file.source)));
                } else {
                    built_in.push((false, String::new()));
                }
                continue;
            }
            if file.is_built_in() {
                built_in.push((true, String::new()));
            }
            let of_version = file.deviations.iter().filter(|of| of.is_of(&plane.version));
            entries.extend(of_version.map(|of| Entry {
                file: file.name.clone(),
                of: of.clone(),
                expired: of.expires.is_some_and(|last| last < today),
            }));
        }
        if !built_in.is_empty() && !built_in.iter().any(|(fits, _)| *fits) {
            notes.push(format!("no built-in file of known deviations fits {} {}", plane.name, plane.version));
            notes.extend(built_in.into_iter().map(|(_, why)| why).filter(|why| !why.is_empty()));
        }
        (Self { entries }, notes)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The wrong verdicts that cells of a step, by index, are known to show.
    pub fn wrong_verdicts(&self, scenario: &str, step: &str, cells: &Matrix) -> BTreeSet<(u32, Verdict)> {
        let entries: Vec<&Entry> = self.of(scenario, step).filter(|entry| !entry.expired).collect();
        let mut known = BTreeSet::new();
        if entries.is_empty() {
            return known;
        }
        for (index, row) in (0_u32..).zip(&cells.rows) {
            for verdict in Verdict::ALL.iter().filter(|v| row.expected.admits(**v) == Some(false)) {
                if entries.iter().any(|entry| entry.covers(cells, row, *verdict)) {
                    known.insert((index, *verdict));
                }
            }
        }
        known
    }

    /// Makes deviations of those wrong cells and checks of a step that are known.
    pub fn judge_step(&self, scenario: &str, step: &mut StepRecord) {
        let entries: Vec<&Entry> = self.of(scenario, &step.name).collect();
        if entries.is_empty() {
            return;
        }
        let cells = &mut step.cells;
        for index in 0..cells.rows.len() {
            let row = cells.rows[index];
            let (Outcome::Fail, Some(observed), Ok(key)) = (row.outcome, row.observed, u32::try_from(index))
            else {
                continue;
            };
            let covering: Vec<&&Entry> =
                entries.iter().filter(|entry| entry.covers(cells, &row, observed)).collect();
            let had = cells.reasons.get(&key).map(String::as_str);
            if let Some((outcome, reason)) = decide(&covering, had) {
                cells.rows[index].outcome = outcome;
                cells.reasons.insert(key, reason);
            }
        }
        for check in step.checks.iter_mut().filter(|check| check.outcome == Outcome::Fail) {
            let covering: Vec<&&Entry> = entries.iter().filter(|entry| entry.of.is_of_check(check)).collect();
            if let Some((outcome, reason)) = decide(&covering, check.reason.as_deref()) {
                (check.outcome, check.reason) = (outcome, Some(reason));
            }
        }
    }

    /// The same for a scenario that has ended; what it ended with follows.
    pub fn judge(&self, scenario: &mut ScenarioRecord) {
        if !self.entries.iter().any(|entry| entry.of.is_of_scenario(&scenario.name)) {
            return;
        }
        scenario.steps.iter_mut().for_each(|step| self.judge_step(&scenario.name, step));
        if scenario.outcome != ScenarioOutcome::Failed {
            return;
        }
        let (outcome, reason) = ending(&scenario.steps);
        scenario.outcome = match (&scenario.reason, outcome) {
            (_, ScenarioOutcome::Failed) => ScenarioOutcome::Failed,
            // It has not gone to its end: nothing more is proved, and not all was measured.
            (Some(why), _) if !why.starts_with(FRESH_LANE) => ScenarioOutcome::Errored,
            (None, ScenarioOutcome::Errored) => {
                scenario.reason = reason;
                ScenarioOutcome::Errored
            }
            (_, outcome) => outcome,
        };
    }

    /// What is known of a step.
    fn of<'a>(&'a self, scenario: &'a str, step: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.of.is_of_scenario(scenario) && entry.of.is_of_step(step))
    }
}

/// How the reason of a scenario begins that was measured to its end, in a lane that was made for it.
pub const FRESH_LANE: &str = "in a fresh lane";

impl Entry {
    fn covers(&self, cells: &Matrix, row: &Row, observed: Verdict) -> bool {
        let (from, to) = (cells.name(row.cell.from), cells.name(row.cell.to));
        self.of.is_of_verdict(observed) && self.of.is_of_cell(from, to, &row.cell)
    }
}

/// What becomes of something wrong that these entries cover.
fn decide(covering: &[&&Entry], had: Option<&str>) -> Option<(Outcome, String)> {
    let said = |of: &KnownDeviation| format!("{} ({})", of.reason, of.link);
    if let Some(entry) = covering.iter().find(|entry| !entry.expired) {
        return Some((Outcome::Deviation, said(&entry.of)));
    }
    let entry = covering.first()?;
    let last = entry.of.expires.map(|date| date.to_string()).unwrap_or_default();
    let expired = format!("the known deviation expired on {last}: {}", said(&entry.of));
    let reason = match had {
        // Told already.
        Some(had) if had.starts_with(&expired) => had.to_owned(),
        Some(had) => format!("{expired}; {had}"),
        None => expired,
    };
    Some((Outcome::Fail, reason))
}

/// Applies files to a whole record, as a run that had them would have; tells which files say nothing of its dataplane.
/// `today` is the day on which they are to count. What is a deviation already stays one.
pub fn apply(record: &mut Record, files: &[KnownDeviations], today: Date) -> Vec<String> {
    let (known, notes) = Known::new(files, &record.environment.dataplane, today);
    let mut sightings = Sightings::new(&known);
    record.summary = Summary::default();
    for scenario in &mut record.scenarios {
        known.judge(scenario);
        sightings.see(&known, scenario);
        record.summary.add(scenario);
    }
    let fresh = sightings.records(&known, record.run.is_whole(record.scenarios.len()));
    record.deviations.retain(|had| !fresh.iter().any(|new| new.is_of_the_same(had)));
    record.deviations.extend(fresh);
    notes
}
