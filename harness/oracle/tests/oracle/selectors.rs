//! N15, N18, N19, N35, N36: whom selectors find.

use serde_json::{Value, json};

use crate::common::{allow, deny, world};

fn from(peers: Value) -> verdikt_model::World {
    world(&[("x/p", json!({"podSelector": {}, "ingress": [{"from": peers}]}))])
}

#[test]
fn n15_subjects_are_of_the_policys_namespace_only() {
    let world = world(&[("x/p", json!({"podSelector": {}, "policyTypes": ["Ingress"]}))]);
    deny(&world, "z/a -> x/a:80/tcp");
    deny(&world, "z/a -> x/b:80/tcp");
    allow(&world, "z/a -> y/a:80/tcp");
}

#[test]
fn n18_a_pod_selector_never_crosses_namespaces() {
    let world = from(json!([{"podSelector": {"matchLabels": {"role": "backend"}}}]));
    allow(&world, "x/a -> x/b:80/tcp");
    deny(&world, "y/a -> x/b:80/tcp");
    let all = from(json!([{"podSelector": {}}]));
    allow(&all, "x/b -> x/a:80/tcp");
    deny(&all, "y/a -> x/a:80/tcp");
    deny(&all, "external -> x/a:80/tcp");
}

#[test]
fn n18_a_namespace_selector_finds_all_pods_of_its_namespaces_and_only_pods() {
    let world = from(json!([{"namespaceSelector": {"matchLabels": {"env": "production"}}}]));
    allow(&world, "x/b -> x/a:80/tcp");
    allow(&world, "y/a -> x/a:80/tcp");
    deny(&world, "z/a -> x/a:80/tcp");
    let all = from(json!([{"namespaceSelector": {}}]));
    allow(&all, "z/a -> x/a:80/tcp");
    deny(&all, "external -> x/a:80/tcp");
    deny(&all, "node/2 -> x/a:80/tcp");
}

#[test]
fn n19_one_element_is_and_two_elements_are_or() {
    let namespace = json!({"matchLabels": {"env": "production"}});
    let pods = json!({"matchLabels": {"role": "backend"}});
    let and = from(json!([{"namespaceSelector": namespace, "podSelector": pods}]));
    allow(&and, "y/a -> x/b:80/tcp");
    deny(&and, "y/b -> x/b:80/tcp");
    deny(&and, "z/a -> x/b:80/tcp");
    let or = from(json!([{"namespaceSelector": namespace}, {"podSelector": pods}]));
    allow(&or, "y/a -> x/b:80/tcp");
    allow(&or, "y/b -> x/b:80/tcp");
    deny(&or, "z/a -> x/b:80/tcp");
    allow(&or, "x/a -> x/b:80/tcp");
}

#[test]
fn n35_operators_work_on_namespaces() {
    let namespaces = |operator: &str, values: Value| {
        from(
            json!([{"namespaceSelector": {"matchExpressions": [{"key": "env", "operator": operator, "values": values}]}}]),
        )
    };
    for (world, production, unlabelled) in [
        (namespaces("In", json!(["production", "test"])), true, false),
        (namespaces("NotIn", json!(["production"])), false, true),
        (namespaces("Exists", json!([])), true, false),
        (namespaces("DoesNotExist", json!([])), false, true),
    ] {
        let check =
            |allowed: bool, text: &str| if allowed { allow(&world, text) } else { deny(&world, text) };
        check(production, "y/a -> x/a:80/tcp");
        check(unlabelled, "z/a -> x/a:80/tcp");
        deny(&world, "external -> x/a:80/tcp");
        deny(&world, "node/2 -> x/a:80/tcp");
    }
}

#[test]
fn n18_operators_work_on_pods() {
    let pods = |operator: &str, values: Value| {
        from(
            json!([{"podSelector": {"matchExpressions": [{"key": "role", "operator": operator, "values": values}]}}]),
        )
    };
    allow(&pods("In", json!(["backend"])), "x/a -> x/b:80/tcp");
    deny(&pods("In", json!(["other"])), "x/a -> x/b:80/tcp");
    allow(&pods("NotIn", json!(["frontend"])), "x/a -> x/b:80/tcp");
    deny(&pods("NotIn", json!(["backend"])), "x/a -> x/b:80/tcp");
    allow(&pods("Exists", json!([])), "x/a -> x/b:80/tcp");
    deny(&pods("DoesNotExist", json!([])), "x/a -> x/b:80/tcp");
    deny(&pods("NotIn", json!(["frontend"])), "y/a -> x/b:80/tcp");
}

#[test]
fn n36_a_namespace_is_chosen_by_the_label_of_its_name() {
    let world = from(json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "z"}}}]));
    allow(&world, "z/a -> x/a:80/tcp");
    deny(&world, "y/a -> x/a:80/tcp");
}

#[test]
fn n36_a_namespace_that_the_world_does_not_describe_has_its_name() {
    let mut world =
        from(json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "z"}}}]));
    world.namespaces.remove("z");
    allow(&world, "z/a -> x/a:80/tcp");
}

#[test]
fn n18_an_empty_peer_matches_nobody() {
    deny(&from(json!([{}])), "x/b -> x/a:80/tcp");
}
