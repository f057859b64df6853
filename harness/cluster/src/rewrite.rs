//! From logical to real: namespaces and selectors of an object, and the run's labels.

use serde_json::{Map, Value};
use verdikt_model::METADATA_NAME;

use crate::{error::ClusterError, scope::Names};

/// Fields that would keep an object or its namespace from being removed, or let something else remove it.
const DROPPED: [&str; 2] = ["finalizers", "ownerReferences"];

/// Rewrites an object for the cluster: `metadata.namespace`, the values of `kubernetes.io/metadata.name` in every
/// `matchLabels` and `matchExpressions`, and the run's labels; finalizers and owners are dropped. Only names of the topology are rewritten, so that
/// `kube-system` stays what it is.
///
/// # Errors
/// An object for a namespace that the scenario does not own.
pub fn rewrite(object: &mut Value, names: &Names, labels: &[(String, String)]) -> Result<(), ClusterError> {
    rewrite_selectors(object, names);
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or("object").to_owned();
    let root =
        object.as_object_mut().ok_or_else(|| ClusterError::Object("an object must be a mapping".into()))?;
    let metadata = root.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let metadata =
        metadata.as_object_mut().ok_or_else(|| ClusterError::Object("metadata must be a mapping".into()))?;
    if let Some(logical) = metadata.get("namespace").and_then(Value::as_str) {
        let real = names.real(logical).ok_or_else(|| {
            let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
            ClusterError::Object(format!(
                "{kind} {name} is for namespace `{logical}`, which the scenario's topology does not own"
            ))
        })?;
        metadata.insert("namespace".into(), real.into());
    }
    for field in DROPPED {
        metadata.remove(field);
    }
    let have = metadata.entry("labels").or_insert_with(|| Value::Object(Map::new()));
    if !have.is_object() {
        *have = Value::Object(Map::new());
    }
    if let Some(have) = have.as_object_mut() {
        for (key, value) in labels {
            have.insert(key.clone(), value.as_str().into());
        }
    }
    Ok(())
}

fn rewrite_selectors(value: &mut Value, names: &Names) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite_selectors(item, names)),
        Value::Object(fields) => {
            for (key, field) in fields.iter_mut() {
                match key.as_str() {
                    "matchLabels" => {
                        if let Some(name) = field.get_mut(METADATA_NAME) {
                            rename(name, names);
                        }
                    }
                    "matchExpressions" => {
                        for requirement in field.as_array_mut().into_iter().flatten() {
                            if requirement.get("key").and_then(Value::as_str) == Some(METADATA_NAME)
                                && let Some(values) =
                                    requirement.get_mut("values").and_then(Value::as_array_mut)
                            {
                                values.iter_mut().for_each(|value| rename(value, names));
                            }
                        }
                    }
                    _ => rewrite_selectors(field, names),
                }
            }
        }
        _ => {}
    }
}

fn rename(value: &mut Value, names: &Names) {
    if let Some(real) = value.as_str().and_then(|logical| names.real(logical)) {
        *value = real.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn namespaces_and_selectors_become_real() {
        let names = Names::from([("x", "verdikt-r1-x"), ("y", "verdikt-r1-y")]);
        let mut policy = json!({
            "kind": "NetworkPolicy",
            "metadata": {"name": "p", "namespace": "x", "labels": {"mine": "1"}},
            "spec": {"podSelector": {"matchLabels": {"app": "x"}}, "ingress": [{"from": [
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "y", "team": "y"}}},
                {"namespaceSelector": {"matchExpressions": [
                    {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["x", "kube-system"]},
                    {"key": "team", "operator": "In", "values": ["x"]},
                ]}},
            ]}]},
        });
        rewrite(&mut policy, &names, &[("verdikt.dev/run".into(), "r1".into())]).unwrap();
        assert_eq!(
            policy,
            json!({
                "kind": "NetworkPolicy",
                "metadata": {"name": "p", "namespace": "verdikt-r1-x", "labels": {"mine": "1", "verdikt.dev/run": "r1"}},
                "spec": {"podSelector": {"matchLabels": {"app": "x"}}, "ingress": [{"from": [
                    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "verdikt-r1-y", "team": "y"}}},
                    {"namespaceSelector": {"matchExpressions": [
                        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["verdikt-r1-x", "kube-system"]},
                        {"key": "team", "operator": "In", "values": ["x"]},
                    ]}},
                ]}]},
            })
        );
    }

    #[test]
    fn finalizers_and_owners_are_dropped() {
        let mut policy = json!({"kind": "CiliumNetworkPolicy", "metadata": {
            "name": "p", "finalizers": ["hold.it/forever"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}],
        }});
        rewrite(&mut policy, &Names::from([("x", "verdikt-r1-x")]), &[]).unwrap();
        assert_eq!(policy["metadata"], json!({"name": "p", "labels": {}}));
    }

    #[test]
    fn foreign_namespaces_are_refused() {
        let names = Names::from([("x", "verdikt-r1-x")]);
        let mut policy =
            json!({"kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "kube-system"}});
        let error = rewrite(&mut policy, &names, &[]).unwrap_err().to_string();
        assert!(error.contains("kube-system") && error.contains("does not own"), "{error}");
    }
}
