//! One program in three roles: itself, the node of its sandbox, and the `verdikt-probe` of the sandbox's pods.

use std::{ffi::OsString, os::unix::ffi::OsStrExt, path::Path};

use crate::spawn::ARGUMENT;

/// Name under which the program is `verdikt-probe`.
pub(crate) const PROBE: &str = "verdikt-probe";

/// Plays another role if this process was started for it, and then returns its exit code.
///
/// Every program that starts a sandbox must call it first thing in `main`, before any thread exists: entering a
/// user namespace is not possible later.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     if let Some(code) = verdikt_sandbox::reexec() {
///         return code.into();
///     }
///     // … tokio, the sandbox, …
///     std::process::ExitCode::SUCCESS
/// }
/// ```
#[must_use]
pub fn reexec() -> Option<u8> {
    let mut args = std::env::args_os();
    let name = args.next()?;
    if Path::new(&name).file_name().is_some_and(|name| name.as_bytes() == PROBE.as_bytes()) {
        return Some(verdikt_probe::main(args));
    }
    if args.next()? == ARGUMENT { Some(crate::node::main(args.collect::<Vec<OsString>>())) } else { None }
}
