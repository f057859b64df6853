//! `verdikt compare`

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::compared::Compared;

/// `verdikt compare`
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// What the others are held against: a record, or sandbox:PROFILE or context:NAME, which is run now.
    #[arg(value_name = "REFERENCE", value_hint = ValueHint::FilePath)]
    pub(crate) reference: Compared,
    /// What is held against it, in the same words.
    #[arg(value_name = "OTHER", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) others: Vec<Compared>,
    /// What makes the exit code 1.
    #[arg(long, value_enum, default_value = "core", value_name = "WHAT", env = "VERDIKT_FAIL_ON")]
    pub(crate) fail_on: FailOn,
    /// Form: human, json or markdown.
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
}
