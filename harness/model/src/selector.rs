//! Label selectors: `matchLabels` and `matchExpressions`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Whether a selector matches everything (it has no requirement).
pub fn is_empty_selector(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether labels satisfy a selector. All requirements must hold; an empty selector matches everything.
///
/// `NotIn` and `DoesNotExist` also hold for a missing key, as the Kubernetes API documents it. An unknown
/// operator matches nothing; the API server refuses it before it can matter.
pub fn selector_matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let by_label = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key).is_some_and(|have| have == value));
    by_label
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let have = labels.get(&requirement.key);
            let listed = |value: &String| requirement.values.iter().flatten().any(|v| v == value);
            match requirement.operator.as_str() {
                "In" => have.is_some_and(listed),
                "NotIn" => !have.is_some_and(listed),
                "Exists" => have.is_some(),
                "DoesNotExist" => have.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: serde_json::Value, labels: &[(&str, &str)]) -> bool {
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        selector_matches(&selector, &labels)
    }

    fn expression(operator: &str, values: &[&str]) -> serde_json::Value {
        serde_json::json!({"matchExpressions": [{"key": "env", "operator": operator, "values": values}]})
    }

    #[test]
    fn empty_matches_everything() {
        assert!(matches(serde_json::json!({}), &[]));
        assert!(matches(serde_json::json!({}), &[("a", "b")]));
    }

    #[test]
    fn every_label_must_match() {
        let both = serde_json::json!({"matchLabels": {"a": "1", "b": "2"}});
        assert!(matches(both.clone(), &[("a", "1"), ("b", "2"), ("c", "3")]));
        assert!(!matches(both, &[("a", "1")]));
    }

    #[test]
    fn operators() {
        assert!(matches(expression("In", &["x", "y"]), &[("env", "y")]));
        assert!(!matches(expression("In", &["x"]), &[]));
        assert!(matches(expression("NotIn", &["x"]), &[]));
        assert!(matches(expression("NotIn", &["x"]), &[("env", "y")]));
        assert!(!matches(expression("NotIn", &["x"]), &[("env", "x")]));
        assert!(matches(expression("Exists", &[]), &[("env", "")]));
        assert!(!matches(expression("Exists", &[]), &[]));
        assert!(matches(expression("DoesNotExist", &[]), &[]));
        assert!(!matches(expression("DoesNotExist", &[]), &[("env", "")]));
        assert!(!matches(expression("Near", &["x"]), &[("env", "x")]));
    }
}
