//! Two records side by side: every cell and check that both have measured, and what has no counterpart.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use verdikt_model::{
    Cell, CheckRecord, CheckWord, Enforced, Expectation, Family, Matrix, Outcome, Protocol, Record, Row,
    ScenarioOutcome, ScenarioRecord, Seen, StepRecord, Topic, Topics, Verdict, Via,
};

use crate::text;

use super::comparison::{Counts, Difference, Missing, Shown, Through, WhichSide};

/// What pairing found.
#[derive(Debug, Default)]
pub(super) struct Paired {
    pub(super) compared: Counts,
    pub(super) found: Vec<Found>,
    pub(super) unstable: u64,
    /// Topics on which alone a cell turned in which both sides did the same.
    pub(super) alike: BTreeSet<Topic>,
    pub(super) missing: Vec<Missing>,
    pub(super) changed: Vec<String>,
}

/// A difference, with what is needed to explain it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) difference: Difference,
    pub(super) topics: Topics,
    /// The one of them that the cell's reason names, where the specification leaves the cell open.
    pub(super) cause: Option<Topic>,
    /// Whether traffic got through, there and here.
    pub(super) through: (Through, Through),
    /// Silence on one side, a refusal on the other, and no more.
    pub(super) signal: bool,
    /// Documented notes of the scenario: dataplane, what it does, link.
    pub(super) notes: Vec<(String, String, Option<String>)>,
}

/// Pairs scenarios by name.
pub(super) fn pair(reference: &Record, other: &Record) -> Paired {
    let index = |record: &Record| -> BTreeMap<String, usize> {
        record.scenarios.iter().enumerate().map(|(i, s)| (s.name.clone(), i)).collect()
    };
    let (here, there) = (index(other), index(reference));
    let names: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    let mut paired = Paired::default();
    for name in names {
        let one = there.get(name).map(|i| &reference.scenarios[*i]);
        let two = here.get(name).map(|i| &other.scenarios[*i]);
        match (one, two) {
            (Some(one), Some(two)) => paired.scenario(one, two),
            (Some(one), None) => paired.absent(one, WhichSide::Other, is_cut_short(other)),
            (None, Some(two)) => paired.absent(two, WhichSide::Reference, is_cut_short(reference)),
            (None, None) => {}
        }
    }
    paired
}

/// Whether nothing of a scenario was measured, on purpose. One of which all is open is skipped as a proof, and compared.
fn is_left_out(scenario: &ScenarioRecord) -> bool {
    let has_cells =
        || scenario.steps.iter().any(|step| step.cells.rows.iter().any(|row| measured(row).is_some()));
    scenario.outcome == ScenarioOutcome::Skipped && !has_cells()
}

/// Whether a run ended before all that it was to measure.
fn is_cut_short(record: &Record) -> bool {
    record.run.planned as usize > record.scenarios.len()
        || record.scenarios.iter().any(|scenario| scenario.interrupted)
}

impl Paired {
    fn absent(&mut self, scenario: &ScenarioRecord, side: WhichSide, cut_short: bool) {
        // What was left out on the one side is not missed on the other.
        if !is_left_out(scenario) {
            let why = if cut_short { "the run was cut short" } else { "not in the record" }.to_owned();
            let error = cut_short;
            self.missing.push(Missing { scenario: scenario.name.clone(), side, why, cells: 0, error });
        }
    }

    fn scenario(&mut self, one: &ScenarioRecord, two: &ScenarioRecord) {
        let side = match (is_left_out(one), is_left_out(two)) {
            (false, false) => None,
            (true, false) => Some((WhichSide::Reference, one)),
            (false, true) => Some((WhichSide::Other, two)),
            (true, true) => Some((WhichSide::Both, two)),
        };
        if let Some((side, skipped)) = side {
            let why = skipped.reason.clone().unwrap_or_default();
            self.missing.push(Missing { scenario: one.name.clone(), side, why, cells: 0, error: false });
            return;
        }
        if !one.digest.is_empty() && !two.digest.is_empty() && one.digest != two.digest {
            self.changed.push(one.name.clone());
        }
        // Its cells are those of one attempt, and another one showed something else.
        let torn = [one, two].iter().any(|of| of.outcome == ScenarioOutcome::Flaky);
        let before = self.compared;
        let mut gaps = Gaps::default();
        for step in &one.steps {
            let same = |other: &&StepRecord| other.name == step.name && other.pass == step.pass;
            if let Some(other) = two.steps.iter().find(same) {
                self.step((one, step), other, torn, &mut gaps);
            }
        }
        self.compared.scenarios +=
            u64::from(self.compared.cells > before.cells || self.compared.checks > before.checks);
        self.missing.extend(gaps.told(one, two));
    }

