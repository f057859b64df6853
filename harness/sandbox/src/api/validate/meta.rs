//! Rules of `metadata` and of label selectors.

use serde_json::{Value, json};

use super::{Causes, syntax};
use crate::api::{
    kinds::{Facts, Kind},
    object::items,
};

/// Checks name, namespace, labels and annotations.
pub(super) fn check(facts: &Facts, object: &Value, causes: &mut Causes) {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        causes.required("metadata.name", "name or generateName is required");
    } else {
        let outcome = match facts.id {
            Kind::Namespace => syntax::dns_label(name),
            Kind::Service => syntax::dns_1035_label(name),
            _ => syntax::dns_subdomain(name),
        };
        if let Err(why) = outcome {
            causes.invalid("metadata.name", &json!(name), &why);
        }
    }
    labels(object.pointer("/metadata/labels"), "metadata.labels", causes);
    for key in object
        .pointer("/metadata/annotations")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(k, _)| k)
    {
        // Annotations may have upper case in the prefix.
        if let Err(why) = syntax::qualified_name(&key.to_lowercase()) {
            causes.invalid("metadata.annotations", &json!(key), &why);
        }
    }
}

/// Checks a map of labels.
pub(super) fn labels(map: Option<&Value>, path: &str, causes: &mut Causes) {
    for (key, value) in map.and_then(Value::as_object).into_iter().flatten() {
        if let Err(why) = syntax::qualified_name(key) {
            causes.invalid(path, &json!(key), &why);
        }
        if let Err(why) = syntax::label_value(value.as_str().unwrap_or_default()) {
            causes.invalid(path, value, &why);
        }
    }
}

/// Checks a `LabelSelector`.
pub(super) fn selector(selector: &Value, path: &str, causes: &mut Causes) {
    labels(selector.get("matchLabels"), &format!("{path}.matchLabels"), causes);
    for (i, expression) in items(selector, "/matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{i}]");
        let values = items(expression, "/values");
        let operator = expression.get("operator").cloned().unwrap_or_else(|| json!(""));
        match operator.as_str().unwrap_or_default() {
            "In" | "NotIn" if values.is_empty() => {
                causes.required(
                    format!("{path}.values"),
                    "must be specified when `operator` is 'In' or 'NotIn'",
                );
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                causes.forbidden(
                    format!("{path}.values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => causes.invalid(format!("{path}.operator"), &operator, "not a valid selector operator"),
        }
        let key = expression.get("key").cloned().unwrap_or_else(|| json!(""));
        if let Err(why) = syntax::qualified_name(key.as_str().unwrap_or_default()) {
            causes.invalid(format!("{path}.key"), &key, &why);
        }
        for (i, value) in values.iter().enumerate() {
            if let Err(why) = syntax::label_value(value.as_str().unwrap_or_default()) {
                causes.invalid(format!("{path}.values[{i}]"), value, &why);
            }
        }
    }
}
