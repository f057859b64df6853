use verdikt_model::{
    CheckRecord, CheckWord, Expectation, Family, Outcome, Protocol, Record, ScenarioOutcome, Seen, Topic,
    Topics, Verdict, Via,
};

use super::*;
use crate::sample;

/// A record of one scenario with four cells in which `judge` says what is expected and seen, and what they turn on.
fn record(
    dataplane: &str,
    judge: impl Fn(&str, &str) -> (Expectation, Verdict),
    topics: impl Fn(&str, &str) -> Topics,
) -> Record {
    let mut record = sample::record();
    record.environment.dataplane.name = dataplane.into();
    record.environment.dataplane.mode.clear();
    let mut scenario = sample::passed();
    scenario.name = "ipblock/pods".into();
    let mut cells =
        sample::matrix(&["x"], &["a", "b"], &[(80, Protocol::Tcp)], |from, to, _| judge(from, to));
    for row in &mut cells.rows {
        let name = |id: verdikt_model::EndpointId| cells.names[usize::from(id.0)].clone();
        row.topics = topics(&name(row.cell.from), &name(row.cell.to));
    }
    cells.rows.retain(|row| row.cell.family == Family::Ipv4);
    scenario.steps[0].cells = cells;
    record.scenarios = vec![scenario];
    record
}

fn of(reference: &Record, other: &Record) -> Comparison {
    compare(("one.json", reference), ("two.json", other))
}

const BLOCK: Topics = Topics::of(Topic::IpBlockPods);

#[test]
fn a_record_does_not_differ_from_itself() {
    let record = sample::record();
    let same = of(&record, &record);
    assert_eq!(same.patterns, []);
    assert!(!same.regresses());
    assert_eq!(same.compared.scenarios, 4);
    assert!(compare_human(&same, CompareOptions { color: false }).contains("No difference in "));
}

#[test]
fn what_is_open_is_a_pattern_with_its_statement_and_its_evidence_and_no_regression() {
    let either = |seen| move |_: &str, _: &str| (Expectation::Either, seen);
    let calico = record("calico", either(Verdict::Allowed), |_, _| BLOCK);
    let cilium = record("cilium", either(Verdict::Dropped), |_, _| BLOCK);
    let comparison = of(&calico, &cilium);
    let [pattern] = comparison.patterns.as_slice() else { panic!("{comparison:#?}") };
    assert_eq!((pattern.topic, pattern.ruling), (Some(Topic::IpBlockPods), Ruling::Open));
    assert_eq!((pattern.change, pattern.counts.cells), (Change::Changed, 4));
    assert!(!comparison.regresses());
    let text = compare_human(&comparison, CompareOptions { color: false });
    assert!(text.contains("allowed by calico, dropped by cilium; N20 leaves it open"), "{text}");
    assert!(text.contains("https://github.com/cilium/cilium/issues/9209"), "{text}");
    insta::assert_snapshot!("human", text);
    insta::assert_snapshot!("markdown", compare_markdown(&comparison));
    let json: serde_json::Value = serde_json::from_str(&compare_json(&[comparison])).unwrap();
    assert_eq!(json["comparisons"][0]["patterns"][0]["topic"], "ipblock-pods");
    assert_eq!(json["comparisons"][0]["patterns"][0]["differences"][0]["other"]["seen"], "dropped");
}

#[test]
fn what_the_specification_decides_is_a_regression_one_way_and_fixed_the_other() {
    let deny = |seen| move |_: &str, _: &str| (Expectation::Deny, seen);
    let right = record("calico", deny(Verdict::Dropped), |_, _| Topics::NONE);
    let wrong = record("cilium", deny(Verdict::Allowed), |_, _| Topics::NONE);
    let new = of(&right, &wrong);
    assert_eq!((new.patterns[0].change, new.patterns[0].ruling), (Change::New, Ruling::OtherWrong));
    assert!(new.regresses());
    let fixed = of(&wrong, &right);
    assert_eq!((fixed.patterns[0].change, fixed.patterns[0].ruling), (Change::Fixed, Ruling::ReferenceWrong));
    assert!(!fixed.regresses());

    // An extension binds nobody.
    let extended = |mut record: Record| {
        record.scenarios[0].level = verdikt_model::Level::Extended;
        record
    };
    assert!(!of(&extended(right), &extended(wrong)).regresses());
}

