//! The node, driven through its handle, with real packets.
//!
//! A test of its own (`harness = false`), because the program must be able to become the node and the probe: `main`
//! calls `reexec` first. The node's interface is not public, so its modules are compiled in here once more.
//!
//! Runs as root or with user namespaces; where neither is possible every test fails and says why.

#![expect(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the modules' other halves are used by the library"
)]

#[path = "../../src/base.rs"]
mod base;
#[path = "../../src/channel.rs"]
mod channel;
#[path = "../../src/handle.rs"]
mod handle;
#[path = "../../src/node/mod.rs"]
mod node;
#[path = "../../src/plan.rs"]
mod plan;
#[path = "../../src/profile.rs"]
mod profile;
#[path = "../../src/reexec.rs"]
mod reexec;
#[path = "../../src/scratch.rs"]
mod scratch;
#[path = "../../src/spawn.rs"]
mod spawn;
#[path = "../../src/traits.rs"]
mod traits;
#[path = "../../src/wire.rs"]
mod wire;

mod clients;
mod commands;
mod death;
mod defects;
mod lab;
mod names;
mod ping;
mod pods;
mod policies;
mod service_traits;
mod services;
mod speed;
mod timing;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test: what it does to a fresh lab. It panics when it fails.
type Test = (&'static str, fn(&tokio::runtime::Runtime));

fn main() -> ExitCode {
    death::refuse();
    if let Some(code) = commands::stand_in().or_else(clients::play) {
        return code;
    }
    if let Some(code) = reexec::reexec() {
        return code.into();
    }
    if let Some(code) = death::victim() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // The tests measure times and fill the machine: one after another.
    arguments.test_threads.get_or_insert(1);
    let tests = [
        pods::TESTS,
        policies::TESTS,
        service_traits::TESTS,
        services::TESTS,
        names::TESTS,
        ping::TESTS,
        defects::TESTS,
        timing::TESTS,
        death::TESTS,
        speed::TESTS,
    ]
    .concat();
    let trials = tests
        .into_iter()
        .map(|(name, test)| {
            Trial::test(name, move || {
                let runtime = tokio::runtime::Runtime::new()?;
                test(&runtime);
                Ok(())
            })
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
