//! What a file of known deviations says.

use jiff::civil::Date;

use crate::{
    cell::{Cell, EndpointId},
    check::{CheckRecord, CheckWord},
    known::versions::VersionRange,
    pattern::{CellPattern, glob},
    record::Dataplane,
    verdict::Verdict,
};

/// Begins the source of the files that verdikt brings along.
const BUILT_IN: &str = "builtin:";

/// What is known of one dataplane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDeviations {
    /// Its name, unique among the files of a run.
    pub name: String,
    /// The dataplane, as `verdikt doctor` names it.
    pub dataplane: String,
    /// A word of its mode; `None` for all.
    pub mode: Option<String>,
    /// Its versions; `None` for all.
    pub versions: Option<VersionRange>,
    /// What is known.
    pub deviations: Vec<KnownDeviation>,
    /// Where it was read from: a path, or `builtin:PATH`.
    pub source: String,
}

/// One thing that a dataplane is known to do otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDeviation {
    /// Glob over the names of scenarios.
    pub scenario: String,
    /// Glob over the names of steps; `None` for all.
    pub step: Option<String>,
    /// The cells, or the cells between which checks are meant; empty for all.
    pub cells: Vec<CellPattern>,
    /// Kinds of checks that are meant, and then no cells; empty when cells are meant.
    pub checks: Vec<CheckWord>,
    /// What is observed in place of what should be; `None` for anything.
    pub observed: Option<Verdict>,
    /// Why it is so.
    pub reason: String,
    /// Where that is told.
    pub link: String,
    /// Narrows the versions of the file.
    pub versions: Option<VersionRange>,
    /// The last day on which it counts as known.
    pub expires: Option<Date>,
}

impl KnownDeviations {
    /// Whether verdikt has brought it along.
    pub fn is_built_in(&self) -> bool {
        self.source.starts_with(BUILT_IN)
    }

    /// The source of a file that verdikt brings along.
    pub fn built_in_source(path: &str) -> String {
        format!("{BUILT_IN}{path}")
    }

    /// Why it says nothing of a dataplane; `None` when it does.
    pub fn mismatch(&self, plane: &Dataplane) -> Option<String> {
        if self.dataplane != plane.name {
            return Some(format!("it is of {}, and here {} enforces policies", self.dataplane, plane.name));
        }
        if let Some(mode) =
            self.mode.as_ref().filter(|mode| !plane.mode.split(", ").any(|word| word == **mode))
        {
            let here = if plane.mode.is_empty() { "unknown" } else { &plane.mode };
            return Some(format!("it is of mode {mode}, and the mode here is {here}"));
        }
        let range = self.versions.as_ref()?;
        match range.contains(&plane.version) {
            Some(true) => None,
            Some(false) => Some(format!("it is of versions {range}, and here is {}", plane.version)),
            None if plane.version.is_empty() => {
                Some(format!("it is of versions {range}, and the version here could not be told"))
            }
            None => Some(format!("it is of versions {range}, and `{}` is no version", plane.version)),
        }
    }
}

impl KnownDeviation {
    /// Whether it speaks of this version.
    pub(super) fn is_of(&self, version: &str) -> bool {
        self.versions.as_ref().is_none_or(|range| range.contains(version) == Some(true))
    }

    pub(super) fn is_of_scenario(&self, name: &str) -> bool {
        glob(&self.scenario, name)
    }

    pub(super) fn is_of_step(&self, name: &str) -> bool {
        self.step.as_ref().is_none_or(|step| glob(step, name))
    }

    pub(super) fn is_of_cell(&self, from: &str, to: &str, cell: &Cell) -> bool {
        self.checks.is_empty() && self.is_between(from, to, cell)
    }

    pub(super) fn is_of_check(&self, check: &CheckRecord) -> bool {
        // Only what stands beside the endpoints is asked of it.
        let cell = Cell {
            from: EndpointId(0),
            to: EndpointId(0),
            via: check.via,
            family: check.family,
            protocol: check.protocol,
            port: check.port,
        };
        self.checks.contains(&check.kind) && self.is_between(&check.from, &check.to, &cell)
    }

    pub(super) fn is_of_verdict(&self, observed: Verdict) -> bool {
        observed != Verdict::Error && self.observed.is_none_or(|verdict| verdict == observed)
    }

    fn is_between(&self, from: &str, to: &str, cell: &Cell) -> bool {
        self.cells.is_empty() || self.cells.iter().any(|pattern| pattern.matches_names(from, to, cell))
    }
}
