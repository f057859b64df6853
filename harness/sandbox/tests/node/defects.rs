//! Traits against real packets: what the reference does, and what the trait makes of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    Test,
    lab::Lab,
    plan,
    traits::Traits,
    wire::{Place, PodState},
};

pub(crate) const TESTS: &[Test] = &[
    ("defects::every_trait_has_a_test", complete),
    ("defects::each_shows_in_one_verdict", verdicts),
    ("defects::services_are_trusted_across_nodes", services),
    ("defects::echo_passes", echo),
    ("defects::only_pods_of_the_same_node_skip_ingress", neighbours),
    ("defects::labels_stay_as_first_seen", relabelling),
    ("defects::policies_stay_as_first_seen", updates),
    ("defects::deleted_policies_stay_in_force", removal),
    ("defects::addresses_keep_labels", stale),
    ("defects::pods_that_end_are_not_isolated", terminating),
];

/// Traits that other tests than [`verdicts`] are about, here, in `service_traits` and in `timing`; the last four are in
/// unit tests and in those of whole runs: one is of the API's part, one needs sockets that not every kernel has, and
/// two are of what is remembered.
const ELSEWHERE: [&str; 18] = [
    "egress-sees-services",
    "node-ports-keep-source",
    "allows-own-service",
    "trusts-node-ports",
    "trusts-services",
    "allows-icmp",
    "ignores-relabelling",
    "ignores-updates",
    "never-removes",
    "stale-addresses",
    "forgets-terminating",
    "policy-delay",
    "start-delay",
    "cuts-established",
    "ignores-port-names-of-sidecars",
    "ignores-sctp",
    "delay-per-policy",
    "mixes-port-names",
];

/// A trait; policies of namespace x; from, to, port, protocol; what the reference does, and what the trait does.
type Case =
    (&'static str, Vec<Value>, (&'static str, &'static str, u16, &'static str), &'static str, &'static str);

fn pod(name: &str) -> Value {
    json!({"matchLabels": {"pod": name}})
}

fn namespace(name: &str) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": name}})
}

/// Pod a receives by these rules only.
fn ingress(rules: Value) -> Value {
    json!({"podSelector": pod("a"), "policyTypes": ["Ingress"], "ingress": rules})
}

fn from(peers: Value) -> Value {
    ingress(json!([{"from": peers}]))
}

fn ports(ports: Value) -> Value {
    ingress(json!([{"ports": ports}]))
}

