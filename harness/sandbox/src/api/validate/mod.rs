//! The rules that objects must meet, with the causes and words of a real API server.
//!
//! [`check`] is called with the finished object; every broken rule becomes a [`Cause`].

mod core;
mod meta;
mod policy;
mod slice;
mod syntax;

use serde_json::Value;

use super::{
    kinds::{Facts, Kind},
    status::Cause,
};

/// Broken rules of a new object, or of a changed one.
pub(crate) fn check(facts: &Facts, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Causes::default();
    meta::check(facts, new, &mut causes);
    match facts.id {
        Kind::NetworkPolicy => policy::check(new, &mut causes),
        Kind::Pod => core::pod(new, old, &mut causes),
        Kind::Service => core::service(new, old, &mut causes),
        Kind::EndpointSlice => slice::check(new, old, &mut causes),
        _ => {}
    }
    causes.0
}

/// Collects causes.
#[derive(Default)]
struct Causes(Vec<Cause>);

impl Causes {
    fn add(&mut self, reason: &'static str, field: impl Into<String>, message: String) {
        self.0.push(Cause { reason, message, field: field.into() });
    }

    fn invalid(&mut self, field: impl Into<String>, value: &Value, why: &str) {
        self.add("FieldValueInvalid", field, format!("Invalid value: {}: {why}", shown(value)));
    }

    fn required(&mut self, field: impl Into<String>, why: &str) {
        let message =
            if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        self.add("FieldValueRequired", field, message);
    }

    fn forbidden(&mut self, field: impl Into<String>, why: &str) {
        self.add("FieldValueForbidden", field, format!("Forbidden: {why}"));
    }

    fn duplicate(&mut self, field: impl Into<String>, value: &Value) {
        self.add("FieldValueDuplicate", field, format!("Duplicate value: {}", shown(value)));
    }

    fn unsupported(&mut self, field: impl Into<String>, value: &Value, supported: &[&str]) {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        self.add(
            "FieldValueNotSupported",
            field,
            format!("Unsupported value: {}: supported values: {}", shown(value), list.join(", ")),
        );
    }
}

fn shown(value: &Value) -> String {
    value.to_string()
}
