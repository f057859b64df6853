//! `plan`: hand-written rules and the oracle together.

use serde_json::json;
use verdikt_model::{Action, Expect, ExpectRule, Expectation, Family, Level, PolicyObject, World, cells};
use verdikt_oracle::{Oracle, Plan, plan};

use crate::common::{cell, world};

fn deny_x() -> World {
    world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress"]}))])
}

fn planned(level: Level, derived: bool, world: &World, rules: &[(&str, Expectation)]) -> Plan {
    let rules = rules
        .iter()
        .map(|(pattern, expectation)| ExpectRule {
            pattern: pattern.parse().unwrap(),
            expectation: *expectation,
        })
        .collect();
    plan(level, &Expect { derived, rules }, world, &cells(world, &[Family::Ipv4]))
}

#[test]
fn derived_fills_what_no_rule_names() {
    let world = deny_x();
    let all = cells(&world, &[Family::Ipv4]);
    let plan = planned(Level::Core, true, &world, &[("y/* -> x/*", Expectation::Drop)]);
    assert_eq!(plan.rows.iter().map(|(cell, _)| *cell).collect::<Vec<_>>(), all);
    let oracle = Oracle::new(&world);
    for (cell, expectation) in &plan.rows {
        let written = world.name(cell.from).to_string().starts_with("y/")
            && world.name(cell.to).to_string().starts_with("x/");
        assert_eq!(*expectation, if written { Expectation::Drop } else { oracle.expect(cell) });
    }
    assert_eq!((plan.contradictions, plan.conflicts, plan.unmatched), (vec![], vec![], vec![]));
}

#[test]
fn without_derived_only_named_cells_are_planned() {
    let world = deny_x();
    let plan = planned(Level::Core, false, &world, &[("y/a -> x/a:80/tcp", Expectation::Deny)]);
    assert_eq!(plan.rows, vec![(cell(&world, "y/a -> x/a:80/tcp"), Expectation::Deny)]);
    assert_eq!(planned(Level::Core, false, &world, &[]), Plan::default());
}

#[test]
fn a_core_rule_must_agree_with_the_oracle() {
    let world = deny_x();
    for (written, agrees) in [
        (Expectation::Deny, true),
        (Expectation::Drop, true),
        (Expectation::Reject, true),
        (Expectation::Allow, false),
        (Expectation::Either, false),
    ] {
        let plan = planned(Level::Core, true, &world, &[("y/a -> x/a:80/tcp", written)]);
        assert_eq!(plan.contradictions.is_empty(), agrees, "{written}");
        assert!(plan.rows.contains(&(cell(&world, "y/a -> x/a:80/tcp"), written)));
        for found in plan.contradictions {
            assert_eq!((found.rule, found.written, found.oracle), (0, written, Expectation::Deny));
            assert!(
                found.reasons[0].starts_with("denied: policy x/p isolates x/a for ingress"),
                "{:?}",
                found.reasons
            );
        }
    }
}

#[test]
fn a_core_rule_may_not_be_surer_than_the_specification() {
    let world = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Egress"]}))]);
    for (written, agrees) in
        [(Expectation::Either, true), (Expectation::Allow, false), (Expectation::Deny, false)]
    {
        let plan = planned(Level::Core, false, &world, &[("x/a -> node/1:80/tcp", written)]);
        assert_eq!(plan.contradictions.is_empty(), agrees, "{written}");
    }
}

#[test]
fn on_an_extended_scenario_the_written_word_wins() {
    let world = deny_x();
    let plan = planned(Level::Extended, true, &world, &[("y/a -> x/a:80/tcp", Expectation::Allow)]);
    assert!(plan.contradictions.is_empty() && plan.written.is_empty());
    assert!(plan.rows.contains(&(cell(&world, "y/a -> x/a:80/tcp"), Expectation::Allow)));
    assert!(plan.rows.contains(&(cell(&world, "y/b -> x/a:80/tcp"), Expectation::Deny)));
}

