//! Defaults, which an API server fills in before it validates: a required field that has one may be left out.

use serde_json::Value;

use super::schema::{Additional, Schema};

/// Fills in what is left out, and what is null where null is no value.
pub(super) fn fill(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(fields) => {
            for (name, schema) in &schema.properties {
                let Some(default) = &schema.default else { continue };
                let field = fields.entry(name).or_insert_with(|| default.clone());
                if field.is_null() && !schema.nullable {
                    *field = default.clone();
                }
            }
            for (name, value) in fields {
                match (schema.properties.get(name), &schema.additional_properties) {
                    (Some(schema), _) => fill(value, schema),
                    (None, Some(Additional::Of(schema))) => fill(value, schema),
                    _ => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                items.iter_mut().for_each(|item| fill(item, schema));
            }
        }
        _ => {}
    }
}
