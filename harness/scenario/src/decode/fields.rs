//! Mappings with fixed keys, and the structs that are read from them.

use std::collections::HashMap;

use super::{Findings, FromNode, wrong_type};
use crate::{
    clean,
    diagnostic::Finding,
    span::Span,
    suggest,
    yaml::{Node, Value},
};

/// Unknown fields of one mapping among which a misspelt one is looked for.
const MOST_LOOKED_AT: usize = 100;

/// The entries of a mapping. Reports duplicate keys and leaves the later ones out.
pub(super) fn entries<'n>(
    node: &'n Node,
    expected: &str,
    findings: &mut Findings,
) -> Option<Vec<(&'n Node, &'n Node)>> {
    let Value::Map(entries) = &node.value else {
        return wrong_type(node, expected, findings);
    };
    let mut seen: HashMap<&str, Span> = HashMap::with_capacity(entries.len());
    let mut out = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let Some(name) = key.text() else {
            wrong_type::<()>(key, "a name as key", findings);
            continue;
        };
        match seen.get(name) {
            Some(first) => findings.push(
                Finding::error(
                    "scenario/duplicate-key",
                    key.span,
                    format!("`{}` is here twice", clean::word(name)),
                )
                .also(*first, "first")
                .help("YAML readers keep one of the two and say nothing; remove or rename one"),
            ),
            None => {
                seen.insert(name, key.span);
                out.push((key, value));
            }
        }
    }
    Some(out)
}

/// The fields of a mapping with fixed keys.
pub(crate) struct Fields<'n> {
    known: Vec<(&'n str, &'n Node)>,
    unknown: Vec<&'n str>,
}

/// Reads a mapping with fixed keys; reports the keys that are not known.
pub(crate) fn fields<'n>(
    node: &'n Node,
    what: &str,
    known: &[&'static str],
    findings: &mut Findings,
) -> Option<Fields<'n>> {
    let entries = entries(node, &format!("{what} (a mapping)"), findings)?;
    let mut fields = Fields { known: Vec::with_capacity(entries.len()), unknown: Vec::new() };
    for (key, value) in entries {
        let name = key.text().unwrap_or_default();
        if known.contains(&name) {
            fields.known.push((name, value));
            continue;
        }
        fields.unknown.push(name);
        let message = format!("{what} has no field `{}`", clean::word(name));
        findings.push(Finding::error("scenario/unknown-field", key.span, message).maybe_help(suggest::help(
            name,
            "known fields",
            known.iter().copied(),
        )));
    }
    Some(fields)
}

/// Reads one field of a mapping, or reports that it is missing, unless a misspelt one was reported already.
pub(crate) fn field<T: FromNode>(
    fields: &Fields<'_>,
    name: &'static str,
    (what, span): (&str, Span),
    findings: &mut Findings,
) -> Option<T> {
    if let Some((_, node)) = fields.known.iter().find(|(key, _)| *key == name) {
        return T::from_node(node, findings);
    }
    let missing = T::missing();
    if missing.is_none()
        && !fields
            .unknown
            .iter()
            .take(MOST_LOOKED_AT)
            .any(|unknown| suggest::nearest(unknown, [name]).is_some())
    {
        findings.push(Finding::error(
            "scenario/missing-field",
            span,
            format!("{what} needs the field `{name}`"),
        ));
    }
    missing
}

/// Declares a struct that is read from a mapping with fixed keys, strictly.
macro_rules! strict_struct {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$fmeta:meta])* $field:ident: $ty:ty = $key:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name {
            $($(#[$fmeta])* pub(crate) $field: $ty,)*
        }
        $crate::decode::read_fields!($name, $what, $($field = $key),*);
    };
}

/// The same with a JSON Schema.
macro_rules! raw_struct {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$fmeta:meta])* $field:ident: $ty:ty = $key:literal),* $(,)? }) => {
        #[derive(Debug, Clone, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        $(#[$meta])*
        pub(crate) struct $name {
            $($(#[$fmeta])* #[schemars(rename = $key)] pub(crate) $field: $ty,)*
        }
        $crate::decode::read_fields!($name, $what, $($field = $key),*);
    };
}

macro_rules! read_fields {
    ($name:ident, $what:literal, $($field:ident = $key:literal),*) => {
        impl $crate::decode::FromNode for $name {
            fn from_node(node: &$crate::yaml::Node, findings: &mut $crate::decode::Findings) -> Option<Self> {
                let fields = $crate::decode::fields(node, $what, &[$($key),*], findings)?;
                $(let $field = $crate::decode::field(&fields, $key, ($what, node.span), findings);)*
                Some(Self { $($field: $field?),* })
            }
        }
    };
}
pub(crate) use {raw_struct, read_fields, strict_struct};
