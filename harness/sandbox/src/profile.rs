//! Profiles: how the sandbox's dataplane behaves, as `BASE[+TRAIT[=VALUE]]…`.

use std::{fmt, str::FromStr};

use crate::{base::Base, traits::Traits};

/// How the dataplane behaves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Profile {
    base: Base,
    traits: Traits,
}

impl Profile {
    /// What it begins with.
    pub fn base(&self) -> Base {
        self.base
    }

    /// All that it does: the traits of its base, and those that were added.
    pub fn traits(&self) -> &Traits {
        &self.traits
    }

    /// The traits that were added to the base: `policy-delay=200ms+rejects`; empty when there are none.
    pub fn added(&self) -> String {
        self.traits.beyond(&self.base.traits()).join("+")
    }
}

impl Default for Profile {
    fn default() -> Self {
        Base::default().into()
    }
}

impl From<Base> for Profile {
    fn from(base: Base) -> Self {
        Self { base, traits: base.traits() }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words =
            [self.base.as_str().to_owned()].into_iter().chain(self.traits.beyond(&self.base.traits()));
        f.pad(&words.collect::<Vec<_>>().join("+"))
    }
}

/// A text that is no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseProfileError {
    /// It begins with a word that names no base.
    #[error("`{word}` is no sandbox profile; expected one of {list}{meant}", list = bases().join(", "), meant = meant(word, &bases()))]
    Base {
        /// What was read.
        word: String,
    },
    /// A word after `+` names no trait.
    #[error("`{word}` is no trait of a sandbox{meant}; known are {list}", list = words().join(", "), meant = meant(word, &words()))]
    Trait {
        /// What was read.
        word: String,
    },
    /// A trait's value is wrong.
    #[error("`{word}` {why}")]
    Value {
        /// The trait.
        word: String,
        /// What is wrong.
        why: String,
    },
    /// A trait is there twice.
    #[error("`{word}` is there twice")]
    Twice {
        /// The trait.
        word: String,
    },
}

fn bases() -> Vec<&'static str> {
    Base::ALL.iter().map(|base| base.as_str()).collect()
}

fn words() -> Vec<&'static str> {
    Traits::ALL.iter().map(|known| known.word).collect()
}

/// A suggestion, when a known word is near enough to be meant.
fn meant(word: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(word, known), known))
        .filter(|(distance, known)| *distance <= (known.len() / 4).clamp(1, 4))
        .min();
    near.map(|(_, near)| format!(" (did you mean `{near}`?)")).unwrap_or_default()
}

impl FromStr for Base {
    type Err = ParseProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let base = Self::ALL.iter().copied().find(|base| base.as_str() == text);
        base.ok_or_else(|| ParseProfileError::Base { word: text.to_owned() })
    }
}

impl FromStr for Profile {
    type Err = ParseProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split('+');
        let first = words.next().unwrap_or_default();
        let mut profile = Self::from(first.parse::<Base>()?);
        let mut seen = vec![];
        for part in words {
            let (word, value) = match part.split_once('=') {
                Some((word, value)) => (word, Some(value)),
                None => (part, None),
            };
            let name = || word.to_owned();
            match profile.traits.read(word, value) {
                None => return Err(ParseProfileError::Trait { word: name() }),
                Some(Err(why)) => return Err(ParseProfileError::Value { word: name(), why }),
                Some(Ok(())) if seen.contains(&word) => {
                    return Err(ParseProfileError::Twice { word: name() });
                }
                Some(Ok(())) => seen.push(word),
            }
        }
        Ok(profile)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Profile>().unwrap_err().to_string()
    }

    #[test]
    fn text_goes_both_ways() {
        for text in [
            "reference",
            "flannel",
            "reference+ignores-except",
            "reference+policy-delay=200ms+cuts-established=500ms",
            "flannel+cuts-established",
            "cilium+start-delay=2s",
        ] {
            assert_eq!(text.parse::<Profile>().unwrap().to_string(), text);
        }
        let profile: Profile = "reference+rejects+policy-delay=2000ms".parse().unwrap();
        assert_eq!(profile.to_string(), "reference+policy-delay=2s+rejects", "one order, one unit");
        assert_eq!(profile.added(), "policy-delay=2s+rejects");
        assert_eq!(profile.traits().policy_delay, Duration::from_secs(2));
        assert_eq!(Profile::default().added(), "");
        assert!("flannel".parse::<Profile>().unwrap().traits().enforces_nothing);
    }

    #[test]
    fn the_documentation_has_every_word_and_no_other() {
        let page = include_str!("../../../docs/sandbox.md");
        let base = |base: &Base| {
            let traits = base.traits().beyond(&Traits::default());
            let words: Vec<String> = traits.iter().map(|word| format!("`{word}`")).collect();
            format!("| `{}` | {} | {} |", base.as_str(), base.about(), words.join(", "))
        };
        let bases = Base::ALL.iter().map(base);
        let traits =
            Traits::ALL.iter().map(|known| format!("| `{}{}` | {} |", known.word, known.value, known.about));
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows, bases.chain(traits).collect::<Vec<_>>());
    }

    #[test]
    fn mistakes_are_named_with_what_is_known() {
        assert!(refused("romana").contains("expected one of reference, calico, "));
        assert!(refused("referense").contains("flannel (did you mean `reference`?)"));
        assert!(refused("").contains("`` is no sandbox profile"));
        let error = refused("reference+ignore-except");
        assert!(
            error.contains("did you mean `ignores-except`?") && error.contains("never-removes"),
            "{error}"
        );
        assert!(!refused("reference+breaks").contains("did you mean"));
        assert!(refused("reference+").contains("`` is no trait"));
        assert_eq!(refused("reference+rejects=1"), "`rejects` takes no value");
        assert_eq!(refused("reference+rejects+rejects"), "`rejects` is there twice");
    }
}
