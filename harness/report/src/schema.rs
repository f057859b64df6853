//! The JSON Schema of the record.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use verdikt_model::{Record, SCHEMA};

/// JSON Schema (draft 2020-12) of what verdikt writes: every field is there, `null` where it has nothing to say.
pub fn record_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Record>()
        .to_value();
    // The version is part of the contract.
    schema["properties"]["schema"]["const"] = json!(SCHEMA);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layout::write_record, sample};

    #[test]
    fn what_is_written_fits_the_schema_and_other_things_do_not() {
        let schema = record_schema();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        let validator = jsonschema::validator_for(&schema).unwrap();
        let mut text = Vec::new();
        write_record(&sample::record(), &mut text).unwrap();
        let record: Value = serde_json::from_slice(&text).unwrap();
        let errors: Vec<_> = validator.iter_errors(&record).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");

        let breaks: [(&str, Value); 6] = [
            ("/schema", json!("verdikt.dev/record/v2")),
            ("/summary/scenarios/passed", json!(-1)),
            ("/scenarios/1/outcome", json!("broken")),
            ("/scenarios/1/steps/0/cells/0/observed", json!("denied")),
            ("/scenarios/1/steps/0/cells/0/port", json!("80")),
            ("/environment/ipFamilies/0", json!("ipv5")),
        ];
        for (pointer, value) in breaks {
            let mut broken = record.clone();
            *broken.pointer_mut(pointer).unwrap() = value;
            assert!(!validator.is_valid(&broken), "{pointer}");
        }
        let mut missing = record.clone();
        missing["scenarios"][0].as_object_mut().unwrap().remove("reason");
        assert!(!validator.is_valid(&missing));
    }

    #[test]
    fn the_schema_is_the_contract() {
        insta::assert_json_snapshot!(record_schema());
    }
}
