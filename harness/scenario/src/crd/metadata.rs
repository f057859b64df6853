//! `metadata` of an object, which no definition describes: it is the same for every kind.

use std::sync::OnceLock;

use serde_json::json;

use super::schema::Schema;

/// Fields that every object may have beside those of its definition.
pub(super) const ENVELOPE: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// The schema of `metadata`.
pub(super) fn schema() -> &'static Schema {
    static ONCE: OnceLock<Schema> = OnceLock::new();
    ONCE.get_or_init(|| {
        let text = json!({"type": "string", "nullable": true});
        let words = json!({"type": "object", "nullable": true, "additionalProperties": {"type": "string"}});
        let any = json!({"type": "array", "nullable": true, "items": {"x-kubernetes-preserve-unknown-fields": true}});
        let number = json!({"type": "integer", "nullable": true});
        serde_json::from_value(json!({
            "type": "object",
            "properties": {
                "name": text, "generateName": text, "namespace": text, "uid": text, "resourceVersion": text,
                "selfLink": text, "creationTimestamp": text, "deletionTimestamp": text,
                "generation": number, "deletionGracePeriodSeconds": number,
                "labels": words, "annotations": words,
                "ownerReferences": any, "managedFields": any,
                "finalizers": {"type": "array", "nullable": true, "items": {"type": "string"}},
            },
        }))
        .unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_one() {
        assert_eq!(schema().properties.len(), 15);
    }
}
