//! Sets of fields, as `managedFields` keeps them: each path is a list of `f:name`, `k:{keys}` or `v:value`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::schema::{ListKind, is_atomic_map, key_of, list_kind};

/// A path in the notation of `fieldsV1`.
pub(super) type Path = Vec<String>;

/// A set of paths.
pub(super) type Fields = BTreeSet<Path>;

/// All fields of an object that somebody can own.
pub(super) fn fields_of(object: &Value) -> Fields {
    let mut fields = Fields::new();
    collect(object, &mut vec![], &mut vec![], &mut fields);
    fields.retain(|path| !is_identity(path));
    fields
}

/// Fields that nobody owns: they say which object it is, or the server sets them.
fn is_identity(path: &[String]) -> bool {
    let mut names = path.iter().map(String::as_str);
    match (names.next(), names.next()) {
        (Some("f:apiVersion" | "f:kind"), _) => true,
        (Some("f:metadata"), Some(name)) => {
            !matches!(name, "f:labels" | "f:annotations" | "f:finalizers" | "f:ownerReferences")
        }
        (Some("f:metadata"), None) => true,
        _ => false,
    }
}

fn collect<'a>(value: &'a Value, names: &mut Vec<&'a str>, path: &mut Path, fields: &mut Fields) {
    match value {
        Value::Object(map) if !map.is_empty() && !is_atomic_map(names) => {
            for (key, value) in map {
                names.push(key);
                path.push(format!("f:{key}"));
                collect(value, names, path, fields);
                path.pop();
                names.pop();
            }
        }
        Value::Array(items) => match list_kind(names) {
            ListKind::Atomic => {
                fields.insert(path.clone());
            }
            ListKind::Set => {
                for item in items {
                    path.push(format!("v:{item}"));
                    fields.insert(path.clone());
                    path.pop();
                }
            }
            ListKind::Map(keys) => {
                for item in items {
                    path.push(item_key(item, keys));
                    fields.insert(path.clone());
                    if let Value::Object(map) = item {
                        for (key, value) in map {
                            names.push(key);
                            path.push(format!("f:{key}"));
                            collect(value, names, path, fields);
                            path.pop();
                            names.pop();
                        }
                    }
                    path.pop();
                }
            }
        },
        _ => {
            fields.insert(path.clone());
        }
    }
}

fn item_key(item: &Value, keys: &[&str]) -> String {
    let map: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), key_of(item, key))).collect();
    format!("k:{}", Value::Object(map))
}

/// Finds the item of a list that a path's part names.
fn position(list: &[Value], part: &str) -> Option<usize> {
    if let Some(value) = part.strip_prefix("v:") {
        let value: Value = serde_json::from_str(value).ok()?;
        return list.iter().position(|item| *item == value);
    }
    let keys: Map<String, Value> = serde_json::from_str(part.strip_prefix("k:")?).ok()?;
    list.iter().position(|item| keys.iter().all(|(key, value)| key_of(item, key) == *value))
}

/// The value at a path.
pub(super) fn find<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    let Some((part, rest)) = path.split_first() else { return Some(object) };
    let next = match object {
        Value::Object(map) => map.get(part.strip_prefix("f:")?)?,
        Value::Array(list) => &list[position(list, part)?],
        _ => return None,
    };
    find(next, rest)
}

/// Removes what is at a path, and whatever becomes empty by that.
pub(super) fn remove(object: &mut Value, path: &[String]) {
    let Some((part, rest)) = path.split_first() else { return };
    let empty = |value: &Value| match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    match object {
        Value::Object(map) => {
            let Some(name) = part.strip_prefix("f:") else { return };
            if let Some(next) = map.get_mut(name).filter(|_| !rest.is_empty()) {
                remove(next, rest);
                if !empty(next) {
                    return;
                }
            }
            map.remove(name);
        }
        Value::Array(list) => {
            if let Some(i) = position(list, part) {
                if rest.is_empty() {
                    list.remove(i);
                } else {
                    remove(&mut list[i], rest);
                }
            }
        }
        _ => {}
    }
}

/// From `fieldsV1`.
pub(super) fn from_json(json: &Value) -> Fields {
    fn walk(json: &Value, path: &mut Path, fields: &mut Fields) {
        let Some(map) = json.as_object() else { return };
        if map.is_empty() && !path.is_empty() {
            fields.insert(path.clone());
        }
        for (key, value) in map {
            if key == "." {
                fields.insert(path.clone());
            } else {
                path.push(key.clone());
                walk(value, path, fields);
                path.pop();
            }
        }
    }
    let mut fields = Fields::new();
    walk(json, &mut vec![], &mut fields);
    fields
}

/// To `fieldsV1`.
pub(super) fn to_json(fields: &Fields) -> Value {
    let mut root = Map::new();
    for path in fields {
        let mut at = &mut root;
        for part in path {
            at = at
                .entry(part.clone())
                .or_insert_with(|| Value::Object(Map::new()))
                .as_object_mut()
                .expect("this function inserts objects only");
        }
        let is_inner = fields.range(path.clone()..).nth(1).is_some_and(|next| next.starts_with(path));
        if is_inner {
            at.insert(".".into(), Value::Object(Map::new()));
        }
    }
    Value::Object(root)
}

/// As a person writes it: `.spec.containers[name="a"].image`.
pub(super) fn shown(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        if let Some(name) = part.strip_prefix("f:") {
            text.push('.');
            text.push_str(name);
        } else if let Some(value) = part.strip_prefix("v:") {
            text.push_str(&format!("[={value}]"));
        } else if let Some(Ok(keys)) = part.strip_prefix("k:").map(serde_json::from_str::<Map<String, Value>>)
        {
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            text.push_str(&format!("[{}]", keys.join(",")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_go_to_json_and_back() {
        let pod = json!({
            "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}], "nodeSelector": {"x": "y"}},
        });
        let fields = fields_of(&pod);
        let json = to_json(&fields);
        assert_eq!(
            json,
            json!({
                "f:metadata": {"f:labels": {"f:a": {}}},
                "f:spec": {
                    "f:containers": {"k:{\"name\":\"c\"}": {
                        ".": {}, "f:name": {},
                        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                    }},
                    "f:nodeSelector": {},
                },
            })
        );
        assert_eq!(from_json(&json), fields);
        for path in &fields {
            assert!(find(&pod, path).is_some(), "{path:?}");
        }
    }

    #[test]
    fn removing_the_last_of_a_map_removes_the_map() {
        let mut object = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}});
        remove(&mut object, &["f:metadata".into(), "f:labels".into(), "f:a".into()]);
        assert_eq!(object, json!({"spec": {"x": 1}}));
    }
}
