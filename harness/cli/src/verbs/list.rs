//! `verdikt list`

use std::io::Write;

use verdikt_model::{ExitCode, Family, World, cells};
use verdikt_report::ListEntry;

use crate::{
    args::{List, ListFormat},
    failure::Outcome,
    files,
    ui::Ui,
};

pub(super) fn list(args: &List, ui: &Ui) -> Outcome {
    let entries: Vec<ListEntry> = files::choose(&args.choice, ui)?
        .into_iter()
        .map(|scenario| ListEntry {
            cells: cells(&World::synthetic(&scenario.topology), Family::ALL).len() * scenario.steps.len(),
            level: scenario.level,
            clauses: scenario.clauses,
            summary: scenario.summary,
            labels: scenario.labels,
            name: scenario.name,
        })
        .collect();
    let mut out = anstream::stdout().lock();
    match args.output {
        ListFormat::Human => write!(out, "{}", verdikt_report::list_human(&entries))?,
        ListFormat::Json => writeln!(out, "{}", verdikt_report::list_json(&entries))?,
        ListFormat::Name => {
            for entry in &entries {
                writeln!(out, "{}", entry.name)?;
            }
        }
    }
    Ok(ExitCode::Ok)
}
