//! The `verdikt` binary: measure what a Kubernetes network really allows.
//!
//! ```text
//! args ──► verbs/<verb> ──► {scenario, oracle, sandbox, cluster, runner} ──► events ──► report
//! ```

mod args;
mod compared;
mod external;
mod failure;
mod files;
mod inputs;
mod limits;
mod pods;
mod reporters;
mod signals;
mod target;
mod terminal;
mod ui;
mod values;
mod verbs;
mod written;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The sandbox starts this binary again as its node and as the pods' agent. That must be decided before
    // any thread exists, because a process with threads cannot enter a user namespace.
    if let Some(code) = verdikt_sandbox::reexec() {
        return ExitCode::from(code);
    }
    verbs::main()
}
