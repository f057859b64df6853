//! Policies, and parts of them, that decide nothing: a test of them proves nothing, and most often a label is misspelt.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use verdikt_model::{
    Action, EndpointKind, EndpointName, Family, ObjectRef, PolicyObject, Scenario, Step, World, cells,
};
use verdikt_oracle::{Finds, Oracle, RuleFinds};

use crate::{
    clean,
    crosscheck::too_large,
    decode::Findings,
    diagnostic::Finding,
    raw::{RawApply, RawStep},
    span::Span,
    suggest,
    yaml::{Node, Value},
};

/// What can be meant, without `scenario/`: `spec.meant` of a scenario names it.
pub(crate) const MEANT: [&str; 6] = [
    "cluster-scoped",
    "policy-without-pods",
    "peer-without-anybody",
    "policy-port-not-served",
    "rules-without-type",
    "step-changes-nothing",
];

/// Cells that the oracle is asked of, to find steps that change nothing; beyond that, steps are given the benefit of the doubt.
const MOST_QUESTIONS: usize = 3_000_000;

/// A policy as one object of the file has it, and what it has found while it stood.
struct Seen<'s> {
    node: &'s Node,
    policy: &'s NetworkPolicy,
    finds: Finds,
}

/// A step whose policies change no cell when it comes.
struct Idle<'s> {
    step: &'s Step,
    raw: &'s RawStep,
    /// The places of the objects that it applies.
    applied: Vec<usize>,
}

/// Plays the scenario through and warns of what decides nothing.
pub(crate) fn check(scenario: &Scenario, raw: &[RawStep], findings: &mut Findings) {
    if too_large(scenario) {
        return;
    }
    // The cluster's DNS is there, whether the scenario asks it or not.
    let mut topology = scenario.topology.clone();
    topology.endpoints.entry(EndpointName::Dns).or_default();
    let mut world = World::synthetic(&topology);
    // By the place of the object.
    let mut seen: BTreeMap<usize, Seen<'_>> = BTreeMap::new();
    let mut standing: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut idle: Vec<Idle<'_>> = Vec::new();
    let mut budget = MOST_QUESTIONS;
    // What the last step leaves meets the first one's changes when they come again.
    for pass in 0..scenario.repeat.min(2) {
        for (step, raw) in scenario.steps.iter().zip(raw) {
            let before = world.clone();
            let mut objects = raw.apply.iter().chain(replaced(raw));
            for action in &step.actions {
                if world.apply(action).is_err() {
                    return;
                }
                match action {
                    Action::Apply(object) => {
                        let Some(RawApply(node)) = objects.next() else { return };
                        let PolicyObject::NetworkPolicy(policy) = object else { continue };
                        let policy: &NetworkPolicy = policy;
                        standing.insert(key(policy), node.span.start);
                        seen.entry(node.span.start).or_insert_with(|| Seen {
                            node,
                            policy,
                            finds: Finds::default(),
                        });
                        // Another may take its place before the step is over.
                        look(&world, &standing, &mut seen, Some(policy));
                    }
                    Action::Delete(object) => {
                        standing.remove(&(object.namespace.clone().unwrap_or_default(), object.name.clone()));
                    }
                    _ => {}
                }
            }
            look(&world, &standing, &mut seen, None);
            if pass == 0 && changes_nothing(step, &before, &world, &mut budget) {
                let applied = raw.apply.iter().map(|RawApply(node)| node.span.start).collect();
                idle.push(Idle { step, raw, applied });
            }
            idle.retain(|idle| budget > 0 && !idle.matters(&world, &standing, &mut budget));
        }
    }
    let count = findings.warnings();
    for seen in seen.values() {
        report(seen, &world, findings);
    }
    // A policy that finds nobody changes nothing, and that was said.
    if findings.warnings() == count {
        idle.iter().for_each(|idle| findings.push(idle.finding()));
    }
}

fn key(policy: &NetworkPolicy) -> (String, String) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&policy.metadata.namespace), text(&policy.metadata.name))
}

/// The objects of a `replace`, in all rounds.
fn replaced(raw: &RawStep) -> impl Iterator<Item = &RawApply> {
    raw.replace.iter().flat_map(|replace| (0..replace.times.value).flat_map(|_| replace.objects.iter()))
}