#[test]
fn silence_against_refusal_is_a_matter_of_its_own() {
    let deny = |seen| move |_: &str, _: &str| (Expectation::Deny, seen);
    let comparison = of(
        &record("calico", deny(Verdict::Dropped), |_, _| BLOCK),
        &record("kube-router", deny(Verdict::Rejected), |_, _| BLOCK),
    );
    assert_eq!(comparison.patterns[0].topic, Some(Topic::DenialSignal));
    assert!(!comparison.regresses());
}

/// What a comparison of two sides puts down to what: topics with their numbers of cells.
fn causes(reference: &Record, other: &Record) -> Vec<(Option<Topic>, u64)> {
    of(reference, other).patterns.iter().map(|p| (p.topic, p.counts.cells)).collect()
}

const OWN_NODE: Topics = Topics::of(Topic::ToOwnNode);

#[test]
fn a_cell_has_the_cause_that_its_own_reason_names_whatever_explains_more_of_the_others() {
    let topics = |from: &str, to: &str| match (from, to) {
        ("x/a", "x/b") => BLOCK.and(OWN_NODE),
        _ => OWN_NODE,
    };
    let either = |seen| move |_: &str, _: &str| (Expectation::Either, seen);
    let [one, two] = [("a", Verdict::Allowed), ("b", Verdict::Dropped)]
        .map(|(name, seen)| record(name, either(seen), topics));
    assert_eq!(causes(&one, &two), [(Some(Topic::ToOwnNode), 3), (Some(Topic::IpBlockPods), 1)]);
    // Where the specification decides, no reason names one: then it is the one that alone explains others.
    let deny = |seen| move |_: &str, _: &str| (Expectation::Deny, seen);
    let [one, two] = [("a", Verdict::Dropped), ("b", Verdict::Allowed)]
        .map(|(name, seen)| record(name, deny(seen), topics));
    let enforced = |mut record: Record| {
        let evidence = String::new();
        record.environment.enforcement =
            Some(verdikt_model::Enforcement { enforced: verdikt_model::Enforced::Yes, evidence });
        record
    };
    assert_eq!(causes(&one, &enforced(two)), [(Some(Topic::ToOwnNode), 4)]);
}

#[test]
fn a_topic_on_which_alone_both_sides_do_the_same_is_no_cause() {
    // From a to b both; what turns on the reason's topic alone, from a to a, is the same on both sides.
    let topics = |from: &str, to: &str| match (from, to) {
        ("x/a", "x/b") => BLOCK.and(OWN_NODE),
        ("x/a", _) => BLOCK,
        _ => Topics::NONE,
    };
    let seen = |verdict| {
        move |from: &str, to: &str| match (from, to) {
            ("x/a", "x/b") => (Expectation::Either, verdict),
            _ => (Expectation::Either, Verdict::Allowed),
        }
    };
    let one = record("a", seen(Verdict::Allowed), topics);
    let two = record("b", seen(Verdict::Dropped), topics);
    assert_eq!(causes(&one, &two), [(Some(Topic::ToOwnNode), 1)]);
}

#[test]
fn a_topic_explains_what_fares_as_what_it_explains_alone() {
    let own_node = Topics::of(Topic::ToOwnNode);
    let services = Topics::of(Topic::ServiceAddresses);
    // From a: the own node's, dropped by b alone. To b from b: of several, and b alone lets it through.
    let topics = |from: &str, to: &str| match (from, to) {
        ("x/a", _) => own_node,
        (_, "x/a") => services,
        _ => services.and(own_node),
    };
    let seen = |side: bool| {
        move |from: &str, _: &str| {
            let verdict = if (from == "x/a") == side { Verdict::Allowed } else { Verdict::Dropped };
            (Expectation::Either, verdict)
        }
    };
    let comparison = of(&record("a", seen(true), topics), &record("b", seen(false), topics));
    let patterns: Vec<_> = comparison.patterns.iter().map(|p| (p.topic, p.counts.cells)).collect();
    assert_eq!(patterns, [(Some(Topic::ServiceAddresses), 2), (Some(Topic::ToOwnNode), 2)]);
}

