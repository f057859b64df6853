//! Which scenarios to run: names, labels, partition.

use std::{collections::BTreeMap, fmt, str::FromStr};

use verdikt_model::Scenario;

/// What the user asked for. The default selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Parts of names (whole names when `exact`); a scenario that matches any of them is selected. Empty: all.
    pub names: Vec<String>,
    /// Whether names must be equal.
    pub exact: bool,
    /// Parts of names (whole names when `exact`) of scenarios to leave out.
    pub skip: Vec<String>,
    /// Label selectors, all of which must hold. `name` and `level` can be used as labels.
    pub labels: Vec<LabelSelector>,
    /// One part of what is left.
    pub partition: Option<Partition>,
}

impl Selection {
    /// The scenarios that are meant, in their order.
    pub fn apply(&self, scenarios: Vec<Scenario>) -> Vec<Scenario> {
        scenarios.into_iter().filter(|scenario| self.selects(scenario)).collect()
    }

    /// Whether a scenario is meant.
    pub fn selects(&self, scenario: &Scenario) -> bool {
        let is =
            |word: &String| if self.exact { scenario.name == *word } else { scenario.name.contains(word) };
        (self.names.is_empty() || self.names.iter().any(is))
            && !self.skip.iter().any(is)
            && self.labels.iter().all(|selector| selector.selects(scenario))
            && self.partition.is_none_or(|partition| partition.holds(&scenario.name))
    }
}

/// A label selector as kubectl writes it: `feature=ipblock,level!=core,feature in (a,b),!slow`. All parts must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// Its parts.
    pub requirements: Vec<LabelRequirement>,
}

/// One part of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// What must hold for it.
    pub test: LabelTest,
}

/// What must hold for a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelTest {
    /// It is there, with one of these values.
    In(Vec<String>),
    /// It is not there, or has none of these values.
    NotIn(Vec<String>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether a scenario's labels satisfy it.
    pub fn selects(&self, scenario: &Scenario) -> bool {
        self.requirements.iter().all(|requirement| {
            let level = scenario.level.to_string();
            let have = label(&scenario.labels, &requirement.key, &scenario.name, &level);
            match &requirement.test {
                LabelTest::In(values) => have.is_some_and(|have| values.iter().any(|value| value == have)),
                LabelTest::NotIn(values) => {
                    !have.is_some_and(|have| values.iter().any(|value| value == have))
                }
                LabelTest::Exists => have.is_some(),
                LabelTest::DoesNotExist => have.is_none(),
            }
        })
    }
}

fn label<'a>(
    labels: &'a BTreeMap<String, String>,
    key: &str,
    name: &'a str,
    level: &'a str,
) -> Option<&'a str> {
    match key {
        "name" => Some(name),
        "level" => Some(level),
        _ => labels.get(key).map(String::as_str),
    }
}

/// A text that is no label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{part}` is no label requirement: {why}; write KEY=VALUE, KEY!=VALUE, KEY in (A,B), KEY notin (A,B), KEY or !KEY, \
     joined by commas"
)]
pub struct ParseLabelSelectorError {
    /// The part that is wrong.
    pub part: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl FromStr for LabelSelector {
    type Err = ParseLabelSelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let requirements = split(text).into_iter().map(requirement).collect::<Result<_, _>>()?;
        Ok(Self { requirements })
    }
}

/// Splits at the commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth <= 0 => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn requirement(part: &str) -> Result<LabelRequirement, ParseLabelSelectorError> {
    let bad = |why| ParseLabelSelectorError { part: part.to_owned(), why };
    let made = |key: &str, test| {
        let key = key.trim();
        let good = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        if good {
            Ok(LabelRequirement { key: key.to_owned(), test })
        } else {
            Err(bad("the key is no label"))
        }
    };
    let value = |value: &str| {
        let value = value.trim().to_owned();
        if value.contains(['=', '!', '(', ')', ' ']) {
            Err(bad("the value is no label value"))
        } else {
            Ok(value)
        }
    };
    if part.is_empty() {
        return Err(bad("it is empty"));
    }
    if let Some(open) = part.find('(') {
        let inner = part[open + 1..].strip_suffix(')').ok_or_else(|| bad("`(` without `)`"))?;
        let values = inner.split(',').map(value).collect::<Result<Vec<_>, _>>()?;
        let mut words = part[..open].split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => made(key, LabelTest::In(values)),
            (Some(key), Some("notin"), None) => made(key, LabelTest::NotIn(values)),
            _ => Err(bad("before `(` there must be a key and `in` or `notin`")),
        };
    }
    if let Some((key, right)) = part.split_once("!=") {
        return made(key, LabelTest::NotIn(vec![value(right)?]));
    }
    if let Some((key, right)) = part.split_once('=') {
        return made(key, LabelTest::In(vec![value(right.strip_prefix('=').unwrap_or(right))?]));
    }
    match part.strip_prefix('!') {
        Some(key) => made(key, LabelTest::DoesNotExist),
        None => made(part, LabelTest::Exists),
    }
}

