//! `verdikt run`

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueHint};
use verdikt_model::{CellPattern, Family};
use verdikt_report::Format;
use verdikt_runner::StatedDataplane;

use super::{Choice, ProbePods, Target};
use crate::values::{dataplane, deadline, duration, format, host_port};

/// `verdikt run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) choice: Choice,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) pods: ProbePods,
    /// Only these cells: `x/a -> y/b:80/tcp`; may be given more than once.
    #[arg(long = "cell", value_name = "PATTERN", help_heading = "Probing")]
    pub(crate) cells: Vec<CellPattern>,
    /// IP families to probe; by default all that the cluster has.
    #[arg(
        long = "ip-family",
        value_name = "FAMILY",
        help_heading = "Probing",
        env = "VERDIKT_IP_FAMILY",
        value_delimiter = ','
    )]
    pub(crate) families: Vec<Family>,
    /// Scenarios at once.
    #[arg(long, value_name = "N", help_heading = "Probing", env = "VERDIKT_LANES", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) lanes: Option<u16>,
    /// How long silence must last to count as dropped: `auto` (from measured round trips) or a duration.
    #[arg(long, value_name = "auto|DUR", default_value = "auto", help_heading = "Probing", env = "VERDIKT_DEADLINE", value_parser = deadline)]
    pub(crate) deadline: Deadline,
    /// How long a step may take until the matrix is as expected: a limit, not a sleep. By default 15s, and 3s on
    /// the sandbox, which enforces within milliseconds.
    #[arg(long, value_name = "DUR", help_heading = "Probing", env = "VERDIKT_SETTLE", value_parser = duration)]
    pub(crate) settle: Option<Duration>,
    /// What enforces policies in a real cluster, where the API does not tell it or tells it wrong: its name as `verdikt
    /// doctor` has it (cilium, calico, …), version and mode; scenarios that need another one are skipped.
    #[arg(long, value_name = "NAME[:VERSION[:MODE]]", help_heading = "Probing", env = "VERDIKT_DATAPLANE", value_parser = dataplane)]
    pub(crate) dataplane: Option<StatedDataplane>,
    /// A host outside a real cluster on which `verdikt-probe serve --tcp PORT` runs: the first stands for `external`, a second
    /// one for `external/2`; naming one again adds a port. Without it, cells with external hosts are skipped. The sandbox has
    /// its own.
    #[arg(long, value_name = "HOST:PORT", help_heading = "Probing", env = "VERDIKT_EXTERNAL", value_delimiter = ',', value_parser = host_port)]
    pub(crate) external: Vec<(String, u16)>,
    /// How often a scenario with wrong or unmeasured cells is tried again; one that failed and then passed is told as flaky.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Probing", env = "VERDIKT_RETRIES")]
    pub(crate) retries: u32,
    /// Run every scenario this often, to find out whether it is stable: one whose attempts disagree is flaky, and that is a finding.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Probing", env = "VERDIKT_REPEAT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeat: u32,
    /// Stop at the first scenario that is not as expected, and with --repeat at the first attempt.
    #[arg(long, help_heading = "Probing", env = "VERDIKT_FAIL_FAST")]
    pub(crate) fail_fast: bool,
    /// File or folder of deviations that the dataplane is known for, `builtin` for those that verdikt brings along: their cells are
    /// `deviation`, not `fail`. Those of other dataplanes, modes and versions are ignored. May be given more than once.
    #[arg(long, value_name = "FILE", help_heading = "Known deviations", env = "VERDIKT_KNOWN_DEVIATIONS", value_delimiter = ',', value_hint = ValueHint::AnyPath)]
    pub(crate) known_deviations: Vec<PathBuf>,
    /// End with exit code 1 when a known deviation does not happen any more.
    #[arg(long, help_heading = "Known deviations", env = "VERDIKT_STRICT_DEVIATIONS")]
    pub(crate) strict_deviations: bool,
    /// Go on with the run of this record: what it has proved is not measured again, and without --record the
    /// record itself is gone on with.
    #[arg(long, value_name = "RECORD", help_heading = "Reports", env = "VERDIKT_RESUME", value_hint = ValueHint::FilePath, conflicts_with = "cells")]
    pub(crate) resume: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reports: Reports,
}

/// Where results go.
#[derive(Debug, Args)]
pub(crate) struct Reports {
    /// Form of the results on standard output: human, wide, json, jsonl or libtest.
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "human", help_heading = "Reports", env = "VERDIKT_OUTPUT", value_parser = format)]
    pub(crate) output: Format,
    /// Write the record of the run (JSON, every cell) to this file; it is complete up to the last scenario
    /// that ended at every moment.
    #[arg(long, value_name = "FILE", help_heading = "Reports", env = "VERDIKT_RECORD", value_hint = ValueHint::FilePath)]
    pub(crate) record: Option<PathBuf>,
    /// Write a JUnit report to this file.
    #[arg(long, value_name = "FILE", help_heading = "Reports", env = "VERDIKT_EXPORT_JUNIT", value_hint = ValueHint::FilePath)]
    pub(crate) export_junit: Option<PathBuf>,
    /// Write a report in Markdown to this file, such as $GITHUB_STEP_SUMMARY.
    #[arg(long, value_name = "FILE", help_heading = "Reports", env = "VERDIKT_EXPORT_MARKDOWN", value_hint = ValueHint::FilePath)]
    pub(crate) export_markdown: Option<PathBuf>,
    /// Write a page for a browser to this file; it needs nothing else.
    #[arg(long, value_name = "FILE", help_heading = "Reports", env = "VERDIKT_EXPORT_HTML", value_hint = ValueHint::FilePath)]
    pub(crate) export_html: Option<PathBuf>,
}

/// `--deadline`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    Auto,
    Fixed(Duration),
}