#[test]
fn a_topic_in_which_both_are_known_to_do_the_same_explains_nothing_else() {
    // Calico's nodes are matched in either mode; its modes differ in node ports.
    let topics = |_: &str, _: &str| Topics::of(Topic::IpBlockNodes).and(Topics::of(Topic::NodePorts));
    let either = |seen| move |_: &str, _: &str| (Expectation::Either, seen);
    let one = record("calico", either(Verdict::Dropped), topics);
    let two = record("calico-ebpf", either(Verdict::Allowed), topics);
    let comparison = of(&one, &two);
    let topics: Vec<_> = comparison.patterns.iter().map(|pattern| pattern.topic).collect();
    assert_eq!(topics, [Some(Topic::NodePorts)]);
}

#[test]
fn where_one_side_enforces_nothing_that_is_the_difference() {
    let some = |from: &str, _: &str| match from {
        "x/a" => Expectation::Deny,
        _ => Expectation::Either,
    };
    let topics = |from: &str, _: &str| if from == "x/a" { Topics::NONE } else { BLOCK };
    let calico = record("calico", |f, t| (some(f, t), Verdict::Dropped), topics);
    let flannel = record("flannel", |f, t| (some(f, t), Verdict::Allowed), topics);
    let comparison = of(&calico, &flannel);
    assert!(comparison.patterns.iter().all(|p| p.topic == Some(Topic::Enforcement)), "{comparison:#?}");
    assert!(comparison.regresses());
    // Where something else explains every one of them, it may enforce all the same.
    let named = |_: &str, _: &str| Topics::of(Topic::NamedPorts);
    let deny = |seen| move |_: &str, _: &str| (Expectation::Deny, seen);
    let comparison =
        of(&record("a", deny(Verdict::Dropped), named), &record("weave", deny(Verdict::Allowed), named));
    assert_eq!(
        (comparison.other.enforces_nothing, comparison.patterns[0].topic),
        (None, Some(Topic::NamedPorts))
    );
}

#[test]
fn that_a_side_enforces_nothing_is_said_first_however_its_cells_look() {
    // Some denied all the same: by something else.
    let some = |from: &str, _: &str| {
        (Expectation::Deny, if from == "x/a" { Verdict::Allowed } else { Verdict::Dropped })
    };
    let mut flannel = record("flannel", some, |_, _| BLOCK);
    let calico = record("calico", |_, _| (Expectation::Deny, Verdict::Dropped), |_, _| BLOCK);
    assert_eq!(of(&flannel, &calico).reference.enforces_nothing, None);
    let evidence = "all 4 connections that a deny-all forbids succeeded".to_owned();
    flannel.environment.enforcement =
        Some(verdikt_model::Enforcement { enforced: verdikt_model::Enforced::No, evidence });
    for (comparison, side) in [(of(&flannel, &calico), "reference"), (of(&calico, &flannel), "other")] {
        assert!(comparison.patterns.iter().all(|p| p.topic == Some(Topic::Enforcement)));
        let first = "flannel enforces no NetworkPolicy: all 4 connections that a deny-all forbids succeeded.";
        let human = compare_human(&comparison, CompareOptions { color: false });
        let place = human.find(first).unwrap_or_else(|| panic!("{human}"));
        assert!(place < human.find(" differ: ").unwrap() && human.lines().count() < 20, "{human}");
        assert!(compare_markdown(&comparison).contains(first));
        assert!(
            crate::html(&[("one".into(), flannel.clone()), ("two".into(), calico.clone())]).contains(first)
        );
        let json: serde_json::Value = serde_json::from_str(&compare_json(&[comparison])).unwrap();
        let said = json["comparisons"][0][side]["enforcesNothing"].as_str().unwrap();
        assert!(said.starts_with("all 4 connections"), "{said}");
    }
}

