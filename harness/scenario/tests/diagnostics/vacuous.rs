//! Policies that decide nothing are told of, and those that decide something are not.

use super::*;

fn codes(text: &str) -> Vec<(&'static str, usize, usize)> {
    let (scenarios, diagnostics) = findings(text);
    assert_eq!(scenarios, 1, "warnings keep no scenario out: {}", render(&diagnostics, false, 100));
    assert!(diagnostics.iter().all(|d| d.severity == Severity::Warning));
    diagnostics.iter().map(|d| (d.code, d.line, d.column)).collect()
}

const HEAD: &str = "apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata: {name: shop/a}
spec:
  summary: A shop
  topology:
    namespaces: {shop: {labels: {team: web}, pods: {db: {labels: {app: db}}, api: {labels: {app: api}}, late: {late: true, labels: {app: late}}}}}
    serve: {tcp: [5432]}
";

/// Steps with one policy, whose spec this is, and what follows it.
fn policy(spec: &str, rest: &str) -> String {
    format!(
        "{HEAD}  steps:
    - name: one
      apply:
        - apiVersion: networking.k8s.io/v1
          kind: NetworkPolicy
          metadata: {{name: p, namespace: shop}}
          spec: {spec}
{rest}"
    )
}

const DB: &str = "podSelector: {matchLabels: {app: db}}";

#[test]
fn labels_misspelt_in_every_selector() {
    let text = policy(
        "
            podSelector: {matchLabels: {app: database}}
            ingress:
              - from: [{podSelector: {matchLabels: {aap: api}}}, {namespaceSelector: {matchLabels: {name: shop}}}]
                ports: [{port: 3306}]",
        "",
    );
    let expected = [
        ("scenario/policy-without-pods", 16, 27),
        ("scenario/peer-without-anybody", 18, 25),
        ("scenario/peer-without-anybody", 18, 67),
        ("scenario/policy-port-not-served", 19, 26),
    ];
    assert_eq!(codes(&text), expected);
    let (_, diagnostics) = findings(&text);
    let help = diagnostics[0].help.clone().unwrap_or_default();
    assert!(help.contains("app=api, app=db"), "{help}");
}

#[test]
fn each_part_that_finds_nobody() {
    let one = |spec: &str, code: &str| {
        let found = codes(&policy(spec, ""));
        assert_eq!(found.iter().map(|(code, ..)| *code).collect::<Vec<_>>(), [code], "{spec}");
    };
    one(
        &format!("{{{DB}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: web}}}}}}]}}]}}"),
        "scenario/peer-without-anybody",
    );
    one(
        &format!("{{{DB}, ingress: [{{from: [{{ipBlock: {{cidr: 10.99.0.0/16}}}}]}}]}}"),
        "scenario/peer-without-anybody",
    );
    one(&format!("{{{DB}, ingress: [{{ports: [{{port: 5433}}]}}]}}"), "scenario/policy-port-not-served");
    one(
        &format!("{{{DB}, ingress: [{{ports: [{{port: 5432, protocol: UDP}}]}}]}}"),
        "scenario/policy-port-not-served",
    );
    one(&format!("{{{DB}, policyTypes: [Ingress], egress: [{{}}]}}"), "scenario/rules-without-type");
    one("{podSelector: {matchLabels: {app: late}}}", "scenario/policy-without-pods");
    // Everybody is allowed already.
    one(&format!("{{{DB}, ingress: [{{}}]}}"), "scenario/step-changes-nothing");
}

#[test]
fn what_comes_later_and_what_is_elsewhere_counts() {
    let none = |spec: &str, rest: &str| assert_eq!(codes(&policy(spec, rest)), [], "{spec}\n{rest}");
    none("{podSelector: {matchLabels: {app: late}}}", "    - start: [shop/late]\n");
    none("{podSelector: {matchLabels: {tier: back}}}", "    - label: {pods: {shop/db: {tier: back}}}\n");
    none(
        &format!("{{{DB}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{name: shop}}}}}}]}}]}}"),
        "    - label: {namespaces: {shop: {name: shop}}}\n",
    );
    // Whoever runs in kube-system is not known here; DNS does, and serves its ports.
    let to = |peer: &str, ports: &str| {
        format!("{{{DB}, policyTypes: [Egress], egress: [{{to: [{peer}], ports: [{ports}]}}]}}")
    };
    none(
        &to(
            "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {component: etcd}}}",
            "{port: 2379}",
        ),
        "",
    );
    none(
        &to(
            "{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}",
            "{port: 53, protocol: UDP}",
        ),
        "",
    );
    // Blocks find pods, nodes and Services.
    for block in ["10.244.0.0/16", "172.30.0.2/32", "10.96.0.0/16", "0.0.0.0/0"] {
        none(&to(&format!("{{ipBlock: {{cidr: {block}}}}}"), "{port: 5432}"), "");
    }
    // And hosts outside, where they take part: which address they will have is not known.
    let text = policy(&to("{ipBlock: {cidr: 192.0.2.0/24}}", "{port: 5432}"), "");
    let listed = text
        .replace("    serve: {tcp: [5432]}\n", "    serve: {tcp: [5432]}\n    endpoints: {external: {}}\n");
    assert_eq!(codes(&listed), []);
    assert_eq!(codes(&text).len(), 1);
}

/// The expectation is not borne out, and why is told beside it.
#[test]
fn a_policy_that_finds_nobody_is_told_beside_what_follows() {
    let text = policy(
        "{podSelector: {matchLabels: {app: dbb}}, policyTypes: [Ingress]}",
        "      expect: {deny: [\"shop/api -> shop/db\"]}\n",
    );
    let (scenarios, diagnostics) = findings(&text);
    let told: Vec<&str> = diagnostics.iter().map(|d| d.code).collect();
    assert_eq!((scenarios, told), (0, vec!["scenario/policy-without-pods", "scenario/against-oracle"]));
}

#[test]
fn a_scenario_can_say_that_it_is_meant() {
    let text = policy(&format!("{{{DB}, ingress: [{{}}]}}"), "");
    let meant = |words: &str| {
        text.replace("  summary: A shop\n", &format!("  summary: A shop\n  meant: [{words}]\n"))
    };
    assert_eq!(codes(&meant("step-changes-nothing")), []);
    let in_vain: Vec<_> = codes(&meant("step-changes-nothing, policy-without-pods"));
    assert_eq!(in_vain, [("scenario/meant-in-vain", 6, 33)]);
    let (scenarios, diagnostics) = findings(&meant("step-changes-everything"));
    assert_eq!((scenarios, diagnostics[0].code), (0, "scenario/unknown-word"));
}
