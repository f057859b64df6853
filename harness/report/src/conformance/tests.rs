//! The report, read back with the types of gateway-api's `conformance/apis/v1` and verdikt's own fields.

use serde::Deserialize;
use verdikt_model::Topology;

use super::*;
use crate::{escape::is_harmful, sample};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReadReport {
    api_version: String,
    kind: String,
    date: String,
    implementation: ReadImplementation,
    kubernetes_version: String,
    verdikt_version: String,
    mode: String,
    profiles: Vec<ReadProfile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReadImplementation {
    organization: String,
    project: String,
    url: String,
    version: String,
    contact: Vec<String>,
    additional_information: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReadProfile {
    name: String,
    summary: String,
    core: ReadStatus,
    extended: ReadStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReadStatus {
    result: ReadResult,
    statistics: ReadStatistics,
    #[serde(default)]
    skipped_tests: Vec<String>,
    #[serde(default)]
    failed_tests: Vec<String>,
    #[serde(default)]
    supported_features: Vec<String>,
    #[serde(default)]
    unsupported_features: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReadResult {
    Success,
    Partial,
    Failure,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ReadStatistics {
    passed: u32,
    skipped: u32,
    failed: u32,
}

fn read(yaml: &str) -> ReadReport {
    serde_yaml::from_str(yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"))
}

/// A test of the catalogue, and its result.
fn test(name: &str, level: Level, mut result: ScenarioRecord) -> (Scenario, ScenarioRecord) {
    let scenario = Scenario {
        name: name.into(),
        labels: [("feature".to_owned(), name.split('/').next().unwrap_or_default().to_owned())].into(),
        level,
        summary: String::new(),
        clauses: Vec::new(),
        references: Vec::new(),
        differs: Vec::new(),
        requires: Vec::new(),
        repeat: 1,
        topology: Topology::default(),
        steps: Vec::new(),
        source: String::new(),
    };
    (result.name, result.level, result.digest) = (name.into(), level, scenario.digest());
    (scenario, result)
}

fn report(tests: Vec<(Scenario, ScenarioRecord)>) -> ReadReport {
    let (catalogue, scenarios): (Vec<_>, Vec<_>) = tests.into_iter().unzip();
    let mut record = sample::record();
    record.environment.dataplane.emulated = false;
    record.scenarios = scenarios;
    read(&conformance(&record, &Claim::default(), &catalogue).unwrap())
}

fn deviating() -> ScenarioRecord {
    let mut scenario = sample::mixed();
    scenario.steps[0].cells.rows[2].outcome = verdikt_model::Outcome::Pass;
    scenario
}

const CORE: Level = Level::Core;
const EXTENDED: Level = Level::Extended;

#[test]
fn results_are_counted_by_level() {
    let report = report(vec![
        test("a/passes", CORE, sample::passed()),
        test("z/fails", CORE, sample::failed()),
        test("b/fails", CORE, sample::failed()),
        test("sctp/passes", EXTENDED, sample::passed()),
        test("sctp/skipped", EXTENDED, sample::skipped()),
        test("crd/skipped", EXTENDED, sample::skipped()),
        test("open/fails", Level::ImplementationDefined, sample::failed()),
    ]);
    assert_eq!(
        (report.api_version.as_str(), report.kind.as_str()),
        ("verdikt.dev/v1alpha1", "ConformanceReport")
    );
    let [profile] = &report.profiles[..] else { panic!("{report:?}") };
    assert_eq!(profile.name, "NetworkPolicy");
    let core = &profile.core;
    assert_eq!(core.result, ReadResult::Failure);
    assert_eq!((core.statistics.passed, core.statistics.failed, core.statistics.skipped), (1, 2, 0));
    assert_eq!(core.failed_tests, ["b/fails", "z/fails"]);
    assert_eq!((&core.supported_features, &core.unsupported_features), (&vec![], &vec![]));
    let extended = &profile.extended;
    assert_eq!(extended.result, ReadResult::Partial);
    assert_eq!(
        (extended.statistics.passed, extended.statistics.failed, extended.statistics.skipped),
        (1, 0, 1)
    );
    assert_eq!(extended.skipped_tests, ["sctp/skipped"]);
    assert_eq!(extended.supported_features, ["sctp"]);
    assert_eq!(extended.unsupported_features, ["crd"]);
    assert!(
        profile.summary.starts_with(
            "Core tests failed with 2 test failures. Extended tests partially succeeded with 1 test skips."
        ),
        "{}",
        profile.summary
    );
}

#[test]
fn only_what_was_proved_is_success() {
    let result = |of: ScenarioRecord| {
        let report = report(vec![test("a/one", CORE, sample::passed()), test("a/two", CORE, of)]);
        report.profiles[0].core.result
    };
    assert_eq!(result(sample::passed()), ReadResult::Success);
    assert_eq!(result(sample::skipped()), ReadResult::Partial);
    assert_eq!(result(sample::errored()), ReadResult::Partial);
    assert_eq!(result(sample::failed()), ReadResult::Failure);
    assert_eq!(result(sample::flaky()), ReadResult::Failure);
    assert_eq!(result(deviating()), ReadResult::Failure);
    // Nothing at all is no success either.
    let nothing = report(vec![]);
    assert_eq!(nothing.profiles[0].core.result, ReadResult::Partial);
    assert_eq!(nothing.profiles[0].summary, "Core tests were not run. Extended tests were not run.");
}

#[test]
fn a_choice_of_scenarios_does_not_pass_for_the_catalogue() {
    let (catalogue, scenarios): (Vec<_>, Vec<_>) =
        ["a/one", "a/two"].map(|name| test(name, CORE, sample::passed())).into_iter().unzip();
    let mut record = sample::record();
    record.scenarios = scenarios;
    let core = |record: &Record| {
        let report = read(&conformance(record, &Claim::default(), &catalogue).unwrap());
        (report.profiles[0].core.result, report.profiles[0].core.skipped_tests.clone())
    };
    assert_eq!(core(&record), (ReadResult::Success, vec![]));
    // Another scenario of that name.
    record.scenarios[1].digest = "0123456789abcdef".into();
    assert_eq!(core(&record), (ReadResult::Partial, vec!["a/two".to_owned()]));
    record.scenarios.truncate(1);
    assert_eq!(core(&record), (ReadResult::Partial, vec!["a/two".to_owned()]));
    record.run.command.push("--cell=x/a -> x/b".into());
    assert_eq!(conformance(&record, &Claim::default(), &catalogue), Err(ConformanceError::SingleCells));
}

#[test]
fn what_the_record_cannot_tell_is_stated() {
    let mut record = sample::record();
    let claim = Claim {
        organization: "example".into(),
        project: "net".into(),
        url: "https://example.org".into(),
        version: "v1.2.3".into(),
        contact: vec!["@example/maintainers".into(), "help@example.org".into()],
    };
    let yaml = conformance(&record, &claim, &[]).unwrap();
    assert_eq!(yaml, conformance(&record, &claim, &[]).unwrap());
    let report = read(&yaml);
    let mark = "emulated from documentation by verdikt's sandbox";
    assert_eq!(report.implementation.project, format!("net ({mark})"));
    assert_eq!(report.implementation.organization, "example");
    assert_eq!(report.implementation.url, "https://example.org");
    assert_eq!(report.implementation.version, "v1.2.3");
    assert_eq!(report.implementation.contact, claim.contact);
    assert!(report.profiles[0].summary.starts_with(EMULATED));
    assert_eq!((report.date.as_str(), report.mode.as_str()), ("2026-11-21T10:52:07Z", "nftables"));

    record.environment.dataplane.emulated = false;
    let report = read(&conformance(&record, &Claim::default(), &[]).unwrap());
    assert_eq!(
        (report.implementation.project.as_str(), report.implementation.version.as_str()),
        ("flannel", "0.1.0")
    );
    assert!(!report.profiles[0].summary.contains("mulated"));
}

#[test]
fn a_hostile_record_is_read_back_as_text() {
    for hostile in sample::hostile_texts() {
        let mut record = sample::hostile();
        record.environment.dataplane.name.clone_from(&hostile);
        record.environment.dataplane.mode = format!("m{hostile}");
        record.run.started.clone_from(&hostile);
        let (catalogue, scenarios): (Vec<_>, Vec<_>) =
            [CORE, EXTENDED].map(|level| test(&hostile, level, sample::failed())).into_iter().unzip();
        record.scenarios = scenarios;
        let claim = Claim { contact: vec![hostile.clone()], ..Claim::default() };
        let yaml = conformance(&record, &claim, &catalogue).unwrap();
        assert!(!yaml.chars().any(|c| c != '\n' && is_harmful(c)), "{yaml}");
        let report = read(&yaml);
        let shown = text(&hostile);
        let mark = " (emulated from documentation by verdikt's sandbox)";
        assert_eq!(report.implementation.project, format!("{shown}{mark}"));
        assert_eq!(report.implementation.contact, std::slice::from_ref(&shown));
        assert_eq!(report.date, shown);
        assert_eq!(report.mode, text(&format!("m{hostile}")));
        assert!(report.implementation.additional_information.starts_with(EMULATED));
        assert!(report.kubernetes_version.chars().count() <= SENTENCE);
        assert!(report.verdikt_version.chars().count() <= SENTENCE);
        assert_eq!(report.profiles.len(), 1);
        assert_eq!(report.profiles[0].extended.failed_tests, [shown]);
    }
}
