//! What is not verdikt's is called what it is, and the advice fits it.

use super::*;

#[test]
fn foreign_files_are_called_what_they_are() {
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p";
    for (text, what, advice) in [
        (format!("{policy}}}\nspec:\n  {{{{- with .Values.extra }}}}\n  x\n  {{{{- end }}}}\n"), "a template", "helm template"),
        (format!("{policy}, namespace: {{{{ .Release.Namespace }}}}}}\n"), "a template", "helm template"),
        (format!("{policy}, namespace: '{{{{ .Release.Namespace }}}}'}}\n"), "a template", "helm template"),
        (format!("{policy}}}\n"), "a `NetworkPolicy`", "spec.steps[0].apply"),
        (
            "apiVersion: v1\nkind: List\nitems: [{kind: NetworkPolicy}, {kind: NetworkPolicy}, {kind: Pod}]\n".into(),
            "a `List` of 2 NetworkPolicy, 1 Pod",
            "one by one",
        ),
        ("{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": []}\n".into(), "a `List` of nothing", "one by one"),
        ("apiVersion: apps/v1\nkind: Deployment\n".into(), "a `Deployment`", "spec.topology"),
        ("apiVersion: v1\nkind: ConfigMap\n".into(), "a `ConfigMap`", "leave it out"),
        ("apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n".into(), "a `CiliumNetworkPolicy`", "spec.requires.crd"),
        ("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n".into(), "a `CustomResourceDefinition`", "--crds"),
        ("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n".into(), "a kustomization", "kubectl kustomize"),
        ("resources: [a.yaml, b.yaml]\n".into(), "a kustomization", "kubectl kustomize"),
        ("replicaCount: 1\nresources: {limits: {cpu: 1}}\n".into(), "the values of a chart", "helm template"),
        ("apiVersion: v2\nname: shop\nversion: 1.0.0\n".into(), "Chart.yaml", "helm template"),
        ("apiVersion: v1\nkind: Config\nclusters: []\n".into(), "a kubeconfig", "--kubeconfig"),
        ("{\"schema\": \"verdikt.dev/record/v1\", \"run\": {}}\n".into(), "the record of a run", "verdikt report"),
        ("{\"$schema\": \"https://json-schema.org/\", \"title\": \"x\"}\n".into(), "a JSON Schema", "scenario file"),
        ("{\"a\": 1}\n{\"b\": 2}\n".into(), "JSON with a document a line", "-o jsonl"),
        ("<?xml version=\"1.0\"?>\n<testsuites/>\n".into(), "XML or HTML", "verdikt report"),
        ("[1, 2]\n".into(), "a list", "kind: Scenario"),
        ("hello\n".into(), "a single value", "kind: Scenario"),
        ("metadata: {name: a/b}\nspec: {}\n".into(), "a document without `kind`", "kind: Scenario"),
        ("apiVersion: v1\nkind: x\nmetadata:\n\tname: a\n".into(), "not YAML", "indented with a tab"),
        ("apiVersion: v1\nkind: [x\n".into(), "not YAML", "an unclosed quote or bracket"),
    ] {
        let (_, diagnostics) = findings(&text);
        let [found] = diagnostics.as_slice() else { panic!("{text}: {diagnostics:?}") };
        let help = found.help.clone().unwrap_or_default();
        let shown = format!("{}\n{help}", found.message);
        assert!(found.message.contains(what) || help.contains(what), "no `{what}` in:\n{shown}");
        assert!(shown.contains(advice), "no `{advice}` in:\n{shown}");
        if what != "not YAML" {
            assert!(!shown.contains("tab"), "{shown}");
        }
    }
}

/// A flow mapping that ends in `}}` is no template.
#[test]
fn a_scenario_with_a_mistake_is_not_a_template() {
    let (_, diagnostics) = findings(&GOOD.replace("spec:\n  summary", "spec:\n  a: [\n  summary"));
    assert!(diagnostics[0].message.contains("not YAML"), "{diagnostics:?}");
}
