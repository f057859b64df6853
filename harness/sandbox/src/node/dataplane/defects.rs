//! Policies read wrongly on purpose: what a trait makes of a policy, written as another policy.
//!
//! Everything after this reads policies rightly.

use ipnet::IpNet;
use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{joined, policy::directions};
use crate::{plan, traits::Traits};

/// Label that every namespace has.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// What of these policies is enforced, in a cluster with these namespaces.
pub(super) fn rewrite<'n>(
    policies: Vec<NetworkPolicy>,
    traits: &Traits,
    namespaces: impl Iterator<Item = &'n String> + Clone,
) -> Vec<NetworkPolicy> {
    if *traits == Traits::default() {
        return policies;
    }
    if traits.enforces_nothing {
        return vec![];
    }
    let policies = if traits.joins_names { joined::policies(policies) } else { policies };
    let mut rewritten = vec![];
    for mut policy in policies {
        let namespace = policy.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
        if traits.refuses_port_names && policy.spec.as_ref().is_some_and(has_port_names) {
            continue;
        }
        if let Some(spec) = &mut policy.spec {
            subjects(spec, traits);
            rules(spec, traits, &namespace);
            // Directions come after rules: a rule that matches nothing is still there.
            if !types(spec, traits) {
                continue;
            }
        }
        if traits.subjects_everywhere {
            rewritten.extend(namespaces.clone().map(|other| {
                let mut copy = policy.clone();
                copy.metadata.namespace = Some(other.clone());
                copy
            }));
        } else {
            rewritten.push(policy);
        }
    }
    rewritten
}

fn has_port_names(spec: &NetworkPolicySpec) -> bool {
    let ingress = spec.ingress.iter().flatten().filter_map(|rule| rule.ports.as_ref());
    let egress = spec.egress.iter().flatten().filter_map(|rule| rule.ports.as_ref());
    ingress.chain(egress).flatten().any(is_named)
}

fn is_named(port: &NetworkPolicyPort) -> bool {
    matches!(port.port, Some(IntOrString::String(_)))
}

fn subjects(spec: &mut NetworkPolicySpec, traits: &Traits) {
    if traits.selects_all {
        spec.pod_selector = None;
    }
    if traits.ignores_expressions
        && let Some(selector) = &mut spec.pod_selector
    {
        selector.match_expressions = None;
    }
}

/// Writes the directions out; false when none is left.
fn types(spec: &mut NetworkPolicySpec, traits: &Traits) -> bool {
    let (mut ingress, mut egress) = directions(spec);
    if traits.ignores_policy_types {
        ingress = spec.ingress.as_ref().is_some_and(|rules| !rules.is_empty());
        egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
    }
    if traits.isolates_both {
        (ingress, egress) = (true, true);
    }
    ingress &= !traits.forgets_ingress;
    egress &= !traits.forgets_egress;
    let kinds = [(ingress, "Ingress"), (egress, "Egress")];
    spec.policy_types =
        Some(kinds.iter().filter(|(isolates, _)| *isolates).map(|(_, kind)| (*kind).to_owned()).collect());
    ingress || egress
}

fn rules(spec: &mut NetworkPolicySpec, traits: &Traits, namespace: &str) {
    if traits.refuses_overlapping_blocks && has_overlaps(spec) {
        spec.ingress.iter_mut().flatten().for_each(|rule| rule.from = Some(vec![nobody()]));
        spec.egress.iter_mut().flatten().for_each(|rule| rule.to = Some(vec![nobody()]));
    }
    if traits.first_rule_only {
        spec.ingress.iter_mut().for_each(|rules| rules.truncate(1));
        spec.egress.iter_mut().for_each(|rules| rules.truncate(1));
    }
    for rule in spec.ingress.iter_mut().flatten() {
        sides(&mut rule.from, &mut rule.ports, traits, namespace);
    }
    for rule in spec.egress.iter_mut().flatten() {
        sides(&mut rule.to, &mut rule.ports, traits, namespace);
    }
}

/// Whether blocks of one rule, or exceptions of one rule, lie within one another.
fn has_overlaps(spec: &NetworkPolicySpec) -> bool {
    let ingress = spec.ingress.iter().flatten().filter_map(|rule| rule.from.as_ref());
    let egress = spec.egress.iter().flatten().filter_map(|rule| rule.to.as_ref());
    ingress.chain(egress).any(|peers| {
        let blocks = || peers.iter().filter_map(|peer| peer.ip_block.as_ref());
        let excepts = blocks().flat_map(|block| block.except.iter().flatten());
        overlap(blocks().map(|block| &block.cidr)) || overlap(excepts)
    })
}

fn overlap<'a>(cidrs: impl Iterator<Item = &'a String>) -> bool {
    let mut nets: Vec<IpNet> =
        cidrs.filter_map(|text| text.parse().ok()).map(|net: IpNet| net.trunc()).collect();
    nets.sort_unstable();
    nets.dedup();
    nets.iter().any(|outer| nets.iter().any(|inner| inner != outer && outer.contains(inner)))
}

