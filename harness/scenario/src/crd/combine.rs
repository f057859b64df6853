//! `allOf`, `anyOf`, `oneOf` and `not`.

use serde_json::Value;

use super::{
    schema::Schema,
    walk::{Fault, Walk},
};
use crate::suggest;

/// Forms whose faults are told.
const MOST_FORMS: usize = 6;

pub(super) fn check(walk: &mut Walk, schema: &Schema, value: &Value) {
    for form in &schema.all_of {
        let faults = walk.form(form, value);
        walk.faults.extend(faults);
    }
    if !schema.any_of.is_empty() {
        let forms: Vec<Vec<Fault>> = schema.any_of.iter().map(|form| walk.form(form, value)).collect();
        if forms.iter().all(|faults| !faults.is_empty()) {
            none(walk, &schema.any_of, &forms);
        }
    }
    if !schema.one_of.is_empty() {
        let forms: Vec<Vec<Fault>> = schema.one_of.iter().map(|form| walk.form(form, value)).collect();
        match forms.iter().filter(|faults| faults.is_empty()).count() {
            0 => none(walk, &schema.one_of, &forms),
            1 => {}
            fitting => several(walk, &schema.one_of, &forms, fitting),
        }
    }
    if let Some(form) = &schema.not
        && walk.form(form, value).is_empty()
    {
        match form.required.as_slice() {
            [] => walk.fault("the definition excludes this form (`not`)", None),
            fields => {
                let fields = suggest::list(fields.iter().map(String::as_str));
                walk.fault(format!("the definition excludes these fields here: {fields}"), None);
            }
        }
    }
}

fn none(walk: &mut Walk, schemas: &[Schema], forms: &[Vec<Fault>]) {
    // Most of them only say which fields stand together.
    if let Some(fields) = schemas.iter().map(only_field).collect::<Option<Vec<&str>>>() {
        return walk.fault(format!("one of the fields {} must be there", suggest::list(fields)), None);
    }
    let firsts: Vec<String> = forms
        .iter()
        .take(MOST_FORMS)
        .filter_map(|faults| faults.first())
        .enumerate()
        .map(|(index, fault)| format!("form {}: {}: {}", index + 1, fault.place(), fault.message))
        .collect();
    walk.fault(
        format!("this fits none of the {} forms that may stand here", forms.len()),
        Some(firsts.join("\n")),
    );
}

fn several(walk: &mut Walk, schemas: &[Schema], forms: &[Vec<Fault>], fitting: usize) {
    let fields: Vec<&str> = schemas
        .iter()
        .zip(forms)
        .filter(|(_, faults)| faults.is_empty())
        .filter_map(|(schema, _)| only_field(schema))
        .collect();
    if fields.len() == fitting {
        return walk.fault(format!("only one of the fields {} may be there", suggest::list(fields)), None);
    }
    walk.fault(format!("this fits {fitting} forms of which only one may stand here"), None);
}

/// The field of a form that asks for one, and for nothing else.
fn only_field(schema: &Schema) -> Option<&str> {
    match schema.required.as_slice() {
        [field] if *schema == (Schema { required: vec![field.clone()], ..Schema::default() }) => Some(field),
        _ => None,
    }
}
