//! Every mistake has a place, a snippet, a code and advice. One snapshot a mistake.

mod checks;
mod foreign;
mod late;
mod steps;
mod vacuous;

use verdikt_scenario::{Severity, Source, Topologies, parse, render};

/// A good scenario; each case replaces one part of it.
const GOOD: &str = r#"apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata:
  name: area/title
  labels: {feature: test, level: core}
spec:
  summary: One sentence
  clauses: [N10]
  topology:
    namespaces:
      x:
        labels: {env: prod}
        pods:
          a: {labels: {app: web}, serve: {tcp: [80, 8080], names: {http: 8080/tcp}}}
          b: {}
        services:
          web: {selector: {app: web}, ports: [{port: 80, targetPort: http}], via: [cluster-ip, dns]}
      payments:
        pods:
          a: {node: same-as x/a}
    serve: {tcp: [80], udp: [53]}
    endpoints: {external: {}}
  steps:
    - name: deny
      apply:
        - apiVersion: networking.k8s.io/v1
          kind: NetworkPolicy
          metadata: {name: p, namespace: x}
          spec:
            podSelector: {matchLabels: {app: web}}
            policyTypes: [Ingress]
            ingress:
              - from:
                  - ipBlock: {cidr: 192.168.0.0/16, except: [192.168.1.0/24]}
                  - namespaceSelector: {matchExpressions: [{key: env, operator: In, values: [prod]}]}
                ports: [{protocol: TCP, port: 80, endPort: 90}]
      expect:
        deny: ["payments/a -> x/a"]
    - delete: [{kind: NetworkPolicy, namespace: x, name: p}]
      label: {pods: {x/a: {app: db}}, namespaces: {x: {env: null}}}
      expect:
        allow: ["payments/a -> x/a:80/tcp"]
"#;

fn findings(text: &str) -> (usize, Vec<verdikt_scenario::Diagnostic>) {
    let source = Source { name: "bad.yaml".into(), text: text.into() };
    let (scenarios, diagnostics) = parse(&source, &Topologies::builtin());
    (scenarios.len(), diagnostics)
}

#[test]
fn a_good_scenario_has_no_findings() {
    let (scenarios, diagnostics) = findings(GOOD);
    assert_eq!(scenarios, 1);
    assert!(diagnostics.is_empty(), "{}", render(&diagnostics, false, 100));
}

#[test]
fn labels_of_what_is_not_deployed_may_have_any_prefix() {
    let text = GOOD.replace("level: core}", "level: core, verdikt.dev/owner: me}").replace(
        "{name: p, namespace: x}\n          spec",
        "{name: p, namespace: x, labels: {verdikt.dev/owner: me}}\n          spec",
    );
    assert_eq!(text.matches("verdikt.dev/owner").count(), 2);
    let topology = "---\napiVersion: verdikt.dev/v1alpha1\nkind: Topology\n\
                    metadata: {name: own, labels: {verdikt.dev/owner: me}}\n\
                    spec: {namespaces: {x: {pods: {a: {serve: {tcp: [80]}}}}}}\n";
    let (scenarios, diagnostics) = findings(&(text + topology));
    assert!(diagnostics.is_empty(), "{}", render(&diagnostics, false, 100));
    assert_eq!(scenarios, 1);
}

#[test]
fn the_limits_of_a_file_are_told_to_the_end() {
    let (_, diagnostics) = findings(&"---\na: b\n".repeat(1_025));
    let told = diagnostics.iter().find(|d| d.code == "scenario/too-complex").unwrap();
    for limit in ["1024 documents", "500000 nodes", "20000 more from aliases", "48 levels"] {
        assert!(told.message.contains(limit), "no `{limit}` in: {}", told.message);
    }
}

/// A policy with a field that is warned of.
fn warned(n: usize) -> String {
    format!(
        "        - apiVersion: networking.k8s.io/v1\n          kind: NetworkPolicy\n          metadata: {{name: w{n}, \
         namespace: payments, uid: a}}\n          spec: {{podSelector: {{}}}}\n"
    )
}

