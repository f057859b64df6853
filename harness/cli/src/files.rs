//! From the user's choice to scenarios: paths or the catalogue, diagnostics shown, selection applied.

use std::path::{Path, PathBuf};

use verdikt_model::{ExitCode, KnownDeviations, Scenario};
use verdikt_scenario::{Definitions, Diagnostic, Loaded, Selection, Severity};

use crate::{args::Choice, failure::Failure, ui::Ui};

/// Stands for the known deviations that verdikt brings along.
const BUILT_IN: &str = "builtin";

/// The chosen scenarios. Every mistake in a chosen file is shown; an error in one stops everything, because a
/// run that silently lacks a scenario looks like success.
pub(crate) fn choose(choice: &Choice, ui: &Ui) -> Result<Vec<Scenario>, Failure> {
    let (paths, names) = paths_and_names(choice);
    let loaded = load(&paths)?;
    show(&loaded.diagnostics, ui);
    let errors = loaded.diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    if errors > 0 {
        return Err(Failure::usage(format!("{errors} error(s) in scenario files; nothing was run")));
    }
    if !loaded.known.is_empty() {
        ui.remark("known deviations among the scenarios are not taken into account: name them with --known-deviations");
    }
    let known = loaded.scenarios.len();
    let selection = Selection {
        names: names.clone(),
        exact: choice.exact,
        skip: choice.skip.clone(),
        labels: choice.labels.iter().cloned().collect(),
        partition: choice.partition,
    };
    let suggestion = nearest(&names, &loaded.scenarios);
    let chosen = selection.apply(loaded.scenarios);
    if chosen.is_empty() {
        let hint = suggestion.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        let folder = names.iter().find(|name| Path::new(name).exists());
        let help = match folder {
            Some(name) => format!("`./{name}` reads the files there; `verdikt list` shows all scenarios"),
            None => "`verdikt list` shows them all".into(),
        };
        return Err(Failure {
            code: ExitCode::NothingSelected,
            message: format!("nothing selected: none of {known} scenarios matches{hint}\n  help: {help}"),
        });
    }
    Ok(chosen)
}

/// Loads paths, or the catalogue when there are none.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Loaded, Failure> {
    if paths.is_empty() {
        return Ok(verdikt_scenario::catalogue());
    }
    verdikt_scenario::load(paths).map_err(Failure::usage)
}

/// Like [`load()`], and checks objects of other kinds against their definitions.
pub(crate) fn load_against(paths: &[PathBuf], definitions: &Definitions) -> Result<Loaded, Failure> {
    if paths.is_empty() {
        return Ok(verdikt_scenario::catalogue_against(definitions));
    }
    verdikt_scenario::load_against(paths, definitions).map_err(Failure::usage)
}

/// Files of known deviations; `builtin` stands for those that verdikt brings along.
pub(crate) fn known_deviations(paths: &[PathBuf], ui: &Ui) -> Result<Vec<KnownDeviations>, Failure> {
    let mut known = Vec::new();
    for path in paths {
        let loaded = if path.as_os_str() == BUILT_IN {
            verdikt_scenario::known_deviations()
        } else {
            load(std::slice::from_ref(path))?
        };
        show(&loaded.diagnostics, ui);
        let errors = loaded.diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
        let shown = path.display();
        if errors > 0 {
            return Err(Failure::usage(format!("{errors} error(s) in {shown}; nothing was run")));
        }
        if loaded.known.is_empty() {
            return Err(Failure::usage(format!(
                "{shown} holds no known deviations, but {} scenarios\n  help: such a document has \
                 `kind: KnownDeviations`",
                loaded.scenarios.len()
            )));
        }
        known.extend(loaded.known);
    }
    Ok(known)
}

/// Shows diagnostics on standard error.
pub(crate) fn show(diagnostics: &[Diagnostic], ui: &Ui) {
    if !diagnostics.is_empty() {
        eprint!("{}", verdikt_scenario::render(diagnostics, ui.color_stderr, ui.width));
    }
}

/// `verdikt run my-policies/` reads a folder: a NAME that can only be a path is one.
fn paths_and_names(choice: &Choice) -> (Vec<PathBuf>, Vec<String>) {
    let mut paths = choice.files.clone();
    let mut names = Vec::new();
    for name in &choice.names {
        if verdikt_report::is_path(name) || is_folder(name) {
            paths.push(name.into())
        } else {
            names.push(name.clone())
        }
    }
    (paths, names)
}

fn nearest(names: &[String], scenarios: &[Scenario]) -> Option<String> {
    let name = names.first()?;
    scenarios
        .iter()
        .map(|s| (strsim::jaro_winkler(name, &s.name), &s.name))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.clone())
}

/// Whether a NAME is a folder that is there: `basics/` is a part of names otherwise.
pub(crate) fn is_folder(name: &str) -> bool {
    name.ends_with('/') && std::path::Path::new(name).is_dir()
}
