//! What verdikt says: the one place that writes to standard output and standard error.
//!
//! - Nobody's text is obeyed: errors and remarks are escaped here, line breaks included; what reports and diagnostics
//!   draw comes escaped.
//! - Nothing that is said changes a result. A reader that closes the pipe has seen enough; where results cannot be
//!   written for another reason, [`finish`] makes the exit code 3, unless a difference was proved.

use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    sync::atomic::{AtomicU8, Ordering},
};

use verdikt_model::ExitCode;
use verdikt_report::{escape, escape_lines};

use crate::{
    args::Cli,
    failure::{Failure, Outcome},
};

/// Whether standard output still takes something: [`OPEN`], [`CLOSED`] or [`FAILED`]. No lock: an interrupt must not wait for
/// a reader that does not read.
static STATE: AtomicU8 = AtomicU8::new(OPEN);
const OPEN: u8 = 0;
/// The reader has gone.
const CLOSED: u8 = 1;
/// Results are lost.
const FAILED: u8 = 2;

/// Standard output, for results. Writing to it never fails; see [`finish`].
pub(crate) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        take(|| io::stdout().lock().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        take(|| io::stdout().flush());
        Ok(())
    }
}

fn take(write: impl FnOnce() -> io::Result<()>) {
    if STATE.load(Ordering::Relaxed) != OPEN {
        return;
    }
    match write() {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => STATE.store(CLOSED, Ordering::Relaxed),
        Err(error) => {
            STATE.store(FAILED, Ordering::Relaxed);
            error_line(&Failure::setup(format!("cannot write to standard output: {error}")));
        }
    }
}

/// Prints a result.
pub(crate) fn print(text: &str) {
    take(|| anstream::stdout().lock().write_all(text.as_bytes()));
}

/// Prints a result as it is, colours and other bytes included.
pub(crate) fn print_bytes(bytes: &[u8]) {
    take(|| io::stdout().lock().write_all(bytes));
}

/// A line on standard error. The text may be anybody's.
pub(crate) fn say(text: &str) {
    write_stderr(&format!("{}\n", escape(text)));
}

/// Text on standard error that is drawn already, with its colours.
pub(crate) fn draw(text: &str) {
    write_stderr(text);
}

/// What failed, on standard error.
pub(crate) fn error_line(failure: &Failure) {
    if failure.message.is_empty() {
        return;
    }
    let style = anstyle::AnsiColor::Red.on_default().bold();
    let mut text = format!("{style}error{style:#}: {}\n", escape(&failure.message));
    for (index, line) in failure.help.iter().enumerate() {
        let head = if index == 0 { "  help: " } else { "        " };
        text.push_str(&format!("{head}{}\n", escape(line)));
    }
    write_stderr(&text);
}

fn write_stderr(text: &str) {
    // Whoever does not listen misses it.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// What clap says: help, or what is wrong with the command line. The words of the command line are escaped.
pub(crate) fn usage(error: clap::Error) -> ExitCode {
    // Printing help is no failure; clap's own code for usage errors is 2, like ours.
    let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok };
    let harmful = |text: &str| text.chars().any(verdikt_model::is_harmful);
    let words: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let error = if words.iter().any(|word| harmful(word)) {
        use clap::Parser;
        // The same words, made harmless, are wrong in the same way.
        Cli::try_parse_from(words.iter().map(|word| escape(word).into_owned())).err().unwrap_or(error)
    } else {
        error
    };
    let text = error.render();
    if harmful(&text.to_string().replace('\n', "")) {
        write_stderr(&escape_lines(&text.to_string()));
    } else if error.use_stderr() {
        write_stderr(&text.ansi().to_string());
    } else {
        print(&text.ansi().to_string());
    }
    code
}

/// Tells failures beside the end of a verb, and gives the end.
pub(crate) fn told((outcome, beside): (Outcome, Vec<Failure>)) -> Outcome {
    beside.iter().for_each(error_line);
    outcome
}

/// Tells how a verb ended, and with which exit code the process ends.
pub(crate) fn finish(outcome: Outcome) -> ExitCode {
    if !matches!(outcome, Ok(ExitCode::Interrupted)) {
        let _ = Stdout.flush();
    }
    let lost = STATE.load(Ordering::Relaxed) == FAILED;
    match outcome {
        Ok(ExitCode::Ok | ExitCode::Inconclusive) if lost => ExitCode::Setup,
        Ok(code) => code,
        Err(failure) => {
            error_line(&failure);
            failure.code
        }
    }
}
