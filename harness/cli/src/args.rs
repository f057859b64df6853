//! The command line. Names follow kubectl and cargo-nextest; every option that a CI job may want to set has
//! an environment twin `VERDIKT_…`.

mod compare;
mod image;
mod report;
mod run;
mod target;

use std::{path::PathBuf, time::Duration};

use clap::{
    Args, Parser, Subcommand, ValueEnum, ValueHint,
    builder::styling::{AnsiColor, Effects, Styles},
};
use verdikt_model::CellPattern;
use verdikt_sandbox::{Base, Profile};
use verdikt_scenario::{LabelSelector, Partition};

use crate::values::{duration, namespace_prefix, profile, run_id};

pub(crate) use self::{
    compare::{Compare, CompareFormat, FailOn},
    image::{Agents, Image, ImageVerb, Push},
    report::{Implementation, Report, ReportFormat},
    run::{Deadline, Reports, Run},
    target::{Keep, ProbePods, PullPolicy, RealCluster, Spread, Target},
};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .placeholder(AnsiColor::Cyan.on_default());

/// Measure what a Kubernetes network really allows, and diff it against what NetworkPolicy says.
#[derive(Debug, Parser)]
#[command(
    name = "verdikt",
    version,
    styles = STYLES,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 as expected, 1 differences, 2 usage, 3 set-up, 4 nothing selected, \
                  5 inconclusive, 70 bug in verdikt, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Colour in what is printed; NO_COLOR and CLICOLOR_FORCE are obeyed too.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        env = "VERDIKT_COLOR",
        value_name = "WHEN"
    )]
    pub(crate) color: Color,
    /// Print results only: no progress, no remarks.
    #[arg(short, long, global = true, env = "VERDIKT_QUIET")]
    pub(crate) quiet: bool,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run scenarios with real packets and report where observed and expected differ.
    Run(Box<Run>),
    /// Join the records of partitions, or of runs that were cut short, and report them as one.
    Merge(Merge),
    /// Draw a report from a record, with no cluster.
    Report(Report),
    /// Hold records, or dataplanes that are run now, against a reference: what differs, and why.
    Compare(Compare),
    /// List scenarios.
    List(List),
    /// Check scenario files without touching a cluster.
    Lint(Lint),
    /// Print the matrix that the specification expects, with no cluster.
    Expect(Expect),
    /// Print why the specification expects what it does for one cell, with no cluster.
    Explain(Explain),
    /// Measure verdikt itself, on the embedded sandbox or on a real cluster, and print ratios.
    Bench(Bench),
    /// Start, stop and inspect an embedded cluster for use with kubectl.
    Sandbox(Sandbox),
    /// Remove what runs left in a cluster; without --run or --older-than also that of runs that are still going on.
    Clean(Clean),
    /// Say what this machine, or a cluster, lacks for verdikt to work, and how to mend it.
    Doctor(Doctor),
    /// Make the image of the probe pods: save it as an archive, push it, print its name.
    Image(Image),
    /// Print a JSON Schema.
    Schema(Schema),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages.
    Man {
        /// Folder to write them to; it is made if need be.
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

/// Where scenarios come from, and which.
#[derive(Debug, Clone, Args)]
pub(crate) struct Choice {
    /// Scenarios whose name contains this. A path instead: `-`, what begins with `/`, `./` or `../`, what ends in
    /// `.yaml` or `.yml`, and a folder that is there with a `/` at its end.
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Scenario file or folder, `-` for standard input; instead of the built-in catalogue.
    #[arg(short = 'f', long = "filename", value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) files: Vec<PathBuf>,
    /// Only scenarios with these labels: `feature=ipblock,level!=core`, `feature in (dns,ports)`.
    #[arg(short = 'l', long = "selector", value_name = "LABELS", env = "VERDIKT_SELECTOR")]
    pub(crate) labels: Option<LabelSelector>,
    /// Take NAMEs as whole names.
    #[arg(long)]
    pub(crate) exact: bool,
    /// Leave out scenarios whose name contains this.
    #[arg(long, value_name = "NAME")]
    pub(crate) skip: Vec<String>,
    /// Warnings about scenario files count as errors.
    #[arg(long, env = "VERDIKT_STRICT")]
    pub(crate) strict: bool,
    /// Only the i-th of n parts; every scenario is in exactly one part.
    #[arg(long, value_name = "I/N", env = "VERDIKT_PARTITION")]
    pub(crate) partition: Option<Partition>,
}

/// `verdikt merge`
#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// Records to join; they must be of one cluster.
    #[arg(value_name = "RECORD", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) records: Vec<PathBuf>,
    /// End with exit code 1 when a known deviation does not happen any more.
    #[arg(long, env = "VERDIKT_STRICT_DEVIATIONS")]
    pub(crate) strict_deviations: bool,
    #[command(flatten)]
    pub(crate) reports: Reports,
}