#[test]
fn what_was_not_measured_is_no_difference_and_is_told() {
    let allow = |seen| {
        move |from: &str, _: &str| match from {
            "x/a" => (Expectation::Allow, seen),
            _ => (Expectation::Allow, Verdict::Allowed),
        }
    };
    let right = record("calico", allow(Verdict::Allowed), |_, _| Topics::NONE);
    let mut lost = record("cilium", allow(Verdict::Error), |_, _| Topics::NONE);
    let comparison = of(&right, &lost);
    assert_eq!(comparison.patterns, []);
    assert_eq!((comparison.missing[0].cells, comparison.missing[0].error), (2, true));
    assert!(comparison.is_inconclusive());

    lost.scenarios[0].outcome = ScenarioOutcome::Skipped;
    // One that proves nothing, because all of it is open, was measured all the same.
    assert_eq!(of(&right, &lost).missing[0].cells, 2);
    lost.scenarios[0].steps.clear();
    lost.scenarios[0].reason = Some("no such definition".into());
    let skipped = of(&right, &lost);
    assert_eq!((skipped.missing[0].side, skipped.missing[0].error), (WhichSide::Other, false));
    assert!(!skipped.is_inconclusive());
    lost.scenarios.clear();
    lost.run.planned = 0;
    let other_choice = of(&right, &lost);
    assert_eq!(other_choice.missing[0].why, "not in the record");
    assert!(!other_choice.is_inconclusive());
    lost.run.planned = 1;
    let cut_short = of(&right, &lost);
    assert_eq!(cut_short.missing[0].why, "the run was cut short");
    assert!(cut_short.is_inconclusive());
}

#[test]
fn what_is_open_is_not_mixed_with_what_is_decided_but_known() {
    // From a to a: open. From a to b: denied, and the one side is known to be wrong.
    let judge = |seen| {
        move |from: &str, to: &str| match (from, to) {
            ("x/a", "x/a") => (Expectation::Either, seen),
            ("x/a", _) => (Expectation::Deny, seen),
            _ => (Expectation::Deny, Verdict::Dropped),
        }
    };
    let right = record("calico", judge(Verdict::Dropped), |_, _| BLOCK);
    let mut known = record("weave", judge(Verdict::Allowed), |_, _| BLOCK);
    for row in &mut known.scenarios[0].steps[0].cells.rows {
        if row.outcome == Outcome::Fail {
            row.outcome = Outcome::Deviation;
        }
    }
    let comparison = of(&right, &known);
    let rulings: Vec<_> =
        comparison.patterns.iter().map(|p| (p.ruling, p.statement, p.counts.cells)).collect();
    // N20 leaves blocks and pods open: it is not what decides a cell.
    assert_eq!(rulings, [(Ruling::OtherWrong, None, 1), (Ruling::Open, Some("N20"), 1)]);
}

#[test]
fn what_does_not_hold_still_proves_nothing() {
    let deny = |seen| move |_: &str, _: &str| (Expectation::Deny, seen);
    let right = record("calico", deny(Verdict::Dropped), |_, _| Topics::NONE);
    let mut unsteady = record("cilium", deny(Verdict::Allowed), |_, _| Topics::NONE);
    for row in &mut unsteady.scenarios[0].steps[0].cells.rows {
        row.outcome = Outcome::Flaky;
    }
    let comparison = of(&right, &unsteady);
    assert_eq!((comparison.patterns.len(), comparison.unstable), (0, 4));
    assert!(comparison.is_inconclusive() && !comparison.regresses());

    // Neither does one attempt of several that disagree.
    let mut torn = record("cilium", deny(Verdict::Allowed), |_, _| Topics::NONE);
    torn.scenarios[0].outcome = ScenarioOutcome::Flaky;
    let comparison = of(&right, &torn);
    assert_eq!((comparison.patterns.len(), comparison.unstable), (0, 4));
    assert!(comparison.is_inconclusive() && !comparison.regresses());
}

fn check(kind: CheckWord, seen: Seen) -> CheckRecord {
    CheckRecord {
        kind,
        from: "x/a".into(),
        to: "x/b".into(),
        via: Via::PodIp,
        port: 80,
        protocol: Protocol::Tcp,
        family: Family::Ipv4,
        what: None,
        expected: "either".into(),
        seen: Some(seen),
        outcome: Outcome::Pass,
        time_us: Some(1_500),
        within_us: None,
        status: None,
        answered_by: Vec::new(),
        reason: None,
    }
}