/// Pods: a and n of namespace x on the first node, b of x on the second, c of y on the first; `one` and `two` are the
/// nodes themselves. The port `web` is 81 on n, and 80 on all others; all have an unnamed port 53.
#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let deny = || ingress(json!([]));
    let b = "10.244.16.1/32";
    let pods = "10.244.0.0/16";
    let excepted = || json!({"ipBlock": {"cidr": pods, "except": [b]}});
    let egress = json!({"podSelector": pod("a"), "policyTypes": ["Egress"]});
    let unlisted = json!({"podSelector": pod("a"), "policyTypes": ["Ingress"], "ingress": [{}],
        "egress": [{"to": [{"podSelector": pod("n")}]}]});
    let only_in = json!({"podSelector": pod("a"), "policyTypes": ["Ingress", "Egress"], "ingress": [{}]});
    let expression = json!({"matchExpressions": [{"key": "pod", "operator": "In", "values": ["b"]}]});
    let by_expression = json!({"podSelector": expression, "policyTypes": ["Ingress"]});
    let to = |rule: Value| json!({"podSelector": pod("a"), "policyTypes": ["Egress"], "egress": [rule]});
    let web = || json!([{"port": "web"}]);
    let everywhere = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": web()}]});
    let two = || json!({"namespaceSelector": namespace("host"), "podSelector": pod("two")});
    // The twelfth port of rule 1, which n does not have, and the second number of rule 11's, which only n has.
    let mut joined = vec![json!({"from": [{"podSelector": pod("a")}]}); 12];
    joined[1] = json!({"from": [{"podSelector": pod("b")}], "ports": vec![json!({"port": "alt"}); 12]});
    joined[11] = json!({"from": [{"podSelector": pod("n")}], "ports": web()});
    vec![
        ("blocks-skip-pods", vec![from(json!([{"ipBlock": {"cidr": "0.0.0.0/0"}}]))], ("b", "a", 80, "tcp"), "allowed", "dropped"),
        ("blocks-skip-pods", vec![to(json!({"to": [{"ipBlock": {"cidr": b}}]}))], ("a", "b", 80, "tcp"), "allowed", "dropped"),
        ("blocks-skip-pods", vec![from(json!([{"ipBlock": {"cidr": "::/0"}}]))], ("b", "a", 80, "tcp6"), "allowed", "dropped"),
        ("blocks-skip-nodes", vec![from(json!([{"ipBlock": {"cidr": "172.30.0.2/32"}}]))], ("two", "a", 80, "tcp"), "allowed", "dropped"),
        ("blocks-skip-nodes", vec![to(json!({"to": [{"ipBlock": {"cidr": "172.30.0.0/24"}}]}))], ("a", "two", 80, "tcp"), "allowed", "dropped"),
        ("selects-host-network", vec![from(json!([two()]))], ("two", "a", 80, "tcp"), "dropped", "allowed"),
        ("selects-host-network", vec![to(json!({"to": [two()]}))], ("a", "two", 80, "tcp6"), "dropped", "allowed"),
        ("refuses-port-names", vec![ports(web())], ("b", "a", 81, "tcp"), "dropped", "allowed"),
        ("merges-port-names", vec![everywhere.clone()], ("b", "a", 81, "tcp"), "dropped", "allowed"),
        ("merges-port-names", vec![everywhere.clone()], ("b", "n", 80, "tcp"), "dropped", "allowed"),
        ("ignores-ambiguous-port-names", vec![to(json!({"to": [{"podSelector": {}}], "ports": web()}))], ("a", "b", 80, "tcp"), "allowed", "dropped"),
        ("ignores-port-names-of-blocks", vec![to(json!({"to": [{"ipBlock": {"cidr": pods}}], "ports": web()}))], ("a", "b", 80, "tcp"), "allowed", "dropped"),
        ("ignores-port-names-without-peers", vec![to(json!({"ports": web()}))], ("a", "b", 80, "tcp"), "allowed", "dropped"),
        ("port-names-of-own-namespace", vec![to(json!({"ports": web()}))], ("a", "c", 80, "tcp"), "allowed", "dropped"),
        ("enforces-nothing", vec![deny()], ("b", "a", 80, "tcp"), "dropped", "allowed"),
        ("rejects", vec![deny()], ("b", "a", 80, "tcp"), "dropped", "rejected"),
        ("rejects", vec![deny()], ("b", "a", 80, "udp"), "dropped", "rejected"),
        ("ignores-except", vec![from(json!([excepted()]))], ("b", "a", 80, "tcp"), "dropped", "allowed"),
        ("except-denies", vec![from(json!([excepted(), {"podSelector": pod("b")}]))], ("b", "a", 80, "tcp"), "allowed", "dropped"),
        ("shares-excepts", vec![from(json!([excepted(), {"ipBlock": {"cidr": b}}]))], ("b", "a", 80, "tcp"), "allowed", "dropped"),
        ("refuses-overlapping-blocks", vec![from(json!([{"ipBlock": {"cidr": "192.0.2.0/24"}}, {"ipBlock": {"cidr": "192.0.2.0/25"}}, {"podSelector": pod("b")}]))], ("b", "a", 80, "tcp"), "allowed", "dropped"),
        ("undefined-port-name-opens-all", vec![ingress(json!([{"from": [{"podSelector": {}}], "ports": [{"port": "none"}]}]))], ("b", "a", 80, "tcp"), "dropped", "allowed"),
        ("undefined-port-name-opens-all", vec![to(json!({"to": [{"podSelector": {}}], "ports": [{"port": "none"}]}))], ("a", "b", 80, "tcp"), "dropped", "allowed"),
        ("shares-port-addresses", vec![everywhere], ("b", "n", 80, "tcp"), "dropped", "allowed"),
        ("shares-port-addresses", vec![to(json!({"to": [{"podSelector": {}}], "ports": web()}))], ("a", "n", 80, "tcp"), "dropped", "allowed"),
        ("joins-names", vec![json!({"podSelector": {}, "ingress": joined})], ("b", "n", 81, "tcp"), "dropped", "allowed"),
        ("ignores-blocks", vec![from(json!([{"ipBlock": {"cidr": pods}}]))], ("b", "a", 80, "tcp"), "allowed", "dropped"),
        ("blocks-match-all", vec![from(json!([{"ipBlock": {"cidr": "11.0.0.0/8"}}]))], ("b", "a", 80, "tcp"), "dropped", "allowed"),
        ("and-as-or", vec![from(json!([{"namespaceSelector": namespace("y"), "podSelector": pod("b")}]))], ("b", "a", 80, "tcp"), "dropped", "allowed"),
        ("and-as-or", vec![from(json!([{"namespaceSelector": namespace("y"), "podSelector": pod("b")}]))], ("c", "a", 80, "tcp"), "dropped", "allowed"),
        ("or-as-and", vec![from(json!([{"namespaceSelector": namespace("x")}, {"podSelector": pod("b")}]))], ("n", "a", 80, "tcp"), "allowed", "dropped"),
        ("ignores-namespace-selector", vec![from(json!([{"namespaceSelector": namespace("y")}]))], ("b", "a", 80, "tcp"), "dropped", "allowed"),
        ("ignores-pod-selector", vec![from(json!([{"podSelector": pod("b")}]))], ("n", "a", 80, "tcp"), "dropped", "allowed"),
        ("ignores-expressions", vec![from(json!([{"podSelector": expression}]))], ("n", "a", 80, "tcp"), "dropped", "allowed"),
        ("ignores-expressions", vec![by_expression], ("b", "a", 80, "tcp"), "allowed", "dropped"),
        ("crosses-namespaces", vec![from(json!([{"podSelector": {}}]))], ("c", "a", 80, "tcp"), "dropped", "allowed"),
        ("admits-hosts", vec![from(json!([{"namespaceSelector": {}}]))], ("external", "a", 80, "tcp"), "dropped", "allowed"),
        ("empty-is-none", vec![from(json!([{"namespaceSelector": {}}]))], ("b", "a", 80, "tcp"), "allowed", "dropped"),
        ("empty-is-none", vec![ingress(json!([{}]))], ("b", "a", 80, "tcp"), "allowed", "dropped"),
        ("selects-all", vec![deny()], ("b", "n", 80, "tcp"), "allowed", "dropped"),
        ("subjects-everywhere", vec![json!({"podSelector": {}})], ("a", "c", 80, "tcp"), "allowed", "dropped"),
        ("named-port-opens-all", vec![ports(json!([{"port": "web"}]))], ("b", "a", 81, "tcp"), "dropped", "allowed"),
        ("ignores-ports", vec![ports(json!([{"port": 80}]))], ("b", "a", 81, "tcp"), "dropped", "allowed"),
        ("ignores-protocol", vec![ports(json!([{"port": 80}]))], ("b", "a", 80, "udp"), "dropped", "allowed"),
        ("ignores-end-port", vec![ports(json!([{"port": 80, "endPort": 81}]))], ("b", "a", 81, "tcp"), "allowed", "dropped"),
        ("first-policy-only", vec![deny(), ingress(json!([{}]))], ("b", "a", 80, "tcp"), "allowed", "dropped"),
        ("first-rule-only", vec![ingress(json!([{"from": [{"podSelector": pod("n")}]}, {}]))], ("b", "a", 80, "tcp"), "allowed", "dropped"),
        ("forgets-egress", vec![egress], ("a", "b", 80, "tcp"), "dropped", "allowed"),
        ("forgets-ingress", vec![deny()], ("b", "a", 80, "tcp"), "dropped", "allowed"),
        ("ignores-policy-types", vec![unlisted], ("a", "b", 80, "tcp"), "allowed", "dropped"),
        ("ignores-policy-types", vec![deny()], ("b", "a", 80, "tcp"), "dropped", "allowed"),
        ("isolates-both", vec![ingress(json!([{}]))], ("a", "b", 80, "tcp"), "allowed", "dropped"),
        ("forgets-tcp", vec![deny()], ("b", "a", 80, "tcp"), "dropped", "allowed"),
        ("forgets-udp", vec![deny()], ("b", "a", 80, "udp"), "dropped", "allowed"),
        ("leaks-ipv6", vec![deny()], ("b", "a", 80, "tcp6"), "dropped", "allowed"),
        ("allows-dns", vec![deny()], ("b", "a", 53, "tcp"), "dropped", "allowed"),
        ("drops-replies", vec![only_in], ("b", "a", 80, "tcp"), "allowed", "dropped"),
        ("polices-to-own-node", vec![json!({"podSelector": pod("a"), "policyTypes": ["Egress"]})], ("a", "one", 80, "tcp"), "allowed", "dropped"),
        ("polices-own-node", vec![deny()], ("one", "a", 80, "tcp"), "allowed", "dropped"),
        ("same-node-skips-ingress", vec![deny()], ("n", "a", 80, "tcp"), "dropped", "allowed"),
    ]
}

