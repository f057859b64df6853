//! `verdikt compare`: records, or dataplanes that are run now, held against a reference.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use verdikt_model::{ExitCode, Record};
use verdikt_report::{
    CompareOptions, Comparison, compare as hold_against, compare_human, compare_json, compare_markdown,
    json_text, trend_human, trend_json, trend_markdown,
};

use crate::{
    args::{Compare, CompareFormat, FailOn},
    compared::Compared,
    failure::{Failure, Outcome},
    inputs::read_record,
    terminal,
    ui::Ui,
};

pub(super) fn compare(args: &Compare, ui: &Ui, scratch: &Scratch) -> Outcome {
    match (&args.trend, &args.reference) {
        (Some(folder), _) => trend(folder, args.output),
        (None, Some(reference)) => against(reference, args, ui, scratch),
        (None, None) => unreachable!("clap asks for one of them"),
    }
}

/// Where records lie that nobody wants to keep. The verb's end removes it; so does an interrupt, which leaves the thread
/// of the verb where it is.
#[derive(Clone, Default)]
pub(super) struct Scratch(Arc<Mutex<Option<TempDir>>>);

impl Scratch {
    fn folder(&self) -> Result<PathBuf, Failure> {
        // Records say much of a cluster; they are for nobody else.
        let owner_only = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new()
            .prefix("verdikt-compare-")
            .permissions(owner_only)
            .tempdir()
            .map_err(|e| Failure::setup(format!("cannot make a temporary folder: {e}")))?;
        let path = folder.path().to_owned();
        *self.0.lock().expect("no holder panics") = Some(folder);
        Ok(path)
    }

    /// Removes the folder, if there is one.
    pub(super) fn remove(&self) {
        drop(self.0.lock().expect("no holder panics").take());
    }
}

/// The others against the reference.
fn against(reference: &Compared, args: &Compare, ui: &Ui, scratch: &Scratch) -> Outcome {
    let is_live = |side: &&Compared| !matches!(side, Compared::File(_));
    if std::iter::once(reference).chain(&args.others).find(is_live).is_none() {
        let what = match (args.run_args.is_empty(), &args.keep_records) {
            (false, _) => "arguments after `--`",
            (true, Some(_)) => "--keep-records",
            (true, None) => "",
        };
        if !what.is_empty() {
            return Err(Failure::usage(format!("{what} are for what is run now, and all sides are records"))
                .help("sandbox:PROFILE or context:NAME is run now"));
        }
    }
    let folder: PathBuf = match &args.keep_records {
        Some(folder) => {
            fs::create_dir_all(folder)
                .map_err(|e| Failure::usage(format!("cannot make {}: {e}", folder.display())))?;
            folder.clone()
        }
        None => scratch.folder()?,
    };
    let mut records = Vec::new();
    for (number, side) in std::iter::once(reference).chain(&args.others).enumerate() {
        records.push((side.name(), side.record(number, &folder, &args.run_args)?));
    }
    let [reference, others @ ..] = records.as_slice() else { unreachable!("there is a reference") };
    let comparisons: Vec<Comparison> =
        others.iter().map(|other| hold_against((&reference.0, &reference.1), (&other.0, &other.1))).collect();
    let text = match args.output {
        CompareFormat::Human => {
            let options = CompareOptions { color: ui.color_stdout };
            let each = comparisons.iter().map(|comparison| compare_human(comparison, options));
            each.collect::<Vec<_>>().join("\n")
        }
        CompareFormat::Json => compare_json(&comparisons),
        CompareFormat::Markdown => comparisons.iter().map(compare_markdown).collect::<Vec<_>>().join("\n"),
        CompareFormat::Html => verdikt_report::html(&records),
    };
    terminal::print(&text);
    exit_code(&comparisons, args.fail_on)
}

/// Many records of a folder, over time.
fn trend(folder: &Path, format: CompareFormat) -> Outcome {
    let unreadable =
        |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        let shown = folder.display();
        return Err(Failure::new(ExitCode::NothingSelected, format!("{shown} holds no records (*.json)"))
            .help(format!("`verdikt run --record {shown}/NAME.json` writes one")));
    }
    let records = paths.iter().map(|path| read_record(path)).collect::<Result<Vec<Record>, _>>()?;
    let trend = verdikt_report::trend(&records);
    let text = match format {
        CompareFormat::Human => trend_human(&trend),
        CompareFormat::Json => json_text(&trend_json(&trend)) + "\n",
        CompareFormat::Markdown => trend_markdown(&trend),
        CompareFormat::Html => {
            return Err(Failure::usage("a trend is told as human, json or markdown"));
        }
    };
    terminal::print(&text);
    Ok(ExitCode::Ok)
}

fn exit_code(comparisons: &[Comparison], fail_on: FailOn) -> Outcome {
    if comparisons.iter().any(|c| c.compared.cells + c.compared.checks == 0) {
        return Err(Failure::new(
            ExitCode::NothingSelected,
            "nothing was compared: no scenario was measured on both sides",
        ));
    }
    let fails = match fail_on {
        FailOn::Core => comparisons.iter().any(Comparison::regresses),
        FailOn::Any => comparisons.iter().any(|comparison| !comparison.patterns.is_empty()),
        FailOn::None => false,
    };
    let inconclusive = fail_on != FailOn::None && comparisons.iter().any(Comparison::is_inconclusive);
    Ok(match (fails, inconclusive) {
        (true, _) => ExitCode::Differences,
        (false, true) => ExitCode::Inconclusive,
        (false, false) => ExitCode::Ok,
    })
}
