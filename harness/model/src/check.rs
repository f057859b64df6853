//! What a step measures besides cells: connections that last, first moments, times, transfers, HTTP.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    net::{Family, ParseWordError, Protocol, Via, words},
    pattern::CellPattern,
    verdict::{Expectation, Outcome},
};

/// One check of a step: for every cell that the pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is measured.
    pub kind: CheckKind,
    /// Between whom.
    pub pattern: CellPattern,
    /// What should be seen.
    pub expect: CheckExpect,
}

/// What a check measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// A connection (TCP) or flow with one source port (UDP) that is opened before the step's changes and used on: does
    /// it survive them?
    Hold {
        /// How long it is watched once the step is as expected, in milliseconds.
        for_ms: u32,
    },
    /// What a pod that the step starts reaches from its first instruction on.
    First,
    /// From the API's answer to the step's last change until the cell is as expected, tried every millisecond; or, where
    /// [`CheckExpect::Closed`] is expected, whether anything got through meanwhile.
    Sample,
    /// Bytes there and back on one connection.
    Transfer {
        /// How many.
        bytes: u64,
    },
    /// An HTTP request.
    Http {
        /// `GET`
        method: String,
        /// `/path`
        path: String,
    },
}

impl CheckKind {
    /// The word for it.
    pub const fn word(&self) -> CheckWord {
        match self {
            Self::Hold { .. } => CheckWord::Hold,
            Self::First => CheckWord::First,
            Self::Sample => CheckWord::Sample,
            Self::Transfer { .. } => CheckWord::Transfer,
            Self::Http { .. } => CheckWord::Http,
        }
    }
}

words! {
    /// What a check measures, in a word.
    CheckWord, "check", "hold, first, sample, transfer, http",
    /// A connection held across a change.
    Hold = "hold",
    /// A pod's first moments.
    First = "first",
    /// Time until a change is in force.
    Sample = "sample",
    /// A transfer.
    Transfer = "transfer",
    /// An HTTP request.
    Http = "http"
}

/// What a check should show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckExpect {
    /// What follows from what the specification says of the cell once the step is in force: a first moment is closed where
    /// the cell is denied, a transfer is as the cell.
    Derived,
    /// The held connection goes on.
    Survives,
    /// The held connection is cut.
    Cut,
    /// Nothing gets through: from the first moment of a pod on, or at any moment of a step.
    Closed,
    /// It works, now or in the end.
    Allow,
    /// It does not work.
    Deny,
    /// This HTTP status.
    Status(u16),
    /// Open: recorded, never failed.
    Either,
}

impl fmt::Display for CheckExpect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Derived => "derived",
            Self::Survives => "survives",
            Self::Cut => "cut",
            Self::Closed => "closed",
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Status(status) => return write!(f, "{status}"),
            Self::Either => "either",
        })
    }
}

impl CheckExpect {
    /// From its word.
    ///
    /// # Errors
    /// A word that is none of a check's, or no HTTP status.
    pub fn parse(word: &str) -> Result<Self, ParseWordError> {
        Ok(match word {
            "derived" => Self::Derived,
            "survives" => Self::Survives,
            "cut" => Self::Cut,
            "closed" => Self::Closed,
            "allow" => Self::Allow,
            "deny" => Self::Deny,
            "either" => Self::Either,
            _ => match word.parse() {
                Ok(status @ 100..=599) => Self::Status(status),
                _ => {
                    return Err(ParseWordError {
                        word: word.to_owned(),
                        what: "expectation of a check",
                        expected: "survives, cut (hold); closed, allow (first); closed (sample); allow, deny (transfer, http); an HTTP \
                                   status (http); derived, either",
                    });
                }
            },
        })
    }

    /// What a check of this kind expects of a cell of which the specification says this; [`Self::Derived`] no more.
    #[must_use]
    pub const fn resolve(self, kind: CheckWord, cell: Expectation) -> Self {
        match (self, kind, cell) {
            (
                Self::Derived,
                CheckWord::First,
                Expectation::Deny | Expectation::Drop | Expectation::Reject,
            ) => Self::Closed,
            (Self::Derived, CheckWord::First | CheckWord::Transfer, Expectation::Allow) => Self::Allow,
            (
                Self::Derived,
                CheckWord::Transfer,
                Expectation::Deny | Expectation::Drop | Expectation::Reject,
            ) => Self::Deny,
            (Self::Derived, ..) => Self::Either,
            (stated, ..) => stated,
        }
    }
}

words! {
    /// What a check showed.
    Seen, "observation of a check", "survived, cut, closed, opened, window, changed, complete, answered, dropped, rejected, error",
    /// The held connection went on.
    Survived = "survived",
    /// The held connection was cut; `timeUs` says when, from the API's answer on.
    Cut = "cut",
    /// Nothing got through.
    Closed = "closed",
    /// It worked from some moment on; `timeUs` says from when.
    Opened = "opened",
    /// It worked for a time and then no more; `timeUs` says for how long.
    Window = "window",
    /// The cell became as expected; `timeUs` says how long after the API's answer.
    Changed = "changed",
    /// The transfer went through; `timeUs` says how long it took.
    Complete = "complete",
    /// An HTTP answer came; `status` says which.
    Answered = "answered",
    /// Silence.
    Dropped = "dropped",
    /// A refusal.
    Rejected = "rejected",
    /// Not measured; `reason` says why.
    Error = "error"
}

/// A check with what was expected and seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckRecord {
    /// What was measured.
    pub kind: CheckWord,
    /// Source, as in a cell.
    pub from: String,
    /// Destination, as in a cell.
    pub to: String,
    /// How the destination is addressed.
    pub via: Via,
    /// Port that the source dials.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
    /// IP family.
    pub family: Family,
    /// More of what was asked: `GET /path`, `1048576 bytes`; otherwise null.
    pub what: Option<String>,
    /// What should be: survives, cut, closed, allow, deny, either or an HTTP status.
    pub expected: String,
    /// What was seen; null when nothing was measured.
    pub seen: Option<Seen>,
    /// How the two compare.
    pub outcome: Outcome,
    /// The time that belongs to what was seen, in microseconds; otherwise null.
    pub time_us: Option<u64>,
    /// How far off that may be, since two clocks are compared, in microseconds; otherwise null.
    pub within_us: Option<u64>,
    /// HTTP status; otherwise null.
    pub status: Option<u16>,
    /// Whose servers answered, in the order in which they first did, on a held connection or a transfer through a Service,
    /// and on any held connection that went over to another one; missing otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answered_by: Vec<String>,
    /// Why, for every check that is not a plain pass; otherwise null.
    pub reason: Option<String>,
}
