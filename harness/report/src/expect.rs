//! What `verdikt expect` prints: the matrix that should be, with no cluster.

use std::{collections::BTreeMap, fmt::Write};

use serde::Serialize;
use verdikt_model::{Cell, Expectation, Family, Level, Protocol, Via};

use crate::{
    escape::{NAME, cut},
    grid::{Glyph, grids},
    json_text::json_text,
    matrix::{self, Canvas},
    places,
    style::Paint,
    text,
};

/// A scenario with what is expected of every cell.
#[derive(Debug, Clone)]
pub struct ExpectScenario {
    /// Name.
    pub name: String,
    /// How binding it is.
    pub level: Level,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Statements that it tests.
    pub clauses: Vec<String>,
    /// Endpoint names; an `EndpointId` is an index into them.
    pub names: Vec<String>,
    /// The steps.
    pub steps: Vec<ExpectStep>,
}

/// One step.
#[derive(Debug, Clone)]
pub struct ExpectStep {
    /// Name.
    pub name: String,
    /// Each cell with what should be, and why.
    pub cells: Vec<(Cell, Expectation, Option<String>)>,
}

/// The matrices of one scenario, for a terminal with `width` columns. Without colours.
pub fn expect_human(scenario: &ExpectScenario, width: usize) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} ({})", cut(&scenario.name, NAME), scenario.level);
    for step in &scenario.steps {
        let _ = writeln!(
            out,
            "  step {}: {}",
            cut(&step.name, NAME),
            text::count(step.cells.len() as u64, "cell")
        );
        let grids = grids(step.cells.iter().map(|(cell, word, _)| (*cell, Glyph::expected(*word))));
        let canvas = Canvas { indent: 6, width, rows: usize::MAX, paint: Paint { color: false } };
        for grid in &grids {
            let _ = writeln!(out, "    {} (rows connect to columns)", places::describe(grid.places.clone()));
            out.push_str(&matrix::draw(grid, &scenario.names, canvas));
        }
        if !grids.is_empty() {
            let _ = writeln!(out, "    {}", matrix::legend(&grids, true));
        }
    }
    out
}

/// The same as one JSON text: `{"scenarios": […]}`, shaped as in the record, without anything that was observed.
pub fn expect_json(scenarios: &[ExpectScenario]) -> String {
    let scenarios = scenarios.iter().map(|scenario| ScenarioJson {
        name: &scenario.name,
        level: scenario.level,
        labels: &scenario.labels,
        clauses: &scenario.clauses,
        steps: scenario.steps.iter().map(|step| step_json(step, &scenario.names)).collect(),
    });
    let file = FileJson { scenarios: scenarios.collect() };
    json_text(&file)
}

fn step_json<'a>(step: &'a ExpectStep, names: &'a [String]) -> StepJson<'a> {
    let name = |index: u16| names.get(usize::from(index)).map_or("", String::as_str);
    let cells = step.cells.iter().map(|(cell, expected, reason)| CellJson {
        from: name(cell.from.0),
        to: name(cell.to.0),
        via: cell.via,
        port: cell.port,
        protocol: cell.protocol,
        family: cell.family,
        expected: *expected,
        reason: reason.as_deref(),
    });
    StepJson { name: &step.name, cells: cells.collect() }
}

#[derive(Serialize)]
struct FileJson<'a> {
    scenarios: Vec<ScenarioJson<'a>>,
}

#[derive(Serialize)]
struct ScenarioJson<'a> {
    name: &'a str,
    level: Level,
    labels: &'a BTreeMap<String, String>,
    clauses: &'a [String],
    steps: Vec<StepJson<'a>>,
}

#[derive(Serialize)]
struct StepJson<'a> {
    name: &'a str,
    cells: Vec<CellJson<'a>>,
}

#[derive(Serialize)]
struct CellJson<'a> {
    from: &'a str,
    to: &'a str,
    via: Via,
    port: u16,
    protocol: Protocol,
    family: Family,
    expected: Expectation,
    reason: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use verdikt_model::Verdict;

    use super::*;
    use crate::sample;

    fn scenario() -> ExpectScenario {
        let ports = [(80, Protocol::Tcp), (53, Protocol::Udp)];
        let matrix = sample::matrix(&["x", "z"], &["a", "b"], &ports, |from, to, cell| {
            let word = match (from.starts_with("z/"), to.starts_with("x/"), cell.protocol) {
                (true, true, Protocol::Tcp) => Expectation::Deny,
                (true, true, _) => Expectation::Reject,
                (false, false, _) => Expectation::Either,
                _ => Expectation::Allow,
            };
            (word, Verdict::Error)
        });
        let reason = |word| (word == Expectation::Deny).then(|| "policy x/p isolates x/a".to_owned());
        ExpectScenario {
            name: "selectors/and-versus-or".into(),
            level: Level::Core,
            labels: [("feature".to_owned(), "selectors".to_owned())].into(),
            clauses: vec!["N18".into()],
            names: matrix.names.to_vec(),
            steps: vec![ExpectStep {
                name: "and".into(),
                cells: matrix.rows.iter().map(|r| (r.cell, r.expected, reason(r.expected))).collect(),
            }],
        }
    }

    #[test]
    fn matrices() {
        insta::assert_snapshot!(expect_human(&scenario(), 80));
    }

    #[test]
    fn json_has_the_paths_of_the_record() {
        let json: serde_json::Value = serde_json::from_str(&expect_json(&[scenario()])).unwrap();
        assert_eq!(json["scenarios"][0]["name"], "selectors/and-versus-or");
        let cells = json["scenarios"][0]["steps"][0]["cells"].as_array().unwrap();
        assert_eq!(cells.len(), 64);
        insta::assert_snapshot!(
            cells[32],
            @r#"{"expected":"deny","family":"ipv4","from":"z/a","port":80,"protocol":"tcp","reason":"policy x/p isolates x/a","to":"x/a","via":"pod-ip"}"#
        );
        assert_eq!(cells[0]["reason"], serde_json::Value::Null);
    }
}