#[test]
fn checks_are_compared_by_what_they_measure_unless_their_cell_differs_anyway() {
    let with = |seen, verdict| {
        let mut record = record("a", |_, _| (Expectation::Either, verdict), |_, _| BLOCK);
        record.scenarios[0].steps[0].checks = vec![check(CheckWord::Hold, seen)];
        record
    };
    let alone = of(&with(Seen::Survived, Verdict::Allowed), &with(Seen::Cut, Verdict::Allowed));
    assert_eq!((alone.patterns.len(), alone.patterns[0].topic), (1, Some(Topic::Established)));
    assert_eq!(alone.patterns[0].counts.checks, 1);
    let beside = of(&with(Seen::Survived, Verdict::Allowed), &with(Seen::Cut, Verdict::Dropped));
    assert_eq!((beside.patterns.len(), beside.patterns[0].topic), (1, Some(Topic::IpBlockPods)));
    // A refusal is the same cell, denied in another way.
    let refused = of(&with(Seen::Survived, Verdict::Dropped), &with(Seen::Cut, Verdict::Rejected));
    let topics: Vec<_> = refused.patterns.iter().map(|p| p.topic).collect();
    assert_eq!(topics, [Some(Topic::Established), Some(Topic::DenialSignal)]);
}

#[test]
fn sampled_times_are_shifts_and_no_differences() {
    let with = |time_us| {
        let mut record = record("a", |_, _| (Expectation::Allow, Verdict::Allowed), |_, _| BLOCK);
        let sample = CheckRecord { time_us: Some(time_us), ..check(CheckWord::Sample, Seen::Changed) };
        record.scenarios[0].steps[0].checks = vec![sample];
        record
    };
    let comparison = of(&with(1_000), &with(9_000));
    assert_eq!(comparison.patterns, []);
    let shift = comparison.shifts.iter().find(|shift| shift.what.contains("sampled")).unwrap();
    assert_eq!((shift.reference.median_us, shift.other.median_us), (1_000, 9_000));
}

#[test]
fn sides_of_one_dataplane_are_told_apart() {
    let mut one = sample::record();
    let mut two = one.clone();
    two.environment.dataplane.version = "9.9".into();
    assert_eq!(of(&one, &two).other.name, "flannel 9.9");
    one.environment.dataplane.emulated = false;
    assert_eq!(of(&one, &two).reference.name, "flannel");
    assert_eq!(of(&one, &two).other.name, "flannel (emulated)");
    one.environment.dataplane.emulated = true;
    one.environment.dataplane.mode = "rejects, ".repeat(9);
    two.environment.dataplane.version = one.environment.dataplane.version.clone();
    assert_eq!(of(&one, &two).reference.name, "one.json");
    let names = compare((&"long/".repeat(20), &one), ("two.json", &two));
    assert_eq!((names.reference.name.as_str(), names.other.name.as_str()), ("the reference", "the other"));
}

#[test]
fn hostile_text_stays_text() {
    let mut record = sample::record();
    let hostile = "</summary><script>alert(1)</script>|`@x` #1 \u{1b}[31m\u{202e}[a](https://b)\n# h";
    for scenario in &mut record.scenarios {
        scenario.name = format!("{hostile}{}", scenario.name);
        for step in &mut scenario.steps {
            step.name = hostile.into();
        }
    }
    let mut other = record.clone();
    other.environment.dataplane.name = hostile.into();
    for row in other.scenarios.iter_mut().flat_map(|s| &mut s.steps).flat_map(|s| &mut s.cells.rows) {
        row.observed = row.observed.map(|_| Verdict::Rejected);
    }
    let comparison = compare((hostile, &record), ("two", &other));
    assert!(!comparison.patterns.is_empty());
    let human = compare_human(&comparison, CompareOptions { color: false });
    assert!(!human.contains(['\u{1b}', '\u{202e}']) && !human.contains("\n# h"), "{human}");
    let markdown = compare_markdown(&comparison);
    assert!(!markdown.contains(['\u{1b}', '\u{202e}']));
    let mut options = comrak::Options::default();
    options.extension.table = true;
    options.extension.autolink = true;
    // The page's own elements are to be seen, and those of others if there were any.
    options.render.r#unsafe = true;
    let page = comrak::markdown_to_html(&markdown, &options);
    for element in ["<script", "<img", "<h1", "href=\"https://b"] {
        assert!(!page.contains(element), "{element}: {page}");
    }
    // Mentions and numbers of issues are left alone in code, and only there.
    let outside: String =
        page.split("<code>").map(|part| part.rsplit("</code>").next().unwrap_or_default()).collect();
    assert!(!outside.contains("@x") && !outside.contains("#1"), "{outside}");
}
