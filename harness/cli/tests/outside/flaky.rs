//! Scenarios whose attempts disagree, on a dataplane that isolates pods only some time after their start: the first
//! attempt meets pods that are too young, and later ones, with the same pods, do not.

use serde_json::Value;

use crate::binary::{Said, file, run, scenario};

const LATE: &str = "reference+start-delay=8s";

fn attempts(profile: &str, more: &[&str]) -> (Said, Value) {
    let folder = tempfile::tempdir().unwrap();
    let scenario = file(folder.path(), "scenario.yaml", &scenario("", ""));
    let record = folder.path().join("record.json");
    let [scenario, path] = [&scenario, &record].map(|path| path.to_str().unwrap());
    let common = ["run", "--sandbox", profile, "--settle", "1s", "--record", path, "-f", scenario];
    let said = run(&[&common, more].concat());
    let record = std::fs::read(&record).map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap());
    (said, record)
}

/// Outcomes of the attempts at the only scenario.
fn tries(record: &Value) -> Vec<&str> {
    let tries = record["scenarios"][0]["tries"].as_array().unwrap();
    tries.iter().map(|of| of["outcome"].as_str().unwrap()).collect()
}

#[test]
fn repeated_attempts_that_disagree_are_flaky_and_a_finding() {
    let (said, record) = attempts(LATE, &["--repeat", "10"]);
    let tries = tries(&record);
    assert_eq!((said.code, tries.len()), (1, 10), "{}{}", said.stdout, said.stderr);
    assert_eq!((tries[0], tries[9]), ("failed", "passed"), "{tries:?}");
    let scenario = &record["scenarios"][0];
    assert_eq!((&scenario["outcome"], &record["run"]["repeat"]), (&"flaky".into(), &10.into()));
    let passed = tries.iter().filter(|of| **of == "passed").count();
    assert!(
        said.stdout.contains(&format!("{passed}/10: as expected at {passed} of 10 attempts")),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("FLAKY") && said.stdout.contains("0 passed, 1 flaky"), "{}", said.stdout);
    assert_eq!(record["summary"]["scenarios"]["flaky"], 1);
    // The cells are those of an attempt that failed.
    let cells = scenario["steps"][0]["cells"].as_array().unwrap();
    assert!(cells.iter().any(|cell| cell["outcome"] == "fail"), "{cells:?}");
}

#[test]
fn what_passes_when_it_is_tried_again_is_flaky_and_no_failure() {
    let (said, record) = attempts(LATE, &["--retries", "9"]);
    let tries = tries(&record);
    assert_eq!((said.code, tries.last()), (0, Some(&"passed")), "{}{}", said.stdout, said.stderr);
    assert!(tries.len() > 1 && tries[..tries.len() - 1].iter().all(|of| *of == "failed"), "{tries:?}");
    assert_eq!(record["scenarios"][0]["outcome"], "flaky");
    assert!(said.stdout.contains("FLAKY"), "{}", said.stdout);
}

#[test]
fn what_agrees_is_not_flaky() {
    let (said, record) = attempts("reference", &["--repeat", "3"]);
    assert_eq!((said.code, tries(&record)), (0, vec!["passed"; 3]), "{}{}", said.stdout, said.stderr);
    assert_eq!(record["scenarios"][0]["outcome"], "passed");
    let (said, record) = attempts("reference+forgets-ingress", &["--repeat", "2"]);
    assert_eq!((said.code, tries(&record)), (1, vec!["failed"; 2]), "{}", said.stdout);
    assert_eq!(record["scenarios"][0]["outcome"], "failed");
    // The first attempt is one too many.
    let (said, record) = attempts("reference+forgets-ingress", &["--repeat", "5", "--fail-fast"]);
    assert_eq!((said.code, tries(&record)), (1, vec!["failed"]), "{}", said.stdout);
}

#[test]
fn asking_for_stability_and_hiding_the_lack_of_it_is_a_mistake() {
    let (said, _) = attempts("reference", &["--repeat", "2", "--retries", "1"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("--repeat") && said.stderr.contains("leave one of them out"),
        "{}",
        said.stderr
    );
}
