//! A value against a schema, with the place of everything that is wrong.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::{
    combine, metadata, scalar,
    schema::{Additional, Schema, Type},
};
use crate::{clean, suggest};

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where, from the object's top.
    pub(crate) path: Vec<Segment>,
    /// Whether the last key is meant, and not its value.
    pub(crate) key: bool,
    /// What, one sentence.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

/// One step down into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// A field.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

impl Fault {
    /// The path as people write it: `spec.ingress[0].action`.
    pub(crate) fn place(&self) -> String {
        let mut out = String::new();
        for segment in &self.path {
            let _ = match segment {
                Segment::Key(key) if key.is_empty() || key.contains(['.', '/', '[', ' ']) => {
                    write!(out, "[{:?}]", clean::word(key))
                }
                Segment::Key(key) if out.is_empty() => write!(out, "{}", clean::word(key)),
                Segment::Key(key) => write!(out, ".{}", clean::word(key)),
                Segment::Index(index) => write!(out, "[{index}]"),
            };
        }
        out
    }
}

/// Everything that is wrong with an object, its unknown fields (`strict`) included.
pub(super) fn object(schema: &Schema, object: &Value, strict: bool) -> Vec<Fault> {
    let mut walk = Walk { path: Vec::new(), faults: Vec::new(), strict };
    walk.value(schema, object, true);
    walk.faults
}

/// A walk through a value.
pub(super) struct Walk {
    path: Vec<Segment>,
    pub(super) faults: Vec<Fault>,
    /// Whether a field that the schema does not know is a fault. Not inside `anyOf` and the like: what they name is
    /// named outside of them, too.
    strict: bool,
}

impl Walk {
    /// What is wrong with a value by one of several schemas that it may have here.
    pub(super) fn form(&self, schema: &Schema, value: &Value) -> Vec<Fault> {
        let mut walk = Self { path: self.path.clone(), faults: Vec::new(), strict: false };
        walk.value(schema, value, false);
        walk.faults
    }

    pub(super) fn fault(&mut self, message: impl Into<String>, help: Option<String>) {
        self.faults.push(Fault { path: self.path.clone(), key: false, message: message.into(), help });
    }

    fn at(&mut self, segment: Segment, go: impl FnOnce(&mut Self)) {
        self.path.push(segment);
        go(self);
        self.path.pop();
    }

    /// Checks a value. `top`: it is a whole object, with the fields that every object has.
    fn value(&mut self, schema: &Schema, value: &Value, top: bool) {
        if value.is_null() {
            if !schema.nullable && !schema.preserve_unknown_fields {
                self.fault("null is no value here", None);
            }
            return;
        }
        if schema.int_or_string {
            if !Type::Integer.admits(value) && !value.is_string() {
                return self.fault(format!("expected an integer or a string, found {}", found(value)), None);
            }
        } else if let Some(kind) = schema.kind.filter(|kind| !kind.admits(value)) {
            return self.fault(format!("expected {kind}, found {}", found(value)), None);
        }
        for (message, help) in scalar::check(schema, value) {
            self.fault(message, help);
        }
        match value {
            Value::Object(fields) => self.fields(schema, fields, top || schema.embedded_resource),
            Value::Array(items) => self.items(schema, items),
            _ => {}
        }
        combine::check(self, schema, value);
    }

    fn fields(&mut self, schema: &Schema, fields: &Map<String, Value>, top: bool) {
        for name in schema.required.iter().filter(|name| !fields.contains_key(*name)) {
            self.fault(format!("the field `{name}` is missing"), None);
        }
        if let Some(least) = schema.min_properties.filter(|least| fields.len() < *least) {
            let help = names(schema);
            self.fault(format!("too few fields: at least {least}, found {}", fields.len()), help);
        }
        if let Some(most) = schema.max_properties.filter(|most| fields.len() > *most) {
            let have = suggest::list(fields.keys().map(String::as_str));
            self.fault(format!("too many fields: at most {most}, found {}", clean::message(&have)), None);
        }
        for (name, value) in fields {
            let envelope = top && metadata::ENVELOPE.contains(&name.as_str());
            let declared = match (schema.properties.get(name), &schema.additional_properties) {
                (Some(declared), _) => Some(declared),
                (None, Some(Additional::Of(declared))) => Some(&**declared),
                _ => None,
            };
            let any = schema.preserve_unknown_fields
                || matches!(schema.additional_properties, Some(Additional::Any(true)));
            self.at(Segment::Key(name.clone()), |walk| match declared {
                _ if envelope => walk.envelope(name, declared, value),
                Some(declared) => walk.value(declared, value, false),
                None if any || !walk.strict => {}
                None => {
                    let help = suggest::help(name, "fields", schema.properties.keys().map(String::as_str));
                    let message = format!("there is no field `{}`", clean::word(name));
                    walk.faults.push(Fault { path: walk.path.clone(), key: true, message, help });
                }
            });
        }
    }

    /// A field that every object has. A definition may narrow it further, but not name its fields.
    fn envelope(&mut self, name: &str, declared: Option<&Schema>, value: &Value) {
        if let Some(declared) = declared {
            let faults = self.form(declared, value);
            self.faults.extend(faults);
        }
        if name == "metadata" && self.faults.iter().all(|fault| fault.path != self.path) {
            self.value(metadata::schema(), value, false);
        }
    }

    fn items(&mut self, schema: &Schema, items: &[Value]) {
        if let Some(least) = schema.min_items.filter(|least| items.len() < *least) {
            self.fault(format!("too few items: at least {least}, found {}", items.len()), None);
        }
        if let Some(most) = schema.max_items.filter(|most| items.len() > *most) {
            self.fault(format!("too many items: at most {most}, found {}", items.len()), None);
        }
        let same = |a: &Value, b: &Value| match schema.list_type.as_deref() {
            Some("map") => schema.list_map_keys.iter().all(|key| a.get(key) == b.get(key)),
            Some("set") => a == b,
            _ => schema.unique_items && a == b,
        };
        for (index, item) in items.iter().enumerate() {
            self.at(Segment::Index(index), |walk| {
                if let Some(first) = items[..index].iter().position(|earlier| same(earlier, item)) {
                    let help = (schema.list_type.as_deref() == Some("map"))
                        .then(|| format!("items differ in {}", schema.list_map_keys.join(", ")));
                    walk.fault(format!("the item is there already, at place {first}"), help);
                }
                if let Some(schema) = &schema.items {
                    walk.value(schema, item, false);
                }
            });
        }
    }
}

fn names(schema: &Schema) -> Option<String> {
    (!schema.properties.is_empty())
        .then(|| format!("fields: {}", suggest::list(schema.properties.keys().map(String::as_str))))
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Object(_) => "a mapping".into(),
        Value::Array(_) => "a list".into(),
        Value::String(text) => format!("a string (`{}`)", clean::word(text)),
        Value::Number(number) => format!("a number (`{number}`)"),
        Value::Bool(value) => format!("`{value}`"),
    }
}
