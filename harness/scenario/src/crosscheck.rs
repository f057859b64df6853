//! Expectations against the cells that there are, against each other and against the oracle.

use verdikt_model::{
    Cell, CellPattern, Endpoint, EndpointKind, EndpointName, ExpectRule, Family, Scenario, Via, World, cells,
};
use verdikt_oracle::{Contradiction, Plan, plan};

use crate::{
    convert::Converted,
    decode::Findings,
    diagnostic::Finding,
    measurable::{self, Moment},
    span::Span,
    suggest,
};

/// Cells of one step beyond which the check would take too long for a lint.
const MOST_CELLS: usize = 2_000_000;
/// Cells times actions and patterns, likewise.
const MOST_WORK: usize = 10_000_000;
/// Contradictions reported for one pattern; the others are counted.
const MOST_EXAMPLES: usize = 3;

/// Plays the scenario through without a cluster and checks what each step expects.
pub(crate) fn check(converted: &Converted, findings: &mut Findings) {
    let scenario = &converted.scenario;
    if too_large(scenario) {
        findings.push(Finding::warning(
            "scenario/too-large-to-check",
            converted.name,
            "the scenario is too large to check its expectations against the oracle",
        ));
        return;
    }
    let mut world = World::synthetic(&scenario.topology);
    let before = findings.errors();
    play(converted, &mut world, findings);
    if scenario.repeat > 1 && findings.errors() == before {
        // Steps say what is to be and not by how much it changes, so further times are like the second.
        let mut again = Findings::default();
        play(converted, &mut world, &mut again);
        for finding in again.into_parts().0.into_iter().filter(Finding::is_error) {
            findings.push(finding.more_help(
                "this is so the second time through the steps (`repeat`): what the last step leaves stands when the \
                 first one begins anew",
            ));
        }
    }
}

/// Goes through the steps once.
fn play(converted: &Converted, world: &mut World, findings: &mut Findings) {
    let scenario = &converted.scenario;
    // Before the first step nothing is expected but what the oracle says; of a step that comes again it is not known.
    let mut rules_before: Option<&[ExpectRule]> = (scenario.repeat == 1).then_some(&[]);
    for (step, spans) in scenario.steps.iter().zip(&converted.rules) {
        let before = (!step.checks.is_empty()).then(|| world.clone());
        for action in &step.actions {
            // Variables were checked where they stand; without the object there is nothing to compare.
            if world.apply(action).is_err() {
                return;
            }
        }
        let cells = cells(world, Family::ALL);
        let plan = plan(scenario.level, &step.expect, world, &cells);
        if let Some(before) = &before {
            let moment = Moment { level: scenario.level, step, before, after: world, rules_before };
            measurable::check(&moment, &spans.checks, findings);
        }
        rules_before = Some(&step.expect.rules);
        report(&plan, scenario, &spans.rules, world, &cells, &step.expect.rules, findings);
    }
}

/// Whether the scenario has too many cells to play it through.
pub(crate) fn too_large(scenario: &Scenario) -> bool {
    let topology = &scenario.topology;
    let pods = topology.pods().count() + topology.endpoints.len();
    let own: usize = topology.pods().map(|(_, _, pod)| pod.serve.ports.len()).sum();
    let others: usize = topology.endpoints.values().map(|e| e.serve.ports.len() + 2).sum();
    let services: usize = topology.services().map(|(_, _, s)| s.ports.len() * s.via.len()).sum();
    let cells = pods.saturating_mul(own + others + services).saturating_mul(Family::ALL.len());
    let work: usize =
        scenario.steps.iter().map(|step| 1 + step.actions.len() + step.expect.rules.len()).sum();
    cells > MOST_CELLS || cells.saturating_mul(work) > MOST_WORK
}

fn report(
    plan: &Plan,
    scenario: &Scenario,
    spans: &[Span],
    world: &World,
    cells: &[Cell],
    rules: &[ExpectRule],
    findings: &mut Findings,
) {
    for &rule in &plan.unmatched {
        findings.push_error(|| unmatched(&rules[rule].pattern, spans[rule], world, cells));
    }
    for conflict in &plan.conflicts {
        let (first, second) = (&rules[conflict.first], &rules[conflict.second]);
        findings.push(
            Finding::error(
                "scenario/contradictory-expectations",
                spans[conflict.second],
                format!(
                    "`{}` says {}, but `{}` says {} for {}",
                    second.pattern,
                    second.expectation,
                    first.pattern,
                    first.expectation,
                    name(&conflict.cell, world)
                ),
            )
            .also(spans[conflict.first], format!("says {}", first.expectation))
            .help("a cell can have one expectation; make one of the patterns narrower"),
        );
    }
    let mut shown: Vec<(usize, Vec<&Contradiction>)> = Vec::new();
    for contradiction in &plan.contradictions {
        match shown.iter_mut().find(|(rule, _)| *rule == contradiction.rule) {
            Some((_, list)) => list.push(contradiction),
            None => shown.push((contradiction.rule, vec![contradiction])),
        }
    }
    for (rule, list) in shown {
        let first = list[0];
        // The same cell in the other IP family seldom adds anything.
        let same = |a: &Cell, b: &Cell| Cell { family: b.family, ..*a } == *b;
        let mut examples: Vec<&Contradiction> = Vec::new();
        for contradiction in &list {
            if examples.len() < MOST_EXAMPLES && !examples.iter().any(|c| same(&c.cell, &contradiction.cell))
            {
                examples.push(contradiction);
            }
        }
        let mut help: Vec<String> =
            examples.iter().map(|c| format!("{}: {}", name(&c.cell, world), c.reasons.join("; "))).collect();
        if list.len() > examples.len() {
            help.push(format!("… and {} more cells of this pattern", list.len() - examples.len()));
        }
        help.push("if the specification leaves this open, label the scenario `level: extended` or `implementation-defined`".into());
        findings.push(
            Finding::error(
                "scenario/against-oracle",
                spans[rule],
                format!(
                    "the expectation is {}, but the specification says {} for {}",
                    first.written,
                    first.oracle,
                    name(&first.cell, world)
                ),
            )
            .help(help.join("\n")),
        );
    }
    debug_assert_eq!(spans.len(), rules.len(), "{}: a place for every rule", scenario.name);
}

