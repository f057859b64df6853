//! A ConformanceReport from a record, in the form of Kubernetes SIG Network's: kind, `implementation`, `profiles[]` with
//! `core` and `extended`, each with `result`, `statistics` and lists of tests, as in gateway-api's
//! `conformance/apis/v1` and network-policy-api's `conformance/reports`.
//!
//! The tests are verdikt's catalogue and no suite of SIG Network, which has none for NetworkPolicy: the group of
//! `apiVersion` is verdikt's own. What the catalogue has and the record does not prove was skipped, so that a choice of
//! scenarios cannot pass for the whole.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use verdikt_model::{CellCounts, Level, Record, Scenario, ScenarioOutcome, ScenarioRecord};

use crate::{
    escape::{SENTENCE, cut},
    text::count,
};

/// What a record cannot tell of an implementation. Empty where nobody said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// Who maintains it.
    pub organization: String,
    /// Its name; empty for the record's dataplane.
    pub project: String,
    /// Where it is described.
    pub url: String,
    /// Its version; empty for that of the record's dataplane.
    pub version: String,
    /// Whom to ask.
    pub contact: Vec<String>,
}

/// Why a record makes no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConformanceError {
    /// Scenarios were measured in part.
    #[error("the run was limited by --cell: what it passed does not show that a scenario passes")]
    SingleCells,
    /// The text could not be written.
    #[error("cannot write YAML: {0}")]
    Yaml(String),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    api_version: &'static str,
    kind: &'static str,
    date: String,
    implementation: Implementation,
    kubernetes_version: String,
    verdikt_version: String,
    mode: String,
    profiles: Vec<Profile>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Implementation {
    organization: String,
    project: String,
    url: String,
    version: String,
    contact: Vec<String>,
    additional_information: String,
}

#[derive(Debug, Serialize)]
struct Profile {
    name: &'static str,
    summary: String,
    core: Status,
    extended: Extended,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    result: &'static str,
    statistics: Statistics,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped_tests: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_tests: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Extended {
    #[serde(flatten)]
    status: Status,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    supported_features: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unsupported_features: Vec<String>,
}

/// As upstream writes it: the Go type has no names for JSON.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    failed: usize,
    passed: usize,
    skipped: usize,
}

/// The report as YAML; the same for the same record, claim and catalogue.
///
/// # Errors
/// When the record cannot show conformance.
pub fn conformance(
    record: &Record,
    claim: &Claim,
    catalogue: &[Scenario],
) -> Result<String, ConformanceError> {
    if record.run.command.iter().any(|word| word == "--cell" || word.starts_with("--cell=")) {
        return Err(ConformanceError::SingleCells);
    }
    let env = &record.environment;
    let plane = &env.dataplane;
    let mode = if plane.mode.is_empty() { "default" } else { &plane.mode };
    let report = Report {
        api_version: "verdikt.dev/v1alpha1",
        kind: "ConformanceReport",
        date: text(&record.run.started),
        implementation: implementation(record, claim),
        kubernetes_version: text(&env.kubernetes),
        verdikt_version: text(&env.verdikt),
        mode: text(mode),
        profiles: vec![profile(record, catalogue)],
    };
    let options = serde_yaml::ser_options! { compact_list_indent: false, no_lang_directive: true };
    serde_yaml::to_string_with_options(&report, options).map_err(|e| ConformanceError::Yaml(e.to_string()))
}

fn implementation(record: &Record, claim: &Claim) -> Implementation {
    let plane = &record.environment.dataplane;
    let or = |stated: &str, measured: &str| text(if stated.is_empty() { measured } else { stated });
    let mut project = or(&claim.project, &plane.name);
    let mut about = format!("Run {}: {}", record.run.id, record.run.command.join(" "));
    if plane.emulated {
        project.push_str(" (emulated from documentation by verdikt's sandbox)");
        about = format!("{EMULATED} {about}");
    }
    Implementation {
        organization: text(&claim.organization),
        project,
        url: text(&claim.url),
        version: or(&claim.version, &plane.version),
        contact: claim.contact.iter().map(|contact| text(contact)).collect(),
        additional_information: text(&about),
    }
}

const EMULATED: &str = "Emulated from documentation: no evidence about a product.";

fn profile(record: &Record, catalogue: &[Scenario]) -> Profile {
    let tests = Tests::new(record, catalogue);
    let core = tests.status(Level::Core, &BTreeSet::new());
    let (supported, unsupported) = tests.features();
    let extended = tests.status(Level::Extended, &unsupported);
    let mut summary = format!("Core tests {}. Extended tests {}.", said(&core), said(&extended));
    for remark in tests.remarks(record) {
        summary.push(' ');
        summary.push_str(&remark);
    }
    if record.environment.dataplane.emulated {
        summary = format!("{EMULATED} {summary}");
    }
    Profile {
        name: "NetworkPolicy",
        summary,
        core,
        extended: Extended {
            status: extended,
            supported_features: supported.into_iter().map(text).collect(),
            unsupported_features: unsupported.into_iter().map(text).collect(),
        },
    }
}

