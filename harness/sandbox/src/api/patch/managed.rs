//! Server-side apply, and who owns which field.

use serde_json::{Value, json};

use super::{
    fields::{Fields, fields_of, find, from_json, remove, shown, to_json},
    schema::{ListKind, is_atomic_map, key_of, list_kind},
};
use crate::api::{
    kinds::Facts,
    object::{as_map, items, map_at, now, text},
    status::{ApiError, Cause},
};

/// One entry of `managedFields`.
struct Entry {
    manager: String,
    operation: String,
    subresource: String,
    api_version: String,
    time: String,
    fields: Fields,
}

fn entries(object: &Value) -> Vec<Entry> {
    items(object, "/metadata/managedFields")
        .iter()
        .map(|e| Entry {
            manager: text(e, "/manager").to_owned(),
            operation: text(e, "/operation").to_owned(),
            subresource: text(e, "/subresource").to_owned(),
            api_version: text(e, "/apiVersion").to_owned(),
            time: text(e, "/time").to_owned(),
            fields: from_json(e.get("fieldsV1").unwrap_or(&Value::Null)),
        })
        .collect()
}

fn write(object: &mut Value, entries: &[Entry]) {
    let list: Vec<Value> = entries
        .iter()
        .filter(|e| !e.fields.is_empty())
        .map(|e| {
            let mut json = json!({
                "manager": e.manager, "operation": e.operation, "apiVersion": e.api_version, "time": e.time,
                "fieldsType": "FieldsV1", "fieldsV1": to_json(&e.fields),
            });
            if !e.subresource.is_empty() {
                json["subresource"] = json!(e.subresource);
            }
            json
        })
        .collect();
    let metadata = map_at(object, "metadata");
    if list.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), list.into());
    }
}

/// Notes that `manager` changed `old` (none: created) into `new` by another way than apply.
pub(crate) fn track(facts: &Facts, old: Option<&Value>, new: &mut Value, manager: &str, subresource: &str) {
    let now_there = fields_of(new);
    let changed: Fields = now_there
        .iter()
        .filter(|path| old.is_none_or(|old| find(old, path) != find(new, path)))
        .filter(|path| path[0] != "f:status" || !subresource.is_empty())
        .cloned()
        .collect();
    let mut all = entries(new);
    for entry in &mut all {
        entry.fields.retain(|path| now_there.contains(path));
    }
    if !changed.is_empty() {
        // A list item's own membership is shared; only its changed fields move to the new owner.
        for entry in &mut all {
            entry
                .fields
                .retain(|path| !changed.contains(path) || path.last().is_some_and(|p| p.starts_with("k:")));
        }
        let mine =
            |e: &Entry| e.manager == manager && e.operation == "Update" && e.subresource == subresource;
        match all.iter_mut().find(|e| mine(e)) {
            Some(entry) => {
                entry.fields.extend(changed);
                entry.time = now();
            }
            None => all.push(Entry {
                manager: manager.to_owned(),
                operation: "Update".into(),
                subresource: subresource.to_owned(),
                api_version: facts.api_version(),
                time: now(),
                fields: changed,
            }),
        }
    }
    write(new, &all);
}

/// Merges what `manager` wants (`config`) into the live object and gives the result.
///
/// # Errors
/// 409 when another manager owns a field that would change, unless `force`.
pub(crate) fn apply(
    facts: &Facts,
    live: Option<&Value>,
    config: &Value,
    manager: &str,
    force: bool,
    subresource: &str,
) -> Result<Value, ApiError> {
    let wanted = fields_of(config);
    let mut object = live.cloned().unwrap_or_else(|| json!({}));
    let mut all = entries(&object);
    let mine = |e: &Entry| e.manager == manager && e.operation == "Apply" && e.subresource == subresource;

    let mut causes = vec![];
    for entry in all.iter_mut().filter(|e| !mine(e)) {
        let lost: Vec<_> = wanted
            .iter()
            .filter(|path| entry.fields.contains(*path) && find(&object, path) != find(config, path))
            .filter(|path| !path.last().is_some_and(|part| part.starts_with("k:")))
            .cloned()
            .collect();
        for path in lost {
            if force {
                entry.fields.remove(&path);
            } else {
                causes.push(Cause {
                    reason: "FieldManagerConflict",
                    message: format!("conflict with {:?} using {}", entry.manager, entry.api_version),
                    field: shown(&path),
                });
            }
        }
    }
    if !causes.is_empty() {
        return Err(ApiError::apply_conflict(causes));
    }

    let before: Fields = all.iter().filter(|e| mine(e)).flat_map(|e| e.fields.iter().cloned()).collect();
    let others: Fields = all.iter().filter(|e| !mine(e)).flat_map(|e| e.fields.iter().cloned()).collect();
    // Outermost first: a list item goes as a whole, while it can still be told by its keys.
    let mut dropped: Vec<_> = before.difference(&wanted).collect();
    dropped.sort_by_key(|path| path.len());
    for path in dropped {
        let kept = others.range(path.clone()..).next().is_some_and(|other| other.starts_with(path));
        if !kept {
            remove(&mut object, path);
        }
    }

    merge(&mut object, config, &mut vec![]);
    all.retain(|e| !mine(e));
    all.push(Entry {
        manager: manager.to_owned(),
        operation: "Apply".into(),
        subresource: subresource.to_owned(),
        api_version: facts.api_version(),
        time: now(),
        fields: wanted,
    });
    write(&mut object, &all);
    Ok(object)
}