/// Notes whom the standing policies find, or one of them.
fn look(
    world: &World,
    standing: &BTreeMap<(String, String), usize>,
    seen: &mut BTreeMap<usize, Seen<'_>>,
    only: Option<&NetworkPolicy>,
) {
    let only = only.map(key);
    for policy in &world.policies {
        let key = key(policy);
        if only.as_ref().is_some_and(|only| *only != key) {
            continue;
        }
        if let Some(seen) = standing.get(&key).and_then(|at| seen.get_mut(at))
            && !seen.finds.is_complete()
        {
            seen.finds.or(&Finds::of(policy, world));
        }
    }
}

/// Whether a step's changes of policies matter to no cell: neither among the pods and labels of before nor those of after.
fn changes_nothing(step: &Step, before: &World, after: &World, budget: &mut usize) -> bool {
    let of = |action: &Action| match action {
        Action::Apply(object) => Some(object.reference()),
        Action::Delete(object) => Some(object.clone()),
        _ => None,
    };
    let changes: Vec<ObjectRef> = step.actions.iter().filter_map(of).collect();
    let again = changes.iter().enumerate().any(|(n, object)| changes[..n].contains(object));
    // Of other kinds nobody knows here what they change; objects in quick turn are about the turns; a check may be about
    // a change that does not matter.
    if changes.is_empty() || after.foreign || again || !step.checks.is_empty() {
        return false;
    }
    same_cells(after, before.policies.clone(), budget) && same_cells(before, after.policies.clone(), budget)
}

/// Whether every cell would be the same with these policies; not once the budget is used up.
fn same_cells(world: &World, policies: Vec<NetworkPolicy>, budget: &mut usize) -> bool {
    let other = World { policies, ..world.clone() };
    let only = |of: &World, others: &World| {
        let differs = |policy: &&NetworkPolicy| !others.policies.contains(policy);
        of.policies.iter().filter(differs).map(|policy| key(policy).0).collect::<Vec<_>>()
    };
    let namespaces = [only(world, &other), only(&other, world)].concat();
    // A policy is about the pods of its namespace, by whatever way they are reached.
    let concerned = |end| match &world.endpoint(end).kind {
        EndpointKind::Pod(pod) => namespaces.contains(&pod.namespace),
        EndpointKind::Service(_) | EndpointKind::Dns(_) => true,
        EndpointKind::Node { .. } | EndpointKind::External { .. } => false,
    };
    let (before, after) = (Oracle::new(world), Oracle::new(&other));
    let all = cells(world, Family::ALL);
    let mut asked = all.iter().filter(|cell| concerned(cell.from) || concerned(cell.to));
    let same = asked.all(|cell| {
        *budget = budget.saturating_sub(1);
        *budget > 0 && before.expect(cell) == after.expect(cell)
    });
    // To make the cells costs something, too.
    *budget = budget.saturating_sub(all.len() / 8);
    same
}

impl Idle<'_> {
    /// Whether one of its policies decides a cell by now: pods may have come, or other policies that it makes an exception of.
    fn matters(
        &self,
        world: &World,
        standing: &BTreeMap<(String, String), usize>,
        budget: &mut usize,
    ) -> bool {
        let own: Vec<_> =
            standing.iter().filter(|(_, at)| self.applied.contains(at)).map(|(key, _)| key).collect();
        own.into_iter().any(|own| {
            let others = world.policies.iter().filter(|policy| key(policy) != *own).cloned().collect();
            !same_cells(world, others, budget)
        })
    }

    fn finding(&self) -> Finding {
        let (step, raw) = (self.step, self.raw);
        let place = raw.name.as_ref().map(|name| name.span);
        let place = place
            .or_else(|| raw.apply.first().map(|RawApply(node)| node.span))
            .or_else(|| raw.delete.first().map(|object| object.name.span))
            .unwrap_or_default();
        Finding::warning(
            "scenario/step-changes-nothing",
            place,
            format!("the policies of step `{}` change no cell", clean::word(&step.name)),
        )
        .help(
            "what stands already decides every cell as they do, or nobody here is concerned; if that is what the step shows, \
             write `meant: [step-changes-nothing]` under `spec`",
        )
    }
}

