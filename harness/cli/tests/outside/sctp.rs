//! SCTP on the sandbox's dataplane, where the kernel has it: `ci/vm.sh` brings a machine that has.

use std::path::Path;

use serde_json::Value;

use crate::binary::{Said, file, run};

/// A catalogue's scenario by its name, or one of these by its text, run on a profile. `None` without SCTP.
fn measured(scenario: Result<&str, &str>, profile: &str, more: &[&str]) -> Option<(Said, Value)> {
    if !Path::new("/proc/sys/net/sctp").exists() {
        println!("left out: no SCTP in this kernel");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record.json");
    let written = scenario.err().map(|text| file(folder.path(), "scenario.yaml", text));
    let which = match (&scenario, &written) {
        (_, Some(path)) => vec!["-f", path.to_str().unwrap()],
        (name, None) => vec![name.unwrap()],
    };
    let common = ["run", "--sandbox", profile, "--record", record.to_str().unwrap()];
    let args = [&common[..], more, &which].concat();
    let said = run(&args);
    let record = std::fs::read(&record).map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap());
    Some((said, record))
}

const DENIED_AND_ALLOWED: &str = "ports/sctp-allow-and-deny";

fn cells(record: &Value) -> impl Iterator<Item = &Value> {
    let steps = record["scenarios"][0]["steps"].as_array().unwrap();
    steps.iter().flat_map(|step| step["cells"].as_array().unwrap())
}

#[test]
fn every_way_to_a_port_is_as_expected_over_sctp() {
    for text in [include_str!("sctp/ways.yaml"), include_str!("sctp/nodes.yaml")] {
        let Some((said, record)) = measured(Err(text), "reference", &[]) else { return };
        assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
        assert!(cells(&record).filter(|cell| cell["protocol"] == "sctp").count() > 100);
    }
}

/// Connection tracking lets a new association from the port of an earlier one pass whatever policies say.
#[test]
fn a_denial_is_in_force_as_soon_over_sctp_as_over_tcp() {
    let Some((said, record)) = measured(Err(include_str!("sctp/sample.yaml")), "reference", &[]) else {
        return;
    };
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let steps = record["scenarios"][0]["steps"].as_array().unwrap();
    let checks: Vec<&Value> = steps.iter().flat_map(|step| step["checks"].as_array().unwrap()).collect();
    let longest = |protocol: &str| {
        let of = checks.iter().filter(|check| check["protocol"] == protocol);
        of.map(|check| check["timeUs"].as_u64().unwrap()).max().unwrap()
    };
    assert!(longest("sctp") < longest("tcp") + 500_000, "{checks:#?}");
}

#[test]
fn a_refusal_of_sctp_by_icmp_is_seen_as_one() {
    let Some((said, record)) = measured(Ok(DENIED_AND_ALLOWED), "reference+rejects", &[]) else { return };
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    for cell in cells(&record).filter(|cell| cell["protocol"] == "sctp" && cell["expected"] == "deny") {
        assert_eq!(cell["observed"], "rejected", "{cell:#?}");
    }
}

#[test]
fn defects_are_found_over_sctp_and_the_reason_is_the_policys() {
    let cases = [
        ("ignores-sctp", "y/a", "80/sctp", "allow", "dropped"),
        ("ignores-protocol", "y/a", "80/sctp", "deny", "allowed"),
        ("ignores-ports", "y/a", "81/sctp", "deny", "allowed"),
        ("forgets-ingress", "y/a", "81/sctp", "deny", "allowed"),
    ];
    for (defect, from, port, expected, observed) in cases {
        // What is wrong for good need not be waited for.
        let Some((said, record)) =
            measured(Ok(DENIED_AND_ALLOWED), &format!("reference+{defect}"), &["--settle", "3s"])
        else {
            return;
        };
        assert_eq!(said.code, 1, "{defect}: {}{}", said.stdout, said.stderr);
        let wrong: Vec<&Value> = cells(&record).filter(|cell| cell["outcome"] == "fail").collect();
        let found = wrong.iter().any(|cell| {
            let place = format!("{}/{}", cell["port"], cell["protocol"].as_str().unwrap());
            (cell["from"].as_str(), cell["to"].as_str()) == (Some(from), Some("x/a"))
                && place == port
                && (&cell["expected"], &cell["observed"]) == (&expected.into(), &observed.into())
                && cell["reason"].as_str().is_some_and(|reason| reason.contains("x/p"))
        });
        assert!(found, "{defect}: {wrong:#?}");
    }
}
