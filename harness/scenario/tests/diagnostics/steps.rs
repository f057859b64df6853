//! Mistakes in steps, and in the policies that they apply.

use super::*;

#[test]
fn policies() {
    case(
        "policy-typo",
        "            podSelector: {match",
        "            podSelectors: {match",
        &["scenario/unknown-field"],
    );
    case("rule-typo", "            ingress:\n", "            ingres:\n", &["scenario/unknown-field"]);
    case(
        "selector-typo",
        "podSelector: {matchLabels",
        "podSelector: {matchLabel",
        &["scenario/unknown-field"],
    );
    case("policy-port-too-large", "port: 80, endPort: 90", "port: 70000", &["scenario/invalid-port"]);
    case("end-port-before-port", "endPort: 90", "endPort: 79", &["scenario/end-port-before-port"]);
    case(
        "end-port-named",
        "port: 80, endPort: 90",
        "port: http, endPort: 90",
        &["scenario/end-port-with-named-port"],
    );
    case("end-port-alone", "port: 80, endPort: 90", "endPort: 90", &["scenario/end-port-without-port"]);
    case("except-outside", "192.168.1.0/24", "172.16.0.0/16", &["scenario/except-outside-cidr"]);
    case("except-other-family", "192.168.1.0/24", "\"fd00::/64\"", &["scenario/except-outside-cidr"]);
    case("except-equal", "192.168.1.0/24", "192.168.0.0/16", &["scenario/except-equals-cidr"]);
    case("invalid-cidr", "cidr: 192.168.0.0/16", "cidr: 192.168.0/16", &["scenario/invalid-cidr"]);
    case(
        "bare-address",
        "{cidr: 192.168.0.0/16, except: [192.168.1.0/24]}",
        "{cidr: 198.51.100.10}",
        &["scenario/invalid-cidr"],
    );
    case(
        "mapped-cidr",
        "cidr: 192.168.0.0/16, except: [192.168.1.0/24]",
        "cidr: '::ffff:198.51.100.0/120'",
        &["scenario/mapped-cidr"],
    );
    case("host-bits", "cidr: 192.168.0.0/16", "cidr: 192.168.3.4/16", &["scenario/host-bits"]);
    case("leading-zeros", "cidr: 192.168.0.0/16", "cidr: 192.168.000.0/16", &["scenario/leading-zeros"]);
    case(
        "port-name-twice",
        "names: {http: 8080/tcp}}}",
        "names: {http: 8080/tcp}}, sidecar: {tcp: [9090], names: {http: 9090/tcp}}}",
        &["scenario/port-name-twice"],
    );
    case(
        "ip-block-beside-selector",
        "[192.168.1.0/24]}\n",
        "[192.168.1.0/24]}\n                    podSelector: {}\n",
        &["scenario/ip-block-with-selector"],
    );
    case(
        "empty-peer",
        "ipBlock: {cidr: 192.168.0.0/16, except: [192.168.1.0/24]}",
        "podSelector:",
        &["scenario/empty-peer"],
    );
    case("protocol", "protocol: TCP", "protocol: tcp", &["scenario/unknown-protocol"]);
    case("operator", "operator: In,", "operator: Is,", &["scenario/unknown-operator"]);
    case("in-without-values", "operator: In, values: [prod]", "operator: In", &["scenario/selector-values"]);
    case("exists-with-values", "operator: In,", "operator: Exists,", &["scenario/selector-values"]);
    case(
        "policy-type-twice",
        "policyTypes: [Ingress]",
        "policyTypes: [Ingress, Ingress]",
        &["scenario/duplicate-policy-type"],
    );
    case(
        "policy-type-thrice",
        "policyTypes: [Ingress]",
        "policyTypes: [Ingress, Egress, Egress]",
        &["scenario/duplicate-policy-type", "scenario/duplicate-key"],
    );
    case(
        "annotation-key",
        "{name: p, namespace: x}\n",
        "{name: p, namespace: x, annotations: {Example.com/a: b, a b: c}}\n",
        &["scenario/invalid-label"],
    );
    case("policy-type", "policyTypes: [Ingress]", "policyTypes: [ingress]", &["scenario/unknown-word"]);
    case(
        "policy-namespace-unknown",
        "namespace: x}\n",
        "namespace: paymnts}\n",
        &["scenario/unknown-namespace"],
    );
    case(
        "policy-namespace-foreign",
        "namespace: x}\n",
        "namespace: kube-system}\n",
        &["scenario/foreign-namespace"],
    );
    case(
        "policy-namespace-default",
        "namespace: x}\n",
        "namespace: default}\n",
        &["scenario/foreign-namespace"],
    );
    case(
        "policy-namespace-missing",
        "{name: p, namespace: x}\n",
        "{name: p}\n",
        &["scenario/missing-namespace"],
    );
    case(
        "namespace-name-unknown",
        "key: env, operator: In, values: [prod]",
        "key: kubernetes.io/metadata.name, operator: In, values: [payment]",
        &["scenario/unknown-namespace-name"],
    );
    case(
        "server-fields",
        "{name: p, namespace: x}\n",
        "{name: p, namespace: x, creationTimestamp: null, uid: 1}\n",
        &["scenario/ignored-field"],
    );
    case("port-name-unknown", "port: 80, endPort: 90", "port: htpp", &["scenario/unknown-port-name"]);
    case("variable-unknown", "192.168.1.0/24", "\"${pod.x/q.ip}/32\"", &["scenario/unknown-variable"]);
    case("variable-open", "192.168.1.0/24", "\"${pod.x/a.ip/32\"", &["scenario/unknown-variable"]);
    case(
        "unknown-kind",
        "networking.k8s.io/v1\n          kind: NetworkPolicy",
        "cilium.io/v2\n          kind: CiliumNetworkPolicy",
        &["scenario/unknown-kind"],
    );
    case(
        "old-version",
        "networking.k8s.io/v1\n          kind: NetworkPolicy",
        "extensions/v1beta1\n          kind: NetworkPolicy",
        &["scenario/unknown-kind"],
    );
    case(
        "pod-in-apply",
        "networking.k8s.io/v1\n          kind: NetworkPolicy",
        "v1\n          kind: Pod",
        &["scenario/unknown-kind"],
    );
    // What a scenario says that it requires is no permission.
    let applies = |crd: &str, object: &str| {
        GOOD.replace("  clauses: [N10]", &format!("  clauses: [N10]\n  requires: {{crd: {crd}}}"))
            .replace("level: core", "level: extended")
            .replace(
                "    - delete:",
                &format!("      derived: false\n    - apply:\n        - {object}\n      delete:"),
            )
            .replace(
                "      expect:\n        deny: [\"payments/a -> x/a\"]\n      derived: false",
                "      expect: {deny: [\"payments/a -> x/a\"]}",
            )
    };
    whole(
        "built-in-kind",
        &applies(
            "rolebindings.rbac.authorization.k8s.io",
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: r, namespace: x}}",
        ),
        &["scenario/unknown-kind"],
    );
    whole(
        "unlisted-kind",
        &applies(
            "taskruns.tekton.dev",
            "{apiVersion: tekton.dev/v1, kind: TaskRun, metadata: {name: t, namespace: x, finalizers: [a.b/c]}}",
        ),
        &["scenario/unlisted-kind", "scenario/ignored-field"],
    );
    whole(
        "cluster-scoped-with-namespace",
        &applies(
            "ciliumclusterwidenetworkpolicies.cilium.io",
            "{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: c, namespace: x}}",
        ),
        &["scenario/cluster-scoped"],
    );
    whole(
        "namespaced-without-namespace",
        &applies(
            "ciliumnetworkpolicies.cilium.io",
            "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: c}}",
        ),
        &["scenario/missing-namespace"],
    );
    case(
        "deletes-what-is-no-policy",
        "delete: [{kind: NetworkPolicy, namespace: x, name: p}]",
        "delete: [{apiVersion: v1, kind: ConfigMap, namespace: x, name: kube-root-ca.crt}]",
        &["scenario/unknown-kind", "scenario/delete-unknown"],
    );
}

