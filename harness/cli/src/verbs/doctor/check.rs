//! One thing that the doctor looked at, and how it is told.

use std::fmt::Write;

use serde::Serialize;
use verdikt_cluster::ClusterError;
use verdikt_report::escape;

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) status: Status,
    /// What was found.
    pub(super) found: String,
    /// From what that is known, where it does not speak for itself.
    pub(super) evidence: Vec<String>,
    /// What to do; empty when nothing is to be done.
    pub(super) mend: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// Something is missing that verdikt can do without.
    Missing,
    Failed,
    /// It could not be told.
    Unknown,
}

impl Check {
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, found.into())
    }

    pub(super) fn missing(name: &'static str, found: String) -> Self {
        Self::new(name, Status::Missing, found)
    }

    pub(super) fn failed(name: &'static str, found: String) -> Self {
        Self::new(name, Status::Failed, found)
    }

    pub(super) fn unknown(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Status::Unknown, found.into())
    }

    /// An error of the cluster, its mend apart from the rest of its message.
    pub(super) fn error(name: &'static str, status: Status, error: &ClusterError) -> Self {
        let (message, mend) = (error.to_string(), error.mend().unwrap_or_default());
        let found = message.strip_suffix(&format!("; {mend}")).unwrap_or(&message).to_owned();
        Self::new(name, status, found).mend(mend)
    }

    pub(super) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = mend.into();
        self
    }

    pub(super) fn evidence(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    fn new(name: &'static str, status: Status, found: String) -> Self {
        Self { name, status, found, evidence: Vec::new(), mend: String::new() }
    }
}

/// For people.
pub(super) fn human(checks: &[Check]) -> String {
    let mut out = String::new();
    for check in checks {
        let word = match check.status {
            Status::Ok => "ok",
            Status::Missing => "missing",
            Status::Failed => "FAILED",
            Status::Unknown => "unknown",
        };
        let _ = writeln!(out, "{word:>8}  {:<16} {}", check.name, escape(&check.found));
        for evidence in &check.evidence {
            let _ = writeln!(out, "{:>26} - {}", "", escape(evidence));
        }
        if !check.mend.is_empty() {
            let _ = writeln!(out, "{:>26} help: {}", "", escape(&check.mend));
        }
    }
    out
}
