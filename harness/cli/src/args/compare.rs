//! `verdikt compare`

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::compared::Compared;

/// `verdikt compare`
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// What the others are held against: a record, or sandbox:PROFILE or context:NAME, which is run now.
    #[arg(value_name = "REFERENCE", required_unless_present = "trend", value_hint = ValueHint::FilePath)]
    pub(crate) reference: Option<Compared>,
    /// What is held against it, in the same words.
    #[arg(value_name = "OTHER", required_unless_present = "trend", value_hint = ValueHint::FilePath)]
    pub(crate) others: Vec<Compared>,
    /// Instead: all records (*.json) of this folder in the order in which they began, scenario by scenario: how each ended, how
    /// often it passes, how long it takes.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["reference", "others", "run_args", "keep_records"], value_hint = ValueHint::DirPath)]
    pub(crate) trend: Option<PathBuf>,
    /// What makes the exit code 1; a trend has nothing to fail on.
    #[arg(long, value_enum, default_value = "core", value_name = "WHAT", env = "VERDIKT_FAIL_ON")]
    pub(crate) fail_on: FailOn,
    /// Form: human, json, markdown or html; a trend has no html.
    #[arg(short = 'o', long = "output", value_enum, default_value = "human", value_name = "FORMAT")]
    pub(crate) output: CompareFormat,
    /// Options of `verdikt run` for what is run now, after `--`: names of scenarios, -l, --settle and so on.
    #[arg(last = true, value_name = "RUN-ARGS")]
    pub(crate) run_args: Vec<String>,
    /// Folder to keep the records of what is run now; otherwise they are not kept.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) keep_records: Option<PathBuf>,
}

/// What makes a comparison fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Something that the specification decides, as expected on the reference, and proved wrong on the other.
    Core,
    /// Anything that differs, also what the specification leaves open.
    Any,
    /// Nothing.
    None,
}

/// Form of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompareFormat {
    Human,
    Json,
    Markdown,
    Html,
}
