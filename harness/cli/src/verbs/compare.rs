//! `verdikt compare`: records, or dataplanes that are run now, held against a reference.

use std::{fs, io::Write, path::PathBuf};

use verdikt_model::ExitCode;
use verdikt_report::{
    CompareOptions, Comparison, compare as hold_against, compare_human, compare_json, compare_markdown,
};

use crate::{
    args::{Compare, CompareFormat, FailOn},
    failure::{Failure, Outcome},
    ui::Ui,
};

pub(super) fn compare(args: &Compare, ui: &Ui) -> Outcome {
    let scratch;
    let folder: PathBuf = match &args.keep_records {
        Some(folder) => {
            fs::create_dir_all(folder)
                .map_err(|e| Failure::usage(format!("cannot make {}: {e}", folder.display())))?;
            folder.clone()
        }
        None => {
            scratch = tempfile::tempdir()
                .map_err(|e| Failure::setup(format!("cannot make a temporary folder: {e}")))?;
            scratch.path().to_owned()
        }
    };
    let mut records = Vec::new();
    for (number, side) in std::iter::once(&args.reference).chain(&args.others).enumerate() {
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
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    exit_code(&comparisons, args.fail_on)
}

fn exit_code(comparisons: &[Comparison], fail_on: FailOn) -> Outcome {
    if comparisons.iter().any(|c| c.compared.cells + c.compared.checks == 0) {
        return Err(Failure {
            code: ExitCode::NothingSelected,
            message: "nothing was compared: no scenario was measured on both sides".into(),
        });
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