#[test]
fn however_many_warnings_there_are_they_make_no_error() {
    let many = |count| {
        GOOD.replace(
            "      apply:\n",
            &format!("      apply:\n{}", (0..count).map(warned).collect::<String>()),
        )
    };
    for count in [51, 300] {
        let (scenarios, diagnostics) = findings(&many(count));
        assert_eq!(diagnostics.len(), 51);
        assert!(diagnostics.iter().all(|d| d.severity == Severity::Warning), "{count}");
        assert_eq!(diagnostics[50].code, "scenario/too-many-findings");
        assert_eq!(diagnostics[50].message, format!("{} more findings are not shown", count - 50));
        assert_eq!(scenarios, 1, "{count}");
    }
    // An error behind them is shown.
    let (scenarios, diagnostics) = findings(&many(300).replace("[Ingress]", "[ingress]"));
    let errors: Vec<&str> =
        diagnostics.iter().filter(|d| d.severity == Severity::Error).map(|d| d.code).collect();
    assert_eq!((scenarios, errors), (0, vec!["scenario/unknown-word"]));
}

/// Replaces one part of the good scenario, checks codes and renders.
fn case(name: &str, replace: &str, by: &str, codes: &[&str]) {
    assert_eq!(GOOD.matches(replace).count(), 1, "{name}: the part must be there once");
    whole(name, &GOOD.replace(replace, by), codes);
}

fn whole(name: &str, text: &str, codes: &[&str]) {
    let (scenarios, diagnostics) = findings(text);
    let rendered = render(&diagnostics, false, 100);
    let found: Vec<&str> = diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(found, codes, "{name}\n{rendered}");
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    assert_eq!(scenarios == 0, errors > 0, "{name}: errors keep a scenario out, warnings do not");
    for d in &diagnostics {
        let before = &text[..d.span.start];
        assert_eq!(d.line, before.matches('\n').count() + 1, "{name}");
        assert_eq!(d.column, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1, "{name}");
        assert!(rendered.contains(&format!("bad.yaml:{}:{}", d.line, d.column)), "{name}: {rendered}");
    }
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, rendered);
    });
}

#[test]
fn every_code_is_documented() {
    fn walk(dir: &std::path::Path, codes: &mut std::collections::BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, codes);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let quoted = text.split('"').filter(|part| part.starts_with("scenario/"));
            codes.extend(quoted.map(str::to_owned));
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut codes = std::collections::BTreeSet::new();
    walk(&root.join("src"), &mut codes);
    assert!(codes.len() > 50, "{codes:?}");
    let page = std::fs::read_to_string(root.join("../../docs/scenario-format.md")).unwrap();
    let missing: Vec<_> = codes.iter().filter(|code| !page.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "not in docs/scenario-format.md: {missing:?}");
}

