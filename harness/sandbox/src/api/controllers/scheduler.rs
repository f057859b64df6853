//! Which node a pod runs on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    api::{
        kinds::Kind,
        object::{items, strings, text},
        selector::LabelSelector,
        store::Transaction,
    },
    plan,
};

/// The node (from 0) that a pod names or that has the least load among those it can run on.
///
/// # Errors
/// Why no node fits, as the scheduler words it.
pub(crate) fn choose(
    tx: &Transaction<'_>,
    pod: &Value,
    load: [usize; plan::NODES as usize],
) -> Result<u16, String> {
    let named = text(pod, "/spec/nodeName");
    if !named.is_empty() {
        return number(named).ok_or_else(|| format!("there is no node {named:?}"));
    }
    (0..plan::NODES)
        .filter(|node| {
            tx.get(Kind::Node, "", plan::NODE_NAMES[usize::from(*node)])
                .is_some_and(|node| fits(pod, &strings(&node.value, "/metadata/labels"), &node.value))
        })
        .min_by_key(|node| load[usize::from(*node)])
        .ok_or_else(|| {
            format!("0/{} nodes are available: no node matches the Pod's node affinity/selector", plan::NODES)
        })
}

/// A node's number by its name.
pub(crate) fn number(name: &str) -> Option<u16> {
    plan::NODE_NAMES.iter().position(|n| *n == name).and_then(|i| u16::try_from(i).ok())
}

fn fits(pod: &Value, labels: &BTreeMap<String, String>, node: &Value) -> bool {
    if node["spec"]["unschedulable"] == json!(true) {
        return false;
    }
    let selected =
        strings(pod, "/spec/nodeSelector").iter().all(|(key, value)| labels.get(key) == Some(value));
    let terms = items(
        pod,
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms",
    );
    selected
        && (terms.is_empty() || terms.iter().any(|term| LabelSelector::from_object(term).matches(labels)))
}
