//! `verdikt run`: chooses, connects, runs, and feeds the events to every reporter that was asked for.

use std::{path::PathBuf, time::Duration};

use tokio::sync::mpsc;
use verdikt_model::{DeviationRecord, DeviationState, ExitCode, KnownDeviations, RunInfo, Scenario, Summary};
use verdikt_runner::{Finished, Options, Resumed, RunError, Stop};

use crate::{
    args::{Deadline, Keep, Run},
    external,
    failure::{Failure, Outcome, with_unwritten},
    files,
    inputs::{apart, read_record},
    pods::deploy_options,
    reporters::Reporters,
    signals, target, terminal,
    ui::Ui,
};

/// Default limit of a step on a real cluster: peers wait 5–30 s.
const SETTLE: Duration = Duration::from_secs(15);
/// The same on the sandbox, so that a profile which enforces nothing is not waited for.
const SETTLE_SANDBOX: Duration = Duration::from_secs(3);

/// The same where a deny-all has shown that there is nothing to wait for.
const SETTLE_UNENFORCED: Duration = Duration::from_secs(2);

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
    if args.repeat > 1 && args.retries > 0 {
        return Err(Failure::usage(
            "--repeat asks whether scenarios are stable, and --retries hides that they are not; leave one of them out",
        ));
    }
    // Who types or pipes something in may never come to an end.
    let prepared = tokio::select! {
        prepared = apart(move || prepare(args, ui)) => prepared?,
        () = stop.stopped() => return Ok(ExitCode::Interrupted),
    };
    let Prepared { args, scenarios, known, resumed, reporters } = prepared;

    let connected = tokio::select! {
        connected = target::connect(&args.target) => connected?,
        () = stop.stopped() => return Ok(ExitCode::Interrupted),
    };
    let (events, inbox) = mpsc::unbounded_channel();
    let reporting = tokio::task::spawn_blocking({
        let stop = stop.clone();
        move || reporters.consume(inbox, || stop.stop())
    });
    let external = external::hosts(&args.external, args.target.is_real()).await?;
    let options = Options { resumed, external, known, ..options(&args) };
    let finished = verdikt_runner::run(&connected.cluster, scenarios, options, events, stop.clone()).await;
    let ended = stop.is_stopped();
    let written = tokio::select! {
        written = reporting => Some(written.map_err(|e| Failure::internal(format!("a report failed: {e}")))),
        // A pipe that nobody reads.
        () = stop.stopped(), if !ended => None,
    };
    connected.close().await;
    let Some(written) = written.transpose()? else { return Ok(ExitCode::Interrupted) };
    let outcome = judge(finished, &args, written.refused);
    terminal::told(with_unwritten(outcome, written.failures))
}

/// What a run begins with.
struct Prepared {
    args: Run,
    scenarios: Vec<Scenario>,
    known: Vec<KnownDeviations>,
    resumed: Option<Resumed>,
    reporters: Reporters,
}

/// Reads everything that a run reads, and tries everything that it writes to.
fn prepare(mut args: Run, ui: Ui) -> Result<Prepared, Failure> {
    let mut scenarios = files::choose(&args.choice, &ui)?;
    let known = files::known_deviations(&args.known_deviations, &ui)?;
    let (inputs, records) = (inputs(&args), args.resume.iter().cloned().collect::<Vec<_>>());
    let resumed = resumed(&mut args, &mut scenarios)?;
    let reporters = Reporters::new(&args.reports, &command_line(&args.choice.names), &inputs, &records, &ui)?;
    Ok(Prepared { args, scenarios, known, resumed, reporters })
}

/// The files that a run reads, but for the record that is gone on with.
fn inputs(args: &Run) -> Vec<PathBuf> {
    let names = args.choice.names.iter().filter(|name| verdikt_report::is_path(name)).map(PathBuf::from);
    let named = args.choice.files.iter().chain(&args.known_deviations).cloned();
    names.chain(named).chain(args.target.kubeconfig.clone()).collect()
}