fn merge<'a>(target: &mut Value, config: &'a Value, names: &mut Vec<&'a str>) {
    match config {
        Value::Object(config) if !is_atomic_map(names) => {
            let target = as_map(target);
            for (key, value) in config {
                if names.as_slice() == ["metadata"] && key == "managedFields" {
                    continue;
                }
                names.push(key);
                merge(target.entry(key.clone()).or_insert(Value::Null), value, names);
                names.pop();
            }
        }
        Value::Array(wanted) => match (list_kind(names), target) {
            (ListKind::Set, Value::Array(target)) => {
                let new: Vec<_> = wanted.iter().filter(|item| !target.contains(item)).cloned().collect();
                target.extend(new);
            }
            (ListKind::Map(keys), Value::Array(target)) => {
                for item in wanted {
                    let same = |old: &Value| keys.iter().all(|key| key_of(old, key) == key_of(item, key));
                    match target.iter().position(same) {
                        Some(i) => merge(&mut target[i], item, names),
                        None => target.push(item.clone()),
                    }
                }
            }
            (_, target) => *target = config.clone(),
        },
        _ => *target = config.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::Kind;

    fn facts() -> &'static Facts {
        Kind::NetworkPolicy.facts()
    }

    fn config(labels: Value, types: Value) -> Value {
        json!({"metadata": {"name": "p", "labels": labels}, "spec": {"podSelector": {}, "policyTypes": types}})
    }

    #[test]
    fn fields_no_longer_set_by_their_manager_go() {
        let first = config(json!({"a": "1", "b": "2"}), json!(["Ingress"]));
        let live = apply(facts(), None, &first, "m", false, "").unwrap();
        let live = apply(facts(), Some(&live), &config(json!({"a": "1"}), json!(["Egress"])), "m", false, "")
            .unwrap();
        assert_eq!(live["metadata"]["labels"], json!({"a": "1"}));
        assert_eq!(live["spec"]["policyTypes"], json!(["Egress"]));
        assert_eq!(live["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn another_managers_field_is_a_conflict_unless_forced_or_equal() {
        let live =
            apply(facts(), None, &config(json!({"a": "1"}), json!(["Ingress"])), "m", false, "").unwrap();
        let other = config(json!({"a": "2"}), json!(["Ingress"]));
        let error = apply(facts(), Some(&live), &other, "n", false, "").unwrap_err();
        assert_eq!(error.code(), 409);
        assert!(error.json().to_string().contains(".metadata.labels.a"), "{error:?}");
        let forced = apply(facts(), Some(&live), &other, "n", true, "").unwrap();
        assert_eq!(forced["metadata"]["labels"]["a"], "2");
        // m no longer owns the label, so dropping it does not remove it.
        let after =
            apply(facts(), Some(&forced), &config(json!({}), json!(["Ingress"])), "m", false, "").unwrap();
        assert_eq!(after["metadata"]["labels"]["a"], "2");
        assert!(
            apply(facts(), Some(&live), &config(json!({"a": "1"}), json!(["Ingress"])), "n", false, "")
                .is_ok()
        );
    }

    #[test]
    fn an_update_takes_over_what_it_changes() {
        let mut live = config(json!({"a": "1", "b": "2"}), json!(["Ingress"]));
        track(facts(), None, &mut live, "creator", "");
        let mut changed = live.clone();
        changed["metadata"]["labels"] = json!({"a": "9"});
        track(facts(), Some(&live), &mut changed, "editor", "");
        let all = entries(&changed);
        let label = vec!["f:metadata".to_owned(), "f:labels".into(), "f:a".into()];
        assert!(!all[0].fields.contains(&label) && all[1].fields.contains(&label));
        assert!(!all[0].fields.iter().any(|path| path.last().unwrap() == "f:b"));
        assert_eq!(all[1].fields.len(), 1);
    }

    #[test]
    fn list_items_are_shared_and_removed_with_their_last_owner() {
        let service = |ports: Value| json!({"metadata": {"name": "s"}, "spec": {"ports": ports}});
        let facts = Kind::Service.facts();
        let live =
            apply(facts, None, &service(json!([{"port": 1}, {"port": 2, "name": "b"}])), "m", false, "")
                .unwrap();
        let live = apply(facts, Some(&live), &service(json!([{"port": 3}])), "n", false, "").unwrap();
        let live = apply(facts, Some(&live), &service(json!([{"port": 1}])), "m", false, "").unwrap();
        assert_eq!(live["spec"]["ports"], json!([{"port": 1}, {"port": 3}]));
    }
}
