//! Objects of other kinds against definitions: each class of mistake has its place and its words.

use std::{fs, path::PathBuf};

use verdikt_scenario::{
    Definitions, DefinitionsError, Diagnostic, Loaded, Severity, load, load_against, render,
};

const DEFINITION: &str = r#"apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            apiVersion: {type: string}
            kind: {type: string}
            metadata: {type: object, properties: {name: {type: string, maxLength: 12}}}
            spec:
              type: object
              required: [action, mode]
              properties:
                action: {type: string, enum: [Allow, Deny]}
                mode: {type: string, default: plain}
                priority: {type: integer, format: int32, minimum: 0, maximum: 1000}
                weight: {type: number, exclusiveMaximum: true, maximum: 1}
                port: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}
                network: {type: string, format: cidr}
                networks:
                  type: array
                  maxItems: 2
                  x-kubernetes-list-type: set
                  items: {type: string, pattern: '^[0-9.]+/[0-9]{1,2}$', maxLength: 18}
                labels: {type: object, additionalProperties: {type: string}}
                free: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {known: {type: boolean}}}
                comment: {type: string, nullable: true}
                peers:
                  type: array
                  minItems: 1
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [name]
                  items:
                    type: object
                    maxProperties: 2
                    properties: {name: {type: string, minLength: 2}, pods: {type: string}, nodes: {type: string}}
                    oneOf: [{required: [pods]}, {required: [nodes]}]
                when:
                  type: object
                  properties: {from: {type: string}, until: {type: string}, never: {type: boolean}}
                  anyOf: [{required: [from], properties: {from: {pattern: '^[0-9]+$'}}}, {required: [until]}]
                  not: {required: [never]}
    - name: v0
      served: false
      storage: false
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: passed-over}
---
apiVersion: v1
kind: List
items:
  - apiVersion: apiextensions.k8s.io/v1
    kind: CustomResourceDefinition
    metadata: {name: gadgets.example.com}
    spec:
      group: example.com
      names: {kind: Gadget, plural: gadgets}
      scope: Cluster
      versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"#;

const HEAD: &str = r#"apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata: {name: area/title, labels: {level: extended}}
spec:
  summary: One sentence
  requires: {crd: [widgets.example.com, gadgets.example.com]}
  topology: {namespaces: {x: {pods: {a: {serve: {tcp: [80]}}}}}}
  steps:
    - expect: {derived: false, allow: ["x/a -> x/a"]}
      apply:
"#;

/// A folder with the definitions and a scenario that applies one object, which starts in line 11.
fn folder(object: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (definitions, scenario) = (dir.path().join("crd.yaml"), dir.path().join("s.yaml"));
    fs::write(&definitions, DEFINITION).unwrap();
    fs::write(&scenario, format!("{HEAD}{object}")).unwrap();
    (dir, definitions, scenario)
}

/// What is found about an object, besides that the kinds here are no policies.
fn lint(object: &str) -> Loaded {
    let (_dir, definitions, scenario) = folder(object);
    let mut loaded = load_against(&[scenario], &Definitions::load(&[definitions]).unwrap()).unwrap();
    loaded.diagnostics.retain(|diagnostic| diagnostic.code != "scenario/unlisted-kind");
    loaded
}

fn widget(spec: &str) -> String {
    format!(
        "        - apiVersion: example.com/v1\n          kind: Widget\n          \
         metadata: {{name: w, namespace: x}}\n          spec: {spec}\n"
    )
}

fn shown(diagnostics: &[Diagnostic]) -> String {
    render(diagnostics, false, 120)
}

#[track_caller]
fn good(spec: &str) {
    let loaded = lint(&widget(spec));
    assert!(loaded.diagnostics.is_empty(), "{spec}\n{}", shown(&loaded.diagnostics));
    assert_eq!(loaded.scenarios.len(), 1);
}

/// One mistake, at a text of the spec, in these words.
#[track_caller]
fn bad(spec: &str, at: &str, words: &[&str]) {
    let object = widget(spec);
    let loaded = lint(&object);
    let text = shown(&loaded.diagnostics);
    let [only] = loaded.diagnostics.as_slice() else { panic!("not one finding: {spec}\n{text}") };
    assert_eq!((only.code, only.severity), ("scenario/against-crd", Severity::Error), "{text}");
    let whole = format!("{HEAD}{object}");
    assert!(whole[only.span.start..].starts_with(at), "not at `{at}`:\n{text}");
    for word in words {
        assert!(text.contains(word), "no `{word}` in:\n{text}");
    }
    assert!(loaded.scenarios.is_empty(), "{text}");
}

