//! `verdikt report`

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// `verdikt report`
#[derive(Debug, Args)]
// `--version` is the implementation's.
#[command(disable_version_flag = true)]
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
    #[command(flatten)]
    pub(crate) implementation: Implementation,
}

/// What a record cannot tell of who made the dataplane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Conformance report")]
pub(crate) struct Implementation {
    /// Who maintains the implementation.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) organization: String,
    /// Name of the implementation; by default the record's dataplane.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) project: String,
    /// Where it is described.
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    pub(crate) url: String,
    /// Its version; by default that of the record's dataplane.
    #[arg(
        long = "version",
        id = "implementation-version",
        value_name = "VERSION",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) version: String,
    /// Whom to ask, such as @name or an address; may be given more than once.
    #[arg(long, value_name = "WHOM", value_delimiter = ',')]
    pub(crate) contact: Vec<String>,
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// One page that needs nothing else, for a browser; several records are compared with the first.
    Html,
    /// A summary for people: GitHub's job summary, a comment, a wiki.
    Markdown,
    /// JUnit XML, for the CI system's list of tests.
    Junit,
    /// A ConformanceReport (YAML), as Kubernetes SIG Network's: what of the catalogue passes.
    Conformance,
    /// A table of every cell and check, for spreadsheets and databases.
    Csv,
    /// GitHub's workflow commands, which show what is wrong beside the job.
    Annotations,
    /// The record itself.
    Json,
}