#[test]
fn steps() {
    case("duplicate-step", "    - delete:", "    - name: deny\n      delete:", &["scenario/duplicate-step"]);
    case(
        "delete-unknown",
        "namespace: x, name: p}]",
        "namespace: x, name: q}]",
        &["scenario/delete-unknown"],
    );
    case("label-unknown-pod", "x/a: {app: db}", "x/aa: {app: db}", &["scenario/unknown-pod"]);
    case(
        "label-unknown-namespace",
        "namespaces: {x: {env: null}}",
        "namespaces: {payment: {env: null}}",
        &["scenario/unknown-namespace"],
    );
    case(
        "label-metadata-name",
        "x: {env: null}",
        "x: {kubernetes.io/metadata.name: null}",
        &["scenario/reserved-label"],
    );
    case("pattern-syntax", "payments/a -> x/a\"", "payments/a => x/a\"", &["scenario/invalid-pattern"]);
    case("pattern-port", "x/a:80/tcp", "x/a:70000/tcp", &["scenario/invalid-pattern"]);
    case(
        "pattern-from",
        "[\"payments/a -> x/a\"]",
        "[\"payment/a -> x/a\"]",
        &["scenario/pattern-without-cells"],
    );
    case(
        "pattern-to",
        "[\"payments/a -> x/a\"]",
        "[\"payments/a -> x/q\"]",
        &["scenario/pattern-without-cells"],
    );
    case("pattern-unserved", "x/a:80/tcp", "x/a:443/tcp", &["scenario/pattern-without-cells"]);
    case(
        "pattern-service-path",
        "[\"payments/a -> x/a\"]",
        "[\"payments/a -> x/web\"]",
        &["scenario/pattern-without-cells"],
    );
    case(
        "pattern-service-source",
        "[\"payments/a -> x/a\"]",
        "[\"x/web -> x/a\"]",
        &["scenario/pattern-without-cells"],
    );
    case(
        "pattern-external-service",
        "[\"payments/a -> x/a\"]",
        "[\"external -> x/web via cluster-ip\"]",
        &["scenario/pattern-without-cells"],
    );
    case(
        "contradictory",
        "deny: [\"payments/a -> x/a\"]",
        "deny: [\"payments/a -> x/a\"]\n        allow: [\"*/a -> x/b\", \"* -> x/a\"]",
        &["scenario/contradictory-expectations", "scenario/against-oracle"],
    );
    case(
        "against-oracle",
        "allow: [\"payments/a -> x/a:80/tcp\"]",
        "deny: [\"payments/a -> x/a:80/tcp\"]",
        &["scenario/against-oracle"],
    );
    case(
        "no-expectation",
        "allow: [\"payments/a -> x/a:80/tcp\"]",
        "derived: false",
        &["scenario/no-expectation"],
    );
}
