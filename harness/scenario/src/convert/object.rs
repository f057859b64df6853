//! Objects that a step applies.

use verdikt_model::{
    PolicyObject, Topology, VariableError, World,
    policy_kind::{self, Scope, Standing},
    substitute_value,
};

use super::{
    definition,
    names::{Name, is_reserved},
    policy,
};
use crate::{
    clean,
    crd::Definitions,
    decode::{Findings, FromNode, wrong_type},
    diagnostic::Finding,
    raw::RawNetworkPolicy,
    span::{At, Span},
    suggest,
    yaml::{Kind, Node, Value},
};

pub(crate) const NETWORKING: &str = "networking.k8s.io/v1";

/// What an object is checked against.
pub(crate) struct Surroundings<'a> {
    pub(crate) topology: &'a Topology,
    /// The world of the topology; `None` when the topology itself is wrong.
    pub(crate) world: Option<&'a World>,
    /// The custom resource definitions that the scenario requires.
    pub(crate) crds: &'a [String],
    /// Definitions that objects of other kinds are checked against, if any were given.
    pub(crate) definitions: Option<&'a Definitions>,
}

/// Reads an object, with all its checks.
pub(crate) fn object(
    node: &Node,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<PolicyObject> {
    let word = |field: &str| node.get(field).filter(|n| n.text().is_some());
    let (Some(api_version), Some(kind)) = (word("apiVersion"), word("kind")) else {
        let missing = if word("kind").is_none() { "kind" } else { "apiVersion" };
        findings.push(
            Finding::error(
                "scenario/missing-field",
                node.span,
                format!("an object needs the field `{missing}`"),
            )
            .help("a NetworkPolicy starts with `apiVersion: networking.k8s.io/v1` and `kind: NetworkPolicy`"),
        );
        return None;
    };
    check_variables(node, around, findings);
    let (api, kind_word) = (api_version.text().unwrap_or_default(), kind.text().unwrap_or_default());
    findings.in_object = true;
    let read = if api == NETWORKING && kind_word == "NetworkPolicy" {
        let errors = findings.errors();
        RawNetworkPolicy::from_node(node, findings)
            .filter(|_| findings.errors() == errors)
            .and_then(|raw| policy::policy(&raw, around, findings))
            .map(|policy| PolicyObject::NetworkPolicy(Box::new(policy)))
    } else {
        other(node, (api, api_version.span), (kind_word, kind.span), around, findings)
    };
    findings.in_object = false;
    read
}

/// An object of a kind that the oracle does not know: only with a required custom resource definition.
fn other(
    node: &Node,
    (api, api_span): (&str, Span),
    (kind, kind_span): (&str, Span),
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<PolicyObject> {
    let group = api.split_once('/').map_or("", |(group, _)| group);
    let standing = policy_kind::standing(group, kind);
    if standing == Standing::BuiltIn || api.starts_with("networking.k8s.io/") {
        findings.push(built_in(api, api_span, kind, kind_span));
        return None;
    }
    let known = around.crds.iter().any(|crd| crd.split_once('.').is_some_and(|(_, of)| of == group));
    if !known {
        findings.push(unknown_kind(api, api_span, kind, kind_span, around.crds));
        return None;
    }
    let errors = findings.errors();
    let value = json(node, findings);
    match node.get("metadata").and_then(|metadata| metadata.get("name")) {
        Some(name) => {
            if let Some(name) = At::<String>::from_node(name, findings) {
                Name::Object.check(&name, findings);
            }
        }
        None => findings.push(Finding::error(
            "scenario/missing-field",
            node.span,
            "an object needs the field `metadata.name`",
        )),
    }
    if let Some(namespace) = node.get("metadata").and_then(|metadata| metadata.get("namespace"))
        && let Some(namespace) = At::<String>::from_node(namespace, findings)
    {
        check_namespace(&namespace, &format!("the {kind}"), around.topology, findings);
    }
    match standing {
        Standing::Policy(scope) => check_scope(node, kind, kind_span, scope, around.topology, findings),
        _ => findings.push(unlisted(api, kind, kind_span)),
    }
    check_dropped(node, findings);
    if findings.errors() == errors {
        definition::check(node, &value, around, findings);
    }
    (findings.errors() == errors).then_some(PolicyObject::Other(value))
}

/// A kind that verdikt does not know as a policy.
pub(super) fn unlisted(api: &str, kind: &str, span: Span) -> Finding {
    let name = policy_kind::kind_name(&clean::word(api), &clean::word(kind));
    Finding::warning(
        "scenario/unlisted-kind",
        span,
        format!("`{name}` is not a kind of policy that verdikt knows: the scenario is skipped"),
    )
    .help(format!("whoever runs it can allow that: --allow-kind {name}"))
}

/// A namespace where there can be none, or none where there must be one.
fn check_scope(
    node: &Node,
    kind: &str,
    kind_span: Span,
    scope: Scope,
    topology: &Topology,
    findings: &mut Findings,
) {
    let namespace = node.get("metadata").and_then(|metadata| metadata.get("namespace"));
    match (scope, namespace) {
        (Scope::Cluster, Some(namespace)) => findings.push(
            Finding::error(
                "scenario/cluster-scoped",
                namespace.span,
                format!("a {kind} acts on the whole cluster and has no namespace"),
            )
            .help("remove `metadata.namespace`; such a scenario runs alone, and only with --allow-cluster-scoped"),
        ),
        (Scope::Namespaced, None) => findings.push(
            Finding::error("scenario/missing-namespace", kind_span, format!("this {kind} names no namespace"))
                .help(format!(
                    "add `namespace:` with one of {}",
                    suggest::list(topology.namespaces.keys().map(String::as_str))
                )),
        ),
        (Scope::Cluster, None) | (Scope::Namespaced, Some(_)) => {}
    }
}

/// Warns of what is not passed on: it would keep the object, or a namespace, from being removed, or let something else
/// remove it.
fn check_dropped(node: &Node, findings: &mut Findings) {
    for field in ["finalizers", "ownerReferences"] {
        if let Some(at) = node.get("metadata").and_then(|metadata| metadata.get(field)) {
            findings.push(
                Finding::warning("scenario/ignored-field", at.span, format!("`{field}` is not applied"))
                    .help("objects of a scenario are removed with it; remove the field"),
            );
        }
    }
}

/// A NetworkPolicy of another group or version.
fn other_network_policy(api: &str, api_span: Span) -> Finding {
    Finding::error("scenario/unknown-kind", api_span, format!("there is no NetworkPolicy of `{api}`"))
        .help(format!("write `apiVersion: {NETWORKING}`"))
}

/// A kind of a group that is part of every API server.
fn built_in(api: &str, api_span: Span, kind: &str, kind_span: Span) -> Finding {
    let (api, kind) = (clean::word(api), clean::word(kind));
    let code = "scenario/unknown-kind";
    if kind == "NetworkPolicy" {
        return other_network_policy(&api, api_span);
    }
    if api == NETWORKING {
        return Finding::error(code, kind_span, format!("`{kind}` of `{api}` is no policy"))
            .maybe_help(suggest::help(&kind, "known", ["NetworkPolicy"]));
    }
    match kind.as_str() {
        "Pod" | "Deployment" | "Service" | "Namespace" | "DaemonSet" | "StatefulSet" | "ReplicaSet" => {
            Finding::error(code, kind_span, format!("verdikt makes no {kind} from a step"))
                .help("namespaces, pods and services belong in `spec.topology`; steps apply policies")
        }
        "List" => Finding::error(code, kind_span, "a List cannot be applied")
            .help("put its items into `apply` one by one"),
        _ => Finding::error(code, kind_span, format!("verdikt makes no {kind} of `{api}` from a step"))
            .help("steps apply policies; of the kinds that every API server has that is NetworkPolicy alone"),
    }
}

/// A custom resource whose definition the scenario does not require.
fn unknown_kind(api: &str, api_span: Span, kind: &str, kind_span: Span, crds: &[String]) -> Finding {
    let (api, kind) = (clean::word(api), clean::word(kind));
    if kind == "NetworkPolicy" && !api.contains("projectcalico") {
        return other_network_policy(&api, api_span);
    }
    let group = api.split_once('/').map_or(api.as_str(), |(group, _)| group);
    let required = if crds.is_empty() {
        "the scenario requires no custom resource definition".to_owned()
    } else {
        format!("the scenario requires only {}", suggest::list(crds.iter().map(String::as_str)))
    };
    let message = format!("`{kind}` of `{api}` is not known; {required}");
    Finding::error("scenario/unknown-kind", kind_span, message).help(format!(
        "say what the cluster must have, so that the scenario is skipped elsewhere: `requires: {{crd: {}.{group}}}`",
        plural(&kind)
    ))
}

/// The plural that a custom resource definition of this kind most likely has.
fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}

/// Reports a namespace that the scenario does not own.
pub(crate) fn check_namespace(
    namespace: &At<String>,
    what: &str,
    topology: &Topology,
    findings: &mut Findings,
) {
    let name = namespace.value.as_str();
    if topology.namespaces.contains_key(name) {
        return;
    }
    findings.push_error(|| {
        let own: Vec<&str> = topology.namespaces.keys().map(String::as_str).collect();
        if name == "default" || is_reserved(name) {
            let message = format!("{what} is for namespace `{name}`, which the scenario does not own");
            return Finding::error("scenario/foreign-namespace", namespace.span, message).help(format!(
                "verdikt changes nothing outside the scenario's own namespaces: {}",
                suggest::list(own.iter().copied())
            ));
        }
        let message =
            format!("{what} is for namespace `{}`, which the topology does not have", clean::word(name));
        Finding::error("scenario/unknown-namespace", namespace.span, message).maybe_help(suggest::help(
            name,
            "namespaces",
            own.iter().copied(),
        ))
    });
}

/// Reports variables that cannot be filled in.
fn check_variables(node: &Node, around: &Surroundings<'_>, findings: &mut Findings) {
    let Some(world) = around.world else { return };
    match &node.value {
        Value::Scalar(text, _) if text.contains("${") => {
            if let Err(error) = substitute_value(&mut serde_json::Value::String(text.clone()), world) {
                findings.push_error(|| variable(&error, node.span, world));
            }
        }
        Value::Scalar(..) => {}
        Value::Seq(items) => items.iter().for_each(|item| check_variables(item, around, findings)),
        Value::Map(entries) => entries.iter().for_each(|(_, value)| check_variables(value, around, findings)),
    }
}

fn variable(error: &VariableError, span: Span, world: &World) -> Finding {
    let finding = match error {
        VariableError::Unknown(name) => {
            let name = clean::word(name);
            Finding::error(
                "scenario/unknown-variable",
                span,
                format!("the variable `${{{name}}}` names nothing"),
            )
        }
        other => Finding::error("scenario/unknown-variable", span, other.to_string()),
    };
    let mut known: Vec<String> = vec!["cluster.podCIDR".into(), "cluster.serviceCIDR".into()];
    for endpoint in &world.endpoints {
        use verdikt_model::EndpointName as E;
        let name = &endpoint.name;
        match name {
            E::Pod { .. } => known.extend([format!("pod.{name}.ip"), format!("node.of.{name}.ip")]),
            E::Service { .. } => known.push(format!("service.{name}.ip")),
            E::External(_) => known.push(format!("{name}.ip")),
            E::Node(_) | E::Dns => {}
        }
    }
    known.extend(["node.1.ip".to_owned(), "node.2.ip".to_owned()]);
    let near = match error {
        VariableError::Unknown(name) => suggest::nearest(name, known.iter().map(String::as_str)),
        _ => None,
    };
    let forms = "known are pod.NS/POD.ip, node.N.ip, node.of.NS/POD.ip, service.NS/NAME.ip, external.ip, external/N.ip \
                 (each also .ipv6), cluster.podCIDR and cluster.serviceCIDR (each also with v6); \
                 external hosts must be listed under `endpoints`";
    finding.help(match near {
        Some(near) => format!("did you mean `${{{near}}}`? {forms}"),
        None => forms.to_owned(),
    })
}

/// A text with its variables filled in; the text itself where that is not possible (reported elsewhere).
pub(crate) fn filled(text: &str, around: &Surroundings<'_>) -> Option<String> {
    if !text.contains("${") {
        return Some(text.to_owned());
    }
    let mut value = serde_json::Value::String(text.to_owned());
    substitute_value(&mut value, around.world?).ok()?;
    value.as_str().map(str::to_owned)
}

/// A node as JSON, as `kubectl` would send it. Scalars that readers of YAML understand differently are refused.
fn json(node: &Node, findings: &mut Findings) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.value {
        Value::Seq(items) => Json::Array(items.iter().map(|item| json(item, findings)).collect()),
        Value::Map(_) => {
            let entries = crate::decode::Entries::<AnyNode>::from_node(node, findings).unwrap_or_default();
            let pairs = entries.0.into_iter().map(|(key, value)| (key.value, json(&value.0, findings)));
            Json::Object(pairs.collect())
        }
        Value::Scalar(text, kind) => match kind {
            Kind::Str => Json::String(text.clone()),
            Kind::Null => Json::Null,
            Kind::Bool(value) if matches!(text.as_str(), "true" | "false") => Json::Bool(*value),
            Kind::Int if text == "0" || !text.trim_start_matches('-').starts_with('0') => {
                match text.parse::<i64>() {
                    Ok(number) => Json::from(number),
                    Err(_) => ambiguous(node, findings),
                }
            }
            Kind::Float => match text.parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
                Some(number) => Json::Number(number),
                None => ambiguous(node, findings),
            },
            Kind::Letter => {
                At::<String>::from_node(node, findings).map_or(Json::Null, |at| Json::String(at.value))
            }
            Kind::Bool(_) | Kind::Int => ambiguous(node, findings),
        },
    }
}

fn ambiguous(node: &Node, findings: &mut Findings) -> serde_json::Value {
    if At::<String>::from_node(node, findings).is_some() {
        wrong_type::<()>(node, "a plain value", findings);
    }
    serde_json::Value::Null
}

/// Any node, for mappings whose values are read later.
struct AnyNode(Node);

impl FromNode for AnyNode {
    fn from_node(node: &Node, _: &mut Findings) -> Option<Self> {
        Some(Self(node.clone()))
    }
}
