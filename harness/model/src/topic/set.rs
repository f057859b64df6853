//! [`Topics`]: a set of topics in four bytes.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Topic;

/// Topics of one cell, and which of them its reason names. [`Topic::DenialSignal`] and [`Topic::Enforcement`] are of no
/// cell: only a comparison shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Topics {
    set: u16,
    first: Option<Topic>,
}

impl Topics {
    /// None.
    pub const NONE: Self = Self { set: 0, first: None };

    /// Just one.
    ///
    /// # Panics
    /// If it is a topic of comparisons, not of cells.
    pub const fn of(topic: Topic) -> Self {
        assert!((topic as u8) < 16, "a topic of comparisons is of no cell");
        Self { set: 1 << topic as u8, first: Some(topic) }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.set == 0
    }

    /// These and those; the first stays the first.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        let first = if self.first.is_some() { self.first } else { other.first };
        Self { set: self.set | other.set, first }
    }

    /// Whether this one is among them.
    pub const fn has(self, topic: Topic) -> bool {
        (topic as u8) < 16 && self.set & 1 << topic as u8 != 0
    }

    /// The one that was there first: where the specification leaves a cell open, the one that its reason names.
    pub const fn first(self) -> Option<Topic> {
        self.first
    }

    /// The first one, then the others in the order of [`Topic::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Topic> {
        let others = Topic::ALL.iter().copied().filter(move |topic| self.has(*topic));
        self.first.into_iter().chain(others.filter(move |topic| Some(*topic) != self.first))
    }
}

impl FromIterator<Topic> for Topics {
    fn from_iter<I: IntoIterator<Item = Topic>>(topics: I) -> Self {
        topics.into_iter().fold(Self::NONE, |all, one| all.and(Self::of(one)))
    }
}

impl Serialize for Topics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Topics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A word that a later version has added is none that this one could group by.
        let words = Vec::<Cow<'de, str>>::deserialize(deserializer)?;
        Ok(words
            .iter()
            .filter_map(|word| word.parse().ok())
            .filter(|topic: &Topic| (*topic as u8) < 16)
            .collect())
    }
}

impl JsonSchema for Topics {
    fn schema_name() -> Cow<'static, str> {
        "Topics".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<Topic>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_as_words_and_read_again() {
        let both: Topics = [Topic::StartUp, Topic::IpBlockPods].into_iter().collect();
        assert_eq!(serde_json::to_string(&both).unwrap(), r#"["start-up","ipblock-pods"]"#);
        assert_eq!(
            serde_json::from_str::<Topics>(r#"["start-up","of-tomorrow","ipblock-pods"]"#).unwrap(),
            both
        );
        assert_eq!((both.first(), Topics::NONE.and(both).first()), (Some(Topic::StartUp), both.first()));
        assert!(both.has(Topic::StartUp) && !both.has(Topic::Icmp) && !both.has(Topic::Enforcement));
        assert_eq!(Topics::of(Topic::Icmp).and(both).iter().count(), 3);
    }
}
