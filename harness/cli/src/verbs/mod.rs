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

use std::ffi::OsString;

use clap::{CommandFactory, Parser};
use verdikt_model::{ExitCode, is_harmful};

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
    // clap repeats their values as they are.
    if let Some(failure) = harmful_variable(std::env::vars_os()) {
        return terminal::finish(Err(failure)).into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return terminal::usage(error).into(),
    };
    let ui = Ui::new(&cli.global);
    terminal::finish(dispatch(cli.verb, ui)).into()
}

/// A variable of verdikt's with a value that would act on a terminal, line breaks included: no option means such a thing.
fn harmful_variable(variables: impl Iterator<Item = (OsString, OsString)>) -> Option<Failure> {
    let harmful = |text: &OsString| text.to_string_lossy().chars().any(is_harmful);
    let mut ours = variables.filter(|(name, _)| name.to_string_lossy().starts_with("VERDIKT_"));
    let (name, _) = ours.find(|(_, value)| harmful(value))?;
    let name = name.to_string_lossy();
    Some(
        Failure::usage(format!(
            "the environment variable {name} has a line break or a control character in its value"
        ))
        .help("set it without, or unset it"),
    )
}

fn dispatch(verb: Verb, ui: Ui) -> Outcome {
    match verb {
        Verb::Run(args) => block_on(run::run(*args, ui)),
        Verb::Merge(args) => plain(move || merge::merge(&args, &ui)),
        Verb::Report(args) => plain(move || report::report(&args)),
        Verb::Compare(args) => {
            let scratch = compare::Scratch::default();
            let of_verb = scratch.clone();
            let outcome = plain(move || compare::compare(&args, &ui, &of_verb));
            scratch.remove();
            outcome
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variable_acts_on_a_terminal() {
        let of = |name: &str, value: &str| harmful_variable([(name.into(), value.into())].into_iter());
        for value in ["x\n     Summary forged", "\u{1b}[2J", "\u{202e}x"] {
            let failure = of("VERDIKT_SANDBOX", value).unwrap();
            assert_eq!(failure.code, ExitCode::Usage);
            assert!(failure.message.contains("VERDIKT_SANDBOX") && !failure.message.contains("forged"));
            assert!(of("PATH", value).is_none());
        }
        assert!(of("VERDIKT_SANDBOX", "flannel").is_none());
    }
}
