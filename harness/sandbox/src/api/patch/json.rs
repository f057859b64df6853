//! JSON merge patch (RFC 7386) and JSON patch (RFC 6902).

use serde_json::{Map, Value};

use crate::api::{
    decode::BODY_LIMIT,
    object::{json_length, text},
    status::ApiError,
};

/// Applies a merge patch.
pub(crate) fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge_patch(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Most operations in a JSON patch, as in a real API server.
const OPERATIONS: usize = 10_000;

/// Most bytes, as JSON, that the `copy` operations of a patch may add together, as in a real API server: each may
/// double what is there.
const COPIED: usize = BODY_LIMIT;

/// Applies a JSON patch.
///
/// # Errors
/// 400 when the patch is no list of operations, 413 when they are too many, 422 when an operation does not fit the
/// object or copies too much.
pub(crate) fn json_patch(target: &mut Value, patch: &Value) -> Result<(), ApiError> {
    let operations =
        patch.as_array().ok_or_else(|| ApiError::bad_request("a JSON patch is a list of operations"))?;
    if operations.len() > OPERATIONS {
        return Err(ApiError::too_many_operations(OPERATIONS, operations.len()));
    }
    let mut copied = 0;
    for operation in operations {
        one(target, operation, &mut copied).map_err(|why| {
            ApiError::unprocessable(format!(
                "the server rejected our request due to an error in our request: {why}"
            ))
        })?;
    }
    Ok(())
}

/// `copied` counts the bytes of what has been copied.
fn one(target: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), String> {
    let path = text(operation, "/path");
    let value = || operation.get("value").cloned().ok_or_else(|| format!("operation on {path} has no value"));
    match text(operation, "/op") {
        "add" => add(target, path, value()?),
        "remove" => remove(target, path).map(|_| ()),
        "replace" => {
            let value = value()?;
            *target.pointer_mut(path).ok_or_else(|| gone("replace", path))? = value;
            Ok(())
        }
        "move" => {
            let moved = remove(target, text(operation, "/from"))?;
            add(target, path, moved)
        }
        "copy" => {
            let from = text(operation, "/from");
            let source = target.pointer(from).ok_or_else(|| gone("copy", from))?;
            *copied += json_length(source);
            if *copied > COPIED {
                return Err(format!(
                    "unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the \
                     limit {COPIED}"
                ));
            }
            let source = source.clone();
            add(target, path, source)
        }
        "test" => {
            let found = target.pointer(path).unwrap_or(&Value::Null);
            (*found == value()?).then_some(()).ok_or_else(|| format!("testing value {path} failed"))
        }
        other => Err(format!("unexpected operation {other:?}")),
    }
}

fn gone(operation: &str, path: &str) -> String {
    format!("{operation} operation does not apply: doc is missing path: {path:?}")
}

/// Parent pointer and last token, unescaped.
fn split(path: &str) -> Result<(&str, String), String> {
    let (parent, last) = path.rsplit_once('/').ok_or_else(|| format!("{path:?} is no JSON pointer"))?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    let (parent, key) = split(path)?;
    match target.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.insert(key, value);
            Ok(())
        }
        Some(Value::Array(list)) => {
            let at =
                if key == "-" { Some(list.len()) } else { key.parse().ok().filter(|i| *i <= list.len()) };
            list.insert(at.ok_or_else(|| gone("add", path))?, value);
            Ok(())
        }
        _ => Err(gone("add", path)),
    }
}

fn remove(target: &mut Value, path: &str) -> Result<Value, String> {
    let (parent, key) = split(path)?;
    match target.pointer_mut(parent) {
        Some(Value::Object(map)) => map.remove(&key).ok_or_else(|| gone("remove", path)),
        Some(Value::Array(list)) => {
            let at =
                key.parse().ok().filter(|i: &usize| *i < list.len()).ok_or_else(|| gone("remove", path))?;
            Ok(list.remove(at))
        }
        _ => Err(gone("remove", path)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_removes_in_a_merge_patch() {
        let mut object = json!({"a": {"b": 1, "c": 2}, "l": [1, 2]});
        merge_patch(&mut object, &json!({"a": {"b": null, "d": 3}, "l": [3], "n": {"x": null}}));
        assert_eq!(object, json!({"a": {"c": 2, "d": 3}, "l": [3], "n": {}}));
    }

    #[test]
    fn every_json_patch_operation() {
        let mut object = json!({"a": {"x/y": 1}, "l": [1, 3]});
        json_patch(
            &mut object,
            &json!([
                {"op": "test", "path": "/a/x~1y", "value": 1},
                {"op": "add", "path": "/l/1", "value": 2},
                {"op": "add", "path": "/l/-", "value": 4},
                {"op": "copy", "from": "/l", "path": "/m"},
                {"op": "move", "from": "/a/x~1y", "path": "/z"},
                {"op": "remove", "path": "/l/0"},
                {"op": "replace", "path": "/l/0", "value": 9},
            ]),
        )
        .unwrap();
        assert_eq!(object, json!({"a": {}, "l": [9, 3, 4], "m": [1, 2, 3, 4], "z": 1}));
        for bad in [
            json!([{"op": "remove", "path": "/nowhere"}]),
            json!([{"op": "replace", "path": "/nowhere", "value": 1}]),
            json!([{"op": "test", "path": "/z", "value": 2}]),
            json!([{"op": "add", "path": "/l/9", "value": 2}]),
            json!([{"op": "jump", "path": "/l"}]),
        ] {
            assert_eq!(json_patch(&mut object.clone(), &bad).unwrap_err().code(), 422);
        }
        assert_eq!(json_patch(&mut object, &json!({})).unwrap_err().code(), 400);
    }

    #[test]
    fn a_json_patch_cannot_grow_without_bound() {
        let mut object = json!({"a": "x".repeat(1000)});
        // Each doubles what is there: 30 of them would make a terabyte.
        let doubling: Vec<Value> =
            (0..30).map(|n| json!({"op": "copy", "from": "", "path": format!("/{n}")})).collect();
        let error = json_patch(&mut object, &json!(doubling)).unwrap_err();
        assert_eq!(error.code(), 422);
        assert!(json_length(&object) < 3 * COPIED, "{}", json_length(&object));
        let tests = vec![json!({"op": "test", "path": "/none", "value": null}); OPERATIONS + 1];
        assert_eq!(json_patch(&mut json!({}), &json!(tests)).unwrap_err().code(), 413);
        assert_eq!(json_patch(&mut json!({}), &json!(tests[1..])), Ok(()));
    }
}
