//! The forms of `-o`.

use std::{fmt, str::FromStr};

/// Form of the results on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Status lines, matrices of what differs, sentences, summary.
    Human,
    /// As human, with every matrix, settle times, attempts and round trips.
    Wide,
    /// The record, at the end.
    Json,
    /// One JSON object a line for each event.
    Jsonl,
    /// The JSON events of `cargo test -- --format json`.
    Libtest,
}

impl Format {
    /// All forms, in the order of the help text.
    pub const ALL: [Self; 5] = [Self::Human, Self::Wide, Self::Json, Self::Jsonl, Self::Libtest];

    /// The word for it on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Wide => "wide",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Libtest => "libtest",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no output format; expected one of human, wide, json, jsonl, libtest")]
pub struct ParseFormatError(pub String);

impl FromStr for Format {
    type Err = ParseFormatError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|f| f.as_str() == word).ok_or_else(|| ParseFormatError(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "yaml".parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("`yaml`") && error.contains("jsonl"), "{error}");
    }
}