fn traits(text: &str) -> Traits {
    format!("reference+{text}").parse::<crate::profile::Profile>().unwrap().traits().clone()
}

fn complete(_: &Runtime) {
    let tested: BTreeSet<&str> = cases().iter().map(|case| case.0).chain(ELSEWHERE).collect();
    let known: BTreeSet<&str> = Traits::ALL.iter().map(|known| known.word).collect();
    assert_eq!(tested, known);
}

fn verdicts(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let mut pods = vec![];
        for (namespace, name, node) in [("x", "a", 0), ("x", "b", 1), ("x", "n", 0), ("y", "c", 0)] {
            pods.push(lab.add(namespace, name, node).await);
        }
        pods.push(lab.add_host("one", Place::Node(0)).await);
        pods.push(lab.add_host("two", Place::Node(1)).await);
        pods.push(lab.add_host("external", Place::External).await);
        let n = lab.state.pods.iter_mut().find(|pod| pod.name == "n").unwrap();
        n.ports = vec![("web".into(), "TCP".into(), 81), (String::new(), "TCP".into(), 53)];
        let find = |name: &str| -> &PodState { pods.iter().find(|pod| pod.name == name).unwrap() };
        let mut wrong = vec![];
        for (word, policies, (from, to, port, protocol), reference, broken) in cases() {
            lab.state.policies.clear();
            for policy in policies {
                lab.policy("x", policy);
            }
            let target = find(to).ips[usize::from(protocol == "tcp6")];
            for (profile, expected) in [(Traits::default(), reference), (traits(word), broken)] {
                let what = if profile == Traits::default() { "without " } else { "" };
                lab.state.traits = profile;
                lab.sync().await;
                let seen = lab.probe(find(from), target, port, &protocol.replace('6', "")).await;
                if seen != expected {
                    wrong.push(format!(
                        "{what}{word}: {from} -> {to}:{port} {protocol} is {seen}, not {expected}"
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        lab.stop().await;
    });
}

fn services(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        let n = lab.add("x", "n", 0).await;
        let external = lab.add_host("external", Place::External).await;
        lab.service("s", 20, (8080, Some(30080)), &[&a]);
        lab.policy("x", ingress(json!([])));
        for (profile, through) in [(Traits::default(), "dropped"), (traits("trusts-services"), "allowed")] {
            lab.state.traits = profile;
            lab.sync().await;
            for v6 in [0, 1] {
                for source in [&b, &n] {
                    let seen = lab.probe(source, plan::service_ips(20)[v6], 8080, "tcp").await;
                    assert_eq!(seen, through, "{} through the cluster IP", source.uid);
                    assert_eq!(lab.probe(source, a.ips[v6], 80, "tcp").await, "dropped", "{}", source.uid);
                }
                // Through the node on which the pod is not.
                let seen = lab.probe(&external, plan::node_ips(1)[v6], 30080, "tcp").await;
                assert_eq!(seen, through, "through the node port");
            }
        }
        lab.stop().await;
    });
}

fn echo(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        lab.sync().await;
        let ping = async |lab: &Lab, ip: std::net::IpAddr| {
            let said = lab.exec(&b, &["verdikt-probe", "test-echo", &ip.to_string()]).await;
            assert_eq!(said.code, Ok(0), "{said:?}");
            said.out.trim().to_owned()
        };
        for ip in &a.ips {
            assert_eq!(ping(&lab, *ip).await, "allowed", "without policies");
        }
        lab.policy("x", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
        for (profile, expected) in [(Traits::default(), "dropped"), (traits("allows-icmp"), "allowed")] {
            lab.state.traits = profile;
            lab.sync().await;
            for ip in &a.ips {
                assert_eq!(ping(&lab, *ip).await, expected);
                assert_eq!(lab.probe(&b, *ip, 80, "tcp").await, "dropped");
            }
        }
        lab.state.traits = Traits::default();
        for (rule, expected) in [(json!({"ports": [{"port": 80}]}), "dropped"), (json!({}), "allowed")] {
            lab.state.policies.clear();
            lab.policy("x", json!({"podSelector": pod("a"), "ingress": [rule]}));
            lab.sync().await;
            for ip in &a.ips {
                assert_eq!(ping(&lab, *ip).await, expected);
                assert_eq!(lab.probe(&b, *ip, 80, "tcp").await, "allowed");
            }
        }
        lab.stop().await;
    });
}

