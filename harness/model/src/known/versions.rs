//! Ranges of versions: `>=1.16, <1.20`.

use std::{fmt, str::FromStr};

use semver::{Version, VersionReq};

/// A range of a dataplane's versions: comparators with `=`, `>`, `>=`, `<`, `<=` or `~`, all of which must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange(VersionReq);

/// A text that is no range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no range of versions: {why}")]
pub struct ParseVersionRangeError {
    /// What was read.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl VersionRange {
    /// Whether a version as dataplanes tell it (`v3.31.7`, `1.18`) is in the range; `None` for a text that is none.
    ///
    /// A pre-release is only in a range that names one of the same numbers: what is known of releases need not hold for
    /// it.
    pub fn contains(&self, version: &str) -> Option<bool> {
        let text = version.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let numbers = text.split(['-', '+']).next().unwrap_or(text);
        let missing = 3_usize.checked_sub(numbers.split('.').count())?;
        let whole = format!("{numbers}{}{}", ".0".repeat(missing), &text[numbers.len()..]);
        Version::parse(&whole).ok().map(|version| self.0.matches(&version))
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for VersionRange {
    type Err = ParseVersionRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |why: String| ParseVersionRangeError { text: text.to_owned(), why };
        for part in text.split(',').map(str::trim) {
            // A bare number means one version to most people, and all compatible ones to semver.
            if part.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(bad(format!(
                    "`{part}` does not say which versions around it are meant; `={part}` is that one"
                )));
            }
            if !part.starts_with(['=', '<', '>', '~']) {
                return Err(bad(
                    "expected =, >, >=, <, <= or ~ and a version, such as `>=1.16, <1.20`".into()
                ));
            }
        }
        VersionReq::parse(text).map(Self).map_err(|e| bad(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_dataplanes_tell_them() {
        let range: VersionRange = ">=1.16, <1.20".parse().unwrap();
        for (version, inside) in [
            ("1.18.3", Some(true)),
            ("v1.16.0", Some(true)),
            ("1.16", Some(true)),
            ("1.20.0", Some(false)),
            ("1.15.9", Some(false)),
            ("2", Some(false)),
            ("1.19.0-rc.1", Some(false)),
            ("1.18.3+build", Some(true)),
            ("", None),
            ("main", None),
            ("1.2.3.4", None),
        ] {
            assert_eq!(range.contains(version), inside, "{version}");
        }
        assert_eq!("=3.31.7".parse::<VersionRange>().unwrap().contains("v3.31.7"), Some(true));
    }

    #[test]
    fn what_is_no_range_is_told() {
        for (text, why) in [
            ("1.18.3", "`=1.18.3` is that one"),
            (">=1.16, 1.20", "`=1.20`"),
            ("", "expected ="),
            ("*", "expected ="),
            (">=one", "is no range"),
        ] {
            let error = text.parse::<VersionRange>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
