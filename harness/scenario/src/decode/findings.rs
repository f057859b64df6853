//! Findings of one document.

use crate::diagnostic::Finding;

/// Findings that are kept of one document; the others are only counted.
const MOST_KEPT: usize = 200;

/// Collects the findings of one document.
#[derive(Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    errors: usize,
    /// Findings that were not kept.
    dropped: usize,
    /// Inside an object of the Kubernetes API, where a plain `y` is a boolean.
    pub(crate) in_object: bool,
}

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        self.errors += usize::from(finding.is_error());
        if self.is_full() {
            self.dropped += 1;
        } else {
            self.list.push(finding);
        }
    }

    /// Adds an error whose advice is costly to find; it is not looked for when nobody would see it.
    pub(crate) fn push_error(&mut self, make: impl FnOnce() -> Finding) {
        if self.is_full() {
            self.errors += 1;
            self.dropped += 1;
        } else {
            self.push(make());
        }
    }

    /// Whether further findings are only counted, and need no advice.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= MOST_KEPT
    }

    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// The findings, and how many more there were.
    pub(crate) fn into_parts(self) -> (Vec<Finding>, usize) {
        (self.list, self.dropped)
    }
}