/// A peer that matches nothing, as every peer does that says nothing.
fn nobody() -> NetworkPolicyPeer {
    NetworkPolicyPeer::default()
}

/// One rule: its peers and its ports.
fn sides(
    peers: &mut Option<Vec<NetworkPolicyPeer>>,
    ports: &mut Option<Vec<NetworkPolicyPort>>,
    traits: &Traits,
    namespace: &str,
) {
    let empty = |peers: &Option<Vec<_>>| peers.as_ref().is_none_or(Vec::is_empty);
    let no_ports = ports.as_ref().is_none_or(Vec::is_empty);
    if traits.empty_is_none && (no_ports || empty(peers)) {
        *peers = Some(vec![nobody()]);
    }
    if let Some(list) = peers {
        join(list, traits);
        *list = std::mem::take(list).into_iter().flat_map(|one| peer(one, traits, namespace)).collect();
    }
    if traits.shares_excepts {
        share_excepts(peers.iter_mut().flatten().filter_map(|peer| peer.ip_block.as_mut()).collect());
    }
    let blocks = |peers: &Vec<NetworkPolicyPeer>| peers.iter().any(|peer| peer.ip_block.is_some());
    if traits.blocks_match_all && peers.as_ref().is_some_and(blocks) {
        *peers = None;
    }
    if traits.ignores_ports {
        *ports = None;
    }
    if let Some(list) = ports {
        let all = list.is_empty();
        *list = std::mem::take(list).into_iter().flat_map(|one| port(one, traits)).collect();
        if traits.ignores_sctp {
            list.retain(|port| port.protocol.as_deref() != Some("SCTP"));
            // A list that has become empty means no port, not all.
            if list.is_empty() && !all {
                *peers = Some(vec![nobody()]);
            }
        }
    }
}

/// Gives each block the exceptions of all. Those that lie outside of it change nothing.
fn share_excepts(blocks: Vec<&mut IPBlock>) {
    let all: Vec<String> = blocks.iter().flat_map(|block| block.except.clone().unwrap_or_default()).collect();
    blocks.into_iter().for_each(|block| block.except = Some(all.clone()));
}

/// Makes one peer of two: every namespaceSelector with every podSelector beside it.
fn join(peers: &mut Vec<NetworkPolicyPeer>, traits: &Traits) {
    if !traits.or_as_and {
        return;
    }
    let namespaces: Vec<LabelSelector> = peers
        .iter()
        .filter(|peer| peer.pod_selector.is_none())
        .filter_map(|p| p.namespace_selector.clone())
        .collect();
    let pods: Vec<LabelSelector> = peers
        .iter()
        .filter(|peer| peer.namespace_selector.is_none())
        .filter_map(|p| p.pod_selector.clone())
        .collect();
    if namespaces.is_empty() || pods.is_empty() {
        return;
    }
    peers.retain(|peer| peer.namespace_selector.is_some() == peer.pod_selector.is_some());
    for namespace in &namespaces {
        peers.extend(pods.iter().map(|pod| NetworkPolicyPeer {
            namespace_selector: Some(namespace.clone()),
            pod_selector: Some(pod.clone()),
            ip_block: None,
        }));
    }
}

fn peer(mut peer: NetworkPolicyPeer, traits: &Traits, namespace: &str) -> Vec<NetworkPolicyPeer> {
    let mut peers = vec![];
    let is_empty = |selector: &Option<LabelSelector>| {
        selector.as_ref().is_some_and(|selector| {
            selector.match_labels.as_ref().is_none_or(|labels| labels.is_empty())
                && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
        })
    };
    if traits.empty_is_none && (is_empty(&peer.pod_selector) || is_empty(&peer.namespace_selector)) {
        return vec![nobody()];
    }
    for selector in [&mut peer.pod_selector, &mut peer.namespace_selector].into_iter().flatten() {
        if traits.ignores_expressions {
            selector.match_expressions = None;
        }
    }
    if traits.admits_hosts && peer.namespace_selector.is_some() {
        peers.extend(outside_of_pods());
    }
    if traits.ignores_namespace_selector && peer.namespace_selector.is_some() {
        peer.namespace_selector = Some(LabelSelector::default());
    }
    if traits.ignores_pod_selector && peer.pod_selector.is_some() {
        peer.pod_selector = Some(LabelSelector::default());
    }
    if traits.crosses_namespaces && peer.pod_selector.is_some() && peer.namespace_selector.is_none() {
        peer.namespace_selector = Some(LabelSelector::default());
    }
    if traits.and_as_or
        && peer.pod_selector.is_some()
        && let Some(selector) = peer.namespace_selector.take()
    {
        peers.push(NetworkPolicyPeer { namespace_selector: Some(selector), ..nobody() });
    }
    if traits.subjects_everywhere && peer.pod_selector.is_some() && peer.namespace_selector.is_none() {
        // The copies of the policy in other namespaces mean the peers of this one.
        let own = [(NAMESPACE_NAME.to_owned(), namespace.to_owned())].into();
        peer.namespace_selector = Some(LabelSelector { match_labels: Some(own), match_expressions: None });
    }
    if traits.ignores_blocks {
        peer.ip_block = None;
    }
    if traits.ignores_except
        && let Some(block) = &mut peer.ip_block
    {
        block.except = None;
    }
    peers.push(peer);
    peers
}

