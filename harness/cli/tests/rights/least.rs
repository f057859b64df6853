//! The printed rights are enough, and none is too much.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    binary,
    lab::{Lab, needed, printed},
};

#[test]
fn the_catalogue_runs_with_exactly_the_printed_rights_and_uses_each() {
    let lab = Lab::new();
    let limited = lab.limited(printed(), true);
    let said = limited.verdikt(&["run", "--lanes", "6", "-o", "json"]);
    assert_eq!(said.code, 0, "{}\n{}", said.stderr, wrong(&said.stdout));
    assert!(!said.stderr.contains("forbidden"), "{}", said.stderr);
    let cleaned = limited.verdikt(&["clean"]);
    assert_eq!(cleaned.code, 0, "{}", cleaned.stderr);
    let unused: BTreeSet<_> = needed().all().difference(&limited.proxy.used()).cloned().collect();
    assert_eq!(unused, BTreeSet::new(), "rights that nothing uses");
}

#[test]
fn what_is_optional_can_be_done_without() {
    let lab = Lab::new();
    let limited = lab.limited(needed(), true);
    let said =
        limited.verdikt(&["run", "default-deny-both", "relabel-pod", "kube-dns", "block-of-a-cluster-ip"]);
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    let said = limited.verdikt(&["doctor", "-o", "json"]);
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    let checks: Value = serde_json::from_str(&said.stdout).unwrap();
    let optional = check(&checks, "optional rights");
    assert_eq!(optional["status"], "missing");
    assert!(
        optional["found"].as_str().unwrap().contains("list servicecidrs.networking.k8s.io"),
        "{optional}"
    );
    assert_eq!(check(&checks, "rights")["status"], "ok");
    assert_eq!(check(&checks, "image")["status"], "ok");
    assert_eq!(check(&checks, "exec")["status"], "ok");
    assert_eq!(check(&checks, "dataplane")["status"], "ok");
    assert!(
        check(&checks, "dataplane")["evidence"][0].as_str().unwrap().contains("sandbox.verdikt.dev/profile")
    );
    // The trial has left nothing.
    let cleaned = limited.verdikt(&["clean", "--dry-run"]);
    assert_eq!((cleaned.code, cleaned.stdout.as_str()), (0, ""), "{}", cleaned.stderr);
}

#[test]
fn more_rights_only_on_demand() {
    let with = binary::run(&["doctor", "--print-rbac", "--with-crds"]);
    assert_eq!(with.code, 0, "{}", with.stderr);
    let with = crate::role::Role::parse(&with.stdout).all();
    assert!(with.is_superset(&printed().all()));
    assert!(with.contains(&("cilium.io".into(), "ciliumnetworkpolicies".into(), "create".into())));
    assert!(!printed().all().iter().any(|(_, resource, _)| resource == "ciliumnetworkpolicies"));
    // The option means nothing by itself.
    assert_eq!(binary::run(&["doctor", "--with-crds"]).code, 2);
}

/// A check by its name.
pub(crate) fn check<'a>(checks: &'a Value, name: &str) -> &'a Value {
    let all = checks["checks"].as_array().unwrap();
    all.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {checks:#}"))
}

/// The scenarios of a record that were not as expected, for a failed test.
fn wrong(record: &str) -> String {
    let record: Value = serde_json::from_str(record).unwrap_or_default();
    let scenarios = record["scenarios"].as_array().cloned().unwrap_or_default();
    let bad = scenarios
        .iter()
        .filter(|scenario| !["passed", "skipped"].contains(&scenario["outcome"].as_str().unwrap()));
    bad.map(|scenario| format!("{}: {}: {}\n", scenario["name"], scenario["outcome"], scenario["reason"]))
        .collect()
}
