//! No input makes the reader panic, hang or print control characters.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use verdikt_mutation::{edits, mutate};
use verdikt_scenario::{
    Definitions, Diagnostic, Source, Topologies, catalogue, load, load_against, parse, render, to_yaml,
};

fn read(text: &str) -> String {
    let source = Source { name: "in\u{1b}put.yaml".into(), text: text.into() };
    let (scenarios, diagnostics) = parse(&source, &Topologies::builtin());
    for scenario in &scenarios {
        assert!(!to_yaml(scenario).is_empty());
    }
    assert!(diagnostics.len() <= 51, "findings are bounded");
    for diagnostic in &diagnostics {
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1 && diagnostic.span.end <= text.len());
    }
    told(&diagnostics)
}

/// What a person is told: nothing in it acts on a terminal.
fn told(diagnostics: &[Diagnostic]) -> String {
    let rendered = render(diagnostics, false, 80);
    assert!(!rendered.contains(|c: char| c.is_control() && c != '\n'), "{rendered:?}");
    rendered
}

fn seeds() -> Vec<String> {
    catalogue().scenarios.iter().take(40).map(to_yaml).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text(text in "\\PC{0,200}|[ a-z:{}\\[\\]\\-&*!'\"\n#,|>%@`0-9.]{0,200}") {
        read(&text);
    }

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn mutated_scenarios(seed in any::<prop::sample::Index>(), edits in edits()) {
        thread_local!(static SEEDS: Vec<String> = seeds());
        SEEDS.with(|seeds| {
            let text: &String = seed.get(seeds);
            read(&mutate(text, &edits))
        });
    }

    #[test]
    fn mutated_known_deviations(edits in edits()) {
        let file = |text: &str| {
            let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
            std::fs::write(file.path(), text).unwrap();
            file
        };
        let mutated = file(&mutate(DEVIATIONS, &edits));
        match load(&[mutated.path().to_owned()]) {
            Ok(loaded) => drop(told(&loaded.diagnostics)),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn mutated_definitions(edits in edits()) {
        let folder = tempfile::tempdir().unwrap();
        let [definitions, scenario] = ["crd.yaml", "s.yaml"].map(|name| folder.path().join(name));
        std::fs::write(&definitions, mutate(DEFINITION, &edits)).unwrap();
        std::fs::write(&scenario, APPLIES).unwrap();
        match Definitions::load(&[definitions]) {
            Ok(definitions) => drop(told(&load_against(&[scenario], &definitions).unwrap().diagnostics)),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

const DEVIATIONS: &str = include_str!("../../../reports/known/kube-router.yaml");

const DEFINITION: &str = r#"apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ciliumnetworkpolicies.cilium.io}
spec:
  group: cilium.io
  names: {kind: CiliumNetworkPolicy, plural: ciliumnetworkpolicies}
  scope: Namespaced
  versions:
    - name: v2
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            spec:
              type: object
              minProperties: 1
              properties:
                level: {type: integer, minimum: 1, maximum: 9, default: 3}
                name: {type: string, pattern: "^[a-z]+$", maxLength: 12}
                ports: {type: array, maxItems: 4, x-kubernetes-list-type: set, items: {x-kubernetes-int-or-string: true}}
              oneOf: [{required: [level]}, {required: [name]}]
"#;

const APPLIES: &str = r#"apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata: {name: area/title, labels: {level: extended}}
spec:
  summary: One sentence
  requires: {crd: ciliumnetworkpolicies.cilium.io}
  topology: {namespaces: {x: {pods: {a: {serve: {tcp: [80]}}}}}}
  steps:
    - expect: {derived: false, allow: ["x/a -> x/a"]}
      apply:
        - apiVersion: cilium.io/v2
          kind: CiliumNetworkPolicy
          metadata: {name: p, namespace: x}
          spec: {name: web, ports: [80, http]}
"#;

/// Input made to be slow or large: each must be answered in seconds, even unoptimised.
#[test]
fn hostile_input_is_answered_soon() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..30 {
        let references = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{references}]\n"));
    }
    let merges: String =
        (0..2000).map(|i| format!("a{i}: &a{i}\n  <<: *a{}\n  k{i}: v\n", i.max(1) - 1)).collect();
    let unknown: String = (0..100_000).map(|i| format!("field{i}: 1\n")).collect();
    let head = "apiVersion: verdikt.dev/v1alpha1\nkind: Scenario\n";
    let tail = "  steps: [{}]\n";
    let spec = format!("{head}metadata: {{name: a/b}}\nspec:\n  summary: s\n  topology:\n    namespaces:\n");
    let pods = |count: usize, pod: &str| -> String {
        let pods: String = (0..count).map(|i| format!("          p{i}: {{{pod}}}\n")).collect();
        format!("{spec}      x:\n        pods:\n{pods}{tail}")
    };
    let ports: String = (1..40_000).map(|i| format!("{{port: {i}}}, ")).collect();
    let many_steps = "    - {expect: {allow: [\"* -> *\"]}}\n".repeat(50_000);
    for (name, text, code) in [
        ("many pods", pods(3_500, ""), "scenario/too-large-to-check"),
        ("too many pods", pods(20_000, ""), "scenario/too-many-endpoints"),
        ("many wrong placements", pods(3_500, "node: same-as x/q"), "scenario/unknown-pod"),
        (
            "many service ports",
            format!(
                "{spec}      x:\n        pods: {{a: }}\n        services: {{s: {{ports: [{ports}]}}}}\n{tail}"
            ),
            "scenario/too-many-endpoints",
        ),
        (
            "many steps",
            format!(
                "{spec}      x: {{pods: {{a: , b: , c: , d: , e: , f: , g: , h: }}}}\n  steps:\n{many_steps}"
            ),
            "scenario/too-large-to-check",
        ),
        ("alias bomb", bomb, "scenario/too-complex"),
        ("merge chain", merges, "scenario/"),
        ("deep flow", "[".repeat(100_000), "scenario/"),
        ("deep block", (0..5000).map(|i| format!("{}- \n", " ".repeat(i))).collect(), "scenario/"),
        ("8 MiB and a byte", "#".repeat(8 * 1024 * 1024 + 1), "scenario/too-large"),
        ("one long line", format!("{head}metadata: {{name: {}}}\n", "x".repeat(4_000_000)), "scenario/"),
        ("one long comment", format!("{}\n", "#".repeat(8_000_000)), "scenario/empty"),
        ("many unknown fields", format!("{head}{unknown}"), "scenario/too-many-findings"),
        ("many documents", "---\na: b\n".repeat(5000), "scenario/"),
    ] {
        let start = Instant::now();
        let rendered = read(&text);
        let took = start.elapsed();
        assert!(rendered.contains(code), "{name}: {}", &rendered[..rendered.len().min(2000)]);
        assert!(took < Duration::from_secs(20), "{name} took {took:?}");
        assert!(rendered.len() < 200_000, "{name}: the answer has {} bytes", rendered.len());
        println!("{name}: {took:?}");
    }
}