/// How a run ended. `refused`: it was stopped at its start, because its record could not be begun.
fn judge(finished: Result<Finished, RunError>, args: &Run, refused: bool) -> Outcome {
    let finished = finished.map_err(|error| match error {
        RunError::Resume(_) => Failure::usage(error),
        error => Failure::setup(error),
    })?;
    for left in &finished.left_behind {
        terminal::say(&format!(
            "left behind: {left}; `verdikt clean --run {}` with the same target removes it",
            finished.run.id
        ));
    }
    let scenarios = &finished.summary.scenarios;
    let code = exit_code(&finished.run, &finished.summary, &finished.deviations, args.strict_deviations);
    match finished.trouble {
        Some(bug @ RunError::Panicked(_)) => return Err(Failure::internal(bug)),
        // What was proved before stays proved.
        Some(other) if code == ExitCode::Differences => terminal::error_line(&Failure::setup(other)),
        Some(other) => return Err(Failure::setup(other)),
        None => {}
    }
    if finished.interrupted && refused {
        return Ok(code);
    }
    if finished.interrupted {
        return Ok(ExitCode::Interrupted);
    }
    if scenarios.total() > scenarios.skipped {
        return Ok(code);
    }
    let open = finished.summary.cells.pass + finished.summary.checks.pass;
    Err(match open {
        0 => nothing_measured(scenarios.skipped, !args.cells.is_empty()),
        _ => nothing_proved(open),
    })
}

/// The results of an earlier run; the scenarios that they prove are not run again.
fn resumed(args: &mut Run, scenarios: &mut Vec<Scenario>) -> Result<Option<Resumed>, Failure> {
    let Some(path) = &args.resume else { return Ok(None) };
    let resumed = Resumed::new(read_record(path)?, scenarios, args.repeat);
    if let (None, Some(one)) = (&args.reports.record, resumed.unselected.first()) {
        return Err(Failure::usage(format!(
            "{} proves {} scenarios that are not chosen now, such as {one}, and would lose them",
            path.display(),
            resumed.unselected.len()
        ))
        .help("choose as that run did, or write to another file with --record"));
    }
    args.reports.record.get_or_insert_with(|| path.clone());
    Ok(Some(resumed))
}

/// Neither does one in which whatever was measured would have been as expected in any case.
fn nothing_proved(open: u64) -> Failure {
    let message = format!(
        "nothing was proved: of {open} cells and checks that were measured none shows that a policy is in force; the \
         reasons are above, and what was seen is in the record"
    );
    Failure::new(ExitCode::Inconclusive, message)
}

/// A run without a single measured cell proves nothing, and must not look like success.
fn nothing_measured(skipped: u32, cells: bool) -> Failure {
    if cells {
        return Failure::new(
            ExitCode::NothingSelected,
            "nothing was measured: no scenario has a cell that matches --cell and can be probed here",
        )
        .help("`verdikt expect` shows the cells of a scenario");
    }
    Failure::new(
        ExitCode::Inconclusive,
        format!("nothing was measured: all {skipped} scenarios were skipped; the reasons are above"),
    )
}

/// The exit code of a run that went to its end. `strict`: whether a known deviation must happen.
pub(super) fn exit_code(
    run: &RunInfo,
    summary: &Summary,
    known: &[DeviationRecord],
    strict: bool,
) -> ExitCode {
    let fixed = strict && known.iter().any(|of| of.state == DeviationState::Fixed);
    let unstable = run.is_repeated() && summary.scenarios.flaky > 0;
    if summary.scenarios.failed > 0 || unstable || fixed {
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
        settle_unenforced: args.settle.unwrap_or(SETTLE_UNENFORCED),
        retries: args.retries,
        repeat: args.repeat,
        fail_fast: args.fail_fast,
        allow_cluster_scoped: args.target.allow_cluster_scoped,
        allow_kinds: args.target.allow_kinds.clone(),
        keep: match args.target.keep {
            Keep::Never => verdikt_runner::Keep::Never,
            Keep::OnFailure => verdikt_runner::Keep::OnFailure,
            Keep::Always => verdikt_runner::Keep::Always,
        },
        dataplane: args.dataplane.clone().filter(|_| args.target.is_real()),
        families: args.families.clone(),
        cells: args.cells.clone(),
        // The sandbox says itself what it enforces.
        check_enforcement: args.target.is_real(),
        deploy: deploy_options(&args.pods),
        pull_secret: args.pods.image_pull_secret.clone(),
        namespace_prefix: args.target.namespace_prefix.clone(),
        today: jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date(),
        command: command_line(&args.choice.names),
        partition: args.choice.partition.map(|partition| partition.to_string()),
        ..Options::default()
    }
}

/// Probing waits more than it works, so a few lanes for each processor.
fn default_lanes() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).saturating_mul(4).clamp(2, 8)
}

/// The command line as text; what is no UTF-8 in it is replaced. Of these NAMEs, folders are written so that the word alone
/// says it.
fn command_line(names: &[String]) -> Vec<String> {
    let word = |arg: String| {
        if names.contains(&arg) && files::is_folder(&arg) && !verdikt_report::is_path(&arg) {
            format!("./{arg}")
        } else {
            arg
        }
    };
    std::env::args_os().map(|arg| word(arg.to_string_lossy().into_owned())).collect()
}