/// `verdikt list`
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// The statements of the specification instead, each with the scenarios that test it; exit code 1 when one that can be tested has
    /// none. As names: those without a scenario.
    #[arg(long)]
    pub(crate) coverage: bool,
    /// The known deviations that verdikt brings along instead, or those of the files named with -f.
    #[arg(long, conflicts_with = "coverage")]
    pub(crate) known: bool,
    /// Form: human, json or name.
    #[arg(short = 'o', long = "output", value_enum, default_value = "human", value_name = "FORMAT")]
    pub(crate) output: ListFormat,
}

/// Form of `verdikt list`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    Human,
    Json,
    Name,
    /// A page, for docs/catalogue.md.
    #[value(hide = true)]
    Markdown,
}

/// Form of `verdikt expect` and other short answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShortFormat {
    Human,
    Json,
}

/// `verdikt lint`
#[derive(Debug, Args)]
pub(crate) struct Lint {
    /// Files of scenarios or known deviations, folders, `-` for standard input; by default the built-in catalogue.
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// The same as PATH, as in the other verbs.
    #[arg(short = 'f', long = "filename", value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) files: Vec<PathBuf>,
    /// Check objects of other kinds against the CustomResourceDefinitions of this file or folder; may be given again.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) crds: Vec<PathBuf>,
    /// Warnings count as errors: exit code 1.
    #[arg(long, env = "VERDIKT_STRICT")]
    pub(crate) strict: bool,
    /// Form: human or json.
    #[arg(short = 'o', long = "output", value_enum, default_value = "human", value_name = "FORMAT")]
    pub(crate) output: ShortFormat,
}

/// `verdikt expect`
#[derive(Debug, Args)]
pub(crate) struct Expect {
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Form: human or json.
    #[arg(short = 'o', long = "output", value_enum, default_value = "human", value_name = "FORMAT")]
    pub(crate) output: ShortFormat,
}

/// `verdikt explain`
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// The cell: `x/a -> y/b:80/tcp`.
    #[arg(long = "cell", value_name = "PATTERN", required = true)]
    pub(crate) cell: CellPattern,
    /// Only this step; by default all.
    #[arg(long, value_name = "NAME")]
    pub(crate) step: Option<String>,
    /// Form: human or json.
    #[arg(short = 'o', long = "output", value_enum, default_value = "human", value_name = "FORMAT")]
    pub(crate) output: ShortFormat,
}

/// `verdikt bench`
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) cluster: RealCluster,
    #[command(flatten)]
    pub(crate) probe_pods: ProbePods,
    /// Pods of the large matrix; it has the square of it cells.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub(crate) pods: u16,
    /// How often each measurement is repeated; the median counts.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) repeat: u16,
    /// Form: human or json.
    #[arg(short = 'o', long = "output", value_enum, default_value = "human", value_name = "FORMAT")]
    pub(crate) output: ShortFormat,
}

/// `verdikt sandbox`
#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    #[command(subcommand)]
    pub(crate) verb: SandboxVerb,
}

