//! `verdikt-probe`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(verdikt_probe::main(std::env::args_os().skip(1)))
}
