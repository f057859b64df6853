//! How a verb fails: what to tell the user, and the exit code.

use std::fmt;

use verdikt_model::ExitCode;

/// A failure with its exit code. The message says what failed, where and why; the help says what to do.
///
/// Both may hold foreign text: [`crate::terminal`] escapes them, line breaks included.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: ExitCode,
    pub(crate) message: String,
    /// Lines below the message.
    pub(crate) help: Vec<String>,
}

impl Failure {
    /// With any exit code.
    pub(crate) fn new(code: ExitCode, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string(), help: Vec::new() }
    }

    /// Bad command line or input.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// Cluster, rights or kernel.
    pub(crate) fn setup(message: impl fmt::Display) -> Self {
        Self::new(ExitCode::Setup, message)
    }

    /// A bug in verdikt.
    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        Self::new(ExitCode::Internal, message)
    }

    /// A line about what to do.
    pub(crate) fn help(mut self, line: impl fmt::Display) -> Self {
        self.help.push(line.to_string());
        self
    }
}

/// What a verb ends with.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// The end of a verb whose results are known, and some of whose files could not be written. A difference that was proved
/// stays proved, and an interrupt or a bug says why there is not more; otherwise a file that is missing is what counts.
/// Gives the failures that the end does not tell.
pub(crate) fn with_unwritten(outcome: Outcome, mut unwritten: Vec<Failure>) -> (Outcome, Vec<Failure>) {
    let stays = match &outcome {
        Ok(code) => matches!(code, ExitCode::Differences | ExitCode::Interrupted),
        Err(failure) => matches!(failure.code, ExitCode::Internal | ExitCode::Setup),
    };
    if stays || unwritten.is_empty() {
        return (outcome, unwritten);
    }
    let last = unwritten.remove(unwritten.len() - 1);
    if let Err(failure) = outcome {
        unwritten.insert(0, failure);
    }
    (Err(last), unwritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_masks_no_difference() {
        let unwritten = || vec![Failure::usage("cannot write a"), Failure::usage("cannot write b")];
        let end = |outcome: Outcome| {
            let (outcome, told) = with_unwritten(outcome, unwritten());
            (outcome.unwrap_or_else(|failure| failure.code), told.len())
        };
        assert_eq!(end(Ok(ExitCode::Differences)), (ExitCode::Differences, 2));
        assert_eq!(end(Ok(ExitCode::Interrupted)), (ExitCode::Interrupted, 2));
        assert_eq!(end(Err(Failure::internal("a bug"))), (ExitCode::Internal, 2));
        assert_eq!(end(Ok(ExitCode::Ok)), (ExitCode::Usage, 1));
        assert_eq!(end(Ok(ExitCode::Inconclusive)), (ExitCode::Usage, 1));
        let nothing = Failure::new(ExitCode::Inconclusive, "nothing was measured");
        assert_eq!(end(Err(nothing)), (ExitCode::Usage, 2));
        assert_eq!(with_unwritten(Ok(ExitCode::Ok), Vec::new()).0.unwrap(), ExitCode::Ok);
    }
}