fn neighbours(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let a = lab.add("x", "a", 0).await;
        let n = lab.add("x", "n", 0).await;
        let b = lab.add("x", "b", 1).await;
        lab.state.traits = traits("same-node-skips-ingress");
        lab.policy("x", ingress(json!([])));
        lab.sync().await;
        lab.expect(&n, &a, 80, "allowed").await;
        lab.expect(&b, &a, 80, "dropped").await;
        lab.policy("x", json!({"podSelector": pod("n"), "policyTypes": ["Egress"]}));
        lab.sync().await;
        lab.expect(&n, &a, 80, "dropped").await;
        lab.stop().await;
    });
}

/// Does the same with the reference and with a trait, in a lab each, with pods a and b of namespace x. What it
/// returns must be as expected of each.
async fn both(word: &str, expected: [&str; 2], test: impl AsyncFn(&mut Lab, &PodState, &PodState) -> String) {
    for (profile, expected) in [(Traits::default(), expected[0]), (traits(word), expected[1])] {
        let mut lab = Lab::new().await;
        lab.state.traits = profile.clone();
        let a = lab.add("x", "a", 0).await;
        let b = lab.add("x", "b", 1).await;
        lab.sync().await;
        let seen = test(&mut lab, &a, &b).await;
        assert_eq!(seen, expected, "{:?}", profile.beyond(&Traits::default()));
        lab.stop().await;
    }
}

