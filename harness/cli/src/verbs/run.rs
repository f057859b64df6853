//! `verdikt run`: chooses, connects, runs, and feeds the events to every reporter that was asked for.

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::mpsc;
use verdikt_model::{Event, ExitCode, Summary};
use verdikt_report::{
    Format, JsonReporter, JsonlReporter, LibtestReporter, ProgressOptions, ProgressReporter, RecordBuilder,
    RecordFile, Reporter, TerminalOptions, TerminalReporter,
};
use verdikt_runner::{Options, RunError, Stop};

use crate::{
    args::{Deadline, Keep, Run},
    failure::{Failure, Outcome},
    files, signals, target,
    ui::Ui,
};

/// Default limit of a step on a real cluster: peers wait 5–30 s.
const SETTLE: Duration = Duration::from_secs(15);
/// The same on the sandbox, so that a profile which enforces nothing is not waited for.
const SETTLE_SANDBOX: Duration = Duration::from_secs(3);

pub(super) async fn run(args: Run, ui: Ui) -> Outcome {
    let stop = Stop::new();
    let stopper = stop.clone();
    let prefix = args.target.namespace_prefix.clone();
    let real = args.target.is_real();
    signals::watch(
        move || stopper.stop(),
        move || match real {
            true => format!(
                "stopped at once: namespaces that begin with `{prefix}-` may be left; `verdikt clean` with the \
                 same target removes them"
            ),
            false => "stopped at once: the sandbox ends with this process, nothing is left".to_owned(),
        },
    )?;
    let scenarios = files::choose(&args.choice, &ui)?;
    let reporters = Reporters::new(&args, &ui)?;

    let connected = tokio::select! {
        connected = target::connect(&args.target) => connected?,
        () = stop.stopped() => return Ok(ExitCode::Interrupted),
    };
    let (events, inbox) = mpsc::unbounded_channel();
    let reporting = tokio::task::spawn_blocking(move || reporters.consume(inbox));
    let cells = !args.cells.is_empty();
    let finished = verdikt_runner::run(&connected.cluster, scenarios, options(&args), events, stop).await;
    let reported = reporting.await.map_err(|e| Failure::internal(format!("a report failed: {e}")))?;
    connected.close().await;
    let finished = finished.map_err(Failure::setup)?;
    for left in &finished.left_behind {
        eprintln!(
            "left behind: {left}; `verdikt clean --run {}` with the same target removes it",
            finished.run.id
        );
    }
    match finished.trouble {
        Some(bug @ RunError::Panicked(_)) => return Err(Failure::internal(bug)),
        Some(other) => return Err(Failure::setup(other)),
        None => {}
    }
    reported?;
    if finished.interrupted {
        return Ok(ExitCode::Interrupted);
    }
    let scenarios = &finished.summary.scenarios;
    if scenarios.passed + scenarios.failed + scenarios.errored > 0 {
        return Ok(exit_code(&finished.summary));
    }
    Err(nothing_measured(scenarios.skipped, cells))
}

/// A run without a single measured cell proves nothing, and must not look like success.
fn nothing_measured(skipped: u32, cells: bool) -> Failure {
    if cells {
        return Failure {
            code: ExitCode::NothingSelected,
            message:
                "nothing was measured: no scenario has a cell that matches --cell and can be probed here\n  \
                      help: `verdikt expect` shows the cells of a scenario"
                    .into(),
        };
    }
    let message =
        format!("nothing was measured: all {skipped} scenarios were skipped; the reasons are above");
    Failure { code: ExitCode::Inconclusive, message }
}

/// The exit code of a run that went to its end.
fn exit_code(summary: &Summary) -> ExitCode {
    if summary.scenarios.failed > 0 {
        ExitCode::Differences
    } else if summary.scenarios.errored > 0 {
        ExitCode::Inconclusive
    } else {
        ExitCode::Ok
    }
}

