//! The objects that are in force at a step: applied by it or an earlier one, and not deleted since.

use std::collections::BTreeMap;

use serde_json::Value;
use verdikt_model::ScenarioRecord;

/// Where an object was applied: step and change, by index.
pub(super) type Place = (usize, usize);

/// For each step the objects in force at its end, by where they were applied last.
pub(super) fn in_force(scenario: &ScenarioRecord) -> Vec<Vec<Place>> {
    let mut there: BTreeMap<String, Place> = BTreeMap::new();
    let steps = scenario.steps.iter().enumerate().map(|(step, record)| {
        for (index, change) in record.changes.iter().enumerate() {
            // `apply NetworkPolicy x/p`, `delete NetworkPolicy x/p`
            if let Some(name) = change.what.strip_prefix("delete ") {
                there.remove(name);
            } else if change.object.is_some() {
                let name = change.what.strip_prefix("apply ").unwrap_or(&change.what);
                there.insert(name.to_owned(), (step, index));
            }
        }
        let mut places: Vec<Place> = there.values().copied().collect();
        places.sort_unstable();
        places
    });
    steps.collect()
}

/// An object as people write it.
pub(super) fn yaml(object: &Value) -> String {
    let options = serde_yaml::ser_options! { compact_list_indent: true, no_lang_directive: true };
    match serde_yaml::to_string_with_options(object, options) {
        Ok(text) => text,
        // JSON is YAML, too.
        Err(_) => object.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use verdikt_model::ChangeRecord;

    use super::*;
    use crate::sample;

    #[test]
    fn an_object_is_in_force_until_it_is_replaced_or_deleted() {
        let mut scenario = sample::failed();
        let apply = |name: &str| ChangeRecord { what: format!("apply {name}"), object: Some(json!({})) };
        let word = |what: &str| ChangeRecord { what: what.into(), object: None };
        scenario.steps.push(scenario.steps[1].clone());
        scenario.steps[0].changes = vec![apply("NetworkPolicy x/p"), apply("NetworkPolicy y/p")];
        scenario.steps[1].changes = vec![word("label pod x/a role=web"), apply("NetworkPolicy x/p")];
        scenario.steps[2].changes = vec![word("delete NetworkPolicy y/p")];
        assert_eq!(in_force(&scenario), [vec![(0, 0), (0, 1)], vec![(0, 1), (1, 1)], vec![(1, 1)]]);
    }

    #[test]
    fn objects_read_as_in_a_file() {
        let policy =
            json!({"kind": "NetworkPolicy", "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}});
        assert_eq!(
            yaml(&policy),
            "kind: NetworkPolicy\nspec:\n  podSelector: {}\n  policyTypes:\n  - Ingress\n"
        );
    }
}