fn relabelling(runtime: &Runtime) {
    runtime.block_on(both(
        "ignores-relabelling",
        ["allowed allowed", "dropped dropped"],
        async |lab, a, b| {
            let label = json!({"matchLabels": {"new": "yes"}});
            lab.policy("x", from(json!([{"podSelector": label}])));
            lab.sync().await;
            lab.expect(b, a, 80, "dropped").await;
            lab.state.pods[1].labels.insert("new".into(), "yes".into());
            lab.sync().await;
            let pod = lab.probe(b, a.ips[0], 80, "tcp").await;
            lab.state.policies.clear();
            lab.policy("x", from(json!([{"namespaceSelector": label}])));
            lab.state.namespaces.get_mut("x").unwrap().insert("new".into(), "yes".into());
            lab.sync().await;
            format!("{pod} {}", lab.probe(b, a.ips[0], 80, "tcp").await)
        },
    ));
}

fn updates(runtime: &Runtime) {
    runtime.block_on(both("ignores-updates", ["allowed dropped", "dropped dropped"], async |lab, a, b| {
        lab.policy("x", ingress(json!([])));
        lab.sync().await;
        lab.expect(b, a, 80, "dropped").await;
        lab.state.policies.clear();
        lab.policy("x", ingress(json!([{}])));
        lab.sync().await;
        let replaced = lab.probe(b, a.ips[0], 80, "tcp").await;
        // One that is deleted and made anew is another.
        lab.state.policies.clear();
        lab.sync().await;
        lab.expect(b, a, 80, "allowed").await;
        lab.policy("x", ingress(json!([])));
        lab.sync().await;
        format!("{replaced} {}", lab.probe(b, a.ips[0], 80, "tcp").await)
    }));
}

fn removal(runtime: &Runtime) {
    runtime.block_on(both("never-removes", ["allowed", "dropped"], async |lab, a, b| {
        lab.policy("x", ingress(json!([])));
        lab.sync().await;
        lab.expect(b, a, 80, "dropped").await;
        lab.state.policies.clear();
        lab.sync().await;
        lab.probe(b, a.ips[0], 80, "tcp").await
    }));
}

fn stale(runtime: &Runtime) {
    runtime.block_on(both("stale-addresses", ["dropped", "allowed"], async |lab, a, b| {
        lab.policy("x", from(json!([{"podSelector": pod("b")}])));
        lab.sync().await;
        lab.expect(b, a, 80, "allowed").await;
        // b goes, and z gets its address.
        lab.node.delete_pod(&b.uid).await.unwrap();
        lab.state.pods.pop();
        lab.sync().await;
        let mut z = lab.pod("y", "z", 1);
        z.ips.clone_from(&b.ips);
        *lab.state.pods.last_mut().unwrap() = z.clone();
        lab.sync().await;
        lab.start(&z).await;
        lab.probe(&z, a.ips[0], 80, "tcp").await
    }));
}

fn terminating(runtime: &Runtime) {
    runtime.block_on(both("forgets-terminating", ["dropped", "allowed"], async |lab, a, b| {
        lab.policy("x", ingress(json!([])));
        lab.sync().await;
        lab.expect(b, a, 80, "dropped").await;
        lab.state.pods[0].terminating = true;
        lab.sync().await;
        lab.probe(b, a.ips[0], 80, "tcp").await
    }));
}
