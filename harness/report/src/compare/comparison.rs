//! [`Comparison`]: what a comparison found. Serialises as `verdikt compare -o json` prints it.

use serde::Serialize;
use verdikt_model::{
    CheckWord, Evidence, Family, Level, Outcome, Protocol, Record, Seen, Topic, Verdict, Via,
};

/// What two records, or what was measured on two dataplanes, have in common and not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// What the other is held against.
    pub reference: Side,
    /// What is held against it.
    pub other: Side,
    /// What was measured on both sides.
    pub compared: Counts,
    /// What differs, the most telling first.
    pub patterns: Vec<Pattern>,
    /// Cells and checks that did not hold still on a side: they prove no difference.
    pub unstable: u64,
    /// What was measured on one side, or should have been, and not on the other.
    pub missing: Vec<Missing>,
    /// Scenarios that are not the same on both sides: only the cells that both have were compared.
    pub changed: Vec<String>,
    /// How times differ.
    pub shifts: Vec<Shift>,
}

/// One side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// How it is called in sentences: the dataplane's name, or the record's where both have the same dataplane.
    pub name: String,
    /// Where it came from: a file, or what was run.
    pub source: String,
    /// Name of the dataplane.
    pub dataplane: String,
    /// Its version; empty when not known.
    pub version: String,
    /// Its mode; empty when not known.
    pub mode: String,
    /// Whether it is an emulation from documentation, and no evidence about a product.
    pub emulated: bool,
    /// Version of Kubernetes.
    pub kubernetes: String,
    /// Id of the run.
    pub run: String,
    /// When it started.
    pub started: String,
    /// Where it enforces no policy at all: how that is known, as a sentence; null where it enforces them, or nobody knows.
    pub enforces_nothing: Option<String>,
}

/// How much of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Scenarios.
    pub scenarios: u64,
    /// Cells.
    pub cells: u64,
    /// Checks.
    pub checks: u64,
}

/// Differences of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pattern {
    /// What they turn on; null where no known topic explains them.
    pub topic: Option<Topic>,
    /// The same in words.
    pub title: String,
    /// The statement that decides it or leaves it open; null where none speaks of it.
    pub statement: Option<&'static str>,
    /// What the specification says to it.
    pub ruling: Ruling,
    /// Against the reference.
    pub change: Change,
    /// What the reference showed.
    pub reference: String,
    /// What the other showed.
    pub other: String,
    /// What it would mean for traffic, in a sentence.
    pub effect: &'static str,
    /// How much.
    pub counts: Counts,
    /// What is documented of the reference's dataplane.
    pub reference_evidence: Option<Known>,
    /// What is documented of the other's.
    pub other_evidence: Option<Known>,
    /// Every cell and check.
    pub differences: Vec<Difference>,
}

/// What is documented of a dataplane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// What it does.
    pub does: String,
    /// Where that is written; null where it is not.
    pub link: Option<String>,
}

impl From<&Evidence> for Known {
    fn from(evidence: &Evidence) -> Self {
        Self { does: evidence.does.to_owned(), link: Some(evidence.link.to_owned()) }
    }
}

/// What the specification says to a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ruling {
    /// The other is wrong.
    OtherWrong,
    /// The reference is wrong.
    ReferenceWrong,
    /// Both are wrong, in different ways.
    BothWrong,
    /// It leaves both ways open.
    Open,
}

/// A difference against a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// As expected there, proved wrong here.
    New,
    /// Proved wrong there, as expected here.
    Fixed,
    /// Different, and no better or worse by the specification.
    Changed,
}

/// One cell or check that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Scenario.
    pub scenario: String,
    /// How binding it is.
    pub level: Level,
    /// Step.
    pub step: String,
    /// Which time through the steps.
    pub pass: u16,
    /// What was checked; null for a cell.
    pub check: Option<CheckWord>,
    /// Source.
    pub from: String,
    /// Destination.
    pub to: String,
    /// How it is addressed.
    pub via: Via,
    /// Port.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
    /// IP family.
    pub family: Family,
    /// What should be.
    pub expected: String,
    /// What the reference showed, and how that compares with what should be.
    pub reference: Shown,
    /// What the other showed.
    pub other: Shown,
}

