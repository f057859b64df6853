//! Selectors in words, in the notation of `kubectl -l`, and why labels do not satisfy them.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::NetworkPolicyPeer,
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
};
use verdikt_model::{World, is_empty_selector, selector_matches};

/// A peer in words: `role=backend in namespaces with env=production`.
pub(crate) fn describe_peer(own_namespace: &str, peer: &NetworkPolicyPeer) -> String {
    if let Some(block) = &peer.ip_block {
        let mut text = format!("ipBlock {}", block.cidr);
        let except = block.except.as_deref().unwrap_or_default();
        if !except.is_empty() {
            text.push_str(" except ");
            text.push_str(&crate::reasons::list(except.iter().cloned(), 3));
        }
        return text;
    }
    let pods = match &peer.pod_selector {
        Some(selector) if !is_empty_selector(selector) => describe(selector),
        _ => "all pods".into(),
    };
    match &peer.namespace_selector {
        None if peer.pod_selector.is_none() => "nobody".into(),
        None => format!("{pods} in {own_namespace}"),
        Some(selector) if is_empty_selector(selector) => format!("{pods} in all namespaces"),
        Some(selector) => format!("{pods} in namespaces with {}", describe(selector)),
    }
}

fn describe(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    labels
        .chain(selector.match_expressions.iter().flatten().map(describe_requirement))
        .collect::<Vec<_>>()
        .join(",")
}

fn describe_requirement(requirement: &LabelSelectorRequirement) -> String {
    let key = &requirement.key;
    let values = requirement.values.as_deref().unwrap_or_default().join(",");
    match requirement.operator.as_str() {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "Exists" => key.clone(),
        "DoesNotExist" => format!("!{key}"),
        operator => format!("{key} {operator} ({values})"),
    }
}

/// Why a namespace's labels do not satisfy a selector; `None` when they do.
pub(crate) fn namespace_against(world: &World, selector: &LabelSelector, namespace: &str) -> Option<String> {
    match world.namespaces.get(namespace) {
        Some(labels) => labels_against(selector, labels),
        None => {
            let named = ("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
            labels_against(selector, &[named].into())
        }
    }
}

/// Why labels do not satisfy a selector: the first requirement that fails. `None` when they do.
pub(crate) fn labels_against(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> Option<String> {
    let state = |key: &str| match labels.get(key) {
        Some(value) => format!("has {key}={value}"),
        None => format!("has no label {key}"),
    };
    let by_label =
        selector.match_labels.iter().flatten().find(|(key, value)| labels.get(*key) != Some(value));
    if let Some((key, _)) = by_label {
        return Some(state(key));
    }
    let fails = |requirement: &&LabelSelectorRequirement| {
        let alone =
            LabelSelector { match_expressions: Some(vec![(*requirement).clone()]), match_labels: None };
        !selector_matches(&alone, labels)
    };
    selector.match_expressions.iter().flatten().find(fails).map(|requirement| state(&requirement.key))
}
