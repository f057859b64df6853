//! `verdikt list`

use std::path::PathBuf;

use verdikt_model::{ExitCode, Family, Requirement, Scenario, World, cells};
use verdikt_oracle::STATEMENTS;
use verdikt_report::{CoverageEntry, KnownDifference, ListEntry, escape};

use crate::{
    args::{List, ListFormat},
    failure::{Failure, Outcome},
    files, terminal,
    ui::Ui,
};

pub(super) fn list(args: &List, ui: &Ui) -> Outcome {
    if args.known {
        return known(args, ui);
    }
    if args.coverage {
        return coverage(&files::choose(&args.choice, ui)?, args.output);
    }
    let mut chosen = files::choose_good(&args.choice, ui)?;
    let entries: Vec<ListEntry> = std::mem::take(&mut chosen.scenarios).into_iter().map(entry).collect();
    terminal::print(&match args.output {
        ListFormat::Human => verdikt_report::list_human(&entries),
        ListFormat::Json => verdikt_report::list_json(&entries) + "\n",
        ListFormat::Markdown => verdikt_report::list_markdown(&entries),
        ListFormat::Name => names(entries.iter().map(|entry| &entry.name)),
    });
    chosen.end()
}

/// Known deviations: those that verdikt brings along, or those of files.
fn known(args: &List, ui: &Ui) -> Outcome {
    let built_in = [PathBuf::from("builtin")];
    let paths = if args.choice.files.is_empty() { &built_in[..] } else { &args.choice.files };
    let files = files::known_deviations(paths, ui)?;
    terminal::print(&match args.output {
        ListFormat::Human => verdikt_report::known_human(&files),
        ListFormat::Json => verdikt_report::known_json(&files) + "\n",
        ListFormat::Name => names(files.iter().map(|file| &file.name)),
        ListFormat::Markdown => {
            return Err(Failure::usage("known deviations are printed as human, json or name"));
        }
    });
    Ok(ExitCode::Ok)
}

/// One name a line.
fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("{}\n", escape(name))).collect()
}

fn entry(scenario: Scenario) -> ListEntry {
    ListEntry {
        cells: cells(&World::synthetic(&scenario.topology), Family::ALL).len() * scenario.steps.len(),
        level: scenario.level,
        clauses: scenario.clauses,
        requires: scenario.requires.iter().map(words).collect(),
        differs: scenario
            .differs
            .into_iter()
            .map(|known| KnownDifference {
                dataplane: known.dataplane,
                how: known.how,
                reference: known.reference,
            })
            .collect(),
        summary: scenario.summary,
        labels: scenario.labels,
        name: scenario.name,
        source: scenario.source,
    }
}

/// A requirement in words.
fn words(requirement: &Requirement) -> String {
    match requirement {
        Requirement::Crd(crd) => crd.clone(),
        Requirement::Dataplane(name) => name.clone(),
        Requirement::Sctp => "SCTP".to_owned(),
        Requirement::DualStack => "both IP families".to_owned(),
        Requirement::External => "a host outside the cluster".to_owned(),
        Requirement::Dns(address) => format!("a DNS server at {address}"),
        Requirement::Nodes(nodes) => format!("{nodes} nodes"),
    }
}

fn coverage(scenarios: &[Scenario], form: ListFormat) -> Outcome {
    let entries: Vec<CoverageEntry> = STATEMENTS
        .iter()
        .map(|statement| CoverageEntry {
            statement: statement.name.to_owned(),
            text: statement.text.to_owned(),
            untestable: statement.untestable.map(str::to_owned),
            scenarios: scenarios
                .iter()
                .filter(|scenario| scenario.clauses.iter().any(|clause| clause == statement.name))
                .map(|scenario| scenario.name.clone())
                .collect(),
        })
        .collect();
    terminal::print(&match form {
        ListFormat::Human => verdikt_report::coverage_human(&entries),
        ListFormat::Json => verdikt_report::coverage_json(&entries) + "\n",
        ListFormat::Name => {
            names(entries.iter().filter(|entry| entry.is_missing()).map(|entry| &entry.statement))
        }
        ListFormat::Markdown => {
            return Err(Failure::usage("the coverage is printed as human, json or name"));
        }
    });
    Ok(if entries.iter().any(CoverageEntry::is_missing) { ExitCode::Differences } else { ExitCode::Ok })
}
