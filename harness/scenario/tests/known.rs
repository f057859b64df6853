//! Files of known deviations: what is read, and what each mistake is told with.

use verdikt_model::Verdict;
use verdikt_scenario::{Diagnostic, Loaded, known_deviations_schema, load, render};

const GOOD: &str = r#"apiVersion: verdikt.dev/v1alpha1
kind: KnownDeviations
metadata: {name: mine}
spec:
  dataplane: {name: cilium, mode: ebpf, versions: ">=1.16, <1.20"}
  deviations:
    - scenario: ports/*
      step: web
      cells: ["y/client -> x/*:80/tcp"]
      observed: dropped
      reason: a port's name is left out
      link: https://github.com/cilium/cilium/issues/30003
      versions: "<1.19"
      expires: 2026-12-31
    - scenario: lifecycle/start-up-with-an-allowance
      checks: [first]
      reason: open at first
      link: https://github.com/cilium/cilium/issues/35993
"#;

fn read(text: &str) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known.yaml");
    std::fs::write(&path, text).unwrap();
    let mut loaded = load(&[path]).unwrap();
    loaded.diagnostics.iter_mut().for_each(|d| d.file = "known.yaml".into());
    loaded
}

#[test]
fn a_good_file_is_read() {
    let loaded = read(GOOD);
    assert!(loaded.diagnostics.is_empty(), "{}", render(&loaded.diagnostics, false, 100));
    let [file] = &loaded.known[..] else { panic!("{:?}", loaded.known) };
    assert_eq!((file.name.as_str(), file.dataplane.as_str()), ("mine", "cilium"));
    assert_eq!(file.mode.as_deref(), Some("ebpf"));
    let first = &file.deviations[0];
    assert_eq!(first.observed, Some(Verdict::Dropped));
    assert_eq!(first.expires.map(|date| date.to_string()).as_deref(), Some("2026-12-31"));
    assert_eq!(first.cells[0].to_string(), "y/client -> x/*:80/tcp");
    assert_eq!(file.deviations[1].checks.len(), 1);
}

#[test]
fn mistakes_are_told_with_their_place_and_what_to_write() {
    let first = |text: &str| -> Diagnostic {
        let loaded = read(text);
        assert!(loaded.known.is_empty(), "{text}");
        loaded.diagnostics.into_iter().next().unwrap_or_else(|| panic!("no finding: {text}"))
    };
    for (from, to, code, line, help) in [
        (
            "reason: a port's name is left out",
            "raeson: x",
            "scenario/unknown-field",
            11,
            "did you mean `reason`?",
        ),
        ("      reason: open at first\n", "", "scenario/missing-field", 15, ""),
        ("reason: open at first", "reason: \" \"", "scenario/missing-field", 17, ""),
        (
            "https://github.com/cilium/cilium/issues/30003",
            "issue 30003",
            "known/invalid-link",
            12,
            "https://",
        ),
        (
            "https://github.com/cilium/cilium/issues/30003",
            "http://a.b/c",
            "known/invalid-link",
            12,
            "https://",
        ),
        ("y/client -> x/*", "y/client x/*", "scenario/invalid-pattern", 9, "FROM -> TO"),
        ("observed: dropped", "observed: droped", "known/unknown-verdict", 10, "did you mean `dropped`?"),
        ("observed: dropped", "observed: error", "known/unknown-verdict", 10, "never a known deviation"),
        ("checks: [first]", "checks: [frist]", "known/unknown-check", 16, "did you mean `first`?"),
        ("2026-12-31", "2026-02-30", "known/invalid-date", 14, "2026-12-31"),
        ("2026-12-31", "31.12.2026", "known/invalid-date", 14, "2026-12-31"),
        ("\"<1.19\"", "\"1.18.3\"", "known/invalid-versions", 13, "=1.18.3"),
        ("{name: cilium, ", "{name: Cilium, ", "scenario/invalid-name", 5, "write `cilium`"),
        (
            "kind: KnownDeviations",
            "kind: KnownDeviation",
            "scenario/foreign-document",
            2,
            "`KnownDeviations`?",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let finding = first(&GOOD.replacen(from, to, 1));
        let found = (finding.code, finding.line);
        assert_eq!(found, (code, line), "{to}: {}", finding.message);
        let said = finding.help.unwrap_or_default();
        assert!(said.contains(help), "{to}: {said}");
    }
    let of_checks = first(&GOOD.replace("checks: [first]", "checks: [first]\n      observed: allowed"));
    assert_eq!((of_checks.code, of_checks.line), ("known/observed-of-checks", 17));
}

#[test]
fn names_are_told_apart() {
    let loaded = read(&format!("{GOOD}---\n{GOOD}"));
    assert_eq!(loaded.known.len(), 1);
    assert_eq!(loaded.diagnostics[0].code, "scenario/duplicate-name");
}

#[test]
fn the_schema_takes_the_good_file_and_no_other() {
    let validator = jsonschema::validator_for(&known_deviations_schema()).unwrap();
    let good: serde_json::Value = serde_yaml::from_str(GOOD).unwrap();
    let errors: Vec<_> = validator.iter_errors(&good).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let mut bad = good.clone();
    bad["spec"]["deviations"][0].as_object_mut().unwrap().remove("link");
    assert!(!validator.is_valid(&bad));
    let mut other = good;
    other["kind"] = "Scenario".into();
    assert!(!validator.is_valid(&other));
}

/// What `reports/samples` holds of real clusters is covered by what verdikt knows of them, and nothing else is.
#[test]
fn built_in_files_cover_what_was_measured() {
    use verdikt_model::{DeviationState, Outcome, Record, ScenarioOutcome, apply};
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/samples");
    let files = verdikt_scenario::known_deviations().known;
    let today = "2026-11-22".parse().unwrap();
    // The API did not tell names and versions of all of them.
    for (name, version, happened, still_failing) in [
        ("cilium", "1.18.3", 3, &["selectors/relabel-pod"][..]),
        ("kube-router", "2.11.1", 1, &[]),
        ("kube-network-policies", "1.1.1", 2, &[]),
        ("calico", "v3.31.7", 0, &[]),
    ] {
        let text = std::fs::read(root.join(format!("{name}.json"))).unwrap();
        let mut record: Record = serde_json::from_slice(&text).unwrap();
        let before = record.clone();
        // Without a version nothing is known.
        if record.environment.dataplane.version.is_empty() {
            let notes = apply(&mut record, &files, today);
            assert!(!notes.is_empty() && record.scenarios == before.scenarios, "{notes:?}");
        }
        record.environment.dataplane.name = name.into();
        record.environment.dataplane.version = version.into();
        assert_eq!(apply(&mut record, &files, today), Vec::<String>::new());
        let failing: Vec<&str> = record
            .scenarios
            .iter()
            .filter(|scenario| scenario.outcome == ScenarioOutcome::Failed)
            .map(|scenario| scenario.name.as_str())
            .collect();
        assert_eq!(failing, still_failing, "{name}");
        let states: Vec<DeviationState> = record.deviations.iter().map(|of| of.state).collect();
        let count = |state| states.iter().filter(|of| **of == state).count();
        assert_eq!((count(DeviationState::Happened), count(DeviationState::Fixed)), (happened, 0), "{name}");
        for (scenario, had) in record.scenarios.iter().zip(&before.scenarios) {
            for (step, had) in scenario.steps.iter().zip(&had.steps) {
                for ((row, reason), (had, _)) in step.cells.iter().zip(had.cells.iter()) {
                    if row.outcome != had.outcome {
                        assert_eq!((had.outcome, row.outcome), (Outcome::Fail, Outcome::Deviation));
                        assert!(reason.is_some_and(|reason| reason.contains("https://")), "{reason:?}");
                    }
                }
            }
        }
        assert_eq!(record.summary.scenarios.total(), before.summary.scenarios.total());
        // Once more changes nothing.
        let once = record.clone();
        apply(&mut record, &files, today);
        assert_eq!(record, once);
    }
}
