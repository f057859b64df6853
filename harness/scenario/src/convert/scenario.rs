//! A whole scenario.

use verdikt_model::{Differs, Level, Requirement, Scenario, World};
use verdikt_oracle::STATEMENTS;

use super::{
    names::{Name, check_labels},
    object::Surroundings,
    steps::{self, StepSpans},
    topology::topology,
};
use crate::{
    clean,
    crd::Definitions,
    decode::Findings,
    diagnostic::Finding,
    raw::{RawDiffers, RawRequires, RawScenario, RawTopologyRef},
    span::{At, Span},
    suggest,
    topologies::Topologies,
    vacuous::MEANT,
};

/// A scenario, and where its name and patterns stand.
pub(crate) struct Converted {
    pub(crate) scenario: Scenario,
    /// Place of its name.
    pub(crate) name: Span,
    /// Places of the patterns, step by step.
    pub(crate) rules: Vec<StepSpans>,
}

/// How often steps may be repeated.
const MOST_PASSES: u16 = 200;

/// Checks a scenario and makes the model of it; `None` when a finding stands in the way.
pub(crate) fn scenario(
    raw: &RawScenario,
    file: &str,
    topologies: &Topologies,
    definitions: Option<&Definitions>,
    findings: &mut Findings,
) -> Option<Converted> {
    let errors = findings.errors();
    let (meta, spec) = (&raw.metadata, &raw.spec);
    check_name(&meta.name, findings);
    let mut labels = check_labels(&meta.labels, findings);
    let level =
        level(meta.labels.iter().find(|(key, _)| key.value == "level").map(|(_, value)| value), findings);
    labels.insert("level".into(), level.to_string());
    if spec.summary.value.trim().is_empty() {
        findings.push(Finding::error("scenario/missing-field", spec.summary.span, "the summary is empty"));
    }
    spec.clauses.iter().for_each(|clause| check_clause(clause, findings));
    spec.meant.iter().for_each(|word| check_meant(word, findings));
    let requires = spec.requires.as_ref().map(|raw| requires(raw, findings)).unwrap_or_default();
    let nodes = requires.iter().find_map(|r| if let Requirement::Nodes(n) = r { Some(*n) } else { None });
    let before = findings.errors();
    let topology = match &spec.topology {
        RawTopologyRef::Inline(raw) => topology(raw, nodes.unwrap_or_default(), meta.name.span, findings),
        RawTopologyRef::Name(name) => match topologies.get(&name.value) {
            Some(topology) => topology.clone(),
            None => {
                findings.push(unknown_topology(name, topologies));
                return None;
            }
        },
    };
    let world = (findings.errors() == before).then(|| World::synthetic(&topology));
    let crds: Vec<String> = requires
        .iter()
        .filter_map(|r| if let Requirement::Crd(crd) = r { Some(crd.clone()) } else { None })
        .collect();
    let around = Surroundings { topology: &topology, world: world.as_ref(), crds: &crds, definitions };
    if spec.steps.is_empty() {
        findings.push(
            Finding::error("scenario/no-steps", meta.name.span, "the scenario has no step")
                .help("add at least `steps: [{expect: {}}]`: everything must then be as the oracle says"),
        );
    }
    let repeat = repeat(spec.repeat.as_ref(), findings);
    let (steps, rules) = steps::steps(&spec.steps, meta.name.span, repeat, &around, findings);
    if findings.errors() > errors {
        return None;
    }
    let texts = |list: &[At<String>]| list.iter().map(|at| at.value.clone()).collect();
    Some(Converted {
        scenario: Scenario {
            name: meta.name.value.clone(),
            labels,
            level,
            summary: spec.summary.value.clone(),
            clauses: texts(&spec.clauses),
            references: texts(&spec.references),
            differs: spec.differs.iter().map(differs).collect(),
            requires,
            repeat,
            topology,
            steps,
            source: file.to_owned(),
        },
        name: meta.name.span,
        rules,
    })
}

fn differs(raw: &RawDiffers) -> Differs {
    Differs {
        dataplane: raw.dataplane.value.clone(),
        how: raw.how.value.clone(),
        reference: raw.reference.as_ref().map(|at| at.value.clone()),
    }
}

