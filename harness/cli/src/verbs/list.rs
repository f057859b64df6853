//! `verdikt list`

use std::{io::Write, path::PathBuf};

use verdikt_model::{ExitCode, Family, Requirement, Scenario, World, cells};
use verdikt_oracle::STATEMENTS;
use verdikt_report::{CoverageEntry, KnownDifference, ListEntry};

use crate::{
    args::{List, ListFormat},
    failure::{Failure, Outcome},
    files,
    ui::Ui,
};

pub(super) fn list(args: &List, ui: &Ui) -> Outcome {
    if args.known {
        return known(args, ui);
    }
    let mut out = anstream::stdout().lock();
    if args.coverage {
        return coverage(&files::choose(&args.choice, ui)?, args.output, &mut out);
    }
    let mut chosen = files::choose_good(&args.choice, ui)?;
    let entries: Vec<ListEntry> = std::mem::take(&mut chosen.scenarios).into_iter().map(entry).collect();
    match args.output {
        ListFormat::Human => write!(out, "{}", verdikt_report::list_human(&entries))?,
        ListFormat::Json => writeln!(out, "{}", verdikt_report::list_json(&entries))?,
        ListFormat::Markdown => write!(out, "{}", verdikt_report::list_markdown(&entries))?,
        ListFormat::Name => {
            for entry in &entries {
                writeln!(out, "{}", entry.name)?;
            }
        }
    }
    chosen.end()
}

/// Known deviations: those that verdikt brings along, or those of files.
fn known(args: &List, ui: &Ui) -> Outcome {
    let built_in = [PathBuf::from("builtin")];
    let paths = if args.choice.files.is_empty() { &built_in[..] } else { &args.choice.files };
    let files = files::known_deviations(paths, ui)?;
    let mut out = anstream::stdout().lock();
    match args.output {
        ListFormat::Human => write!(out, "{}", verdikt_report::known_human(&files))?,
        ListFormat::Json => writeln!(out, "{}", verdikt_report::known_json(&files))?,
        ListFormat::Name => {
            for file in &files {
                writeln!(out, "{}", file.name)?;
            }
        }
        ListFormat::Markdown => {
            return Err(Failure::usage("known deviations are printed as human, json or name"));
        }
    }
    Ok(ExitCode::Ok)
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

fn coverage(scenarios: &[Scenario], form: ListFormat, out: &mut impl Write) -> Outcome {
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
    match form {
        ListFormat::Human => write!(out, "{}", verdikt_report::coverage_human(&entries))?,
        ListFormat::Json => writeln!(out, "{}", verdikt_report::coverage_json(&entries))?,
        ListFormat::Name => {
            for entry in entries.iter().filter(|entry| entry.is_missing()) {
                writeln!(out, "{}", entry.statement)?;
            }
        }
        ListFormat::Markdown => {
            return Err(Failure::usage("the coverage is printed as human, json or name"));
        }
    }
    Ok(if entries.iter().any(CoverageEntry::is_missing) { ExitCode::Differences } else { ExitCode::Ok })
}
