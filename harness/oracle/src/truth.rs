//! Three-valued answers: yes, no, and "the specification leaves it open".

use verdikt_model::{Expectation, Topic, Topics};

/// Name of a statement of `docs/spec-statements.md`: `N20`.
pub(crate) type Statement = &'static str;

/// What leaves an answer open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    /// The statement that does not say.
    pub(crate) statement: Statement,
    /// What dataplanes are known to do differently there.
    pub(crate) topics: Topics,
}

/// Whether a connection is allowed. Everything is monotone (a rule can only add), so Kleene's logic is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    /// Not allowed under any reading.
    No,
    /// Allowed under one reading of the statement and not under another.
    Open(Open),
    /// Allowed under every reading.
    Yes,
}

impl Truth {
    /// Open, for a reason that is no known topic.
    pub(crate) const fn open(statement: Statement) -> Self {
        Self::Open(Open { statement, topics: Topics::NONE })
    }

    /// Open, and turning on a topic.
    pub(crate) const fn open_on(statement: Statement, topic: Topic) -> Self {
        Self::Open(Open { statement, topics: Topics::of(topic) })
    }

    /// What dataplanes are known to do differently where this is open.
    pub(crate) const fn topics(self) -> Topics {
        match self {
            Self::Open(open) => open.topics,
            Self::No | Self::Yes => Topics::NONE,
        }
    }

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

    /// Either of them suffices; of two open ones the first gives the statement, and both give topics.
    pub(crate) const fn or(self, other: Self) -> Self {
        if other.beats(self) { other } else { self.with(other) }
    }

    /// Both are needed; of two open ones the first gives the statement, and both give topics.
    pub(crate) const fn and(self, other: Self) -> Self {
        if self.beats(other) { other } else { self.with(other) }
    }

    /// One of them holds, and it is not known which.
    pub(crate) const fn agree(self, other: Self, open: Self) -> Self {
        if self.same(other) { self.with(other) } else { open.with(self).with(other) }
    }

    /// This answer, with the topics of another that is open as well.
    pub(crate) const fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Open(one), Self::Open(two)) => {
                Self::Open(Open { statement: one.statement, topics: one.topics.and(two.topics) })
            }
            _ => self,
        }
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
    use verdikt_model::{Topic, Topics};

    use super::Truth::{self, No, Yes};

    const N5: Truth = Truth::open_on("N5", Topic::ToOwnNode);
    const N20: Truth = Truth::open_on("N20", Topic::IpBlockPods);
    const N42: Truth = Truth::open_on("N42", Topic::HostNetwork);
    const ALL: [Truth; 3] = [No, N20, Yes];

    fn statement(truth: Truth) -> &'static str {
        let Truth::Open(open) = truth else { panic!("{truth:?} is not open") };
        open.statement
    }

    #[test]
    fn n12_or_takes_the_more_generous_and_n14_and_the_less() {
        for (i, a) in ALL.into_iter().enumerate() {
            for (j, b) in ALL.into_iter().enumerate() {
                assert_eq!(a.or(b), ALL[i.max(j)]);
                assert_eq!(a.and(b), ALL[i.min(j)]);
            }
        }
        for both in [N5.or(N20), N5.and(N20)] {
            assert_eq!(statement(both), "N5");
            assert_eq!(both.topics(), Topics::of(Topic::ToOwnNode).and(Topics::of(Topic::IpBlockPods)));
        }
    }

    #[test]
    fn disagreeing_readings_are_open() {
        assert_eq!(Yes.agree(No, N42), N42);
        assert_eq!(Yes.agree(Yes, N42), Yes);
        assert_eq!(statement(N20.agree(N5, N42)), "N20");
        assert_eq!(N20.agree(No, N42).topics(), N42.topics().and(N20.topics()));
    }
}