/// One of `count` parts of the scenarios, by a stable hash of the name: the parts are disjoint and together hold
/// everything, on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Which part, from 1.
    pub index: u32,
    /// How many parts.
    pub count: u32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl Partition {
    /// Whether a name belongs to this part.
    pub fn holds(self, name: &str) -> bool {
        // FNV-1a: fixed for all time, unlike the standard library's hashers.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        // The low bits alone of FNV are weak for short names.
        let mixed = hash ^ (hash >> 32);
        mixed % u64::from(self.count.max(1)) == u64::from(self.index.saturating_sub(1))
    }
}

/// A text that is no partition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no partition; write I/N with 1 <= I <= N, for example 2/5")]
pub struct ParsePartitionError(pub String);

impl FromStr for Partition {
    type Err = ParsePartitionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once('/')
            .and_then(|(index, count)| Some(Self { index: index.parse().ok()?, count: count.parse().ok()? }))
            .filter(|partition| (1..=partition.count).contains(&partition.index))
            .ok_or_else(|| ParsePartitionError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdikt_model::{Level, Topology};

    fn scenario(name: &str, labels: &[(&str, &str)]) -> Scenario {
        Scenario {
            name: name.into(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            level: Level::Core,
            summary: String::new(),
            clauses: vec![],
            references: vec![],
            differs: vec![],
            requires: vec![],
            repeat: 1,
            topology: Topology::default(),
            steps: vec![],
            source: String::new(),
        }
    }

    fn names(selection: &Selection) -> Vec<String> {
        let all = vec![
            scenario("ports/range", &[("feature", "ports")]),
            scenario("ports/named", &[("feature", "ports"), ("slow", "yes")]),
            scenario("ipblock/except", &[("feature", "ipblock")]),
        ];
        selection.apply(all).into_iter().map(|s| s.name).collect()
    }

    fn labelled(text: &str) -> Vec<String> {
        names(&Selection { labels: vec![text.parse().unwrap()], ..Selection::default() })
    }

    #[test]
    fn names_are_parts_unless_exact() {
        let by =
            |name: &str, exact| names(&Selection { names: vec![name.into()], exact, ..Selection::default() });
        assert_eq!(by("ports", false).len(), 2);
        assert_eq!(by("ports", true).len(), 0);
        assert_eq!(by("ports/range", true), ["ports/range"]);
        let skip = Selection { skip: vec!["named".into()], ..Selection::default() };
        assert_eq!(names(&skip), ["ports/range", "ipblock/except"]);
    }

    #[test]
    fn labels_as_kubectl_writes_them() {
        assert_eq!(labelled("feature=ipblock"), ["ipblock/except"]);
        assert_eq!(labelled("feature==ipblock,level=core"), ["ipblock/except"]);
        assert_eq!(labelled("feature!=ipblock").len(), 2);
        assert_eq!(labelled("feature in (ports, ipblock),!slow"), ["ports/range", "ipblock/except"]);
        assert_eq!(labelled("feature notin (ports)"), ["ipblock/except"]);
        assert_eq!(labelled("slow"), ["ports/named"]);
        assert_eq!(labelled("level!=core").len(), 0);
        assert_eq!(labelled("name=ports/range"), ["ports/range"]);
    }

    #[test]
    fn mistakes_in_labels_are_named() {
        for text in ["", "a=b,", "a in (b", "a b (c)", "=x", "a=b=c", "!"] {
            assert!(text.parse::<LabelSelector>().is_err(), "{text}");
        }
    }

    #[test]
    fn partitions_are_disjoint_and_complete() {
        for name in ["ports/range", "a/b", "x", ""] {
            let holders = (1..=5).filter(|index| Partition { index: *index, count: 5 }.holds(name)).count();
            assert_eq!(holders, 1, "{name}");
        }
        let sizes: Vec<usize> = (1..=4)
            .map(|index| {
                (0..1000).filter(|i| Partition { index, count: 4 }.holds(&format!("area/title-{i}"))).count()
            })
            .collect();
        assert!(sizes.iter().all(|size| (150..350).contains(size)), "{sizes:?}");
        for text in ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"] {
            assert!(text.parse::<Partition>().is_err(), "{text}");
        }
        assert_eq!("2/3".parse(), Ok(Partition { index: 2, count: 3 }));
    }
}
