//! `verdikt lint`

use serde_json::json;
use verdikt_model::ExitCode;
use verdikt_report::json_text;
use verdikt_scenario::{Definitions, Severity};

use crate::{
    args::{Lint, ShortFormat},
    failure::{Failure, Outcome},
    files, terminal,
    ui::Ui,
};

pub(super) fn lint(args: &Lint, ui: &Ui) -> Outcome {
    let paths: Vec<_> = args.paths.iter().chain(&args.files).cloned().collect();
    let loaded = if args.crds.is_empty() {
        files::load(&paths)?
    } else {
        let definitions =
            Definitions::load(&args.crds).map_err(|error| Failure::usage(format!("--crds: {error}")))?;
        files::load_against(&paths, &definitions)?
    };
    let count = |severity| loaded.diagnostics.iter().filter(|d| d.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match args.output {
        ShortFormat::Human => {
            terminal::print(&verdikt_scenario::render(&loaded.diagnostics, ui.color_stdout, ui.width));
            let known = match loaded.known.len() {
                0 => String::new(),
                n => format!("{n} documents of known deviations, "),
            };
            let scenarios = loaded.scenarios.len();
            ui.remark(&format!("{scenarios} scenarios, {known}{errors} errors, {warnings} warnings"));
        }
        ShortFormat::Json => {
            let list: Vec<_> = loaded
                .diagnostics
                .iter()
                .map(|d| {
                    json!({
                        "severity": if d.severity == Severity::Error { "error" } else { "warning" },
                        "code": d.code, "message": d.message, "help": d.help,
                        "file": d.file, "line": d.line, "column": d.column,
                    })
                })
                .collect();
            let all = json!({
                "scenarios": loaded.scenarios.len(), "knownDeviations": loaded.known.len(), "diagnostics": list,
                "unreadable": loaded.unreadable.iter().map(ToString::to_string).collect::<Vec<_>>(),
            });
            terminal::print(&(json_text(&all) + "\n"));
        }
    }
    files::show_unreadable(&loaded);
    // Exit code 2 would say that verdikt could not be used; a finding in a file is what lint is for.
    Ok(match (errors + if args.strict { warnings } else { 0 }, loaded.unreadable.len()) {
        (0, 0) => ExitCode::Ok,
        (0, _) => ExitCode::Usage,
        _ => ExitCode::Differences,
    })
}