fn repeat(raw: Option<&At<u16>>, findings: &mut Findings) -> u16 {
    let Some(at) = raw else { return 1 };
    if at.value == 0 || at.value > MOST_PASSES {
        findings.push(Finding::error(
            "scenario/wrong-type",
            at.span,
            format!("`repeat: {}` makes no sense; expected 1 to {MOST_PASSES}", at.value),
        ));
    }
    at.value
}

fn check_name(name: &At<String>, findings: &mut Findings) {
    let good = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if name.value.len() > 200 || !name.value.split('/').all(good) {
        findings.push(
            Finding::error(
                "scenario/invalid-name",
                name.span,
                format!("`{}` cannot name a scenario", clean::word(&name.value)),
            )
            .help("write `area/title` with lower-case letters, digits and `-`, for example `ports/end-port-range`"),
        );
    }
}

fn level(raw: Option<&At<String>>, findings: &mut Findings) -> Level {
    const LEVELS: [Level; 3] = [Level::Core, Level::Extended, Level::ImplementationDefined];
    let Some(word) = raw else { return Level::Core };
    LEVELS.into_iter().find(|level| level.to_string() == word.value).unwrap_or_else(|| {
        findings.push(
            Finding::error(
                "scenario/unknown-level",
                word.span,
                format!("`{}` is no level", clean::word(&word.value)),
            )
            .maybe_help(suggest::help(
                &word.value,
                "levels",
                ["core", "extended", "implementation-defined"],
            )),
        );
        Level::Core
    })
}

fn check_clause(clause: &At<String>, findings: &mut Findings) {
    if !STATEMENTS.iter().any(|statement| statement.name == clause.value) {
        findings.push(
            Finding::error(
                "scenario/unknown-clause",
                clause.span,
                format!("`{}` is no statement of the specification", clean::word(&clause.value)),
            )
            .help("statements are N1 to N43"),
        );
    }
}

fn check_meant(word: &At<String>, findings: &mut Findings) {
    if !MEANT.contains(&word.value.as_str()) {
        findings.push(
            Finding::error(
                "scenario/unknown-word",
                word.span,
                format!("`{}` is not a warning that can be meant", clean::word(&word.value)),
            )
            .maybe_help(suggest::help(&word.value, "these can", MEANT)),
        );
    }
}

fn requires(raw: &RawRequires, findings: &mut Findings) -> Vec<Requirement> {
    let mut out = Vec::new();
    for crd in &raw.crd.0 {
        if crd.value.split('.').count() < 3 {
            findings.push(
                Finding::error(
                    "scenario/invalid-name",
                    crd.span,
                    format!("`{}` is no full name of a custom resource definition", clean::word(&crd.value)),
                )
                .help("write PLURAL.GROUP, for example ciliumnetworkpolicies.cilium.io"),
            );
        } else {
            Name::Object.check(crd, findings);
        }
        out.push(Requirement::Crd(crd.value.clone()));
    }
    if let Some(name) = &raw.dataplane {
        Name::Object.check(name, findings);
        out.push(Requirement::Dataplane(name.value.clone()));
    }
    let set = |flag: &Option<At<bool>>| flag.as_ref().is_some_and(|at| at.value);
    if set(&raw.sctp) {
        out.push(Requirement::Sctp);
    }
    if set(&raw.dual_stack) {
        out.push(Requirement::DualStack);
    }
    if let Some(nodes) = &raw.nodes {
        if nodes.value == 0 || nodes.value > 100 {
            findings.push(Finding::error(
                "scenario/wrong-type",
                nodes.span,
                format!("`nodes: {}` makes no sense; expected 1 to 100", nodes.value),
            ));
        }
        out.push(Requirement::Nodes(nodes.value));
    }
    if set(&raw.external) {
        out.push(Requirement::External);
    }
    if let Some(dns) = &raw.dns {
        match dns.value.parse() {
            Ok(address) => out.push(Requirement::Dns(address)),
            Err(_) => findings.push(
                Finding::error(
                    "scenario/wrong-type",
                    dns.span,
                    format!("`{}` is no IP address", clean::word(&dns.value)),
                )
                .help("write the address of a DNS server, for example 169.254.20.10"),
            ),
        }
    }
    out
}

fn unknown_topology(name: &At<String>, topologies: &Topologies) -> Finding {
    Finding::error(
        "scenario/unknown-topology",
        name.span,
        format!("there is no shared topology `{}`", clean::word(&name.value)),
    )
    .maybe_help(suggest::help(&name.value, "shared topologies", topologies.names()))
}
