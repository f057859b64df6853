//! One file a verb; this one chooses among them and turns their ends into exit codes.

mod bench;
mod clean;
mod compare;
mod doctor;
mod expect;
mod explain;
mod image;
mod lint;
mod list;
mod man;
mod merge;
mod profiles;
mod report;
mod run;
mod sandbox;
mod schema;

use clap::{CommandFactory, Parser};
use verdikt_model::ExitCode;

use crate::{
    args::{Cli, Verb},
    failure::{Failure, Outcome},
    inputs::apart,
    limits,
    signals::interruptible,
    terminal,
    ui::Ui,
};

/// Reads the command line, does what it says, and ends with its exit code.
pub(crate) fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return terminal::usage(error).into(),
    };
    let ui = Ui::new(&cli.global);
    terminal::finish(dispatch(cli.verb, ui)).into()
}

fn dispatch(verb: Verb, ui: Ui) -> Outcome {
    match verb {
        Verb::Run(args) => block_on(run::run(*args, ui)),
        Verb::Merge(args) => plain(move || merge::merge(&args, &ui)),
        Verb::Report(args) => plain(move || report::report(&args)),
        Verb::Compare(args) => plain(move || compare::compare(&args, &ui)),
        Verb::List(args) => plain(move || list::list(&args, &ui)),
        Verb::Lint(args) => plain(move || lint::lint(&args, &ui)),
        Verb::Expect(args) => plain(move || expect::expect(&args, &ui)),
        Verb::Explain(args) => plain(move || explain::explain(&args, &ui)),
        Verb::Bench(args) => block_on(interruptible(bench::bench(args, ui))),
        Verb::Sandbox(args) => sandbox::sandbox(&args.verb, &ui),
        Verb::Clean(args) => block_on(interruptible(clean::clean(args, ui))),
        // Known without a cluster.
        Verb::Doctor(args) if args.print_rbac => doctor::print_rbac(args.with_crds),
        Verb::Doctor(args) => block_on(doctor::doctor(args, ui)),
        Verb::Image(args) => block_on(interruptible(image::image(args.verb, ui))),
        Verb::Schema(args) => schema::schema(args.of),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "verdikt", &mut script);
            terminal::print_bytes(&script);
            Ok(ExitCode::Ok)
        }
        Verb::Man { directory } => man::man(&directory),
    }
}

/// Runs a verb that reads files and talks to nobody. It may wait for a pipe, and an interrupt must not.
fn plain(verb: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread();
    drive(runtime, interruptible(apart(verb)))
}

/// Runs a verb that talks to a cluster.
pub(crate) fn block_on(verb: impl Future<Output = Outcome>) -> Outcome {
    limits::demand(limits::CLUSTER)?;
    drive(tokio::runtime::Builder::new_multi_thread(), verb)
}

fn drive(mut runtime: tokio::runtime::Builder, verb: impl Future<Output = Outcome>) -> Outcome {
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|e| Failure::setup(format!("cannot start the async runtime: {e}")))?;
    let outcome = runtime.block_on(verb);
    // Whatever still runs (a stuck DNS lookup, say) must not hold up the end of the process.
    runtime.shutdown_background();
    outcome
}
