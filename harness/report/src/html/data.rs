//! Every cell as compact data for the page's script.
//!
//! Cells share few combinations of everything but their ends and times, so each is an index into a list of these. All
//! text is escaped here: the script shows it as it comes.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use verdikt_model::{
    EndpointId, Expectation, Matrix, Outcome, Record, Row, ScenarioRecord, SeenAs, StepRecord, Topic, Verdict,
};

use super::{objects::in_force, words};
use crate::{
    escape::escape,
    places::{self, Place},
    repeat::{repeat_head, target_flags, within_quotes},
};

/// All of it.
#[derive(Serialize)]
pub(super) struct Data {
    topics: Vec<TopicData>,
    records: Vec<Vec<ScenarioData>>,
}

#[derive(Serialize)]
struct TopicData {
    word: &'static str,
    title: &'static str,
    statement: Option<&'static str>,
    open: bool,
}

#[derive(Serialize)]
struct ScenarioData {
    name: String,
    summary: String,
    outcome: &'static str,
    level: String,
    feature: String,
    differs: bool,
    /// The command that repeats a cell, up to the cell.
    head: String,
    names: Vec<String>,
    /// For names that are spelt otherwise between single quotes of a shell.
    shell: BTreeMap<usize, String>,
    reasons: Vec<String>,
    kinds: Vec<Kind>,
    steps: Vec<StepData>,
}

#[derive(Serialize, Clone, PartialEq, Eq, Hash)]
struct Kind(
    Expectation,
    Option<Verdict>,
    Outcome,
    /// Attempts.
    u16,
    Option<SeenAs>,
    /// Topics, by index.
    Vec<usize>,
    /// Reason, by index.
    Option<usize>,
);

#[derive(Serialize)]
struct StepData {
    name: String,
    pass: u16,
    grids: Vec<GridData>,
    groups: Vec<GroupData>,
    /// Ids of elements that show the objects in force.
    objects: Vec<String>,
}

/// The cells of one port, path and family.
#[derive(Serialize)]
struct GridData {
    /// Path, port, protocol, family.
    place: (String, u16, String, String),
    from: Vec<usize>,
    to: Vec<usize>,
    /// Kinds row by row; -1 where there is no cell.
    kinds: Vec<i64>,
    /// Round-trip times in microseconds row by row, 0 without one; empty when there are none at all.
    rtt: Vec<u32>,
}

/// Grids that look the same.
#[derive(Serialize)]
struct GroupData {
    title: String,
    grids: Vec<usize>,
}

/// The data of a page.
pub(super) fn data(records: &[(String, Record)]) -> Data {
    let topics = Topic::ALL.iter().map(|topic| TopicData {
        word: topic.as_str(),
        title: topic.title(),
        statement: topic.statement(),
        open: topic.is_open(),
    });
    let records = records.iter().enumerate().map(|(index, (_, record))| {
        let target = target_flags(&record.run.command);
        let scenarios = record.scenarios.iter().enumerate();
        scenarios.map(|(s, scenario)| Builder::default().scenario((index, s), scenario, &target)).collect()
    });
    Data { topics: topics.collect(), records: records.collect() }
}

/// What a scenario's cells share, each once.
#[derive(Default)]
struct Builder<'a> {
    names: Vec<&'a str>,
    name_ids: HashMap<&'a str, usize>,
    reasons: Vec<&'a str>,
    reason_ids: HashMap<&'a str, usize>,
    kinds: Vec<Kind>,
    kind_ids: HashMap<Kind, usize>,
}

impl<'a> Builder<'a> {
    fn scenario(mut self, at: (usize, usize), record: &'a ScenarioRecord, target: &[String]) -> ScenarioData {
        let objects = in_force(record);
        let steps = record.steps.iter().zip(objects).map(|(step, objects)| {
            let ids = objects.into_iter().map(|place| super::step::object_id(at, place));
            self.step(step, ids.collect())
        });
        let steps = steps.collect();
        let shown = |text: &&str| escape(text).into_owned();
        let shell = self.names.iter().map(|name| (*name, within_quotes(name))).enumerate();
        ScenarioData {
            name: escape(&record.name).into_owned(),
            summary: escape(&record.summary).into_owned(),
            outcome: record.outcome.as_str(),
            level: record.level.to_string(),
            feature: escape(words::feature(record)).into_owned(),
            differs: words::differs(record),
            head: repeat_head(record, target),
            names: self.names.iter().map(shown).collect(),
            shell: shell.filter(|(_, (name, quoted))| name != quoted).map(|(i, (_, q))| (i, q)).collect(),
            reasons: self.reasons.iter().map(shown).collect(),
            kinds: self.kinds,
            steps,
        }
    }

