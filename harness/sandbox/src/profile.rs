//! Named behaviours of the sandbox's dataplane.

use std::{fmt, str::FromStr};

/// How the dataplane behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Profile {
    /// NetworkPolicy as the specification has it.
    #[default]
    Reference,
    /// Accepts policies and enforces nothing, as Flannel alone does.
    Flannel,
}

/// A word that names no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no sandbox profile; expected one of {list}", list = Profile::WORDS.join(", "))]
pub struct ParseProfileError(
    /// What was read.
    pub String,
);

impl Profile {
    /// All profiles.
    pub const ALL: &'static [Self] = &[Self::Reference, Self::Flannel];

    /// Their words, in the same order.
    pub const WORDS: &'static [&'static str] = &["reference", "flannel"];

    /// The word for it on the command line and in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Flannel => "flannel",
        }
    }

    /// Whether policies are enforced.
    pub(crate) const fn enforces(self) -> bool {
        matches!(self, Self::Reference)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Profile {
    type Err = ParseProfileError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|profile| profile.as_str() == word)
            .ok_or_else(|| ParseProfileError(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways() {
        for (profile, word) in Profile::ALL.iter().zip(Profile::WORDS) {
            assert_eq!(word.parse(), Ok(*profile));
            assert_eq!(&profile.to_string(), word);
        }
        let error = "calico".parse::<Profile>().unwrap_err().to_string();
        assert!(error.contains("reference, flannel"), "{error}");
    }
}