/// Other handlers than the one of `render` find place, snippet and advice too.
#[test]
fn diagnostics_are_miette_diagnostics() {
    let (_, diagnostics) = findings(&GOOD.replace("endPort: 90", "endPort: 79"));
    let mut text = String::new();
    miette::NarratableReportHandler::new().render_report(&mut text, &diagnostics[0]).unwrap();
    for part in ["scenario/end-port-before-port", "bad.yaml", "line 36", "a range goes from"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn structure() {
    case("unknown-field", "  summary: One", "  sumary: One", &["scenario/unknown-field"]);
    case("unknown-field-far", "  clauses: [N10]", "  replicas: 3", &["scenario/unknown-field"]);
    case(
        "duplicate-key",
        "  clauses: [N10]",
        "  clauses: [N10]\n  clauses: [N11]",
        &["scenario/duplicate-key"],
    );
    case("duplicate-label", "{env: prod}", "{env: prod, env: test}", &["scenario/duplicate-key"]);
    case("wrong-type", "steps:\n    - name: deny", "steps:\n    - name: [deny]", &["scenario/wrong-type"]);
    case(
        "wrong-type-list",
        "    - name: deny\n      apply:\n        - api",
        "    - name: deny\n      apply:\n          api",
        &["scenario/wrong-type"],
    );
    case("unquoted-yes", "{env: prod}", "{env: yes}", &["scenario/unquoted-string"]);
    case("unquoted-on-key", "{env: prod}", "{on: prod}", &["scenario/unquoted-string"]);
    case("unquoted-octal", "{env: prod}", "{env: 010}", &["scenario/unquoted-string"]);
    case("unquoted-version", "{env: prod}", "{env: 1.0}", &["scenario/unquoted-string"]);
    case(
        "unquoted-letter",
        "namespace: x}\n          spec",
        "namespace: x, labels: {a: y}}\n          spec",
        &["scenario/ambiguous-string"],
    );
    case(
        "unquoted-bool",
        "    - delete:",
        "    - name: x\n      expect: {derived: yes}\n    - delete:",
        &["scenario/wrong-type"],
    );
    case(
        "empty-namespace-value",
        "metadata: {name: p, namespace: x}",
        "metadata: {name: p, namespace: }",
        &["scenario/missing-namespace"],
    );
    whole(
        "syntax",
        "apiVersion: verdikt.dev/v1alpha1\nkind: Scenario\nmetadata: {name: a\nspec: [\n",
        &["scenario/syntax"],
    );
    whole(
        "tab",
        "apiVersion: verdikt.dev/v1alpha1\nkind: Scenario\nmetadata:\n\tname: a\n",
        &["scenario/syntax"],
    );
}

#[test]
fn documents() {
    whole("empty-file", "", &["scenario/empty"]);
    whole("only-comments", "# nothing\n---\n# here\n", &["scenario/empty"]);
    whole("scalar-document", "hello\n", &["scenario/no-scenario"]);
    whole("no-kind", "apiVersion: verdikt.dev/v1alpha1\n", &["scenario/no-scenario"]);
    whole(
        "foreign-document",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n",
        &["scenario/foreign-document"],
    );
    case("kind-typo", "kind: Scenario", "kind: Scenaro", &["scenario/foreign-document"]);
    case("unknown-version", "verdikt.dev/v1alpha1", "verdikt.dev/v1", &["scenario/unknown-version"]);
    // The first of two scenarios with one name is kept.
    let (scenarios, diagnostics) = findings(&format!(
        "{GOOD}---
{GOOD}"
    ));
    assert_eq!(scenarios, 1);
    assert_eq!(
        diagnostics.iter().map(|d| (d.code, d.line)).collect::<Vec<_>>(),
        [("scenario/duplicate-name", 47)]
    );
    assert!(diagnostics[0].help.as_ref().is_some_and(|help| help.contains("line 4")), "{diagnostics:?}");
}

#[test]
fn metadata() {
    case("bad-scenario-name", "name: area/title", "name: Area/My Title", &["scenario/invalid-name"]);
    case("unknown-level", "level: core", "level: cores", &["scenario/unknown-level"]);
    case(
        "unknown-clause",
        "[N10]",
        "[N10, N44, n3]",
        &["scenario/unknown-clause", "scenario/unknown-clause"],
    );
    case("bad-crd", "  clauses: [N10]", "  requires: {crd: cilium}", &["scenario/invalid-name"]);
}

#[test]
fn topology() {
    case(
        "unknown-topology-field",
        "    serve: {tcp: [80], udp: [53]}",
        "    server: {tcp: [80], udp: [53]}",
        &["scenario/unknown-field"],
    );
    case("port-too-large", "serve: {tcp: [80], udp", "serve: {tcp: [70000], udp", &["scenario/invalid-port"]);
    case("port-octal", "serve: {tcp: [80], udp", "serve: {tcp: [0080], udp", &["scenario/invalid-port"]);
    case(
        "port-name-not-served",
        "http: 8080/tcp",
        "http: 8081/tcp",
        &["scenario/named-port-not-served", "scenario/named-port-not-served"],
    );
    case("target-port-name", "targetPort: http", "targetPort: htp", &["scenario/named-port-not-served"]);
    case("target-port-number", "targetPort: http", "targetPort: 8081", &["scenario/target-port-not-served"]);
    case(
        "service-without-pods",
        "{selector: {app: web}",
        "{selector: {app: wbe}",
        &["scenario/service-without-pods"],
    );
    case("service-path", "via: [cluster-ip, dns]", "via: [cluster-ip, nodeport]", &["scenario/service-path"]);
    case(
        "service-kind",
        "via: [cluster-ip, dns]",
        "headless: true, nodePort: true",
        &["scenario/service-kind"],
    );
    case(
        "service-policy",
        "via: [cluster-ip, dns]",
        "externalTrafficPolicy: Local",
        &["scenario/service-kind"],
    );
    case("pod-name", "          b: {}", "          B_b: {}", &["scenario/invalid-name"]);
    case("service-name", "          web: {sel", "          0web: {sel", &["scenario/invalid-name"]);
    case(
        "reserved-namespace",
        "      payments:\n        pods:\n          a: {node",
        "      node:\n        pods:\n          a: {node",
        &["scenario/invalid-name"],
    );
    case(
        "kube-namespace",
        "      payments:\n        pods:\n          a: {node",
        "      kube-system:\n        pods:\n          a: {node",
        &["scenario/invalid-name"],
    );
    case("placement-unknown", "same-as x/a", "same-as x/c", &["scenario/unknown-pod"]);
    case("placement-words", "same-as x/a", "near x/a", &["scenario/invalid-placement"]);
    case("placement-node", "node: same-as x/a", "node: 3", &["scenario/invalid-placement"]);
    case("unknown-endpoint", "{external: {}}", "{externl: {}}", &["scenario/unknown-endpoint"]);
    case(
        "metadata-name-label",
        "{env: prod}",
        "{kubernetes.io/metadata.name: y1}",
        &["scenario/reserved-label"],
    );
    case("label-key", "{env: prod}", "{-env: prod}", &["scenario/invalid-label"]);
    case("label-reserved", "{env: prod}", "{verdikt.dev/run: mine}", &["scenario/reserved-label"]);
    let selected = "{app: web}}\n            policyTypes";
    case(
        "selector-reserved",
        selected,
        &selected.replace("app: web", "verdikt.dev/lane: a"),
        &["scenario/reserved-label"],
    );
    case("label-value", "{env: prod}", "{env: prod team}", &["scenario/invalid-label"]);
    let head =
        "apiVersion: verdikt.dev/v1alpha1\nkind: Scenario\nmetadata: {name: a/b}\nspec:\n  summary: s\n";
    whole(
        "unknown-topology",
        &format!("{head}  topology: three-by-thre\n  steps: [{{}}]\n"),
        &["scenario/unknown-topology"],
    );
    whole(
        "no-pods",
        &format!("{head}  topology: {{namespaces: {{x: }}}}\n  steps: [{{}}]\n"),
        &["scenario/no-pods"],
    );
    whole("no-steps", &format!("{head}  topology: two-by-two\n  steps: []\n"), &["scenario/no-steps"]);
    whole(
        "no-port",
        &format!(
            "{head}  topology: {{namespaces: {{x: {{pods: {{a: , b: }}}}}}, serve: {{}}}}\n  steps: [{{}}]\n"
        ),
        &["scenario/no-port"],
    );
}

/// Adds to the first step of the good scenario.
fn in_step(name: &str, lines: &str, codes: &[&str]) {
    case(name, "    - name: deny\n", &format!("    - name: deny\n{lines}\n"), codes);
}

#[test]
fn what_a_check_measures() {
    let check = |name: &str, check: &str, codes: &[&str]| {
        in_step(name, &format!("      checks: [{check}]"), codes);
    };
    check("check-of-nothing", "{expect: allow}", &["scenario/missing-field"]);
    check(
        "check-of-two-things",
        "{hold: \"x/b -> x/a\", sample: \"x/b -> x/a\"}",
        &["scenario/invalid-check"],
    );
    check("check-field", "{sample: \"x/b -> x/a\", bytes: 3}", &["scenario/invalid-check"]);
    check("check-pattern", "{hold: \"x/b > x/a\"}", &["scenario/invalid-pattern"]);
    check("check-without-cells", "{hold: \"x/b -> x/c\"}", &["scenario/pattern-without-cells"]);
    check("check-word", "{hold: \"x/b -> x/a\", expect: survive}", &["scenario/unknown-word"]);
    check("check-other-word", "{hold: \"x/b -> x/a\", expect: closed}", &["scenario/unknown-word"]);
    check(
        "closed-before-it-is",
        "{sample: \"x/b -> x/a\", expect: closed}",
        &["scenario/unmeasurable-check"],
    );
    check("check-too-long", "{hold: \"x/b -> x/a\", forMs: 600001}", &["scenario/wrong-type"]);
    check("http-without-expectation", "{http: \"x/b -> x/a\"}", &["scenario/missing-field"]);
    check("http-without-server", "{http: \"x/b -> x/a\", expect: 200}", &["scenario/pattern-without-cells"]);
    check(
        "http-method",
        "{http: \"x/b -> x/a\", expect: 200, method: get, path: public}",
        &["scenario/invalid-check", "scenario/invalid-check"],
    );
}

#[test]
fn pods_that_come_and_go() {
    in_step("start-of-a-pod-that-is-there", "      start: [x/b]", &["scenario/pod-not-there"]);
    in_step("end-of-an-unknown-pod", "      remove: [x/c]", &["scenario/unknown-pod"]);
    in_step("terminating-without-linger", "      terminate: [x/b]", &["scenario/pod-not-there"]);
    in_step("ended-twice", "      complete: [x/b]\n      terminate: [x/b]", &["scenario/pod-not-there"]);
    in_step(
        "label-before-start",
        "      label: {pods: {payments/a: {app: db}}}\n      remove: [payments/a]",
        &["scenario/pod-not-there"],
    );
    in_step("replaced-never", "      replace: {times: 0, objects: []}", &["scenario/wrong-type"]);
    case(
        "address-of-early",
        "          b: {}",
        "          b: {addressOf: x/a}",
        &["scenario/invalid-placement"],
    );
    case(
        "address-of-nobody",
        "          b: {}",
        "          b: {late: true, addressOf: x/c}",
        &["scenario/unknown-pod"],
    );
    case(
        "root-of-its-own-network",
        "          b: {}",
        "          b: {root: true}",
        &["scenario/invalid-placement"],
    );
    case("linger-too-long", "          b: {}", "          b: {linger: 301}", &["scenario/wrong-type"]);
    case("repeat-never", "  clauses: [N10]", "  repeat: 0", &["scenario/wrong-type"]);
    // The label that the last step sets is there when the first one comes again.
    case("second-time", "  clauses: [N10]", "  clauses: [N10]\n  repeat: 2", &["scenario/against-oracle"]);
    case("required-server", "  clauses: [N10]", "  requires: {dns: dns.example}", &["scenario/wrong-type"]);
}

#[test]
fn services_by_other_means() {
    let service = |name: &str, by: &str, codes: &[&str]| {
        let good = "{selector: {app: web}, ports: [{port: 80, targetPort: http}], via: [cluster-ip, dns]}";
        case(name, good, by, codes);
    };
    service(
        "pods-and-selector",
        "{selector: {app: web}, pods: [x/a], ports: [{port: 80}]}",
        &["scenario/service-kind"],
    );
    service("external-name-of-nothing", "{externalName: x/wep}", &["scenario/unknown-endpoint"]);
    service(
        "external-name-with-ports",
        "{externalName: x/web, ports: [{port: 80}]}",
        &["scenario/unknown-endpoint", "scenario/service-kind"],
    );
    service(
        "other-node-port-without-one",
        "{selector: {app: web}, ports: [{port: 80}], via: [other-node-port]}",
        &["scenario/service-path"],
    );
    case(
        "http-and-tcp",
        "serve: {tcp: [80, 8080],",
        "serve: {tcp: [80, 8080], http: [80],",
        &["scenario/duplicate-port"],
    );
}