    fn step(&mut self, step: &'a StepRecord, objects: Vec<String>) -> StepData {
        let matrix = &step.cells;
        let mut by_place: BTreeMap<Place, Vec<(&Row, Option<&'a str>)>> = BTreeMap::new();
        for (row, reason) in matrix.iter() {
            by_place.entry(Place::of(&row.cell)).or_default().push((row, reason));
        }
        let mut grids: Vec<GridData> = Vec::with_capacity(by_place.len());
        let mut groups: Vec<(Vec<Place>, Vec<usize>)> = Vec::new();
        for (place, rows) in by_place {
            let grid = self.grid(matrix, place, &rows);
            match groups.iter_mut().find(|(_, members)| self.alike(&grids[members[0]], &grid)) {
                Some((places, members)) => {
                    places.push(place);
                    members.push(grids.len());
                }
                None => groups.push((vec![place], vec![grids.len()])),
            }
            grids.push(grid);
        }
        let groups = groups
            .into_iter()
            .map(|(members, grids)| GroupData { title: places::describe(members), grids })
            .collect();
        StepData { name: escape(&step.name).into_owned(), pass: step.pass, grids, groups, objects }
    }

    fn grid(&mut self, matrix: &'a Matrix, place: Place, rows: &[(&Row, Option<&'a str>)]) -> GridData {
        let mut ends = [Vec::new(), Vec::new()];
        for (row, _) in rows {
            ends[0].push(row.cell.from);
            ends[1].push(row.cell.to);
        }
        for end in &mut ends {
            end.sort_unstable();
            end.dedup();
        }
        let [from, to] = &ends;
        let mut kinds = vec![-1; from.len() * to.len()];
        let mut rtt = vec![0; kinds.len()];
        for (row, reason) in rows {
            if let (Ok(f), Ok(t)) = (from.binary_search(&row.cell.from), to.binary_search(&row.cell.to)) {
                let at = f * to.len() + t;
                kinds[at] = self.kind(row, *reason) as i64;
                rtt[at] = row.rtt_us;
            }
        }
        if rtt.iter().all(|us| *us == 0) {
            rtt.clear();
        }
        let [from, to] = ends.map(|end| end.into_iter().map(|id| self.name(matrix, id)).collect());
        let place = (place.via.to_string(), place.port, place.protocol.to_string(), place.family.to_string());
        GridData { place, from, to, kinds, rtt }
    }

    /// Whether two grids have the same ends and, cell by cell, the same expectation, observation and outcome.
    fn alike(&self, a: &GridData, b: &GridData) -> bool {
        let look = |kind: i64| {
            usize::try_from(kind).ok().map(|kind| {
                let Kind(expected, observed, outcome, ..) = &self.kinds[kind];
                (*expected, *observed, *outcome)
            })
        };
        a.from == b.from
            && a.to == b.to
            && a.kinds.iter().zip(&b.kinds).all(|(a, b)| a == b || look(*a) == look(*b))
    }

    fn kind(&mut self, row: &Row, reason: Option<&'a str>) -> usize {
        let reason = reason.map(|reason| {
            let next = self.reasons.len();
            *self.reason_ids.entry(reason).or_insert_with(|| {
                self.reasons.push(reason);
                next
            })
        });
        let topics = Topic::ALL.iter().enumerate().filter(|(_, topic)| row.topics.has(**topic));
        let kind = Kind(
            row.expected,
            row.observed,
            row.outcome,
            row.attempts,
            row.seen_as,
            topics.map(|(index, _)| index).collect(),
            reason,
        );
        if let Some(known) = self.kind_ids.get(&kind) {
            return *known;
        }
        self.kinds.push(kind.clone());
        self.kind_ids.insert(kind, self.kinds.len() - 1);
        self.kinds.len() - 1
    }

    fn name(&mut self, matrix: &'a Matrix, id: EndpointId) -> usize {
        let name = matrix.name(id);
        let next = self.names.len();
        *self.name_ids.entry(name).or_insert_with(|| {
            self.names.push(name);
            next
        })
    }
}