    fn step(
        &mut self,
        (scenario, one): (&ScenarioRecord, &StepRecord),
        two: &StepRecord,
        torn: bool,
        gaps: &mut Gaps,
    ) {
        let mut differing = BTreeSet::new();
        let rows = index(&two.cells);
        for (row, reason) in one.cells.iter() {
            let key = key(&one.cells, &row.cell);
            let Some((other, why)) = rows.get(&key) else { continue };
            let (Some(there), Some(here)) = (measured(row), measured(other)) else {
                gaps.add(row.outcome, reason, other.outcome, *why);
                continue;
            };
            self.compared.cells += 1;
            let topics = row.topics.and(other.topics);
            if there == here {
                self.alike.extend(topics.first().filter(|_| topics.iter().count() == 1));
                continue;
            }
            let through = (Through::of(there), Through::of(here));
            let signal = through == (Through::No, Through::No);
            if !signal {
                differing.insert(key);
            }
            // What did not hold on a side may have been caught at any moment.
            if torn || row.outcome == Outcome::Flaky || other.outcome == Outcome::Flaky {
                self.unstable += 1;
                continue;
            }
            let shown = |verdict: Verdict, row: &Row, reason: Option<&str>| Shown {
                seen: verdict.to_string(),
                outcome: row.outcome,
                reason: reason.map(str::to_owned),
            };
            self.found.push(Found {
                difference: Difference {
                    scenario: scenario.name.clone(),
                    level: scenario.level,
                    step: one.name.clone(),
                    pass: one.pass,
                    check: None,
                    from: one.cells.name(row.cell.from).to_owned(),
                    to: one.cells.name(row.cell.to).to_owned(),
                    via: row.cell.via,
                    port: row.cell.port,
                    protocol: row.cell.protocol,
                    family: row.cell.family,
                    expected: row.expected.to_string(),
                    reference: shown(there, row, reason),
                    other: shown(here, other, *why),
                },
                cause: topics.first().filter(|_| row.expected == Expectation::Either),
                topics,
                through,
                signal,
                notes: notes(scenario),
            });
        }
        for check in &one.checks {
            if let Some(other) = two.checks.iter().find(|other| same_check(check, other)) {
                let found = self.found.len();
                self.check((scenario, one), check, other, &differing, gaps);
                if torn && self.found.len() > found {
                    self.found.truncate(found);
                    self.unstable += 1;
                }
            }
        }
    }

    fn check(
        &mut self,
        (scenario, step): (&ScenarioRecord, &StepRecord),
        one: &CheckRecord,
        two: &CheckRecord,
        differing: &BTreeSet<Key<'_>>,
        gaps: &mut Gaps,
    ) {
        let measured = |check: &CheckRecord| {
            check.seen.filter(|seen| {
                *seen != Seen::Error && !matches!(check.outcome, Outcome::Error | Outcome::Skipped)
            })
        };
        let (Some(there), Some(here)) = (measured(one), measured(two)) else {
            gaps.add(one.outcome, one.reason.as_deref(), two.outcome, two.reason.as_deref());
            return;
        };
        self.compared.checks += 1;
        let shown = |seen: Seen, check: &CheckRecord| Shown {
            seen: check.status.map_or_else(|| seen.to_string(), |status| status.to_string()),
            outcome: check.outcome,
            reason: check.reason.clone(),
        };
        let (there_shown, here_shown) = (shown(there, one), shown(here, two));
        // How long a change takes is told as a time, and whether it comes at all by its cell.
        let is_figure = one.kind == CheckWord::Sample && [there, here].contains(&Seen::Changed);
        if is_figure || there_shown.seen == here_shown.seen {
            return;
        }
        let cell = (one.from.as_str(), one.to.as_str(), one.via, one.port, one.protocol, one.family);
        if differing.contains(&cell) {
            // The same difference once more.
            return;
        }
        let topics = topics_of(one, step);
        let through = (Through::of_check(there), Through::of_check(here));
        self.found.push(Found {
            difference: Difference {
                scenario: scenario.name.clone(),
                level: scenario.level,
                step: step.name.clone(),
                pass: step.pass,
                check: Some(one.kind),
                from: one.from.clone(),
                to: one.to.clone(),
                via: one.via,
                port: one.port,
                protocol: one.protocol,
                family: one.family,
                expected: one.expected.clone(),
                reference: there_shown,
                other: here_shown,
            },
            cause: topics.first().filter(|_| one.expected == Expectation::Either.to_string()),
            topics,
            through,
            signal: matches!(
                (there, here),
                (Seen::Dropped, Seen::Rejected) | (Seen::Rejected, Seen::Dropped)
            ),
            notes: notes(scenario),
        });
    }
}

