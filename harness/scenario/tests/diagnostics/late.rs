//! A late pod that is labelled, started and ended in every order: lint refuses it with the reason, or the model's pod is
//! what a StatefulSet's pod of that name would be.

use std::{collections::BTreeMap, fmt::Write as _};

use verdikt_model::{Action, EndpointName, PodPhase, World};

use super::*;

/// What a step does to the pod `x/c`, in the order in which a step does it.
const DEEDS: [&str; 5] = ["remove", "complete", "terminate", "label", "start"];

/// The object of that name in a cluster, told without a look at the model.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Object {
    None,
    Runs { relabelled: bool },
    Ends { relabelled: bool },
    Over,
}

/// What becomes of it; `None` where that cannot be asked of a cluster.
fn then(object: Object, deed: &str) -> Option<Object> {
    Some(match (deed, object) {
        ("start", Object::None | Object::Over) => Object::Runs { relabelled: false },
        ("label", Object::Runs { .. }) => Object::Runs { relabelled: true },
        ("label", Object::Ends { .. }) => Object::Ends { relabelled: true },
        ("label", Object::Over) | ("complete", Object::Runs { .. }) => Object::Over,
        ("terminate", Object::Runs { relabelled }) => Object::Ends { relabelled },
        ("remove", Object::Runs { .. } | Object::Ends { .. } | Object::Over) => Object::None,
        _ => return None,
    })
}

/// A scenario that does these deeds, those of each step together.
fn written(steps: &[Vec<&str>], repeat: usize) -> String {
    let mut text = format!(
        "apiVersion: verdikt.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: late/pod}}\nspec:\n  summary: A pod comes \
         and goes\n  repeat: {repeat}\n  topology:\n    namespaces:\n      x: {{pods: {{s: {{}}, c: {{labels: {{app: c}}, \
         late: true, linger: 5}}}}}}\n  steps:\n"
    );
    for (index, deeds) in steps.iter().enumerate() {
        let _ = writeln!(text, "    - name: s{index}");
        for deed in deeds {
            let what = if *deed == "label" { "{pods: {x/c: {app: d}}}" } else { "[x/c]" };
            let _ = writeln!(text, "      {deed}: {what}");
        }
    }
    text
}

/// Holds lint and the model against the cluster.
fn check(steps: &[Vec<&str>]) {
    let mut object = Object::None;
    let mut told = Vec::new();
    let mut possible = true;
    for deeds in steps {
        for deed in deeds {
            match then(object, deed) {
                Some(then) => object = then,
                None => possible = false,
            }
        }
        told.push(object);
    }
    let text = written(steps, 1);
    let source = Source { name: "late.yaml".into(), text };
    let (scenarios, diagnostics) = parse(&source, &Topologies::builtin());
    assert_eq!(scenarios.len() == 1, possible, "{steps:?}\n{}", render(&diagnostics, false, 100));
    if !possible {
        assert!(diagnostics.iter().all(|d| d.code == "scenario/pod-not-there" && d.help.is_some()));
        return;
    }
    let mut world = World::synthetic(&scenarios[0].topology);
    let id = world.find(&EndpointName::pod("x", "c")).unwrap();
    for (step, object) in scenarios[0].steps.iter().zip(told) {
        step.actions.iter().for_each(|action| world.apply(action).unwrap());
        let pod = world.pod(id).unwrap();
        let labels =
            |relabelled| BTreeMap::from([("app".to_owned(), if relabelled { "d" } else { "c" }.to_owned())]);
        let wanted = match object {
            Object::None | Object::Over => (PodPhase::Absent, None),
            Object::Runs { relabelled } => (PodPhase::Running, Some(labels(relabelled))),
            Object::Ends { relabelled } => (PodPhase::Terminating, Some(labels(relabelled))),
        };
        let there = pod.is_there().then(|| pod.labels.clone());
        assert_eq!((pod.phase, there), wanted, "{steps:?} after {}", step.name);
    }
    // The same once more: what the first time leaves must not change what the second one shows.
    let left = matches!(object, Object::None | Object::Over);
    let again = Source { name: "late.yaml".into(), text: written(steps, 2) };
    assert_eq!(parse(&again, &Topologies::builtin()).0.len() == 1, left, "{steps:?} repeated");
    let before: Vec<Action> = scenarios[0].steps.iter().flat_map(|step| step.actions.clone()).collect();
    if left {
        let phases = |world: &mut World| -> Vec<_> {
            let each = before.iter().map(|action| {
                world.apply(action).unwrap();
                let pod = world.pod(id).unwrap();
                (pod.phase, pod.is_there().then(|| pod.labels.clone()))
            });
            each.collect()
        };
        let first = phases(&mut World::synthetic(&scenarios[0].topology));
        assert_eq!(phases(&mut world), first, "{steps:?} the second time");
    }
}

#[test]
fn a_late_pod_is_refused_or_is_as_a_stateful_sets_pod_in_every_order() {
    // One deed a step, four steps.
    for number in 0..DEEDS.len().pow(4) {
        let deed = |place: u32| vec![DEEDS[number / DEEDS.len().pow(place) % DEEDS.len()]];
        check(&(0..4).map(deed).collect::<Vec<_>>());
    }
    // Any deeds together, with the pod there, terminating, completed, removed or not made yet.
    let before: [&[&str]; 5] =
        [&[], &["start"], &["start", "terminate"], &["start", "complete"], &["start", "remove"]];
    for before in before {
        for chosen in 0..1_u32 << DEEDS.len() {
            let together = (0..).zip(DEEDS).filter(|(bit, _)| chosen >> bit & 1 == 1).map(|(_, deed)| deed);
            let mut steps: Vec<Vec<&str>> = before.iter().map(|deed| vec![*deed]).collect();
            steps.push(together.collect());
            check(&steps);
        }
    }
}