/// `verdikt sandbox …`
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxVerb {
    /// Start a sandbox in the background and say how kubectl reaches it.
    Up {
        /// Its behaviour: BASE[+TRAIT[=VALUE]]….
        #[arg(default_value = "reference", value_parser = profile)]
        profile: Profile,
    },
    /// Stop it.
    Down,
    /// Say whether one is running.
    Status,
    /// Print its kubeconfig.
    Kubeconfig,
    /// List the words of profiles: bases and traits, with evidence of what is emulated.
    Profiles {
        /// Only this base, in detail.
        base: Option<Base>,
        /// Form: human or json.
        #[arg(short = 'o', long = "output", value_enum, default_value = "human", value_name = "FORMAT")]
        output: ShortFormat,
    },
    /// Serve in the foreground; `up` starts this.
    #[command(hide = true)]
    Serve {
        #[arg(value_parser = profile)]
        profile: Profile,
    },
}

/// `verdikt clean`
#[derive(Debug, Args)]
pub(crate) struct Clean {
    #[command(flatten)]
    pub(crate) cluster: RealCluster,
    /// Only this run.
    #[arg(long, value_name = "ID", value_parser = run_id)]
    pub(crate) run: Option<String>,
    /// Only runs that started longer ago than this.
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub(crate) older_than: Option<Duration>,
    /// Say what would be removed and remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `verdikt doctor`
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) cluster: RealCluster,
    /// Leave out the trial on a cluster: otherwise one pod in one disposable namespace shows whether the image can be
    /// pulled, Pod Security lets it in, and its agent answers. Both are removed again.
    #[arg(long)]
    pub(crate) no_pod: bool,
    /// First word of the name of the disposable namespace.
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "verdikt",
        env = "VERDIKT_NAMESPACE_PREFIX",
        value_parser = namespace_prefix
    )]
    pub(crate) namespace_prefix: String,
    /// Print the least ClusterRole that verdikt needs, bound to a service account, for `kubectl apply -f -`; no
    /// cluster is asked.
    #[arg(long, help_heading = "Rights")]
    pub(crate) print_rbac: bool,
    /// With --print-rbac: with the rights for scenarios that have policies of Cilium's, Calico's, Antrea's, Istio's or
    /// the network policy API's kinds.
    #[arg(long, requires = "print_rbac", help_heading = "Rights")]
    pub(crate) with_crds: bool,
    /// Form: human or json.
    #[arg(short = 'o', long = "output", value_enum, default_value = "human", value_name = "FORMAT")]
    pub(crate) output: ShortFormat,
    #[command(flatten)]
    pub(crate) pods: ProbePods,
}

/// `verdikt schema`
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Of what.
    #[arg(value_enum)]
    pub(crate) of: SchemaOf,
}

/// What a schema can be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// Scenario files.
    Scenario,
    /// Files of known deviations.
    KnownDeviations,
    /// The record of a run.
    Record,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_value_of_an_option_is_taken_for_a_path() {
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        let options = command.get_arguments().chain(run.get_arguments()).filter(|arg| !arg.is_positional());
        for arg in options {
            let names = arg.get_long().map(|long| format!("--{long}"));
            for name in names.into_iter().chain(arg.get_short().map(|short| format!("-{short}"))) {
                let words = ["verdikt", "run", &name, "./v"].map(str::to_owned);
                let (flags, value) = (verdikt_report::target_flags(&words), words[2..].to_vec());
                let file = ["-f", "./v"].map(str::to_owned).to_vec();
                let expected = match arg.get_action().takes_values() {
                    true => [vec![], value],
                    false => [file.clone(), [vec![name.clone()], file].concat()],
                };
                assert!(expected.contains(&flags), "{name}: {flags:?}");
            }
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "5", "s", "-1s", "1d", "99h", "1e3s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(crate::values::deadline("auto"), Ok(Deadline::Auto));
        assert!(crate::values::deadline("1ms").is_err());
    }
}
