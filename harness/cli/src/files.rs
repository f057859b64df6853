//! From the user's choice to scenarios: paths or the catalogue, diagnostics shown, selection applied.

use std::path::{Path, PathBuf};

use verdikt_model::{ExitCode, KnownDeviations, Scenario};
use verdikt_scenario::{Definitions, Diagnostic, Loaded, Selection, Severity};

use crate::{
    args::Choice,
    failure::{Failure, Outcome},
    terminal,
    ui::Ui,
};

/// Stands for the known deviations that verdikt brings along.
const BUILT_IN: &str = "builtin";
/// Bad files that a failure names one by one.
const MOST_NAMED: usize = 5;

/// What was chosen, and what could not be.
pub(crate) struct Chosen {
    pub(crate) scenarios: Vec<Scenario>,
    /// Files that are wrong; the scenarios of the others were chosen among.
    bad: Option<Failure>,
}

impl Chosen {
    /// Ends a verb that has made do with the good files: they are not all that was named.
    pub(crate) fn end(self) -> Outcome {
        self.bad.map_or(Ok(ExitCode::Ok), Err)
    }
}

/// The chosen scenarios. Every mistake in a chosen file is shown; an error in one stops everything, because a
/// run that silently lacks a scenario looks like success.
pub(crate) fn choose(choice: &Choice, ui: &Ui) -> Result<Vec<Scenario>, Failure> {
    let Chosen { scenarios, bad } = look(choice, ui, NOTHING_RUN)?;
    bad.map_or(Ok(scenarios), Err)
}

/// The chosen scenarios of the files that are good, for verbs that look at each by itself. Every mistake is shown.
pub(crate) fn choose_good(choice: &Choice, ui: &Ui) -> Result<Chosen, Failure> {
    let consequence = Consequence {
        without_files: "their scenarios are left out",
        with_warnings: "their scenarios are here all the same",
    };
    look(choice, ui, consequence)
}

/// What becomes of bad files.
#[derive(Clone, Copy)]
struct Consequence {
    /// Of those with errors.
    without_files: &'static str,
    /// Where there are only warnings, which count because of --strict.
    with_warnings: &'static str,
}

const NOTHING_RUN: Consequence =
    Consequence { without_files: "nothing was run", with_warnings: "nothing was run" };

fn look(choice: &Choice, ui: &Ui, consequence: Consequence) -> Result<Chosen, Failure> {
    let (paths, names) = paths_and_names(choice);
    let loaded = load(&paths)?;
    show(&loaded, ui);
    let bad = bad_files(&loaded, choice.strict, consequence);
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
    let scenarios = selection.apply(loaded.scenarios);
    match (scenarios.is_empty(), bad) {
        // What was meant may be in one of them.
        (true, Some(bad)) => Err(bad),
        (true, None) => {
            let hint = suggestion.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            let folder = names.iter().find(|name| Path::new(name).exists());
            let help = match folder {
                Some(name) => format!("`./{name}` reads the files there; `verdikt list` shows all scenarios"),
                None => "`verdikt list` shows them all".into(),
            };
            // `basics/` is a part of names; whoever writes a slash after what is in no name means a folder.
            let missing = names.iter().find(|name| name.ends_with('/') && !Path::new(name).exists());
            let message = match missing {
                Some(name) => format!(
                    "nothing selected: there is no folder `{name}`, and none of {known} scenarios has `{name}` in its name{hint}"
                ),
                None => format!("nothing selected: none of {known} scenarios matches{hint}"),
            };
            Err(Failure::new(ExitCode::NothingSelected, message).help(help))
        }
        (false, bad) => Ok(Chosen { scenarios, bad }),
    }
}

/// The files of which something is wrong, as a failure. `strict`: warnings count, too.
fn bad_files(loaded: &Loaded, strict: bool, consequence: Consequence) -> Option<Failure> {
    let counts = |d: &&Diagnostic| strict || d.severity == Severity::Error;
    let bad: Vec<&Diagnostic> = loaded.diagnostics.iter().filter(counts).collect();
    let mut files: Vec<&str> = bad.iter().map(|d| d.file.as_str()).collect();
    files.dedup();
    let unreadable = loaded.unreadable.len();
    if files.is_empty() && unreadable == 0 {
        return None;
    }
    let mut what = Vec::new();
    if !files.is_empty() {
        let shown = files.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = match files.len().saturating_sub(MOST_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let errors = bad.iter().filter(|d| d.severity == Severity::Error).count();
        let count = match bad.len() - errors {
            0 => format!("{errors} error(s)"),
            warnings => format!("{errors} error(s) and {warnings} warning(s), which --strict makes errors,"),
        };
        what.push(format!("{count} in {shown}{more}"));
    }
    if unreadable > 0 {
        what.push(format!("{unreadable} file(s) could not be read"));
    }
    let lost = unreadable > 0 || bad.iter().any(|d| d.severity == Severity::Error);
    what.push(if lost { consequence.without_files } else { consequence.with_warnings }.to_owned());
    Some(Failure::usage(what.join("; ")))
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
        show(&loaded, ui);
        if let Some(bad) = bad_files(&loaded, false, NOTHING_RUN) {
            return Err(bad);
        }
        let shown = path.display();
        if loaded.known.is_empty() {
            return Err(Failure::usage(format!(
                "{shown} holds no known deviations, but {} scenarios",
                loaded.scenarios.len()
            ))
            .help("such a document has `kind: KnownDeviations`"));
        }
        known.extend(loaded.known);
    }
    Ok(known)
}

/// Shows on standard error what is wrong with files.
pub(crate) fn show(loaded: &Loaded, ui: &Ui) {
    if !loaded.diagnostics.is_empty() {
        terminal::draw(&verdikt_scenario::render(&loaded.diagnostics, ui.color_stderr, ui.width));
    }
    show_unreadable(loaded);
}

/// Shows on standard error which files of a folder could not be read.
pub(crate) fn show_unreadable(loaded: &Loaded) {
    for error in &loaded.unreadable {
        terminal::say(&error.to_string());
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
