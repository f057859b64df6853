//! Scenarios as a page of Markdown: `docs/catalogue.md`.

use std::{collections::BTreeMap, fmt::Write};

use crate::{ListEntry, text};

/// A section for each area, with a table of its scenarios.
pub fn list_markdown(entries: &[ListEntry]) -> String {
    let mut areas: BTreeMap<&str, Vec<&ListEntry>> = BTreeMap::new();
    for entry in entries {
        let area = entry.name.split_once('/').map_or("", |(area, _)| area);
        areas.entry(area).or_default().push(entry);
    }
    let mut out = String::from("# The catalogue\n\n");
    let _ = writeln!(
        out,
        "{} by area. This page is made from the files by `ci/generate.sh`. Words are those of the [format](scenario-format.md), \
         statements (N1 to N43) those of the [specification](spec-statements.md).\n\n\
         Scenarios labelled `status: unverified` have not been run yet on a cluster that has what they require; their objects were \
         checked against the schemas of their kinds.\n",
        text::count(entries.len() as u64, "scenario")
    );
    for (area, entries) in areas {
        let _ = writeln!(out, "## {area}\n\n| scenario | level | statements | requires |\n|---|---|---|---|");
        for entry in &entries {
            let unverified = entry.labels.get("status").is_some_and(|status| status == "unverified");
            let _ = writeln!(
                out,
                "| {}<br>{} | {}{} | {} | {} |",
                link(entry),
                cell(&entry.summary),
                entry.level,
                if unverified { "<br>unverified" } else { "" },
                cell(&entry.clauses.join(" ")),
                cell(&entry.requires.join(", ")),
            );
        }
        out.push('\n');
        differences(&entries, &mut out);
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// What is documented of single dataplanes.
fn differences(entries: &[&ListEntry], out: &mut String) {
    let mut known = entries.iter().filter(|entry| !entry.differs.is_empty()).peekable();
    if known.peek().is_none() {
        return;
    }
    out.push_str("Documented differences:\n\n");
    for entry in known {
        let _ = writeln!(out, "- `{}`", entry.name);
        for differs in &entry.differs {
            let source = differs.reference.as_ref().map(|link| format!(" ([source]({link}))"));
            let _ = writeln!(out, "  - {}: {}{}", differs.dataplane, differs.how, source.unwrap_or_default());
        }
    }
    out.push('\n');
}

/// The name, as a link where the file is one of the catalogue's.
fn link(entry: &ListEntry) -> String {
    match entry.source.strip_prefix("catalogue:") {
        Some(path) => format!("[`{}`](../scenarios/{path})", entry.name),
        None => format!("`{}`", entry.name),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use verdikt_model::Level;

    use super::*;
    use crate::KnownDifference;

    #[test]
    fn page() {
        let entry = |name: &str, source: &str| ListEntry {
            name: name.into(),
            level: Level::Core,
            clauses: vec!["N18".into(), "N19".into()],
            requires: vec!["2 nodes".into()],
            differs: Vec::new(),
            cells: 3,
            summary: "This | that".into(),
            labels: BTreeMap::new(),
            source: source.into(),
        };
        let mut first = entry("selectors/and-versus-or", "catalogue:selectors/and-versus-or.yaml");
        let difference = |dataplane: &str, reference: Option<&str>| KnownDifference {
            dataplane: dataplane.into(),
            how: "does otherwise".into(),
            reference: reference.map(str::to_owned),
        };
        first.differs = vec![difference("Cilium", Some("https://example.com/1")), difference("Weave", None)];
        let mut second = entry("cilium/http", "own.yaml");
        second.labels.insert("status".into(), "unverified".into());
        let page = list_markdown(&[first, second]);
        insta::assert_snapshot!(page);
    }
}
