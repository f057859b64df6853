//! Strings and numbers against a schema.

use std::net::{Ipv4Addr, Ipv6Addr};

use regex::RegexBuilder;
use serde_json::Value;

use super::schema::Schema;
use crate::{clean, suggest};

/// Patterns with large repetitions, as definitions have them, are larger than the crate's own limit.
const LARGEST_PATTERN: usize = 64 * 1024 * 1024;

/// What is wrong, and advice.
pub(super) type Wrong = (String, Option<String>);

/// Everything that is wrong with a scalar of the right type.
pub(super) fn check(schema: &Schema, value: &Value) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if let Some(words) = &schema.words
        && !words.contains(value)
    {
        let words: Vec<String> = words.iter().map(shown).collect();
        let help = suggest::help(&shown(value), "known", words.iter().map(String::as_str));
        wrong.push((format!("`{}` is not one of the values that may stand here", shown(value)), help));
    }
    match value {
        Value::String(text) => string(schema, text, &mut wrong),
        Value::Number(_) => number(schema, value, &mut wrong),
        _ => {}
    }
    wrong
}

fn string(schema: &Schema, text: &str, wrong: &mut Vec<Wrong>) {
    let word = clean::word(text);
    let length = text.chars().count();
    if let Some(least) = schema.min_length.filter(|least| length < *least) {
        wrong.push((format!("`{word}` is too short: at least {least} characters"), None));
    }
    if let Some(most) = schema.max_length.filter(|most| length > *most) {
        wrong.push((format!("`{word}` is too long: at most {most} characters, not {length}"), None));
    }
    if let Some(pattern) = &schema.pattern {
        match RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).build() {
            Ok(regex) if regex.is_match(text) => {}
            Ok(_) => wrong.push((format!("`{word}` does not match the pattern `{pattern}`"), None)),
            Err(error) => wrong.push((
                format!("`{word}` could not be checked: the definition's pattern `{pattern}` cannot be read"),
                Some(error.to_string()),
            )),
        }
    }
    let good = match schema.format.as_deref() {
        Some("ipv4") => text.parse::<Ipv4Addr>().is_ok(),
        Some("ipv6") => text.parse::<Ipv6Addr>().is_ok(),
        // A bare address is none, as to Go's parser.
        Some("cidr") => text.contains('/') && text.parse::<ipnet::IpNet>().is_ok(),
        _ => true,
    };
    if !good {
        wrong.push((format!("`{word}` is no {}", schema.format.as_deref().unwrap_or_default()), None));
    }
}

fn number(schema: &Schema, value: &Value, wrong: &mut Vec<Wrong>) {
    let Some(number) = value.as_f64() else { return };
    if let Some(least) = schema.minimum {
        let open = schema.exclusive_minimum;
        if number < least || (open && number == least) {
            let words = if open { "more than" } else { "at least" };
            wrong.push((format!("{value} is too small: {words} {least}"), None));
        }
    }
    if let Some(most) = schema.maximum {
        let open = schema.exclusive_maximum;
        if number > most || (open && number == most) {
            let words = if open { "less than" } else { "at most" };
            wrong.push((format!("{value} is too large: {words} {most}"), None));
        }
    }
    if let Some(step) = schema.multiple_of.filter(|step| *step > 0.0 && (number / step).fract() != 0.0) {
        wrong.push((format!("{value} is no multiple of {step}"), None));
    }
    let range = f64::from(i32::MIN)..=f64::from(i32::MAX);
    if schema.format.as_deref() == Some("int32") && !range.contains(&number) {
        wrong.push((format!("{value} does not fit into 32 bits"), None));
    }
}

/// A value inside a sentence.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => clean::word(text),
        other => clean::word(&other.to_string()),
    }
}
