//! Three-valued answers: yes, no, and "the specification leaves it open".

use verdikt_model::Expectation;

/// Name of a statement of `docs/spec-statements.md`: `N20`.
pub(crate) type Statement = &'static str;

/// Whether a connection is allowed. Everything is monotone (a rule can only add), so Kleene's logic is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    /// Not allowed under any reading.
    No,
    /// Allowed under one reading of the statement and not under another.
    Open(Statement),
    /// Allowed under every reading.
    Yes,
}

impl Truth {
    const fn rank(self) -> u8 {
        match self {
            Self::No => 0,
            Self::Open(_) => 1,
            Self::Yes => 2,
        }
    }

    /// Whether two answers are the same, whatever the statement that leaves them open.
    pub(crate) const fn same(self, other: Self) -> bool {
        self.rank() == other.rank()
    }

    /// Whether this answer allows more than another.
    pub(crate) const fn beats(self, other: Self) -> bool {
        self.rank() > other.rank()
    }

    /// Either of them suffices; of two open ones the first gives the statement.
    pub(crate) const fn or(self, other: Self) -> Self {
        if other.beats(self) { other } else { self }
    }

    /// Both are needed; of two open ones the first gives the statement.
    pub(crate) const fn and(self, other: Self) -> Self {
        if self.beats(other) { other } else { self }
    }

    /// One of them holds, and it is not known which.
    pub(crate) const fn agree(self, other: Self, statement: Statement) -> Self {
        if self.same(other) { self } else { Self::Open(statement) }
    }

    /// As an expectation.
    pub(crate) const fn expectation(self) -> Expectation {
        match self {
            Self::No => Expectation::Deny,
            Self::Open(_) => Expectation::Either,
            Self::Yes => Expectation::Allow,
        }
    }

    /// The word that starts a reason.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::No => "denied",
            Self::Open(_) => "either",
            Self::Yes => "allowed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{self, No, Open, Yes};

    const ALL: [Truth; 3] = [No, Open("N20"), Yes];

    #[test]
    fn n12_or_takes_the_more_generous_and_n14_and_the_less() {
        for (i, a) in ALL.into_iter().enumerate() {
            for (j, b) in ALL.into_iter().enumerate() {
                assert_eq!(a.or(b), ALL[i.max(j)]);
                assert_eq!(a.and(b), ALL[i.min(j)]);
            }
        }
        assert_eq!(Open("N5").or(Open("N20")), Open("N5"));
        assert_eq!(Open("N5").and(Open("N20")), Open("N5"));
    }

    #[test]
    fn disagreeing_readings_are_open() {
        assert_eq!(Yes.agree(No, "N42"), Open("N42"));
        assert_eq!(Yes.agree(Yes, "N42"), Yes);
        assert_eq!(Open("N20").agree(Open("N5"), "N42"), Open("N20"));
    }
}
