//! JSON Schema of the files, for editors. The diagnostics know more than it can say.

use schemars::{JsonSchema, generate::SchemaSettings};

use crate::raw::{RawKnownDeviations, RawScenario, RawTopologyDocument};

/// The JSON Schema (draft 2020-12) of one document of a scenario file.
pub fn scenario_schema() -> serde_json::Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let kinds = [
        document::<RawScenario>("Scenario", &mut generator),
        document::<RawTopologyDocument>("Topology", &mut generator),
    ];
    let definitions = generator.take_definitions(true);
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://verdikt.dev/schema/scenario.json",
        "title": "verdikt scenario file",
        "description": "One document of a scenario file: a Scenario, or a Topology that scenarios share.",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {
            "apiVersion": {"const": crate::document::API_VERSION},
            "kind": {"enum": ["Scenario", "Topology"]}
        },
        "allOf": kinds,
        "$defs": definitions
    })
}

/// The JSON Schema (draft 2020-12) of a file of known deviations.
pub fn known_deviations_schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<RawKnownDeviations>().to_value();
    schema["$id"] = "https://verdikt.dev/schema/known-deviations.json".into();
    schema["title"] = "verdikt file of known deviations".into();
    schema["properties"]["apiVersion"] = serde_json::json!({"const": crate::document::API_VERSION});
    schema["properties"]["kind"] = serde_json::json!({"const": "KnownDeviations"});
    schema
}

/// "If the kind is this one, then that schema": editors then report mistakes of that kind alone.
fn document<T: JsonSchema>(kind: &str, generator: &mut schemars::SchemaGenerator) -> serde_json::Value {
    serde_json::json!({
        "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
        "then": generator.subschema_for::<T>()
    })
}
