//! Findings of one document.

use crate::{diagnostic::Finding, span::Span};

/// Errors, and warnings, that are kept of one document; the others are only counted.
const MOST_KEPT: usize = 200;

/// Collects the findings of one document.
#[derive(Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    errors: usize,
    warnings: usize,
    /// Inside an object of the Kubernetes API, where a plain `y` is a boolean.
    pub(crate) in_object: bool,
}

impl Findings {
    /// Adds a finding. Warnings take no place from errors: a file with an error must show one.
    pub(crate) fn push(&mut self, finding: Finding) {
        let count = if finding.is_error() { &mut self.errors } else { &mut self.warnings };
        *count += 1;
        if *count <= MOST_KEPT {
            self.list.push(finding);
        }
    }

    /// Adds an error whose advice is costly to find; it is not looked for when nobody would see it.
    pub(crate) fn push_error(&mut self, make: impl FnOnce() -> Finding) {
        if self.is_full() {
            self.errors += 1;
        } else {
            self.push(make());
        }
    }

    /// Whether further errors are only counted, and need no advice.
    fn is_full(&self) -> bool {
        self.errors >= MOST_KEPT
    }

    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    pub(crate) fn warnings(&self) -> usize {
        self.warnings
    }

    /// Whether there is a finding of this code inside these bytes.
    pub(crate) fn has(&self, code: &str, within: Span) -> bool {
        self.list.iter().any(|finding| finding.is(code) && within.range().contains(&finding.start()))
    }

    /// Takes out the warnings of a code, without what stands before its `/`; whether there was one.
    pub(crate) fn silence(&mut self, word: &str) -> bool {
        let before = self.list.len();
        self.list.retain(|finding| finding.is_error() || finding.word() != word);
        let silenced = before - self.list.len();
        self.warnings -= silenced;
        silenced > 0
    }

    /// The findings, and how many more there were.
    pub(crate) fn into_parts(self) -> (Vec<Finding>, usize) {
        let all = self.errors + self.warnings;
        let dropped = all - self.list.len();
        (self.list, dropped)
    }
}
