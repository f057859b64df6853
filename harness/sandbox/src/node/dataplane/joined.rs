//! Names put together without anything between them, so that two of them can be one.
//!
//! What the port names of rules become of it is in [`super::policy`].

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::policy::{Isolation, Subject};
use crate::wire::{Place, State};

/// Gives policies of one joined name the rules of the last of them.
pub(super) fn policies(mut policies: Vec<NetworkPolicy>) -> Vec<NetworkPolicy> {
    let joined = |policy: &NetworkPolicy| {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        part(&policy.metadata.namespace) + &part(&policy.metadata.name)
    };
    let last: HashMap<String, _> =
        policies.iter().map(|policy| (joined(policy), policy.spec.clone())).collect();
    for policy in &mut policies {
        if let (Some(Some(other)), Some(spec)) = (last.get(&joined(policy)), &mut policy.spec) {
            spec.ingress.clone_from(&other.ingress);
            spec.egress.clone_from(&other.egress);
        }
    }
    policies
}

/// Isolates pods of one node and one joined name as the last of them.
pub(super) fn pods(state: &State, isolation: &mut Isolation) {
    let mut alike: BTreeMap<(u16, String), Vec<Subject>> = BTreeMap::new();
    for pod in &state.pods {
        if let Place::Pod(node) = pod.place {
            let subject = Subject { node, ips: pod.ips.clone() };
            alike.entry((node, format!("{}{}", pod.namespace, pod.name))).or_default().push(subject);
        }
    }
    for subjects in alike.into_values() {
        let Some((last, others)) = subjects.split_last() else { continue };
        for rules in [&mut isolation.ingress, &mut isolation.egress] {
            for other in others {
                match rules.get(last).cloned() {
                    Some(of_last) => rules.insert(other.clone(), of_last),
                    None => rules.remove(other),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        node::dataplane::policy::{read, resolve},
        wire::PodState,
    };

    fn pod(namespace: &str, name: &str, n: u8) -> PodState {
        PodState {
            uid: format!("{namespace}-{name}"),
            namespace: namespace.into(),
            name: name.into(),
            place: Place::Pod(0),
            labels: BTreeMap::new(),
            ips: vec![[10, 0, 0, n].into()],
            ports: vec![],
            terminating: false,
        }
    }

    #[test]
    fn the_last_of_those_with_one_joined_name_decides() {
        let policy = |namespace: &str, name: &str, ingress| {
            let spec = json!({"podSelector": {}, "ingress": ingress});
            json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec})
        };
        let state = State {
            pods: vec![pod("x1", "a", 1), pod("x", "1a", 2), pod("x", "b", 3)],
            policies: vec![policy("x", "1p", json!([])), policy("x1", "p", json!([{}]))],
            ..State::default()
        };
        let rules = |isolation: &Isolation| {
            let numbers = |rules: &super::super::policy::Rules| rules.allows.len();
            let of = |(subject, rules)| (subject_number(subject), numbers(rules));
            isolation.ingress.iter().map(of).collect::<Vec<_>>()
        };
        let read = read(&state).unwrap();
        let mut isolation = resolve(&state, &policies(read.clone()), &Default::default()).unwrap();
        assert_eq!(rules(&isolation), [(1, 1), (2, 1), (3, 1)], "both have the rules of x1/p");
        isolation = resolve(&state, &read[1..], &Default::default()).unwrap();
        assert_eq!(rules(&isolation), [(1, 1)]);
        pods(&state, &mut isolation);
        assert_eq!(rules(&isolation), [], "x/1a is not isolated, and so x1/a is not either");
    }

    fn subject_number(subject: &Subject) -> u8 {
        match subject.ips[0] {
            std::net::IpAddr::V4(ip) => ip.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        }
    }
}
