//! Steps: actions and expectations.

use std::collections::{BTreeMap, HashMap};

use verdikt_model::{
    Action, CellPattern, Expect, ExpectRule, Expectation, METADATA_NAME, ObjectRef, ParsePatternError,
    PodChange, PolicyObject, Step,
    policy_kind::{self, Standing},
};

use super::{
    checks::checks,
    names::{check_deployed_label_key, check_label_value},
    object::{NETWORKING, Surroundings, check_namespace, object},
    presence::Pods,
};
use crate::{
    clean,
    decode::{Entries, Findings},
    diagnostic::Finding,
    raw::{RawDelete, RawExpect, RawLabel, RawReplace, RawStep},
    span::{At, Span},
    suggest,
};

/// Places of a step's patterns.
pub(crate) struct StepSpans {
    /// In the order of its rules.
    pub(crate) rules: Vec<Span>,
    /// In the order of its checks.
    pub(crate) checks: Vec<Span>,
}

/// Most objects that one `replace` applies.
const MOST_REPLACEMENTS: usize = 1000;

/// Reads all steps.
pub(crate) fn steps(
    raw: &[RawStep],
    at: Span,
    repeat: u16,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> (Vec<Step>, Vec<StepSpans>) {
    let mut names: HashMap<String, Span> = HashMap::new();
    // Objects that stand, and whether one could not be read (then nothing is known for sure).
    let mut standing: BTreeMap<ObjectRef, usize> = BTreeMap::new();
    let mut complete = true;
    let mut pods = Pods::new(around.topology);
    let (mut steps, mut rules) = (Vec::new(), Vec::new());
    for (index, raw) in raw.iter().enumerate() {
        let name = match &raw.name {
            Some(name) => {
                if let Some(first) = names.insert(name.value.clone(), name.span) {
                    findings.push(
                        Finding::error(
                            "scenario/duplicate-step",
                            name.span,
                            format!("two steps are named `{}`", clean::word(&name.value)),
                        )
                        .also(first, "first"),
                    );
                }
                if name.value.trim().is_empty() {
                    findings.push(Finding::error(
                        "scenario/invalid-name",
                        name.span,
                        "the step's name is empty",
                    ));
                }
                name.value.clone()
            }
            None => format!("step-{}", index + 1),
        };
        let mut actions = Vec::new();
        for raw in &raw.delete {
            let reference = reference(raw, around, findings);
            if standing.remove(&reference).is_none() && complete {
                findings.push_error(|| never_applied(raw, &reference, &standing));
            }
            actions.push(Action::Delete(reference));
        }
        for (list, change) in [
            (&raw.remove, PodChange::Remove),
            (&raw.complete, PodChange::Complete),
            (&raw.terminate, PodChange::Terminate),
        ] {
            pods.change(list, change, around.topology, &mut actions, findings);
        }
        for raw in &raw.apply {
            let Some(object) = object(&raw.0, around, findings) else {
                complete = false;
                continue;
            };
            let reference = object.reference();
            if standing.insert(reference.clone(), index) == Some(index) {
                findings.push(
                    Finding::error(
                        "scenario/duplicate-object",
                        raw.0.span,
                        format!("{} `{}` is applied twice in one step", reference.kind, reference.name),
                    )
                    .help("the second would replace the first; give it another name or another step"),
                );
            }
            check_scope(&object, raw.0.span, findings);
            actions.push(Action::Apply(object));
        }
        if let Some(raw) = &raw.replace {
            complete &= replace(raw, around, &mut actions, findings);
            for action in &actions {
                if let Action::Apply(object) = action {
                    standing.entry(object.reference()).or_insert(index);
                }
            }
        }
        if let Some(raw) = &raw.label {
            label(raw, around, &pods, &mut actions, findings);
        }
        pods.change(&raw.start, PodChange::Start, around.topology, &mut actions, findings);
        let (expect, spans) = expect(raw.expect.as_ref(), findings);
        let (checks, places) = checks(&raw.checks, at, findings);
        steps.push(Step { name, actions, checks, expect });
        rules.push(StepSpans { rules: spans, checks: places });
    }
    let otherwise = pods.left_otherwise(around.topology);
    if let (true, Some(first)) = (repeat > 1, otherwise.first()) {
        findings.push(
            Finding::error(
                "scenario/pod-not-there",
                at,
                format!("with `repeat` the steps must leave `{first}` as they found it"),
            )
            .help("a late pod must be gone at the end (`remove`), any other must still be there"),
        );
    }
    (steps, rules)
}

/// Objects in quick turn; `false` when one could not be read.
fn replace(
    raw: &RawReplace,
    around: &Surroundings<'_>,
    actions: &mut Vec<Action>,
    findings: &mut Findings,
) -> bool {
    let objects: Vec<PolicyObject> =
        raw.objects.iter().filter_map(|raw| object(&raw.0, around, findings)).collect();
    let times = usize::from(raw.times.value);
    if times == 0 || times * raw.objects.len() > MOST_REPLACEMENTS {
        findings.push(Finding::error(
            "scenario/wrong-type",
            raw.times.span,
            format!("{times} rounds make no sense here; expected 1 to {MOST_REPLACEMENTS} objects in all"),
        ));
        return false;
    }
    for _ in 0..times {
        actions.extend(objects.iter().cloned().map(Action::Apply));
    }
    objects.len() == raw.objects.len()
}

/// A kind without namespace touches the whole cluster; its author should know.
fn check_scope(object: &PolicyObject, span: Span, findings: &mut Findings) {
    if let PolicyObject::Other(_) = object
        && object.reference().namespace.is_none()
    {
        let kind = object.reference().kind;
        findings.push(
            Finding::warning(
                "scenario/cluster-scoped",
                span,
                format!("this {kind} has no namespace: it acts on the whole cluster"),
            )
            .help("such a scenario runs alone, and only with --allow-cluster-scoped; if the kind is namespaced, add `metadata.namespace`"),
        );
    }
}

fn reference(raw: &RawDelete, around: &Surroundings<'_>, findings: &mut Findings) -> ObjectRef {
    let api_version = raw.api_version.as_ref().map_or_else(|| NETWORKING.to_owned(), |at| at.value.clone());
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if policy_kind::standing(group, &raw.kind.value) == Standing::BuiltIn {
        let (kind, api) = (clean::word(&raw.kind.value), clean::word(&api_version));
        findings.push(
            Finding::error(
                "scenario/unknown-kind",
                raw.kind.span,
                format!("verdikt deletes no {kind} of `{api}` in a step"),
            )
            .help("steps delete policies; `remove` ends a pod"),
        );
    }
    if let Some(namespace) = &raw.namespace {
        let what = format!("{} `{}`", clean::word(&raw.kind.value), clean::word(&raw.name.value));
        check_namespace(namespace, &what, around.topology, findings);
    } else if api_version == NETWORKING {
        findings.push(
            Finding::error(
                "scenario/missing-namespace",
                raw.name.span,
                "a NetworkPolicy to delete needs its `namespace`",
            )
            .help(format!(
                "add `namespace:` with one of {}",
                suggest::list(around.topology.namespaces.keys().map(String::as_str))
            )),
        );
    }
    ObjectRef {
        api_version,
        kind: raw.kind.value.clone(),
        namespace: raw.namespace.as_ref().map(|at| at.value.clone()),
        name: raw.name.value.clone(),
    }
}

fn never_applied(raw: &RawDelete, reference: &ObjectRef, standing: &BTreeMap<ObjectRef, usize>) -> Finding {
    let show = |object: &ObjectRef| match &object.namespace {
        Some(namespace) => format!("{} {namespace}/{}", object.kind, object.name),
        None => format!("{} {}", object.kind, object.name),
    };
    let shown: Vec<String> = standing.keys().map(show).collect();
    Finding::error(
        "scenario/delete-unknown",
        raw.name.span,
        format!("no earlier step applied {}", clean::word(&show(reference))),
    )
    .help(if shown.is_empty() {
        "nothing stands at this point; within a step, delete comes before apply".to_owned()
    } else {
        format!("standing at this point: {}", suggest::list(shown.iter().map(String::as_str)))
    })
}

fn label(
    raw: &RawLabel,
    around: &Surroundings<'_>,
    there: &Pods,
    actions: &mut Vec<Action>,
    findings: &mut Findings,
) {
    let topology = around.topology;
    for (name, changes) in raw.pods.iter() {
        let labels = changes_of(changes, findings);
        let found = name.value.split_once('/').filter(|(namespace, pod)| {
            topology.namespaces.get(*namespace).is_some_and(|spec| spec.pods.contains_key(*pod))
        });
        if let Some((namespace, pod)) = found {
            if there.can_be_labelled(name, findings) {
                actions.push(Action::LabelPod { namespace: namespace.into(), pod: pod.into(), labels });
            }
        } else {
            findings.push_error(|| {
                let pods: Vec<String> =
                    topology.pods().map(|(namespace, pod, _)| format!("{namespace}/{pod}")).collect();
                let message = format!("there is no pod `{}` to label", clean::word(&name.value));
                Finding::error("scenario/unknown-pod", name.span, message).maybe_help(suggest::help(
                    &name.value,
                    "pods",
                    pods.iter().map(String::as_str),
                ))
            });
        }
    }
    for (name, changes) in raw.namespaces.iter() {
        let labels = changes_of(changes, findings);
        check_namespace(name, "the label change", topology, findings);
        for (key, _) in changes.iter() {
            if key.value == METADATA_NAME {
                findings.push(
                    Finding::error(
                        "scenario/reserved-label",
                        key.span,
                        format!("`{METADATA_NAME}` cannot be changed"),
                    )
                    .help("the control plane sets it and it is immutable (statement N36)"),
                );
            }
        }
        actions.push(Action::LabelNamespace { namespace: name.value.clone(), labels });
    }
}

fn changes_of(
    changes: &Entries<Option<At<String>>>,
    findings: &mut Findings,
) -> BTreeMap<String, Option<String>> {
    changes
        .iter()
        .map(|(key, value)| {
            check_deployed_label_key(key, findings);
            if let Some(value) = value {
                check_label_value(value, findings);
            }
            (key.value.clone(), value.as_ref().map(|at| at.value.clone()))
        })
        .collect()
}

fn expect(raw: Option<&RawExpect>, findings: &mut Findings) -> (Expect, Vec<Span>) {
    let Some(raw) = raw else { return (Expect { derived: true, rules: Vec::new() }, Vec::new()) };
    let lists = [
        (&raw.allow, Expectation::Allow),
        (&raw.deny, Expectation::Deny),
        (&raw.drop, Expectation::Drop),
        (&raw.reject, Expectation::Reject),
        (&raw.either, Expectation::Either),
    ];
    let (mut rules, mut spans) = (Vec::new(), Vec::new());
    for (text, expectation) in
        lists.iter().flat_map(|(list, word)| list.iter().map(move |text| (text, *word)))
    {
        match text.value.parse::<CellPattern>() {
            Ok(pattern) => {
                rules.push(ExpectRule { pattern, expectation });
                spans.push(text.span);
            }
            Err(error) => findings.push(bad_pattern(text, &error)),
        }
    }
    let derived = raw.derived.as_ref().is_none_or(|at| at.value);
    if let Some(at) = &raw.derived
        && !derived
        && rules.is_empty()
    {
        findings.push(
            Finding::warning(
                "scenario/no-expectation",
                at.span,
                "the step expects nothing: no pattern, and nothing derived",
            )
            .help("write patterns under `allow` or `deny`, or leave `derived` at true"),
        );
    }
    (Expect { derived, rules }, spans)
}

pub(super) fn bad_pattern(text: &At<String>, error: &ParsePatternError) -> Finding {
    let finding = Finding::error(
        "scenario/invalid-pattern",
        text.span,
        format!("`{}` is no cell pattern: {}", clean::word(&text.value), clean::word(&error.why)),
    );
    finding.help(
        "write FROM -> TO[:PORT/PROTOCOL][ via PATH][ over ipv4|ipv6], for example \"x/a -> y/*:80/tcp\" or \
         \"z/* -> x/web via cluster-ip\"",
    )
}