/// Upstream's words.
fn said(status: &Status) -> String {
    let Statistics { failed, passed, skipped } = status.statistics;
    match status.result {
        "success" => "succeeded".to_owned(),
        "failure" => format!("failed with {failed} test failures"),
        _ if passed + skipped == 0 => "were not run".to_owned(),
        _ => format!("partially succeeded with {skipped} test skips"),
    }
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Passed,
    Failed,
    /// The cluster lacks what it needs.
    Unsupported,
    /// It could not be measured.
    Errored,
    /// It is not in the record.
    Absent,
}

/// The tests of the catalogue by name, with the record's results.
struct Tests<'a> {
    all: BTreeMap<&'a str, (&'a Scenario, Ended)>,
    /// Scenarios of the record that are counted.
    counted: Vec<&'a ScenarioRecord>,
}

impl<'a> Tests<'a> {
    fn new(record: &'a Record, catalogue: &'a [Scenario]) -> Self {
        let results: BTreeMap<&str, &ScenarioRecord> =
            record.scenarios.iter().map(|scenario| (scenario.name.as_str(), scenario)).collect();
        let (mut all, mut counted) = (BTreeMap::new(), Vec::new());
        for test in catalogue.iter().filter(|test| matches!(test.level, Level::Core | Level::Extended)) {
            // Another scenario of the same name proves nothing about this one.
            let result = results.get(test.name.as_str()).filter(|result| result.digest == test.digest());
            all.insert(test.name.as_str(), (test, result.map_or(Ended::Absent, |result| ended(result))));
            counted.extend(result);
        }
        Self { all, counted }
    }

    fn of(&self, level: Level) -> impl Iterator<Item = (&'a str, &'a Scenario, Ended)> {
        self.all
            .iter()
            .filter(move |(_, (test, _))| test.level == level)
            .map(|(name, (test, ended))| (*name, *test, *ended))
    }

    /// Features of extended tests that were tried, and those for which the cluster lacks something every time.
    fn features(&self) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
        let (mut tried, mut refused) = (BTreeSet::new(), BTreeSet::new());
        for (_, test, ended) in self.of(Level::Extended) {
            match ended {
                Ended::Passed | Ended::Failed | Ended::Errored => tried.insert(feature(test)),
                Ended::Unsupported => refused.insert(feature(test)),
                Ended::Absent => false,
            };
        }
        (tried.clone(), refused.difference(&tried).copied().collect())
    }

    /// Tests of features that are not supported are left out, as upstream does.
    fn status(&self, level: Level, unsupported: &BTreeSet<&str>) -> Status {
        let (mut passed, mut failed_tests, mut skipped_tests) = (0, Vec::new(), Vec::new());
        for (name, test, ended) in self.of(level) {
            match ended {
                Ended::Passed => passed += 1,
                Ended::Failed => failed_tests.push(text(name)),
                Ended::Unsupported if unsupported.contains(feature(test)) => {}
                Ended::Unsupported | Ended::Errored | Ended::Absent => skipped_tests.push(text(name)),
            }
        }
        let statistics = Statistics { failed: failed_tests.len(), passed, skipped: skipped_tests.len() };
        let result = match statistics {
            Statistics { failed: 1.., .. } => "failure",
            Statistics { passed: 1.., skipped: 0, .. } => "success",
            _ => "partial",
        };
        Status { result, statistics, skipped_tests, failed_tests }
    }

    /// What the numbers do not tell.
    fn remarks(&self, record: &Record) -> Vec<String> {
        let number = |ended: Ended| self.all.values().filter(|(_, have)| *have == ended).count() as u64;
        let mut cells = CellCounts::default();
        for scenario in &self.counted {
            let counts = scenario.counts();
            cells.deviation += counts.deviation + scenario.check_counts().deviation;
            cells.skipped += counts.skipped;
        }
        let others = record.scenarios.len() - self.counted.len();
        [
            (number(Ended::Errored), "test", "not measured, counted as skipped"),
            (number(Ended::Absent), "test", "of the catalogue not in the record, counted as skipped"),
            (cells.deviation, "known deviation", "counted as failed"),
            (cells.skipped, "cell", "of the tests skipped"),
            (others as u64, "scenario", "not counted: of no conformance level, or not of this catalogue"),
        ]
        .into_iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, noun, what)| format!("{} {what}.", count(n, noun)))
        .collect()
    }
}

fn ended(result: &ScenarioRecord) -> Ended {
    let (cells, checks) = (result.counts(), result.check_counts());
    let different = [cells, checks].iter().any(|counts| counts.fail + counts.flaky + counts.deviation > 0);
    match result.outcome {
        // What passes now and then does not pass.
        ScenarioOutcome::Failed | ScenarioOutcome::Flaky => Ended::Failed,
        // To be known does not make a difference conformant.
        _ if different => Ended::Failed,
        ScenarioOutcome::Errored => Ended::Errored,
        ScenarioOutcome::Skipped => Ended::Unsupported,
        ScenarioOutcome::Passed if cells.error + checks.error > 0 => Ended::Errored,
        ScenarioOutcome::Passed => Ended::Passed,
    }
}

fn feature(test: &Scenario) -> &str {
    test.labels.get("feature").map_or("other", String::as_str)
}

fn text(foreign: &str) -> String {
    cut(foreign, SENTENCE).into_owned()
}

#[cfg(test)]
mod tests;
