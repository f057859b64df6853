//! The walk against a validator of JSON Schema, where both mean the same.

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Map, Value, json};

use super::{schema::Schema, walk};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// A schema without null, formats and what Kubernetes adds.
fn schemas() -> impl Strategy<Value = Value> {
    let small = || option::of(0_u8..3);
    let number =
        (select(vec!["integer", "number"]), option::of(-2_i8..3), option::of(0_i8..4), any::<bool>())
            .prop_map(|(kind, least, most, open)| {
                let mut schema = fields([("type", Some(json!(kind)))]);
                if let Some(least) = least {
                    schema.extend(fields([
                        ("minimum", Some(json!(least))),
                        ("exclusiveMinimum", Some(json!(open))),
                    ]));
                }
                if let Some(most) = most {
                    schema.extend(fields([
                        ("maximum", Some(json!(most))),
                        ("exclusiveMaximum", Some(json!(open))),
                    ]));
                }
                Value::Object(schema)
            });
    let pattern = option::of(select(vec!["^a", "b$", "^[a-c]{1,2}$"]));
    let text = (pattern, small(), small()).prop_map(|(pattern, least, most)| {
        Value::Object(fields([
            ("type", Some(json!("string"))),
            ("pattern", pattern.map(Value::from)),
            ("minLength", least.map(Value::from)),
            ("maxLength", most.map(Value::from)),
        ]))
    });
    let words = subsequence(vec![json!("a"), json!("ab"), json!(1), json!(true)], 1..3)
        .prop_map(|words| json!({"enum": words}));
    let leaf = prop_oneof![number, text, words, Just(json!({"type": "boolean"})), Just(json!({}))];
    leaf.prop_recursive(3, 24, 3, move |inner| {
        let properties = vec((select(&KEYS[..]), inner.clone()), 0..3);
        let object = (properties, option::of(inner.clone()), subsequence(&KEYS[..], 1..3), small(), small())
            .prop_map(|(properties, others, required, least, most)| {
                let properties: Map<String, Value> =
                    properties.into_iter().map(|(key, schema)| (key.to_owned(), schema)).collect();
                Value::Object(fields([
                    ("type", Some(json!("object"))),
                    ("properties", Some(Value::Object(properties))),
                    ("additionalProperties", others),
                    ("required", Some(json!(required))),
                    ("minProperties", least.map(Value::from)),
                    ("maxProperties", most.map(Value::from)),
                ]))
            });
        let array =
            (inner.clone(), small(), small(), any::<bool>()).prop_map(|(items, least, most, unique)| {
                Value::Object(fields([
                    ("type", Some(json!("array"))),
                    ("items", Some(items)),
                    ("minItems", least.map(Value::from)),
                    ("maxItems", most.map(Value::from)),
                    ("uniqueItems", Some(json!(unique))),
                ]))
            });
        let word = select(vec!["allOf", "anyOf", "oneOf"]);
        let combined = (word, vec(inner.clone(), 1..4)).prop_map(|(word, forms)| json!({word: forms}));
        prop_oneof![object, array, combined, inner.prop_map(|form| json!({"not": form}))]
    })
}

fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn values() -> impl Strategy<Value = Value> {
    let text = select(vec!["", "a", "ab", "b", "abc", "ä"]).prop_map(Value::from);
    let leaf = prop_oneof![
        (-3_i8..5).prop_map(Value::from),
        Just(json!(0.5)),
        text,
        any::<bool>().prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        let object = vec((select(&KEYS[..]), inner.clone()), 0..4)
            .prop_map(|fields| Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()));
        prop_oneof![object, vec(inner, 0..4).prop_map(Value::from)]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn both_admit_the_same_values(schema in schemas(), values in vec(values(), 8)) {
        // The draft that OpenAPI's words are from.
        let other = jsonschema::draft4::new(&schema).unwrap();
        let own: Schema = serde_json::from_value(schema.clone()).unwrap();
        for value in values {
            let faults = walk::object(&own, &value, false);
            prop_assert_eq!(faults.is_empty(), other.is_valid(&value), "{} {}: {:?}", schema, value, faults);
        }
    }
}