/// Warns of the parts of a policy that have found nobody.
fn report(seen: &Seen<'_>, world: &World, findings: &mut Findings) {
    let (namespace, name) = key(seen.policy);
    let policy = format!("policy {namespace}/{}", clean::word(&name));
    let spec = seen.node.get("spec");
    if !seen.finds.subjects {
        let place = spec.and_then(|spec| spec.get("podSelector")).unwrap_or(seen.node).span;
        findings.push(
            Finding::warning(
                "scenario/policy-without-pods",
                place,
                format!("{policy} selects no pod, at any step for which it stands: it decides nothing"),
            )
            .help(labels_of(world, Some(&namespace))),
        );
    }
    let typed = |direction: &str| {
        let types = seen.policy.spec.iter().flat_map(|spec| spec.policy_types.iter().flatten());
        types.clone().count() == 0 || types.clone().any(|have| have == direction)
    };
    for (direction, field, peers, finds) in
        [("Ingress", "ingress", "from", &seen.finds.ingress), ("Egress", "egress", "to", &seen.finds.egress)]
    {
        let rules = spec.and_then(|spec| spec.get(field));
        if let Some(rules) = rules
            && !finds.is_empty()
            && !typed(direction)
        {
            findings.push(
                Finding::warning(
                    "scenario/rules-without-type",
                    rules.span,
                    format!("{policy} has `{field}` rules, and its `policyTypes` lacks {direction}: they decide nothing"),
                )
                .help(format!("add {direction} to `policyTypes`, or remove the rules")),
            );
            continue;
        }
        for (n, (rule, finds)) in items(rules).zip(finds).enumerate() {
            report_rule((&policy, &format!("{field}[{n}]")), (rule, peers), finds, world, findings);
        }
    }
}

fn report_rule(
    (policy, path): (&str, &str),
    (rule, peers): (&Node, &str),
    finds: &RuleFinds,
    world: &World,
    findings: &mut Findings,
) {
    for (n, (peer, found)) in items(rule.get(peers)).zip(&finds.peers).enumerate() {
        // Of a namespace that is not there it has been said already.
        if *found || findings.has("scenario/unknown-namespace-name", within(peer)) {
            continue;
        }
        let help = match peer.get("ipBlock") {
            Some(_) => "no pod, node, Service or listed external host has an address in it; an external host takes part when \
                        it is listed under `endpoints`"
                .to_owned(),
            None => labels_of(world, None),
        };
        findings.push(
            Finding::warning(
                "scenario/peer-without-anybody",
                peer.span,
                format!("{path}.{peers}[{n}] of {policy} finds nobody, at any step for which it stands"),
            )
            .help(help),
        );
    }
    for (n, (port, served)) in items(rule.get("ports")).zip(&finds.ports).enumerate() {
        if !served {
            findings.push(
                Finding::warning(
                    "scenario/policy-port-not-served",
                    port.span,
                    format!("{path}.ports[{n}] of {policy} is served by nobody whom the rule is about"),
                )
                .help("a policy names the pods' own ports, not those of a Service; what pods listen on is said by `serve`"),
            );
        }
    }
}

fn items(list: Option<&Node>) -> impl Iterator<Item = &Node> {
    let items = match list.map(|list| &list.value) {
        Some(Value::Seq(items)) => items.as_slice(),
        _ => &[],
    };
    items.iter()
}

/// The bytes that a node takes up.
fn within(node: &Node) -> Span {
    let mut span = node.span;
    let mut widen =
        |inner: Span| span = Span { start: span.start.min(inner.start), end: span.end.max(inner.end) };
    match &node.value {
        Value::Scalar(..) => {}
        Value::Seq(items) => items.iter().for_each(|item| widen(within(item))),
        Value::Map(entries) => entries.iter().for_each(|(_, value)| widen(within(value))),
    }
    span
}

/// Labels that selectors can find, for a help text.
fn labels_of(world: &World, namespace: Option<&str>) -> String {
    let words = |labels: &BTreeMap<String, String>| {
        labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    let own = |found: &str| namespace.is_none_or(|name| name == found) && found != "kube-system";
    let pods: std::collections::BTreeSet<String> =
        world.pods().filter(|pod| own(&pod.namespace)).flat_map(|pod| words(&pod.labels)).collect();
    let list = |what: &str, words: &std::collections::BTreeSet<String>| match words.is_empty() {
        true => format!("{what} have no labels"),
        false => format!("labels of {what}: {}", suggest::list(words.iter().map(String::as_str))),
    };
    match namespace {
        Some(namespace) => list(&format!("pods in {namespace}"), &pods),
        None => {
            let namespaces = world.namespaces.iter().filter(|(name, _)| own(name));
            let namespaces = namespaces.flat_map(|(_, labels)| words(labels)).collect();
            format!("{}\n{}", list("pods", &pods), list("namespaces", &namespaces))
        }
    }
}
