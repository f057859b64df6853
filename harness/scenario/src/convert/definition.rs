//! Objects of other kinds against the CustomResourceDefinitions that were given.

use serde_json::Value;
use verdikt_model::substitute_value;

use super::object::Surroundings;
use crate::{
    clean,
    crd::{Definition, Definitions, Fault, Segment, Version},
    decode::Findings,
    diagnostic::Finding,
    span::Span,
    suggest,
    yaml::{self, Node},
};

const AGAINST: &str = "scenario/against-crd";

/// Reports what an API server would refuse, or drop without a word.
pub(super) fn check(node: &Node, value: &Value, around: &Surroundings<'_>, findings: &mut Findings) {
    let (Some(definitions), Some(world)) = (around.definitions, around.world) else { return };
    // Variables that cannot be filled in are reported where they stand.
    let mut value = value.clone();
    if substitute_value(&mut value, world).is_err() {
        return;
    }
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    let (api, kind) = (text("apiVersion"), text("kind"));
    let (group, version) = api.split_once('/').unwrap_or(("", api));
    let span = |field: &str| node.get(field).map_or(node.span, |node| node.span);
    let Some(definition) = definitions.get(group, kind) else {
        return findings.push(not_given(group, kind, span("kind"), definitions));
    };
    if !around.crds.contains(&definition.name) {
        let name = &definition.name;
        findings.push(
            Finding::error(
                AGAINST,
                span("kind"),
                format!("a {kind} is of `{name}`, which the scenario does not require"),
            )
            .help(format!(
                "add it to `requires.crd`, so that the scenario is skipped only where there is none: {name}"
            )),
        );
    }
    check_scope(node, definition, kind, findings);
    match definition.version(version) {
        Some(Version { served: false, .. }) => {
            findings.push(version_finding(definition, version, "is no longer served", span("apiVersion")));
        }
        None => findings.push(version_finding(definition, version, "is not defined", span("apiVersion"))),
        Some(version) => {
            for fault in definition.check(version, &value) {
                findings.push(finding(&fault, node, &format!("{kind} of {api}")));
            }
        }
    }
}

fn not_given(group: &str, kind: &str, span: Span, definitions: &Definitions) -> Finding {
    let message = format!(
        "no definition of `{}` of `{}` was given: the object is not checked",
        clean::word(kind),
        clean::word(group)
    );
    Finding::warning("scenario/crd-not-given", span, message).maybe_help(suggest::help(
        kind,
        "kinds of this group that were given",
        definitions.kinds(group),
    ))
}

fn check_scope(node: &Node, definition: &Definition, kind: &str, findings: &mut Findings) {
    let metadata = node.get("metadata");
    let namespace = metadata.and_then(|metadata| metadata.get("namespace"));
    match (namespace, definition.namespaced) {
        (None, true) => findings.push(
            Finding::error(
                AGAINST,
                metadata.map_or(node.span, |metadata| metadata.span),
                format!("a {kind} needs a namespace"),
            )
            .help("add `metadata.namespace`"),
        ),
        (Some(namespace), false) => findings.push(
            Finding::error(
                AGAINST,
                namespace.span,
                format!("a {kind} has no namespace: it acts on the whole cluster"),
            )
            .help("leave `metadata.namespace` out"),
        ),
        _ => {}
    }
}

fn version_finding(definition: &Definition, version: &str, what: &str, span: Span) -> Finding {
    let message = format!("version `{}` of `{}` {what}", clean::word(version), definition.name);
    Finding::error(AGAINST, span, message).maybe_help(suggest::help(version, "served", definition.served()))
}

fn finding(fault: &Fault, node: &Node, of: &str) -> Finding {
    let message = match fault.place() {
        place if place.is_empty() => format!("{} ({of})", fault.message),
        place => format!("{place}: {} ({of})", fault.message),
    };
    Finding::error(AGAINST, place(node, fault), message).maybe_help(fault.help.clone())
}

/// Where a fault stands; what is not written, such as a default, is at the nearest place above it.
fn place(top: &Node, fault: &Fault) -> Span {
    let (mut node, mut span) = (top, top.span);
    for (depth, segment) in fault.path.iter().enumerate() {
        let (key, below) = match (segment, &node.value) {
            (Segment::Key(name), yaml::Value::Map(entries)) => {
                match entries.iter().find(|(key, _)| key.text() == Some(name)) {
                    Some((key, value)) => (key.span, value),
                    None => return span,
                }
            }
            (Segment::Index(index), yaml::Value::Seq(items)) => match items.get(*index) {
                Some(item) => (item.span, item),
                None => return span,
            },
            _ => return span,
        };
        let last = depth + 1 == fault.path.len();
        span = if last && fault.key { key } else { below.span };
        node = below;
    }
    span
}
