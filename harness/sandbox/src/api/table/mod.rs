//! Tables: the columns that `kubectl get` prints, computed by the server.

mod cells;
mod columns;
mod pod;

use serde_json::{Value, json};

use super::{
    kinds::Facts,
    object::Shared,
    render::{Include, metadata},
};

/// A table of objects; a list's has the list's version.
pub(crate) fn of(facts: &Facts, objects: &[Shared], include: Include, version: Option<u64>) -> Value {
    let columns: Vec<Value> = columns::of(facts.id)
        .iter()
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.kind,
                "format": if column.name == "Name" { "name" } else { "" },
                "description": column.name,
                "priority": column.priority,
            })
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = json!({"cells": cells::of(facts.id, &object.value)});
            match include {
                Include::None => {}
                Include::Metadata => row["object"] = metadata(object),
                Include::Object => row["object"] = object.value.clone(),
            }
            row
        })
        .collect();
    let version = version.unwrap_or_else(|| objects.last().map_or(0, |o| o.version()));
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version.to_string()},
        "columnDefinitions": columns,
        "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{kinds::KINDS, object::Object};

    #[test]
    fn every_kind_has_as_many_cells_as_columns() {
        for facts in &KINDS {
            let table =
                of(facts, &[Object::new(json!({"metadata": {"name": "a"}}))], Include::Metadata, Some(3));
            assert_eq!(
                table["rows"][0]["cells"].as_array().unwrap().len(),
                table["columnDefinitions"].as_array().unwrap().len(),
                "{}",
                facts.plural
            );
        }
    }
}
