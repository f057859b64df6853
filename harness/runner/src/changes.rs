//! What a step changes, for the record.

use std::collections::BTreeMap;

use verdikt_model::{Action, ChangeRecord, ObjectRef, PodChange, PolicyObject};

/// A change as the record has it.
pub(crate) fn change(action: &Action) -> ChangeRecord {
    let what = match action {
        Action::Apply(object) => format!("apply {}", named(&object.reference())),
        Action::Delete(object) => format!("delete {}", named(object)),
        Action::LabelPod { namespace, pod, labels } => {
            format!("label pod {namespace}/{pod} {}", words(labels))
        }
        Action::LabelNamespace { namespace, labels } => {
            format!("label namespace {namespace} {}", words(labels))
        }
        Action::Pod { namespace, pod, change } => {
            let word = match change {
                PodChange::Start => "start",
                PodChange::Complete => "complete",
                PodChange::Terminate => "terminate",
                PodChange::Remove => "remove",
            };
            format!("{word} pod {namespace}/{pod}")
        }
    };
    let object = match action {
        Action::Apply(PolicyObject::NetworkPolicy(policy)) => serde_json::to_value(policy).ok(),
        Action::Apply(PolicyObject::Other(value)) => Some(value.clone()),
        _ => None,
    };
    ChangeRecord { what, object }
}

fn named(object: &ObjectRef) -> String {
    let ObjectRef { kind, namespace, name, .. } = object;
    match namespace {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// As `kubectl label` takes them: `role=web`, and `role-` for one that goes.
fn words(labels: &BTreeMap<String, Option<String>>) -> String {
    let word = |(key, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => format!("{key}-"),
    };
    labels.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_as_a_person_would_make_them() {
        let labels = [("role".to_owned(), Some("web".to_owned())), ("old".to_owned(), None)].into();
        let label = Action::LabelPod { namespace: "x".into(), pod: "a".into(), labels };
        assert_eq!(change(&label), ChangeRecord { what: "label pod x/a old- role=web".into(), object: None });
        let policy = serde_json::json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "p", "namespace": "x"}, "spec": {"podSelector": {}},
        });
        let apply =
            Action::Apply(PolicyObject::NetworkPolicy(serde_json::from_value(policy.clone()).unwrap()));
        assert_eq!(
            change(&apply),
            ChangeRecord { what: "apply NetworkPolicy x/p".into(), object: Some(policy) }
        );
    }
}