/// A cell in the words of a pattern.
pub(crate) fn name(cell: &Cell, world: &World) -> String {
    let mut text = format!("{} -> {}:{}", world.name(cell.from), world.name(cell.to), cell.port_protocol());
    if cell.via != Via::PodIp {
        text.push_str(&format!(" via {}", cell.via));
    }
    text.push_str(&format!(" over {}", cell.family));
    text
}

/// Says which part of a pattern matches nothing.
pub(crate) fn unmatched(pattern: &CellPattern, span: Span, world: &World, cells: &[Cell]) -> Finding {
    let finding = |why: String| {
        Finding::error("scenario/pattern-without-cells", span, format!("`{pattern}` matches no cell: {why}"))
    };
    let names: Vec<String> = world.endpoints.iter().map(|e| e.name.to_string()).collect();
    let known = |part: &str| suggest::help(part, "endpoints", names.iter().map(String::as_str));
    if !names.iter().any(|name| pattern.from_matches(name)) {
        return finding(format!("no endpoint is named `{}`", pattern.from)).maybe_help(known(&pattern.from));
    }
    if !names.iter().any(|name| pattern.to_matches(name)) {
        return finding(format!("no endpoint is named `{}`", pattern.to)).maybe_help(known(&pattern.to));
    }
    // Both ends exist: drop one condition after the other and see which one was too many.
    let ends = |cell: &Cell| {
        pattern.from_matches(&world.name(cell.from).to_string())
            && pattern.to_matches(&world.name(cell.to).to_string())
    };
    let between: Vec<&Cell> = cells.iter().filter(|cell| ends(cell)).collect();
    if between.is_empty() {
        return no_cells_between(pattern, world, &finding);
    }
    let on_path: Vec<&&Cell> = between.iter().filter(|cell| cell.via == pattern.via).collect();
    if on_path.is_empty() {
        let paths = distinct(between.iter().map(|cell| cell.via.to_string()));
        let what = if pattern.via == Via::PodIp { "without `via`, the path is pod-ip, and" } else { "" };
        return finding(format!("{what} `{}` has no path {}", pattern.to, pattern.via).trim().to_owned())
            .help(format!("its paths: {paths}; write for example `via {}`", between[0].via));
    }
    let port = |cell: &&&&Cell| {
        pattern.port.is_none_or(|port| port == cell.port)
            && pattern.protocol.is_none_or(|protocol| protocol == cell.protocol)
    };
    if !on_path.iter().any(|cell| port(&cell)) {
        let ports = distinct(on_path.iter().map(|cell| cell.port_protocol().to_string()));
        return finding(format!("`{}` does not serve that port", pattern.to))
            .help(format!("served are {ports}"));
    }
    finding("there is no such cell in that IP family".into())
}

fn no_cells_between(pattern: &CellPattern, world: &World, finding: &dyn Fn(String) -> Finding) -> Finding {
    let only = |part: &str, test: &dyn Fn(&EndpointName) -> bool| {
        let mut matching = world.endpoints.iter().filter(|e| {
            let name = e.name.to_string();
            pattern_part_matches(part, &name)
        });
        matching.all(|e| test(&e.name))
    };
    let is_service = |name: &EndpointName| matches!(name, EndpointName::Service { .. } | EndpointName::Dns);
    if only(&pattern.from, &is_service) {
        return finding(format!("`{}` is a service, and services open no connections", pattern.from));
    }
    if only(&pattern.to, &is_service) {
        return finding(format!("services are probed from pods only, and `{}` is none", pattern.from));
    }
    for part in [&pattern.from, &pattern.to] {
        let absent = |e: &Endpoint| matches!(&e.kind, EndpointKind::Pod(pod) if !pod.is_there());
        let mut matching =
            world.endpoints.iter().filter(|e| pattern_part_matches(part, &e.name.to_string())).peekable();
        if matching.peek().is_some() && matching.all(absent) {
            return finding(format!("`{part}` is not there at this step")).help(
                "a pod is there until a step ends it, and a late one from the step on that `start`s it",
            );
        }
    }
    finding(format!("`{}` serves no port", pattern.to)).help("what an endpoint listens on is said by `serve`")
}

fn pattern_part_matches(part: &str, name: &str) -> bool {
    format!("{part} -> *").parse::<CellPattern>().is_ok_and(|pattern| pattern.from_matches(name))
}

fn distinct(words: impl Iterator<Item = String>) -> String {
    let set: std::collections::BTreeSet<String> = words.collect();
    suggest::list(set.iter().map(String::as_str))
}