/// Every address but those of pods.
fn outside_of_pods() -> impl Iterator<Item = NetworkPolicyPeer> {
    ["0.0.0.0/0", "::/0"].into_iter().zip(plan::POD_CIDRS).map(|(all, pods)| NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: all.to_owned(), except: Some(vec![pods.to_owned()]) }),
        ..nobody()
    })
}

fn port(mut port: NetworkPolicyPort, traits: &Traits) -> Vec<NetworkPolicyPort> {
    if traits.named_port_opens_all && is_named(&port) {
        port.port = None;
    }
    if traits.ignores_end_port {
        port.end_port = None;
    }
    if traits.ignores_protocol && matches!(port.port, Some(IntOrString::Int(_))) {
        let with = |protocol: &str| NetworkPolicyPort { protocol: Some(protocol.to_owned()), ..port.clone() };
        return ["TCP", "UDP", "SCTP"].map(with).into();
    }
    vec![port]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rewritten(word: &str, ports: &Value) -> Vec<NetworkPolicySpec> {
        let mut traits = Traits::default();
        traits.read(word, None).unwrap().unwrap();
        let policy = json!({"metadata": {"namespace": "x"},
            "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": ports}]}});
        let policies = vec![serde_json::from_value(policy).unwrap()];
        rewrite(policies, &traits, std::iter::empty()).into_iter().filter_map(|policy| policy.spec).collect()
    }

    /// The peers of the only rule, and the numbers of its ports.
    fn rule(spec: &NetworkPolicySpec) -> (Vec<NetworkPolicyPeer>, Vec<IntOrString>) {
        let rule = &spec.ingress.as_ref().unwrap()[0];
        let ports = rule.ports.iter().flatten().filter_map(|port| port.port.clone());
        (rule.from.clone().unwrap(), ports.collect())
    }

    #[test]
    fn rules_for_sctp_open_nothing() {
        let sctp = json!({"protocol": "SCTP", "port": 80});
        let (peers, ports) = rule(&rewritten("ignores-sctp", &json!([sctp, {"port": 81}]))[0]);
        assert_eq!(ports, [IntOrString::Int(81)]);
        assert_ne!(peers, [nobody()]);
        let (peers, _) = rule(&rewritten("ignores-sctp", &json!([sctp]))[0]);
        assert_eq!(peers, [nobody()], "an empty list of ports would be all of them");
        let (peers, _) = rule(&rewritten("ignores-sctp", &json!([]))[0]);
        assert_ne!(peers, [nobody()], "without ports the rule is not for SCTP");
    }

    /// Whether a policy with these blocks, each with its exceptions, opens something.
    fn opens(blocks: &[(&str, &[&str])]) -> bool {
        let traits = Traits { refuses_overlapping_blocks: true, ..Traits::default() };
        let block = |(cidr, except): &(&str, &[&str])| json!({"ipBlock": {"cidr": cidr, "except": except}});
        let peers: Vec<Value> = blocks.iter().map(block).chain([json!({"podSelector": {}})]).collect();
        let policy = json!({"metadata": {"namespace": "x"}, "spec": {"podSelector": {}, "ingress": [{"from": peers}]}});
        let policies = rewrite(vec![serde_json::from_value(policy).unwrap()], &traits, std::iter::empty());
        let spec = policies[0].spec.as_ref().unwrap();
        spec.ingress.as_ref().unwrap()[0].from != Some(vec![nobody()])
    }

    #[test]
    fn blocks_or_exceptions_within_one_another_are_refused() {
        assert!(opens(&[("10.0.0.0/9", &[]), ("10.128.0.0/9", &["10.128.0.0/16"])]), "they only adjoin");
        assert!(opens(&[("10.0.0.0/9", &[]), ("10.0.0.0/9", &[])]), "the same block twice is one element");
        assert!(opens(&[("0.0.0.0/0", &[]), ("fd00::/8", &[])]), "of two families");
        assert!(!opens(&[("0.0.0.0/0", &[]), ("10.0.0.0/8", &[])]));
        assert!(!opens(&[("fd00:1::/32", &[]), ("fd00::/8", &[])]));
        assert!(!opens(&[("10.0.0.0/8", &["10.1.0.0/16", "10.1.1.0/24"])]));
        assert!(!opens(&[("10.0.0.0/9", &["10.1.0.0/16"]), ("10.0.0.0/9", &["10.1.1.0/24"])]));
    }

    #[test]
    fn a_policy_with_a_name_is_refused() {
        assert!(rewritten("refuses-port-names", &json!([{"port": 80}, {"port": "web"}])).is_empty());
        assert_eq!(rewritten("refuses-port-names", &json!([{"port": 80}])).len(), 1);
    }
}
