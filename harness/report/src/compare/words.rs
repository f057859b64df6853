//! What the forms for people say alike. Foreign text comes out escaped and cut for one line.

use super::{Comparison, Counts, Difference, Missing, Pattern, Ruling, Side, WhichSide};
use crate::{
    escape::{NAME, SENTENCE, cut},
    text,
};

/// A side with all that is known of it.
pub(crate) fn side(side: &Side) -> String {
    let mut words = side.dataplane.clone();
    if !side.version.is_empty() && !side.emulated {
        words.push_str(&format!(" {}", side.version));
    }
    if !side.mode.is_empty() {
        words.push_str(&format!(" ({})", side.mode));
    }
    if side.emulated {
        words.push_str(", emulated from documentation");
    }
    let started = side.started.split('T').next().unwrap_or_default();
    cut(&format!("{words}; {}, {started}", side.source), SENTENCE).into_owned()
}

/// Of a side that enforces no policy, what the comparison is worth; to be said before anything else.
pub(crate) fn unenforced(comparison: &Comparison) -> Option<String> {
    let nothing = |side: &Side| {
        let why = side.enforces_nothing.as_ref()?;
        Some(format!("{} enforces no NetworkPolicy: {}", name(side), cut(why, SENTENCE)))
    };
    match (nothing(&comparison.reference), nothing(&comparison.other)) {
        (Some(_), Some(_)) => {
            let [one, two] = [&comparison.reference, &comparison.other].map(name);
            Some(format!("neither {one} nor {two} enforces NetworkPolicy: this says nothing about policies"))
        }
        (Some(reference), None) => Some(format!(
            "{reference}. What differs is what the other enforces; take a reference that enforces policies to see more"
        )),
        (None, Some(other)) => Some(format!("{other}. Every difference below comes from that")),
        (None, None) => None,
    }
}

/// `18 cells and 2 checks in 3 scenarios`
pub(crate) fn counts(counts: &Counts) -> String {
    let mut parts = Vec::new();
    if counts.cells > 0 || counts.checks == 0 {
        parts.push(text::count(counts.cells, "cell"));
    }
    if counts.checks > 0 {
        parts.push(text::count(counts.checks, "check"));
    }
    format!("{} in {}", parts.join(" and "), text::count(counts.scenarios, "scenario"))
}

/// `allowed by calico, dropped by cilium; N20 leaves it open`
pub(crate) fn verdicts(pattern: &Pattern, comparison: &Comparison) -> String {
    let (one, two) = (name(&comparison.reference), name(&comparison.other));
    let seen = |words: &str| cut(words, NAME).into_owned();
    format!(
        "{} by {one}, {} by {two}; {}",
        seen(&pattern.reference),
        seen(&pattern.other),
        ruling(pattern, &one, &two)
    )
}

fn ruling(pattern: &Pattern, one: &str, two: &str) -> String {
    let statement = pattern.statement.unwrap_or("the specification");
    match (pattern.ruling, pattern.statement) {
        (Ruling::Open, Some(statement)) => format!("{statement} leaves it open"),
        (Ruling::Open, None) if pattern.topic.is_none() => "the specification leaves it open".to_owned(),
        (Ruling::Open, None) => "no statement of the specification speaks of it".to_owned(),
        (Ruling::OtherWrong, _) => format!("{statement} decides it: {two} is wrong"),
        (Ruling::ReferenceWrong, _) => format!("{statement} decides it: {one} is wrong"),
        (Ruling::BothWrong, _) => format!("{statement} decides it: both are wrong"),
    }
}

/// What is documented, a line for each side of which something is: text and link.
pub(crate) fn evidence(pattern: &Pattern, comparison: &Comparison) -> Vec<(String, Option<String>)> {
    let sides =
        [(&comparison.other, &pattern.other_evidence), (&comparison.reference, &pattern.reference_evidence)];
    let line = |(side, known): (&Side, &Option<super::Known>)| {
        known.as_ref().map(|known| {
            let link = known.link.as_ref().map(|link| cut(link, SENTENCE).into_owned());
            (format!("{}: {}", name(side), cut(&known.does, SENTENCE)), link)
        })
    };
    sides.into_iter().filter_map(line).collect()
}

/// `ipblock/pods, step one: x/a -> y/b:80/tcp over ipv4`
pub(super) fn example(difference: &Difference) -> String {
    let Difference { scenario, step, .. } = difference;
    format!("{}, step {}: {}", cut(scenario, NAME), cut(step, NAME), cell(difference))
}

/// `hold x/a -> y/b:80/tcp over ipv4`
pub(crate) fn cell(difference: &Difference) -> String {
    let Difference { from, to, via, port, protocol, family, .. } = difference;
    let port = if *port == 0 { String::new() } else { format!("{port}/") };
    let via = if *via == verdikt_model::Via::PodIp { String::new() } else { format!(" via {via}") };
    let check = difference.check.map(|check| format!("{check} ")).unwrap_or_default();
    format!("{check}{} -> {}:{port}{protocol}{via} over {family}", cut(from, NAME), cut(to, NAME))
}

/// What was measured on one side only, by reason, and in one line what was measured on neither.
pub(crate) fn missing(comparison: &Comparison) -> Vec<String> {
    let mut groups: Vec<(&Missing, Vec<&str>)> = Vec::new();
    let (neither, one_sided): (Vec<&Missing>, Vec<&Missing>) =
        comparison.missing.iter().partition(|one| one.side == WhichSide::Both && !one.error);
    for one in one_sided {
        let alike = |(first, _): &&mut (&Missing, Vec<&str>)| {
            (first.side, first.error, &first.why) == (one.side, one.error, &one.why)
        };
        match groups.iter_mut().find(alike) {
            Some((_, scenarios)) => scenarios.push(&one.scenario),
            None => groups.push((one, vec![&one.scenario])),
        }
    }
    let (reference, other) = (name(&comparison.reference), name(&comparison.other));
    groups.sort_by_key(|(first, scenarios)| (!first.error, first.side, std::cmp::Reverse(scenarios.len())));
    let line = |(first, scenarios): (&Missing, Vec<&str>)| {
        let side = match first.side {
            WhichSide::Reference => format!("by {reference}"),
            WhichSide::Other => format!("by {other}"),
            WhichSide::Both => "by both".to_owned(),
        };
        let how = if first.error { "could not be measured" } else { "not measured" };
        format!("{}: {how} {side}: {}", some(&scenarios), cut(&first.why, SENTENCE))
    };
    let mut lines: Vec<String> = groups.into_iter().map(line).collect();
    if !neither.is_empty() {
        let mut scenarios: Vec<&str> = neither.iter().map(|one| one.scenario.as_str()).collect();
        scenarios.dedup();
        let count = text::count(scenarios.len() as u64, "scenario");
        lines.push(format!("{count}, or cells of them, on neither side: {}", some(&scenarios)));
    }
    lines
}

/// The first names, and how many more there are.
fn some(names: &[&str]) -> String {
    let mut shown = names.iter().take(3).map(|name| cut(name, NAME)).collect::<Vec<_>>().join(", ");
    if names.len() > 3 {
        shown.push_str(&format!(" and {} more", names.len() - 3));
    }
    shown
}

/// A side's name for sentences.
pub(crate) fn name(side: &Side) -> String {
    cut(&side.name, NAME).into_owned()
}