/// What one side showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// In a word: `allowed`, `cut`, `204`.
    pub seen: String,
    /// How it compares with what should be.
    pub outcome: Outcome,
    /// Why, where the record says.
    pub reason: Option<String>,
}

/// Whether traffic got through, for what can be told of a cell or check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Through {
    Yes,
    No,
    Other,
}

impl Through {
    pub(super) const fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allowed => Self::Yes,
            Verdict::Dropped | Verdict::Rejected => Self::No,
            Verdict::Error => Self::Other,
        }
    }

    pub(super) const fn of_check(seen: Seen) -> Self {
        match seen {
            Seen::Survived | Seen::Opened | Seen::Complete | Seen::Answered => Self::Yes,
            Seen::Cut | Seen::Closed | Seen::Dropped | Seen::Rejected => Self::No,
            Seen::Window | Seen::Changed | Seen::Error => Self::Other,
        }
    }
}

/// Something without a counterpart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// Scenario.
    pub scenario: String,
    /// Where it was not measured: `reference`, `other` or `both`.
    pub side: WhichSide,
    /// Why: the record's reason; or that it is not there.
    pub why: String,
    /// How many cells and checks of the scenario that concerns; 0 for the whole scenario.
    pub cells: u64,
    /// Whether it could not be measured, rather than was left out on purpose.
    pub error: bool,
}

/// A side, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhichSide {
    /// The reference.
    Reference,
    /// The other.
    Other,
    /// Both.
    Both,
}

/// A time on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shift {
    /// What takes that time.
    pub what: &'static str,
    /// On the reference.
    pub reference: Spread,
    /// On the other.
    pub other: Spread,
}

/// How a time is spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// How many were measured.
    pub samples: u64,
    /// The middle one, in microseconds.
    pub median_us: u64,
    /// All but the slowest hundredth are within this, in microseconds.
    pub p99_us: u64,
}

impl Side {
    /// One side, under the name of its dataplane.
    pub(super) fn of(source: &str, record: &Record) -> Self {
        let env = &record.environment;
        Self {
            name: env.dataplane.name.clone(),
            source: source.to_owned(),
            dataplane: env.dataplane.name.clone(),
            version: env.dataplane.version.clone(),
            mode: env.dataplane.mode.clone(),
            emulated: env.dataplane.emulated,
            kubernetes: env.kubernetes.clone(),
            run: record.run.id.clone(),
            started: record.run.started.clone(),
            enforces_nothing: super::pair::enforces_nothing(record),
        }
    }
}

impl Comparison {
    /// How much differs.
    pub fn differing(&self) -> Counts {
        let mut scenarios: Vec<&str> =
            self.patterns.iter().flat_map(|p| &p.differences).map(|d| d.scenario.as_str()).collect();
        scenarios.sort_unstable();
        scenarios.dedup();
        Counts {
            scenarios: scenarios.len() as u64,
            cells: self.patterns.iter().map(|p| p.counts.cells).sum(),
            checks: self.patterns.iter().map(|p| p.counts.checks).sum(),
        }
    }

    /// Cells and checks of one kind of change.
    pub fn count(&self, change: Change) -> u64 {
        let of = |pattern: &&Pattern| pattern.change == change;
        self.patterns.iter().filter(of).map(|p| p.counts.cells + p.counts.checks).sum()
    }

    /// Whether something of level core, as expected on the reference, is proved wrong on the other.
    pub fn regresses(&self) -> bool {
        let new = self.patterns.iter().filter(|pattern| pattern.change == Change::New);
        new.flat_map(|pattern| &pattern.differences).any(|d| d.level != Level::Extended)
    }

    /// Whether the other has what could not be measured there and was on the reference.
    pub fn is_inconclusive(&self) -> bool {
        self.unstable > 0 || self.missing.iter().any(|m| m.error && m.side != WhichSide::Reference)
    }
}
