//! `verdikt report`

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// `verdikt report`
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The record, as `run --record` or `merge --record` wrote it.
    #[arg(value_name = "RECORD", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) records: Vec<PathBuf>,
    /// Form of the report.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: ReportFormat,
    /// Write it to this file; by default to standard output.
    #[arg(short = 'o', long = "output", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// JUnit XML, for the CI system's list of tests.
    Junit,
    /// The record itself.
    Json,
}
