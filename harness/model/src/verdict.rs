//! What was observed, what should be, and how the two compare.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::{ParseWordError, words};

words! {
    /// What was observed for one cell.
    Verdict, "verdict", "allowed, dropped, rejected, error",
    /// An identified reply came back.
    Allowed = "allowed",
    /// Silence on every socket until the deadline.
    Dropped = "dropped",
    /// RST (TCP), ABORT (SCTP), or ICMP prohibited or unreachable.
    Rejected = "rejected",
    /// Not measured: resolution, exec or a local failure. Never counts as denied.
    Error = "error"
}

words! {
    /// What should be observed for one cell.
    Expectation, "expectation", "allow, deny, drop, reject, either",
    /// The connection must work.
    Allow = "allow",
    /// The connection must not work; dropped and rejected are both right.
    Deny = "deny",
    /// The connection must be answered with silence.
    Drop = "drop",
    /// The connection must be refused.
    Reject = "reject",
    /// The specification leaves it open: recorded, compared, never failed.
    Either = "either"
}

words! {
    /// How an observation compares with its expectation.
    Outcome, "cell outcome", "pass, fail, deviation, flaky, error, skipped",
    /// As expected.
    Pass = "pass",
    /// Proved different from what was expected.
    Fail = "fail",
    /// Different, and known to be.
    Deviation = "deviation",
    /// Changed while it had to hold.
    Flaky = "flaky",
    /// Could not be measured.
    Error = "error",
    /// Not measured on purpose; the reason says why.
    Skipped = "skipped"
}

words! {
    /// How a scenario ended.
    ScenarioOutcome, "scenario outcome", "passed, failed, flaky, errored, skipped",
    /// Every measured cell is as expected.
    Passed = "passed",
    /// At least one cell is proved different.
    Failed = "failed",
    /// Its attempts disagree: one passed, and one failed.
    Flaky = "flaky",
    /// No difference proved, and something could not be measured.
    Errored = "errored",
    /// Nothing was measured, on purpose.
    Skipped = "skipped"
}

words! {
    /// The source address that a server saw, where it was not the client's own.
    SeenAs, "source address", "node, other",
    /// An address of a node.
    Node = "node",
    /// Any other address.
    Other = "other"
}

words! {
    /// Whether an ipBlock matches the addresses of pods, which the specification leaves open (N20).
    BlocksFindPods, "answer", "yes, no, mixed, unknown",
    /// It admitted every one that it should hold.
    Yes = "yes",
    /// It admitted none.
    No = "no",
    /// It admitted some: of one IP family, or on one node.
    Mixed = "mixed",
    /// It could not be measured.
    Unknown = "unknown"
}

words! {
    /// What shows that a step was in force when its matrix was taken.
    AnchoredBy, "anchor", "cells, settle-time, none",
    /// Its own cells: some had to be otherwise before it, and have turned.
    Cells = "cells",
    /// None of its cells had to turn: they held for longer than any step of its kind took on this cluster in this run.
    SettleTime = "settle-time",
    /// Nothing does; the reason says why.
    None = "none"
}

impl Verdict {
    /// The glyph for it in matrices.
    pub const fn glyph(self) -> char {
        match self {
            Self::Allowed => '.',
            Self::Dropped => 'X',
            Self::Rejected => 'R',
            Self::Error => '?',
        }
    }
}

impl Expectation {
    /// Whether an observation satisfies this expectation. `None` for an observation that proves nothing.
    pub const fn admits(self, verdict: Verdict) -> Option<bool> {
        match (self, verdict) {
            (_, Verdict::Error) => None,
            (Self::Either, _)
            | (Self::Allow, Verdict::Allowed)
            | (Self::Deny, Verdict::Dropped | Verdict::Rejected)
            | (Self::Drop, Verdict::Dropped)
            | (Self::Reject, Verdict::Rejected) => Some(true),
            _ => Some(false),
        }
    }

    /// Compares an observation with this expectation.
    pub const fn compare(self, verdict: Verdict) -> Outcome {
        match self.admits(verdict) {
            Some(true) => Outcome::Pass,
            Some(false) => Outcome::Fail,
            None => Outcome::Error,
        }
    }

    /// Whether this expectation demands that the connection fails.
    pub const fn is_denial(self) -> bool {
        matches!(self, Self::Deny | Self::Drop | Self::Reject)
    }

    /// The glyph for it in matrices.
    pub const fn glyph(self) -> char {
        match self {
            Self::Allow => '.',
            Self::Deny | Self::Drop => 'X',
            Self::Reject => 'R',
            Self::Either => '~',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_never_a_denial() {
        for expectation in Expectation::ALL {
            assert_eq!(expectation.compare(Verdict::Error), Outcome::Error);
        }
    }

    #[test]
    fn deny_takes_silence_and_refusal_but_drop_and_reject_are_exact() {
        assert_eq!(Expectation::Deny.compare(Verdict::Dropped), Outcome::Pass);
        assert_eq!(Expectation::Deny.compare(Verdict::Rejected), Outcome::Pass);
        assert_eq!(Expectation::Drop.compare(Verdict::Rejected), Outcome::Fail);
        assert_eq!(Expectation::Reject.compare(Verdict::Dropped), Outcome::Fail);
        assert_eq!(Expectation::Deny.compare(Verdict::Allowed), Outcome::Fail);
    }

    #[test]
    fn words_round_trip() {
        for verdict in Verdict::ALL {
            assert_eq!(verdict.as_str().parse::<Verdict>().as_ref(), Ok(verdict));
        }
        assert!("denied".parse::<Verdict>().is_err());
    }
}
