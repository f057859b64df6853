//! Exit codes: a public, documented type (docs/exit-codes.md).

/// How a verdikt process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything is as expected.
    Ok = 0,
    /// A difference or finding was proved.
    Differences = 1,
    /// The command line or an input file is wrong.
    Usage = 2,
    /// Cluster, rights or kernel do not allow the work.
    Setup = 3,
    /// The selection is empty.
    NothingSelected = 4,
    /// Errors, but no difference proved.
    Inconclusive = 5,
    /// A bug in verdikt.
    Internal = 70,
    /// Interrupted by a signal, after clean-up.
    Interrupted = 130,
}

impl ExitCode {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Ok,
        Self::Differences,
        Self::Usage,
        Self::Setup,
        Self::NothingSelected,
        Self::Inconclusive,
        Self::Internal,
        Self::Interrupted,
    ];
}

impl From<ExitCode> for u8 {
    fn from(code: ExitCode) -> Self {
        code as Self
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(u8::from(code))
    }
}
