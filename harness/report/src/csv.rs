//! CSV from a record (RFC 4180): one row for each scenario, cell and check.
//!
//! A spreadsheet takes text that begins with `=` and its like for a formula: such text gets a `'` in front.

use ::csv::{Terminator, WriterBuilder};
use serde::Serialize;
use verdikt_model::{CheckRecord, Record, Row, ScenarioRecord, StepRecord};

use crate::escape::cut;

/// Longest text of a field, in characters; a cell of a spreadsheet holds 32,767.
const TEXT: usize = 30_000;

/// The columns, as [`Line`] has them.
const HEADER: [&str; 25] = [
    "kind",
    "scenario",
    "level",
    "scenario_outcome",
    "step",
    "pass",
    "check",
    "from",
    "to",
    "via",
    "port",
    "protocol",
    "family",
    "what",
    "expected",
    "observed",
    "outcome",
    "attempts",
    "rtt_us",
    "time_us",
    "within_us",
    "status",
    "seen_as",
    "topics",
    "reason",
];

/// One row. What does not apply is empty.
#[derive(Debug, Default, Serialize)]
struct Line {
    kind: &'static str,
    scenario: String,
    level: String,
    scenario_outcome: &'static str,
    step: String,
    pass: Option<u16>,
    check: &'static str,
    from: String,
    to: String,
    via: &'static str,
    port: Option<u16>,
    protocol: &'static str,
    family: &'static str,
    what: String,
    expected: String,
    observed: &'static str,
    outcome: &'static str,
    attempts: Option<u16>,
    rtt_us: Option<u32>,
    time_us: Option<u64>,
    within_us: Option<u64>,
    status: Option<u16>,
    seen_as: &'static str,
    topics: String,
    reason: String,
}

/// The table; the same for the same record.
pub fn csv(record: &Record) -> String {
    let mut out =
        WriterBuilder::new().has_headers(false).terminator(Terminator::CRLF).from_writer(Vec::new());
    out.write_record(HEADER).expect("writing to memory does not fail");
    for line in record.scenarios.iter().flat_map(lines) {
        out.serialize(line).expect("writing to memory does not fail");
    }
    let table = out.into_inner().expect("writing to memory does not fail");
    String::from_utf8(table).expect("the table is made of strings")
}

fn lines(scenario: &ScenarioRecord) -> impl Iterator<Item = Line> {
    let whole = Line {
        kind: "scenario",
        outcome: scenario.outcome.as_str(),
        reason: optional(scenario.reason.as_deref()),
        ..head(scenario)
    };
    std::iter::once(whole).chain(scenario.steps.iter().flat_map(move |step| {
        let cells = step.cells.iter().map(move |(row, reason)| cell(scenario, step, row, reason));
        cells.chain(step.checks.iter().map(move |found| check(scenario, step, found)))
    }))
}

fn cell(scenario: &ScenarioRecord, step: &StepRecord, row: &Row, reason: Option<&str>) -> Line {
    let topics: Vec<_> = row.topics.iter().map(|topic| topic.as_str()).collect();
    Line {
        kind: "cell",
        step: text(&step.name),
        pass: Some(step.pass),
        from: text(step.cells.name(row.cell.from)),
        to: text(step.cells.name(row.cell.to)),
        via: row.cell.via.as_str(),
        port: Some(row.cell.port),
        protocol: row.cell.protocol.as_str(),
        family: row.cell.family.as_str(),
        expected: row.expected.as_str().into(),
        observed: row.observed.map_or("", |seen| seen.as_str()),
        outcome: row.outcome.as_str(),
        attempts: Some(row.attempts),
        rtt_us: Some(row.rtt_us).filter(|us| *us > 0),
        seen_as: row.seen_as.map_or("", |seen| seen.as_str()),
        topics: topics.join(" "),
        reason: optional(reason),
        ..head(scenario)
    }
}

