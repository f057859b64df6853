//! Label selectors of policies.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use verdikt_model::METADATA_NAME;

use super::{
    names::{check_deployed_label_key, check_deployed_labels, check_label_value},
    object::Surroundings,
};
use crate::{clean, decode::Findings, diagnostic::Finding, raw::RawSelector, span::At, suggest};

/// Checks a label selector and makes the typed one of it.
pub(super) fn selector(
    raw: &RawSelector,
    of_namespaces: bool,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> LabelSelector {
    let labels = check_deployed_labels(&raw.match_labels, findings);
    if of_namespaces {
        for (key, value) in raw.match_labels.iter() {
            check_namespace_name(&key.value, value, around, findings);
        }
    }
    let expressions = raw
        .match_expressions
        .iter()
        .map(|requirement| {
            check_deployed_label_key(&requirement.key, findings);
            let values = requirement.values.as_deref().unwrap_or_default();
            values.iter().for_each(|value| check_label_value(value, findings));
            let operator = &requirement.operator;
            match operator.value.as_str() {
                "In" | "NotIn" if values.is_empty() => findings.push(
                    Finding::error(
                        "scenario/selector-values",
                        operator.span,
                        format!("operator {} needs values", operator.value),
                    )
                    .help("add `values: [\"…\"]`"),
                ),
                "Exists" | "DoesNotExist" if !values.is_empty() => findings.push(
                    Finding::error(
                        "scenario/selector-values",
                        values.first().map_or(operator.span, |value| value.span),
                        format!("operator {} takes no values", operator.value),
                    )
                    .help("remove `values`, or use In or NotIn"),
                ),
                "In" if of_namespaces => {
                    for value in values {
                        check_namespace_name(&requirement.key.value, value, around, findings);
                    }
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
                other => findings.push(
                    Finding::error(
                        "scenario/unknown-operator",
                        operator.span,
                        format!("`{}` is no operator of a label selector", clean::word(other)),
                    )
                    .maybe_help(suggest::help(
                        other,
                        "operators",
                        ["In", "NotIn", "Exists", "DoesNotExist"],
                    )),
                ),
            }
            LabelSelectorRequirement {
                key: requirement.key.value.clone(),
                operator: operator.value.clone(),
                values: requirement
                    .values
                    .as_ref()
                    .map(|list| list.iter().map(|at| at.value.clone()).collect()),
            }
        })
        .collect::<Vec<_>>();
    LabelSelector {
        match_labels: (!labels.is_empty()).then_some(labels),
        match_expressions: (!expressions.is_empty()).then_some(expressions),
    }
}

/// Warns of a selector that names a namespace which is not there.
fn check_namespace_name(key: &str, value: &At<String>, around: &Surroundings<'_>, findings: &mut Findings) {
    let known = || around.topology.namespaces.keys().map(String::as_str).chain(["kube-system"]);
    if key != METADATA_NAME || value.value.contains("${") || known().any(|name| name == value.value) {
        return;
    }
    let known: Vec<&str> = known().collect();
    findings.push(
        Finding::warning(
            "scenario/unknown-namespace-name",
            value.span,
            format!(
                "the selector names namespace `{}`, which is not there, so it selects nothing",
                clean::word(&value.value)
            ),
        )
        .maybe_help(suggest::help(&value.value, "namespaces", known)),
    );
}