/// What a check turns on: what it measures or, where that is what its cell measures, what the cell turns on.
fn topics_of(check: &CheckRecord, step: &StepRecord) -> Topics {
    match check.kind {
        CheckWord::Hold => Topics::of(Topic::Established),
        CheckWord::First => Topics::of(Topic::StartUp),
        CheckWord::Sample | CheckWord::Transfer | CheckWord::Http => {
            let cell =
                (check.from.as_str(), check.to.as_str(), check.via, check.port, check.protocol, check.family);
            let row = step.cells.rows.iter().find(|row| key(&step.cells, &row.cell) == cell);
            row.map_or(Topics::NONE, |row| row.topics)
        }
    }
}

fn notes(scenario: &ScenarioRecord) -> Vec<(String, String, Option<String>)> {
    scenario.differs.iter().map(|d| (d.dataplane.clone(), d.how.clone(), d.reference.clone())).collect()
}

type Key<'a> = (&'a str, &'a str, Via, u16, Protocol, Family);

fn key<'a>(matrix: &'a Matrix, cell: &Cell) -> Key<'a> {
    (matrix.name(cell.from), matrix.name(cell.to), cell.via, cell.port, cell.protocol, cell.family)
}

fn index(matrix: &Matrix) -> HashMap<Key<'_>, (&Row, Option<&str>)> {
    matrix.iter().map(|(row, reason)| (key(matrix, &row.cell), (row, reason))).collect()
}

fn same_check(one: &CheckRecord, two: &CheckRecord) -> bool {
    let id = |c: &CheckRecord| (c.kind, c.via, c.port, c.protocol, c.family);
    id(one) == id(two) && one.from == two.from && one.to == two.to && one.what == two.what
}

/// What was seen of a cell, where anything was.
fn measured(row: &Row) -> Option<Verdict> {
    row.observed
        .filter(|seen| *seen != Verdict::Error && !matches!(row.outcome, Outcome::Error | Outcome::Skipped))
}

/// Cells and checks of one scenario that a side has not measured.
#[derive(Default)]
struct Gaps(BTreeMap<(WhichSide, bool), (u64, Option<String>)>);

impl Gaps {
    fn add(&mut self, one: Outcome, why_one: Option<&str>, two: Outcome, why_two: Option<&str>) {
        let gap = |outcome: Outcome| matches!(outcome, Outcome::Error | Outcome::Skipped);
        let (side, outcome, why) = match (gap(one), gap(two)) {
            (true, true) => (WhichSide::Both, two, why_two),
            (true, false) => (WhichSide::Reference, one, why_one),
            _ => (WhichSide::Other, two, why_two),
        };
        let error = outcome == Outcome::Error;
        let entry = self.0.entry((side, error)).or_default();
        entry.0 += 1;
        if entry.1.is_none() {
            entry.1 = why.map(str::to_owned);
        }
    }

    fn told(self, one: &ScenarioRecord, two: &ScenarioRecord) -> Vec<Missing> {
        let mut told: Vec<Missing> = self
            .0
            .into_iter()
            .map(|((side, error), (cells, why))| Missing {
                scenario: one.name.clone(),
                side,
                why: why.unwrap_or_default(),
                cells,
                error,
            })
            .collect();
        // Cut short before the cells that the other side has.
        for (scenario, than, side) in [(one, two, WhichSide::Reference), (two, one, WhichSide::Other)] {
            if scenario.outcome == ScenarioOutcome::Errored && scenario.steps.len() < than.steps.len() {
                let why = scenario.reason.clone().unwrap_or_default();
                told.push(Missing { scenario: scenario.name.clone(), side, why, cells: 0, error: true });
            }
        }
        told
    }
}

/// How it is known of a record's dataplane that it enforces no policy: by what one deny-all showed before the first
/// scenario, whatever the cells look like; where that was not tried or showed nothing, by the cells.
pub(super) fn enforces_nothing(record: &Record) -> Option<String> {
    let tried = record.environment.enforcement.as_ref();
    match tried.map(|tried| (tried.enforced, &tried.evidence)) {
        Some((Enforced::No, evidence)) => return Some(evidence.clone()),
        Some((Enforced::Yes | Enforced::Partly, _)) => return None,
        Some((Enforced::Unknown, _)) | None => {}
    }
    let rows = || record.scenarios.iter().flat_map(|s| &s.steps).flat_map(|step| &step.cells.rows);
    let forbidden = || rows().filter(|row| row.expected.is_denial());
    // What another topic may explain, such as a port's name, is no sign of that.
    let plain = |row: &&Row| row.observed == Some(Verdict::Allowed) && row.topics.is_empty();
    let allowed = forbidden().filter(plain).count() as u64;
    let denied = |row: &Row| matches!(row.observed, Some(Verdict::Dropped | Verdict::Rejected));
    (allowed > 0 && !forbidden().any(denied)).then(|| {
        format!(
            "no connection that policies forbid was stopped, and {} succeeded",
            text::count(allowed, "plain one")
        )
    })
}
