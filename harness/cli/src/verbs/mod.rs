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

use std::io::Write;

use clap::{CommandFactory, Parser};
use verdikt_model::ExitCode;

use crate::{
    args::{Cli, Verb},
    failure::{Failure, Outcome},
    limits,
    signals::interruptible,
    ui::Ui,
};

/// Reads the command line, does what it says, and ends with its exit code.
pub(crate) fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Printing help is no failure; clap's own code for usage errors is 2, like ours.
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok };
            let _ = error.print();
            return code.into();
        }
    };
    let ui = Ui::new(&cli.global);
    let outcome = dispatch(cli.verb, &ui);
    let _ = std::io::stdout().flush();
    match outcome {
        Ok(code) => code.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                let style = anstyle::AnsiColor::Red.on_default().bold();
                anstream::eprintln!("{style}error{style:#}: {}", failure.message);
            }
            failure.code.into()
        }
    }
}

fn dispatch(verb: Verb, ui: &Ui) -> Outcome {
    match verb {
        Verb::Run(args) => block_on(run::run(*args, *ui)),
        Verb::Merge(args) => merge::merge(&args, ui),
        Verb::Report(args) => report::report(&args),
        Verb::Compare(args) => compare::compare(&args, ui),
        Verb::List(args) => list::list(&args, ui),
        Verb::Lint(args) => lint::lint(&args, ui),
        Verb::Expect(args) => expect::expect(&args, ui),
        Verb::Explain(args) => explain::explain(&args, ui),
        Verb::Bench(args) => block_on(interruptible(bench::bench(args, *ui))),
        Verb::Sandbox(args) => sandbox::sandbox(&args.verb, ui),
        Verb::Clean(args) => block_on(interruptible(clean::clean(args, *ui))),
        // Known without a cluster.
        Verb::Doctor(args) if args.print_rbac => doctor::print_rbac(args.with_crds),
        Verb::Doctor(args) => block_on(doctor::doctor(args, *ui)),
        Verb::Image(args) => block_on(interruptible(image::image(args.verb, *ui))),
        Verb::Schema(args) => schema::schema(args.of),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "verdikt", &mut std::io::stdout());
            Ok(ExitCode::Ok)
        }
        Verb::Man { directory } => man::man(&directory),
    }
}

/// Runs a verb that talks to a cluster.
pub(crate) fn block_on(verb: impl Future<Output = Outcome>) -> Outcome {
    limits::demand(limits::CLUSTER)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::setup(format!("cannot start the async runtime: {e}")))?;
    let outcome = runtime.block_on(verb);
    // Whatever still runs (a stuck DNS lookup, say) must not hold up the end of the process.
    runtime.shutdown_background();
    outcome
}