fn options(args: &Run) -> Options {
    Options {
        lanes: args.lanes.map_or_else(default_lanes, usize::from),
        deadline: match args.deadline {
            Deadline::Auto => verdikt_runner::Deadline::Auto,
            Deadline::Fixed(duration) => verdikt_runner::Deadline::Fixed(duration),
        },
        settle: args.settle.unwrap_or(if args.target.is_real() { SETTLE } else { SETTLE_SANDBOX }),
        retries: args.retries,
        fail_fast: args.fail_fast,
        allow_cluster_scoped: args.target.allow_cluster_scoped,
        keep: match args.target.keep {
            Keep::Never => verdikt_runner::Keep::Never,
            Keep::OnFailure => verdikt_runner::Keep::OnFailure,
            Keep::Always => verdikt_runner::Keep::Always,
        },
        families: args.families.clone(),
        cells: args.cells.clone(),
        image: args.target.image.clone(),
        namespace_prefix: args.target.namespace_prefix.clone(),
        command: command_line(),
        ..Options::default()
    }
}

/// Probing waits more than it works, so a few lanes for each processor.
fn default_lanes() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).saturating_mul(3).clamp(2, 8)
}

/// Everything that listens to the run.
struct Reporters {
    live: Vec<Box<dyn Reporter + Send>>,
    junit: Option<(PathBuf, RecordBuilder)>,
}

impl Reporters {
    fn new(args: &Run, ui: &Ui) -> Result<Self, Failure> {
        let mut live: Vec<Box<dyn Reporter + Send>> = Vec::new();
        let mut stdout: Box<dyn Write + Send> = Box::new(std::io::stdout());
        if !ui.quiet {
            let progress = ProgressReporter::new(ProgressOptions {
                terminal: std::io::stderr().is_terminal(),
                color: ui.color_stderr,
                // The human form prints a line for each scenario itself.
                lines: !matches!(args.output, Format::Human | Format::Wide),
            });
            stdout = progress.guard(stdout);
            live.push(Box::new(progress));
        }
        live.push(match args.output {
            Format::Human | Format::Wide => Box::new(TerminalReporter::new(
                stdout,
                TerminalOptions {
                    wide: args.output == Format::Wide,
                    color: ui.color_stdout,
                    width: ui.width,
                    target_flags: verdikt_report::target_flags(&command_line()),
                },
            )),
            Format::Json => Box::new(JsonReporter::new(stdout)),
            Format::Jsonl => Box::new(JsonlReporter::new(stdout)),
            Format::Libtest => Box::new(LibtestReporter::new(stdout)),
        });
        if let Some(path) = &args.record {
            live.push(Box::new(RecordFile::create(path).map_err(|e| cannot_write(path, &e))?));
        }
        let junit = args.export_junit.as_ref().map(|path| {
            // Found out now rather than after an hour of probing.
            std::fs::File::create(path)
                .map(|_| (path.clone(), RecordBuilder::new()))
                .map_err(|e| cannot_write(path, &e))
        });
        Ok(Self { live, junit: junit.transpose()? })
    }

    /// Hands every event to every reporter until the run is over.
    fn consume(mut self, mut inbox: mpsc::UnboundedReceiver<Event>) -> Result<(), Failure> {
        // A report that cannot be written must not take the others with it; the first such error is told at the end.
        let mut broken: Option<std::io::Error> = None;
        let mut note = |written: std::io::Result<()>| match go_on(written) {
            Err(error) if broken.is_none() => broken = Some(error),
            _ => {}
        };
        while let Some(event) = inbox.blocking_recv() {
            for reporter in &mut self.live {
                note(reporter.event(&event));
            }
            if let Some((_, builder)) = &mut self.junit {
                note(builder.event(&event));
            }
        }
        for reporter in &mut self.live {
            note(reporter.finish());
        }
        if let Some((path, builder)) = self.junit
            && let Some(record) = builder.build()
        {
            std::fs::write(&path, verdikt_report::junit(&record)).map_err(|e| cannot_write(&path, &e))?;
        }
        broken.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Who reads standard output may have seen enough; the run and its files go on.
fn go_on(written: std::io::Result<()>) -> std::io::Result<()> {
    match written {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot write {}: {error}", path.display()))
}

/// The command line as text; what is no UTF-8 in it is replaced.
fn command_line() -> Vec<String> {
    std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect()
}