fn check(scenario: &ScenarioRecord, step: &StepRecord, check: &CheckRecord) -> Line {
    Line {
        kind: "check",
        step: text(&step.name),
        pass: Some(step.pass),
        check: check.kind.as_str(),
        from: text(&check.from),
        to: text(&check.to),
        via: check.via.as_str(),
        port: Some(check.port),
        protocol: check.protocol.as_str(),
        family: check.family.as_str(),
        what: optional(check.what.as_deref()),
        expected: text(&check.expected),
        observed: check.seen.map_or("", |seen| seen.as_str()),
        outcome: check.outcome.as_str(),
        time_us: check.time_us,
        within_us: check.within_us,
        status: check.status,
        reason: optional(check.reason.as_deref()),
        ..head(scenario)
    }
}

fn head(scenario: &ScenarioRecord) -> Line {
    Line {
        scenario: text(&scenario.name),
        level: scenario.level.to_string(),
        scenario_outcome: scenario.outcome.as_str(),
        ..Line::default()
    }
}

fn optional(foreign: Option<&str>) -> String {
    foreign.map(text).unwrap_or_default()
}

/// Foreign text: control characters are shown, and nothing is a formula.
fn text(foreign: &str) -> String {
    let shown = cut(foreign, TEXT);
    // Full-width signs, too, begin a formula in East Asian versions; leading space is trimmed by some.
    match shown.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) {
        true => format!("'{shown}"),
        false => shown.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ::csv::ReaderBuilder;

    use super::*;
    use crate::{escape::is_harmful, sample};

    fn rows(table: &str) -> Vec<Vec<String>> {
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(table.as_bytes());
        // The reader refuses rows of unequal length.
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn the_header_names_the_fields() {
        let mut out = WriterBuilder::new().from_writer(Vec::new());
        out.serialize(Line::default()).unwrap();
        let table = String::from_utf8(out.into_inner().unwrap()).unwrap();
        assert_eq!(rows(&table)[0], HEADER);
    }

    #[test]
    fn one_row_for_each_scenario_cell_and_check() {
        let mut record = sample::record();
        record.scenarios.truncate(0);
        assert_eq!(rows(&csv(&record)).len(), 1);
        for record in [sample::record(), sample::hostile()] {
            let table = csv(&record);
            assert_eq!(table, csv(&record));
            let rows = rows(&table);
            let of = |kind: &str| rows.iter().filter(|row| row[0] == kind).count() as u64;
            assert_eq!(of("scenario"), record.scenarios.len() as u64);
            assert_eq!(of("cell"), record.summary.cells.total());
            assert_eq!(of("check"), record.summary.checks.total());
            assert_eq!(rows.len() as u64, 1 + of("scenario") + of("cell") + of("check"));
            assert_eq!(table.matches("\r\n").count(), table.matches('\n').count());
        }
    }

    #[test]
    fn a_row_says_what_the_record_says() {
        let table = csv(&sample::record());
        let expected = "cell,selectors/and-versus-or,core,failed,and,1,,z/a,x/a,pod-ip,80,tcp,ipv4,,deny,allowed,fail,3,70,\
                        ,,,,,\"policy x/p isolates x/a for ingress; rule 0 allows role=backend, z has no such label\"\r\n";
        assert!(table.contains(expected), "{table}");
        let skipped = "scenario,sctp/port-match,core,skipped,,,,,,,,,,,,,skipped,,,,,,,,kernel has no SCTP (errno 93)\r\n";
        assert!(table.contains(skipped), "{table}");
    }

    #[test]
    fn no_field_is_a_formula_or_a_control_character() {
        for row in rows(&csv(&sample::hostile())) {
            for field in row {
                assert!(!field.chars().any(is_harmful), "{field}");
                let formula =
                    field.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
                assert!(!formula, "{field}");
                assert!(field.chars().count() <= TEXT + 1);
            }
        }
    }
}
