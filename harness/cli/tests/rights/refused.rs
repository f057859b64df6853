//! With fewer rights, and with an image that nobody can pull: exit 3, and what to do about it.

use serde_json::Value;

use crate::{
    lab::{Lab, Limited, needed, printed},
    least::check,
};

const SCENARIO: &str = "default-deny-ingress";
const MEND: &str = "verdikt doctor --print-rbac | kubectl apply -f -";
const BIND: &str = "--clusterrole=verdikt --serviceaccount=ci:bot";

fn doctor(limited: &Limited, more: &[&str]) -> (i32, Value) {
    let said = limited.verdikt(&[&["doctor", "-o", "json"], more].concat());
    (said.code, serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}: {}", said.stderr)))
}

#[test]
fn each_right_that_is_missing_is_named_with_its_mend() {
    let lab = Lab::new();
    for right in verdikt_cluster::RIGHTS.iter().filter(|right| right.lost.is_none()) {
        for verb in right.verbs {
            let limited = lab.limited(printed().without(right.group, right.resource, verb), true);
            let name = format!("{verb} {}", right.qualified());
            let (code, checks) = doctor(&limited, &[]);
            assert_eq!(code, 3, "without {name}: {checks:#}");
            let rights = check(&checks, "rights");
            assert!(rights["found"].as_str().unwrap().contains(&name), "without {name}: {rights}");
            assert!(rights["mend"].as_str().unwrap().contains(MEND), "without {name}: {rights}");
            assert!(rights["mend"].as_str().unwrap().contains(BIND), "without {name}: {rights}");
            let said = limited.verdikt(&["run", SCENARIO]);
            assert_eq!(said.code, 3, "without {name}: {}", said.stderr);
            assert!(
                said.stderr.contains(&name) && said.stderr.contains(MEND),
                "without {name}: {}",
                said.stderr
            );
        }
    }
}

#[test]
fn without_any_right_all_are_named_at_once() {
    let lab = Lab::new();
    let limited = lab.limited(crate::role::Role(Vec::new()), true);
    let said = limited.verdikt(&["run", SCENARIO]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    for right in ["create/delete/get/list/patch namespaces", "create/get pods/exec", "list nodes", MEND, BIND]
    {
        assert!(said.stderr.contains(right), "no `{right}` in:\n{}", said.stderr);
    }
    let (code, checks) = doctor(&limited, &[]);
    assert_eq!(code, 3);
    assert_eq!(check(&checks, "probe pod")["status"], "unknown");
}

/// A webhook may allow in a review what it refuses in the deed.
#[test]
fn a_refusal_that_no_review_foretold_has_its_mend_as_well() {
    let lab = Lab::new();
    let limited = lab.limited(printed().without("", "namespaces", "create"), false);
    let said = limited.verdikt(&["run", SCENARIO]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    for words in ["cannot create resource \"namespaces\"", MEND, BIND] {
        assert!(said.stderr.contains(words), "no `{words}` in:\n{}", said.stderr);
    }
    let limited = lab.limited(printed().without("", "pods/exec", "create"), false);
    let (code, checks) = doctor(&limited, &[]);
    assert_eq!(code, 3);
    let exec = check(&checks, "exec");
    assert_eq!(exec["status"], "failed");
    assert!(exec["mend"].as_str().unwrap().contains(MEND), "{exec}");
}

#[test]
fn a_registry_that_refuses() {
    let lab = Lab::new();
    let limited = lab.limited(needed(), true);
    let image = "registry.invalid/verdikt-probe:1";
    let said = limited.verdikt(&["run", SCENARIO, "--image", image]);
    assert_eq!(said.code, 3, "{}\n{}", said.stdout, said.stderr);
    for words in ["ImagePullBackOff", image, "--image", "--image-pull-secret", "verdikt image push"] {
        assert!(said.stderr.contains(words), "no `{words}` in:\n{}", said.stderr);
    }
    let (code, checks) = doctor(&limited, &["--image", image]);
    assert_eq!(code, 3, "{checks:#}");
    let refused = check(&checks, "image");
    assert_eq!(refused["status"], "failed");
    assert!(refused["found"].as_str().unwrap().contains("no such host"), "{refused}");
    assert!(refused["mend"].as_str().unwrap().contains("--image-pull-secret"), "{refused}");
    assert_eq!(doctor(&limited, &["--image", image, "--no-pod"]).0, 0);
    // Neither has left anything.
    let cleaned = limited.verdikt(&["clean", "--dry-run"]);
    assert_eq!((cleaned.code, cleaned.stdout.as_str()), (0, ""), "{}", cleaned.stderr);
}
