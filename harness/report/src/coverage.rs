//! What `verdikt list --coverage` prints: each statement of the specification with the scenarios that test it.

use std::fmt::Write;

use serde::Serialize;

use crate::{
    escape::{NAME, cut},
    json_text::json_text,
    text,
};

/// Columns of a line of scenario names.
const WIDTH: usize = 118;
/// Where those names begin.
const INDENT: usize = 6;

/// One statement.
#[derive(Debug, Clone, Serialize)]
pub struct CoverageEntry {
    /// `N14`
    pub statement: String,
    /// What it says.
    pub text: String,
    /// Why no scenario can test it; null when one can.
    pub untestable: Option<String>,
    /// Names of the scenarios that say they test it.
    pub scenarios: Vec<String>,
}

impl CoverageEntry {
    /// Whether a scenario is missing.
    pub fn is_missing(&self) -> bool {
        self.untestable.is_none() && self.scenarios.is_empty()
    }
}

/// Each statement with its scenarios below it, and a line with totals.
pub fn coverage_human(entries: &[CoverageEntry]) -> String {
    let mut out = String::new();
    for entry in entries {
        let mark = if entry.is_missing() { "  (no scenario)" } else { "" };
        let _ = writeln!(out, "{:5} {}{mark}", entry.statement, entry.text);
        if let Some(why) = &entry.untestable {
            let _ = writeln!(out, "{:INDENT$}not testable: {why}", "");
        }
        let names = entry.scenarios.iter().map(|name| cut(name, NAME).into_owned());
        out.push_str(&text::wrap(names, INDENT, WIDTH));
    }
    let untestable = entries.iter().filter(|entry| entry.untestable.is_some()).count();
    let missing = entries.iter().filter(|entry| entry.is_missing()).count();
    let _ = writeln!(
        out,
        "{}: {} tested, {missing} without a scenario, {untestable} not testable",
        text::count(entries.len() as u64, "statement"),
        entries.len() - untestable - missing,
    );
    out
}

/// The same as a JSON list.
pub fn coverage_json(entries: &[CoverageEntry]) -> String {
    json_text(&entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<CoverageEntry> {
        let entry = |statement: &str, untestable: Option<&str>, scenarios: &[&str]| CoverageEntry {
            statement: statement.into(),
            text: format!("What {statement} says."),
            untestable: untestable.map(str::to_owned),
            scenarios: scenarios.iter().map(|name| (*name).to_owned()).collect(),
        };
        vec![
            entry("N1", None, &["ports/sctp", "ports/icmp"]),
            entry("N2", None, &[]),
            entry("N43", Some("nothing says it"), &[]),
        ]
    }

    #[test]
    fn human() {
        insta::assert_snapshot!(coverage_human(&entries()), @r"
        N1    What N1 says.
              ports/sctp, ports/icmp
        N2    What N2 says.  (no scenario)
        N43   What N43 says.
              not testable: nothing says it
        3 statements: 1 tested, 1 without a scenario, 1 not testable
        ");
    }

    #[test]
    fn json() {
        let json: serde_json::Value = serde_json::from_str(&coverage_json(&entries())).unwrap();
        assert_eq!(json[0]["scenarios"][1], "ports/icmp");
        assert_eq!(json[2]["untestable"], "nothing says it");
    }
}
