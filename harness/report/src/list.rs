//! What `verdikt list` prints.

use std::{collections::BTreeMap, fmt::Write};

use serde::Serialize;
use verdikt_model::Level;

use crate::{
    escape::{NAME, SENTENCE, cut},
    json_text::json_text,
    text,
};

/// One scenario in a list.
#[derive(Debug, Clone, Serialize)]
pub struct ListEntry {
    /// Name.
    pub name: String,
    /// How binding it is.
    pub level: Level,
    /// Statements that it tests.
    pub clauses: Vec<String>,
    /// What the cluster must have, in words.
    pub requires: Vec<String>,
    /// What is documented of single dataplanes.
    pub differs: Vec<KnownDifference>,
    /// Cells over all steps, with both IP families.
    pub cells: usize,
    /// One sentence.
    pub summary: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Where it was read from: a path, or `catalogue:PATH`.
    pub source: String,
}

/// A dataplane that is documented to behave otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct KnownDifference {
    /// Which.
    pub dataplane: String,
    /// What it does.
    pub how: String,
    /// Where that is documented; otherwise null.
    pub reference: Option<String>,
}

/// A table with a heading, and a line with totals.
pub fn list_human(entries: &[ListEntry]) -> String {
    let rows: Vec<[String; 5]> = entries
        .iter()
        .map(|entry| {
            [
                cut(&entry.name, NAME).into_owned(),
                entry.level.to_string(),
                text::thousands(entry.cells as u64),
                cut(&entry.clauses.join(" "), NAME).into_owned(),
                cut(&entry.summary, SENTENCE).into_owned(),
            ]
        })
        .collect();
    let heads = ["NAME", "LEVEL", "CELLS", "CLAUSES", "SUMMARY"];
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].len()]).max().unwrap_or(0)
    };
    let [name, level, cells, clauses] = [0, 1, 2, 3].map(width);
    let mut out = String::new();
    let mut line = |row: [&str; 5]| {
        let [a, b, c, d, e] = row;
        let text = format!("{a:name$}  {b:level$}  {c:>cells$}  {d:clauses$}  {e}");
        let _ = writeln!(out, "{}", text.trim_end());
    };
    line(heads);
    for row in &rows {
        line([&row[0], &row[1], &row[2], &row[3], &row[4]]);
    }
    let total: u64 = entries.iter().map(|entry| entry.cells as u64).sum();
    let _ =
        writeln!(out, "{}, {}", text::count(entries.len() as u64, "scenario"), text::count(total, "cell"));
    out
}

/// The same as a JSON list.
pub fn list_json(entries: &[ListEntry]) -> String {
    json_text(&entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<ListEntry> {
        let entry = |name: &str, level, cells, clauses: &[&str], summary: &str| ListEntry {
            name: name.into(),
            level,
            clauses: clauses.iter().map(|c| (*c).to_owned()).collect(),
            cells,
            summary: summary.into(),
            labels: BTreeMap::new(),
            requires: Vec::new(),
            differs: Vec::new(),
            source: "own.yaml".into(),
        };
        vec![
            entry("selectors/and-versus-or", Level::Core, 648, &["N18", "N19"], "One element is AND"),
            entry(
                "ipblock/pods",
                Level::ImplementationDefined,
                1_296,
                &[],
                "Whether ipBlock\u{1b}[0m matches pods",
            ),
        ]
    }

    #[test]
    fn table() {
        insta::assert_snapshot!(list_human(&entries()), @r"
        NAME                     LEVEL                   CELLS  CLAUSES  SUMMARY
        selectors/and-versus-or  core                      648  N18 N19  One element is AND
        ipblock/pods             implementation-defined  1,296           Whether ipBlock\u{1b}[0m matches pods
        2 scenarios, 1,944 cells
        ");
    }

    #[test]
    fn json() {
        let json: serde_json::Value = serde_json::from_str(&list_json(&entries())).unwrap();
        assert_eq!(json[0]["cells"], 648);
        assert_eq!(json[1]["level"], "implementation-defined");
    }
}
