//! Strategic merge patch: a merge patch that merges some lists by key.
//!
//! Directives: `$patch: replace|delete|merge`, `$setElementOrder/F`, `$deleteFromPrimitiveList/F`, `$retainKeys`.

use serde_json::{Map, Value};

use super::schema::{ListKind, key_of, list_kind};
use crate::api::status::ApiError;

const DIRECTIVE: &str = "$patch";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";
const RETAIN: &str = "$retainKeys";

/// Applies a strategic merge patch.
///
/// # Errors
/// 400 when the patch is no object or a directive is unknown.
pub(crate) fn strategic_merge(target: &mut Value, patch: &Value) -> Result<(), ApiError> {
    if !patch.is_object() {
        return Err(ApiError::bad_request("a strategic merge patch is an object"));
    }
    object(target, patch, &mut vec![])
}

fn object<'a>(target: &mut Value, patch: &'a Value, path: &mut Vec<&'a str>) -> Result<(), ApiError> {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    match patch.get(DIRECTIVE).map(|d| d.as_str().unwrap_or_default()) {
        Some("replace") => *target = Value::Object(Map::new()),
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(ApiError::bad_request(format!("unknown patch directive {other:?}"))),
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return Ok(()) };
    if let Some(keep) = patch.get(RETAIN).and_then(Value::as_array) {
        target.retain(|key, _| keep.iter().any(|k| k == key));
    }
    for (key, gone) in
        patch.iter().filter_map(|(key, value)| Some((key.strip_prefix(DELETE)?, value.as_array()?)))
    {
        if let Some(list) = target.get_mut(key).and_then(Value::as_array_mut) {
            list.retain(|item| !gone.contains(item));
        }
    }
    for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        path.push(key);
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(_) => object(target.entry(key.clone()).or_insert(Value::Null), value, path)?,
            Value::Array(items) => list(target.entry(key.clone()).or_insert(Value::Null), items, path)?,
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
        path.pop();
    }
    for (key, order) in
        patch.iter().filter_map(|(key, value)| Some((key.strip_prefix(ORDER)?, value.as_array()?)))
    {
        path.push(key);
        if let Some(list) = target.get_mut(key).and_then(Value::as_array_mut) {
            sort(list, order, list_kind(path));
        }
        path.pop();
    }
    Ok(())
}

fn list<'a>(target: &mut Value, patch: &'a [Value], path: &mut Vec<&'a str>) -> Result<(), ApiError> {
    let kind = list_kind(path);
    let replace =
        patch.iter().any(|item| item.get(DIRECTIVE).is_some_and(|d| d == "replace") && is_bare(item));
    if replace || kind == ListKind::Atomic || !target.is_array() {
        *target = Value::Array(vec![]);
    }
    let Value::Array(target) = target else { return Ok(()) };
    for item in patch.iter().filter(|item| !(replace && is_bare(item))) {
        match kind {
            ListKind::Atomic => target.push(item.clone()),
            ListKind::Set => {
                if !target.contains(item) {
                    target.push(item.clone());
                }
            }
            ListKind::Map(keys) => {
                let key = key_of(item, keys[0]);
                let found = target.iter().position(|old| key_of(old, keys[0]) == key);
                let delete = item.get(DIRECTIVE).is_some_and(|d| d == "delete");
                match found {
                    Some(i) if delete => {
                        target.remove(i);
                    }
                    Some(i) => object(&mut target[i], item, path)?,
                    None if delete => {}
                    None => {
                        let mut new = Value::Null;
                        object(&mut new, item, path)?;
                        target.push(new);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Whether an item holds nothing but a directive.
fn is_bare(item: &Value) -> bool {
    item.as_object().is_some_and(|map| map.len() == 1 && map.contains_key(DIRECTIVE))
}

/// Items that `order` names come in its order; the others keep their places behind those before them.
fn sort(list: &mut [Value], order: &[Value], kind: ListKind) {
    let rank = |item: &Value| match kind {
        ListKind::Map(keys) => order.iter().position(|o| key_of(o, keys[0]) == key_of(item, keys[0])),
        _ => order.iter().position(|o| o == item),
    };
    list.sort_by_key(|item| rank(item).unwrap_or(usize::MAX));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(mut object: Value, patch: Value) -> Value {
        strategic_merge(&mut object, &patch).unwrap();
        object
    }

    #[test]
    fn containers_merge_by_name_and_env_within_them() {
        let pod = json!({"spec": {"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]}});
        let patch = json!({"spec": {"containers": [{"name": "a", "image": "i", "env": [{"name": "Y", "value": "2"}]}]}});
        assert_eq!(
            patched(pod, patch)["spec"]["containers"],
            json!([
                {"name": "a", "image": "i", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
                {"name": "b"}
            ])
        );
    }

    #[test]
    fn policy_rules_are_replaced_as_a_whole() {
        let policy = json!({"spec": {"ingress": [{"from": [1]}], "policyTypes": ["Ingress"]}});
        let patch = json!({"spec": {"ingress": [{"ports": [2]}], "policyTypes": ["Egress"]}});
        assert_eq!(
            patched(policy, patch)["spec"],
            json!({"ingress": [{"ports": [2]}], "policyTypes": ["Egress"]})
        );
    }

    #[test]
    fn directives() {
        let service =
            json!({"spec": {"ports": [{"port": 1, "name": "a"}, {"port": 2}], "selector": {"a": "b"}}});
        assert_eq!(
            patched(service.clone(), json!({"spec": {"ports": [{"port": 1, "$patch": "delete"}]}}))["spec"]["ports"],
            json!([{"port": 2}])
        );
        assert_eq!(
            patched(service.clone(), json!({"spec": {"ports": [{"$patch": "replace"}, {"port": 3}]}}))["spec"]
                ["ports"],
            json!([{"port": 3}])
        );
        assert_eq!(
            patched(service.clone(), json!({"spec": {"selector": {"$patch": "replace", "c": "d"}}}))["spec"]
                ["selector"],
            json!({"c": "d"})
        );
        assert_eq!(
            patched(service.clone(), json!({"spec": {"$setElementOrder/ports": [{"port": 2}, {"port": 1}]}}))
                ["spec"]["ports"],
            json!([{"port": 2}, {"port": 1, "name": "a"}])
        );
        assert_eq!(
            patched(service.clone(), json!({"spec": {"$retainKeys": ["selector"], "selector": {"a": null}}}))
                ["spec"],
            json!({"selector": {}})
        );
        let named = json!({"metadata": {"finalizers": ["a", "b"]}});
        assert_eq!(
            patched(
                named,
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}})
            ),
            json!({"metadata": {"finalizers": ["b", "c"]}})
        );
        assert!(strategic_merge(&mut service.clone(), &json!({"$patch": "explode"})).is_err());
        assert!(strategic_merge(&mut service.clone(), &json!([])).is_err());
    }
}