#[test]
fn what_the_definition_admits_is_good() {
    good("{action: Allow}");
    good("{action: Deny, priority: 1000, weight: 0.5, network: 10.0.0.0/8, comment: null, mode: null}");
    good("{action: Deny, port: 80}");
    good("{action: Deny, port: web, labels: {any: thing}, free: {known: true, other: {deep: [1]}}}");
    good("{action: Deny, peers: [{name: aa, pods: p}, {name: bb, nodes: m}], when: {until: noon}}");
}

#[test]
fn variables_stand_for_what_they_become() {
    good(r#"{action: Allow, network: "${pod.x/a.ip}/32", networks: ["${pod.x/a.ip}/32"]}"#);
    bad(r#"{action: Allow, network: "${pod.x/a.ip}"}"#, "\"${pod", &["spec.network", "is no cidr"]);
    bad(
        r#"{action: Allow, networks: ["${pod.x/a.ipv6}/64"]}"#,
        "\"${pod",
        &["spec.networks[0]", "does not match"],
    );
}

#[test]
fn unknown_fields_are_found_where_they_stand() {
    bad(
        "{action: Allow, prioritty: 1}",
        "prioritty",
        &["spec.prioritty: there is no field", "did you mean `priority`?"],
    );
    bad(
        "{action: Allow, peers: [{name: aa, pods: p}, {name: bb, nodes: m}], whenn: {}}",
        "whenn",
        &["did you mean `when`?"],
    );
    bad(
        "{action: Allow, free: {known: 1}}",
        "1}",
        &["spec.free.known: expected true or false, found a number"],
    );
}

#[test]
fn types_and_words() {
    bad("{action: 1}", "1}", &["expected a string, found a number"]);
    bad("{action: Alow}", "Alow", &["spec.action", "did you mean `Allow`?"]);
    bad("{action: Allow, port: [80]}", "80]", &["expected an integer or a string, found a list"]);
    bad("{action: Allow, port: true}", "true", &["expected an integer or a string"]);
    bad("{action: Allow, labels: {a: 1}}", "1}", &["spec.labels.a: expected a string"]);
    bad("{action: null}", "null", &["null is no value here"]);
    bad("[]", "[]", &["spec: expected a mapping, found a list"]);
}

#[test]
fn sizes() {
    bad("{action: Allow, priority: 1001}", "1001", &["too large: at most 1000"]);
    bad("{action: Allow, priority: -1}", "-1", &["too small: at least 0"]);
    bad("{action: Allow, priority: 1.5}", "1.5", &["expected an integer"]);
    bad("{action: Allow, weight: 1}", "1}", &["less than 1"]);
    bad("{action: Allow, peers: []}", "[]", &["too few items: at least 1"]);
    bad("{action: Allow, networks: [1.1.1.1/1, 1.1.1.1/2, 1.1.1.1/3]}", "1.1.1.1/1", &["at most 2, found 3"]);
    bad("{action: Allow, networks: [1.1.1.1/1, 1.1.1.1/1]}", "1.1.1.1/1]", &["there already, at place 0"]);
    bad("{action: Allow, networks: [100.100.100.1000/10]}", "100.", &["at most 18 characters, not 19"]);
    bad("{action: Allow, peers: [{name: a, pods: p}]}", "a,", &["at least 2 characters"]);
    bad(
        "{action: Allow, peers: [{name: aa, pods: p}, {name: aa, nodes: m}]}",
        "name: aa, nodes",
        &["spec.peers[1]: the item is there already", "items differ in name"],
    );
}

#[test]
fn fields_that_must_and_must_not_stand_together() {
    bad("{priority: 1}", "priority", &["the field `action` is missing"]);
    bad("{action: Allow, peers: [{name: aa}]}", "name", &["one of the fields pods, nodes must be there"]);
    bad(
        "{action: Allow, peers: [{pods: p, nodes: m}]}",
        "pods",
        &["only one of the fields pods, nodes may be there"],
    );
    bad(
        "{action: Allow, when: {from: noon}}",
        "from",
        &["fits none of the 2 forms", "form 1: spec.when.from"],
    );
    bad("{action: Allow, when: {until: noon, never: true}}", "until", &["excludes these fields here: never"]);
}

#[test]
fn metadata_is_the_same_for_every_kind() {
    for (metadata, word) in [
        ("{name: w, namespace: x, label: {a: b}}", "there is no field `label`"),
        ("{name: w, namespace: x, labels: {a: 1}}", "metadata.labels.a: expected a string"),
        ("{name: a-name-of-14-c, namespace: x}", "at most 12 characters"),
    ] {
        let object = widget("{action: Allow}").replace("{name: w, namespace: x}", metadata);
        let loaded = lint(&object);
        assert_eq!(loaded.diagnostics.len(), 1, "{}", shown(&loaded.diagnostics));
        assert!(loaded.diagnostics[0].message.contains(word), "{}", shown(&loaded.diagnostics));
    }
}

#[test]
fn scope_version_and_requirement() {
    let widget = widget("{action: Allow}");
    let gadget = "        - {apiVersion: example.com/v1, kind: Gadget, metadata: {name: g, namespace: x}}\n";
    for (object, words) in [
        (widget.replace(", namespace: x", ""), "a Widget needs a namespace"),
        (gadget.to_owned(), "a Gadget has no namespace"),
        (
            widget.replace("example.com/v1", "example.com/v2"),
            "version `v2` of `widgets.example.com` is not defined",
        ),
        (widget.replace("example.com/v1", "example.com/v0"), "is no longer served"),
    ] {
        let loaded = lint(&object);
        let errors: Vec<&Diagnostic> =
            loaded.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
        assert_eq!(errors.len(), 1, "{}", shown(&loaded.diagnostics));
        assert_eq!(errors[0].code, "scenario/against-crd");
        assert!(errors[0].message.contains(words), "{}", errors[0].message);
    }
    let (_dir, definitions, scenario) = folder(&widget);
    let text = fs::read_to_string(&scenario).unwrap().replace("[widgets.example.com, ", "[");
    fs::write(&scenario, text).unwrap();
    let loaded = load_against(&[scenario], &Definitions::load(&[definitions]).unwrap()).unwrap();
    assert!(
        loaded.diagnostics.iter().any(|found| found.message.contains("which the scenario does not require")),
        "{:?}",
        loaded.diagnostics
    );
}

#[test]
fn a_kind_that_was_not_given_is_a_warning_with_definitions_only() {
    let object = widget("{action: Nonsense}").replace("Widget", "Widgit");
    let loaded = lint(&object);
    let [only] = loaded.diagnostics.as_slice() else { panic!("{}", shown(&loaded.diagnostics)) };
    assert_eq!((only.code, only.severity, only.line), ("scenario/crd-not-given", Severity::Warning, 12));
    assert!(only.help.as_ref().is_some_and(|help| help.contains("did you mean `Widget`?")), "{only:?}");
    assert_eq!(loaded.scenarios.len(), 1);
    let (_dir, _, scenario) = folder(&object);
    let codes: Vec<&str> = load(&[scenario]).unwrap().diagnostics.iter().map(|found| found.code).collect();
    assert_eq!(codes, ["scenario/unlisted-kind"]);
}

#[test]
fn definitions_that_cannot_be_used_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let good = file("good.yaml", DEFINITION);
    let error = |paths: &[PathBuf]| Definitions::load(paths).unwrap_err();
    let none = file("none.yaml", "kind: ConfigMap\n");
    assert!(matches!(error(&[good.clone(), none]), DefinitionsError::None { .. }));
    let syntax = error(&[file("syntax.yaml", "a: [\n")]);
    assert!(
        matches!(syntax, DefinitionsError::Syntax { .. }) && syntax.to_string().contains("syntax.yaml:"),
        "{syntax}"
    );
    let scope = error(&[file("scope.yaml", &DEFINITION.replace("scope: Cluster", "scope: World"))]);
    assert!(scope.to_string().contains("gadgets.example.com cannot be read: `World` is no scope"), "{scope}");
    let kind = error(&[file("type.yaml", &DEFINITION.replace("type: number", "type: Number"))]);
    assert!(matches!(kind, DefinitionsError::Malformed { .. }), "{kind}");
    let other = file("other.yaml", &DEFINITION.replace("maximum: 1000", "maximum: 99"));
    let twice = error(&[good.clone(), other]).to_string();
    assert!(twice.contains("widgets.example.com") && twice.contains("other.yaml"), "{twice}");
    // The same twice is no contradiction.
    Definitions::load(&[good, file("same.yaml", DEFINITION)]).unwrap();
    assert!(matches!(error(&[dir.path().join("nothing")]), DefinitionsError::Unreadable(_)));
}