#[test]
fn on_an_implementation_defined_scenario_only_what_the_specification_decides_is_judged() {
    let world = world(&[
        ("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress"]})),
        ("z/q", json!({"podSelector": {}, "policyTypes": ["Egress"]})),
    ]);
    let rules = [
        ("y/a -> x/a:80/tcp", Expectation::Drop),
        ("y/b -> x/a:80/tcp", Expectation::Allow),
        ("z/a -> node/1:80/tcp", Expectation::Allow),
    ];
    let plan = planned(Level::ImplementationDefined, true, &world, &rules);
    assert!(plan.contradictions.is_empty());
    let expected = |text| plan.rows.iter().find(|(of, _)| *of == cell(&world, text)).unwrap().1;
    assert_eq!(expected("y/a -> x/a:80/tcp"), Expectation::Drop);
    assert_eq!(expected("y/b -> x/a:80/tcp"), Expectation::Either);
    assert_eq!(expected("z/a -> node/1:80/tcp"), Expectation::Either);
    assert_eq!(expected("z/b -> x/a:80/tcp"), Expectation::Deny);
    let written: Vec<_> = plan.written.values().copied().collect();
    assert_eq!(written, [Expectation::Allow, Expectation::Allow]);
}

#[test]
fn a_policy_of_another_kind_leaves_an_implementation_defined_scenario_open() {
    let mut world = deny_x();
    let other = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy"});
    world.apply(&Action::Apply(PolicyObject::Other(other))).unwrap();
    let rules = [("y/a -> x/a:80/tcp", Expectation::Deny), ("y/b -> x/a:80/tcp", Expectation::Allow)];
    let plan = planned(Level::ImplementationDefined, true, &world, &rules);
    assert_eq!(plan.rows.len(), cells(&world, &[Family::Ipv4]).len());
    assert!(plan.rows.iter().all(|(_, expected)| *expected == Expectation::Either));
    let written: Vec<_> = plan.written.iter().map(|(i, word)| (plan.rows[*i as usize].0, *word)).collect();
    let mut expected = rules.map(|(text, word)| (cell(&world, text), word));
    expected.sort();
    assert_eq!(written, expected);
    // Elsewhere somebody answers for every cell: the oracle, or who wrote it.
    for level in [Level::Core, Level::Extended] {
        let plan = planned(level, true, &world, &rules);
        assert!(plan.rows.contains(&(cell(&world, "y/a -> x/b:80/tcp"), Expectation::Deny)), "{level}");
        assert!(plan.written.is_empty(), "{level}");
    }
}

#[test]
fn rules_that_differ_are_a_conflict_once_per_pair() {
    let world = deny_x();
    let rules = [
        ("y/* -> x/*", Expectation::Deny),
        ("* -> x/a", Expectation::Drop),
        ("y/a -> x/*", Expectation::Deny),
    ];
    let plan = planned(Level::Extended, true, &world, &rules);
    let pairs: Vec<_> = plan.conflicts.iter().map(|c| (c.first, c.second)).collect();
    assert_eq!(pairs, [(0, 1)]);
    assert!(plan.rows.contains(&(cell(&world, "y/a -> x/a:80/tcp"), Expectation::Deny)));
    assert!(plan.rows.contains(&(cell(&world, "z/a -> x/a:80/tcp"), Expectation::Drop)));
    assert!(plan.unmatched.is_empty());
}

#[test]
fn rules_that_match_nothing_are_named() {
    let rules = [
        ("y/* -> x/*", Expectation::Deny),
        ("y/nosuch -> x/*", Expectation::Deny),
        ("y/a -> x/a:9/tcp", Expectation::Deny),
        ("y/a -> x/a via cluster-ip", Expectation::Deny),
        ("y/a -> x/a over ipv6", Expectation::Deny),
    ];
    assert_eq!(planned(Level::Core, true, &deny_x(), &rules).unmatched, [1, 2, 3, 4]);
}
