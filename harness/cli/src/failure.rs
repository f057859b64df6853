//! How a verb fails: what to tell the user, and the exit code.

use std::fmt;

use verdikt_model::ExitCode;

/// A failure with its exit code. The message says what failed, where, why and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: ExitCode,
    pub(crate) message: String,
}

impl Failure {
    /// Bad command line or input.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { code: ExitCode::Usage, message: message.to_string() }
    }

    /// Cluster, rights or kernel.
    pub(crate) fn setup(message: impl fmt::Display) -> Self {
        Self { code: ExitCode::Setup, message: message.to_string() }
    }

    /// A bug in verdikt.
    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        Self { code: ExitCode::Internal, message: message.to_string() }
    }
}

/// Writing results failed. A closed pipe is no failure: who reads has seen enough.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self { code: ExitCode::Ok, message: String::new() };
        }
        Self::setup(format!("cannot write results: {error}"))
    }
}

/// What a verb ends with.
pub(crate) type Outcome = Result<ExitCode, Failure>;
