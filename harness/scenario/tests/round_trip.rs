//! A scenario written as a file reads back as the same scenario, and the file satisfies the published schema.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use proptest::prelude::*;
use verdikt_model::{
    Action, CellPattern, Check, CheckExpect, CheckKind, Differs, EndpointName, Expect, ExpectRule,
    Expectation, ExtraEndpoint, Level, NamespaceSpec, ObjectRef, Placement, PodChange, PodSpec, PolicyObject,
    PortProtocol, Protocol, Requirement, Scenario, Serve, ServiceKind, ServicePortSpec, ServiceSpec, Step,
    TargetPort, Topology, Via,
};
use verdikt_scenario::{Severity, Source, Topologies, catalogue, parse, render, scenario_schema, to_yaml};

fn back(scenario: &Scenario) -> Scenario {
    let text = to_yaml(scenario);
    let source = Source { name: scenario.source.clone(), text };
    let (mut read, diagnostics) = parse(&source, &Topologies::default());
    let errors: Vec<_> = diagnostics.into_iter().filter(|d| d.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{}\n{}", render(&errors, false, 100), source.text);
    assert_eq!(read.len(), 1, "{}", source.text);
    read.remove(0)
}

#[test]
fn the_catalogue_survives() {
    let loaded = catalogue();
    assert!(!loaded.scenarios.is_empty());
    for scenario in loaded.scenarios {
        assert_eq!(back(&scenario), scenario, "{}", to_yaml(&scenario));
    }
}

/// Label values that readers of YAML take for something else when they are not quoted.
fn value() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "",
        "yes",
        "no",
        "on",
        "y",
        "N",
        "true",
        "null",
        "010",
        "0x1f",
        "1_000",
        "1.0",
        "1e3",
        "12",
        "2026-01-01",
        "a",
        "web",
        "v1.2-x_y",
        "0b1",
        "0o7",
        "00",
    ];
    prop::sample::select(WORDS).prop_map(str::to_owned)
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    const KEYS: &[&str] = &["app", "role", "on", "y", "1", "true", "example.com/env", "010", "null"];
    prop::collection::btree_map(prop::sample::select(KEYS).prop_map(str::to_owned), value(), 0..3)
}

fn serve() -> impl Strategy<Value = Serve> {
    let port = (1_u16.., prop::sample::select(&Protocol::OF_POLICIES[..]))
        .prop_map(|(port, protocol)| PortProtocol { port, protocol });
    let flags = any::<[bool; 3]>();
    (prop::collection::btree_set(port, 1..4), flags).prop_map(|(mut ports, [named, icmp, http])| {
        let names = ports.iter().take(usize::from(named)).map(|port| ("web-1".to_owned(), *port)).collect();
        let taken = ports.contains(&PortProtocol { port: 8081, protocol: Protocol::Tcp });
        if icmp {
            ports.insert(PortProtocol::ICMP);
        }
        Serve { ports, names, http: (http && !taken).then_some(8081).into_iter().collect() }
    })
}

/// A pod that a step starts, with everything that only such a pod can say.
fn late() -> PodSpec {
    let sidecar = PortProtocol { port: 9090, protocol: Protocol::Tcp };
    PodSpec {
        serve: Serve { http: [8081].into(), ..Serve::default() },
        late: true,
        linger_s: 3,
        sidecar: Serve {
            ports: [sidecar].into(),
            names: [("side".to_owned(), sidecar)].into(),
            ..Serve::default()
        },
        ..PodSpec::default()
    }
}

/// A Service of each kind in a namespace that has a pod `a`.
fn services(namespace: &str, selector: &BTreeMap<String, String>) -> BTreeMap<String, ServiceSpec> {
    let port = PortProtocol { port: 80, protocol: Protocol::Tcp };
    let ports = vec![ServicePortSpec { port, target: TargetPort::Number(8080) }];
    let of = |kind, via: &[Via]| ServiceSpec {
        selector: selector.clone(),
        pods: Vec::new(),
        alias: None,
        ports: ports.clone(),
        kind,
        via: via.iter().copied().collect(),
    };
    let slice = of(ServiceKind::ClusterIp, &[Via::ClusterIp]);
    let name = of(ServiceKind::ExternalName, &[Via::Dns]);
    [
        ("web", of(ServiceKind::ClusterIp, &[Via::Dns])),
        ("headless", of(ServiceKind::Headless, &[Via::Headless])),
        ("node-port", of(ServiceKind::NodePort { local: true }, &[Via::NodePort, Via::OtherNodePort])),
        (
            "slice",
            ServiceSpec { selector: BTreeMap::new(), pods: vec![EndpointName::pod(namespace, "a")], ..slice },
        ),
        (
            "name",
            ServiceSpec {
                selector: BTreeMap::new(),
                alias: Some(EndpointName::service(namespace, "web")),
                ..name
            },
        ),
    ]
    .map(|(name, spec)| (name.to_owned(), spec))
    .into()
}

fn topology() -> impl Strategy<Value = Topology> {
    let pod = (labels(), serve(), any::<bool>(), 0_u8..3);
    let namespace = (labels(), prop::collection::vec(pod, 1..4), any::<bool>());
    (prop::collection::vec(namespace, 1..4), any::<[bool; 4]>(), serve()).prop_map(
        |(specs, extra, listens)| {
            let mut topology = Topology::default();
            for (name, (labels, pods, service)) in ["x", "y", "default"].iter().zip(specs) {
                let mut spec = NamespaceSpec { labels, ..NamespaceSpec::default() };
                for (pod, (labels, serve, host_network, place)) in ["a", "no", "0"].iter().zip(pods) {
                    let placement = match place {
                        0 => Placement::Any,
                        1 => Placement::Node(2),
                        _ if *pod == "a" => Placement::Node(1),
                        _ => Placement::OtherThan(EndpointName::pod(*name, "a")),
                    };
                    let own = PodSpec {
                        labels,
                        serve,
                        placement,
                        host_network,
                        root: host_network && place == 0,
                        linger_s: u16::from(*pod == "a") * 300,
                        ..PodSpec::default()
                    };
                    spec.pods.insert((*pod).to_owned(), own);
                }
                if service {
                    spec.services = services(name, &spec.pods["a"].labels);
                }
                if *name == "x" {
                    spec.pods.insert("late".to_owned(), late());
                }
                topology.namespaces.insert((*name).to_owned(), spec);
            }
            let serves = ExtraEndpoint { serve: listens };
            let endpoints = [
                (EndpointName::Dns, ExtraEndpoint::default()),
                (EndpointName::External(1), serves.clone()),
                (EndpointName::External(2), ExtraEndpoint::default()),
                (EndpointName::Node(1), serves),
            ];
            topology.endpoints =
                endpoints.into_iter().zip(extra).filter(|(_, on)| *on).map(|(e, _)| e).collect();
            topology
        },
    )
}

fn policy(index: usize) -> impl Strategy<Value = NetworkPolicy> {
    let expression = prop_oneof![
        prop::collection::vec(value(), 1..3)
            .prop_map(|v| serde_json::json!({"key": "y", "operator": "In", "values": v})),
        Just(serde_json::json!({"key": "env", "operator": "DoesNotExist"})),
    ];
    let selector = (labels(), prop::collection::vec(expression, 0..2))
        .prop_map(|(labels, expressions)| {
            let mut selector = serde_json::json!({});
            if !labels.is_empty() {
                selector["matchLabels"] = serde_json::json!(labels);
            }
            if !expressions.is_empty() {
                selector["matchExpressions"] = serde_json::json!(expressions);
            }
            selector
        })
        .boxed();
    let peer = prop_oneof![
        selector.clone().prop_map(|s| serde_json::json!({"podSelector": s})),
        (selector.clone(), selector.clone())
            .prop_map(|(a, b)| serde_json::json!({"podSelector": a, "namespaceSelector": b})),
        Just(
            serde_json::json!({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "${pod.x/a.ip}/32"]}})
        ),
        Just(serde_json::json!({"ipBlock": {"cidr": "fd00::/16"}})),
    ];
    let port = prop_oneof![
        (1_u16..).prop_map(|p| serde_json::json!({"port": p})),
        (1_u16..60000).prop_map(|p| serde_json::json!({"protocol": "UDP", "port": p, "endPort": p + 7})),
        Just(serde_json::json!({"protocol": "SCTP", "port": "web-1"})),
        Just(serde_json::json!({"protocol": "TCP"})),
    ];
    let rule = |peers: &'static str,
                peer: BoxedStrategy<serde_json::Value>,
                port: BoxedStrategy<serde_json::Value>| {
        (
            prop::option::of(prop::collection::vec(peer, 0..3)),
            prop::option::of(prop::collection::vec(port, 0..3)),
        )
            .prop_map(move |(from, ports)| {
                let mut rule = serde_json::json!({});
                if let Some(from) = from {
                    rule[peers] = serde_json::json!(from);
                }
                if let Some(ports) = ports {
                    rule["ports"] = serde_json::json!(ports);
                }
                rule
            })
    };
    let (peer, port) = (peer.boxed(), port.boxed());
    let ingress = prop::option::of(prop::collection::vec(rule("from", peer.clone(), port.clone()), 0..3));
    let egress = prop::option::of(prop::collection::vec(rule("to", peer, port), 0..3));
    (selector, ingress, egress, any::<bool>()).prop_map(move |(selector, ingress, egress, typed)| {
        let mut spec = serde_json::json!({"podSelector": selector});
        if let Some(ingress) = ingress {
            spec["ingress"] = serde_json::json!(ingress);
        }
        if let Some(egress) = egress {
            spec["egress"] = serde_json::json!(egress);
        }
        if typed {
            spec["policyTypes"] = serde_json::json!(["Egress"]);
        }
        let name = format!("{index}");
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "namespace": "x", "annotations": {"note": "a: b # c\nline"}}, "spec": spec
        }))
        .unwrap()
    })
}

/// Checks for a step that starts `x/late`, which can be measured whatever the policies are. A sample cannot: it needs a change
/// that is sure, and the catalogue has some.
fn checks() -> Vec<Check> {
    let check = |kind, pattern: &str, expect| Check { kind, pattern: pattern.parse().unwrap(), expect };
    let http = |method: &str, path: &str| CheckKind::Http { method: method.into(), path: path.into() };
    vec![
        check(CheckKind::Hold { for_ms: 250 }, "x/a -> x/a", CheckExpect::Survives),
        check(CheckKind::Hold { for_ms: 1000 }, "x/a -> x/a", CheckExpect::Cut),
        check(CheckKind::First, "x/late -> *", CheckExpect::Derived),
        check(CheckKind::First, "x/late -> *", CheckExpect::Closed),
        check(CheckKind::Transfer { bytes: 1 << 30 }, "x/a -> x/late:9090/tcp", CheckExpect::Allow),
        check(http("POST", "/a?b=c#d"), "* -> x/late:8081/tcp", CheckExpect::Status(403)),
        check(http("GET", "/"), "* -> x/late over ipv6", CheckExpect::Deny),
    ]
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let level = prop::sample::select(&[Level::Extended, Level::ImplementationDefined][..]);
    let text = "[ -~äß✓]{0,30}x";
    (level, text, topology(), policy(0), policy(1), labels(), any::<[bool; 3]>()).prop_map(
        |(level, summary, topology, first, second, changes, flags)| {
            let object = |policy: NetworkPolicy| PolicyObject::NetworkPolicy(Box::new(policy));
            let reference = object(first.clone()).reference();
            let pod = |pod: &str, change| Action::Pod { namespace: "x".into(), pod: pod.into(), change };
            let rule = ExpectRule {
                pattern: "* -> */*".parse::<CellPattern>().unwrap(),
                expectation: Expectation::Either,
            };
            let labels: BTreeMap<String, Option<String>> =
                changes.into_iter().map(|(k, v)| (k, Some(v).filter(|v| v != "null"))).collect();
            let steps = vec![
                Step {
                    name: "first: step".into(),
                    actions: vec![
                        Action::Apply(object(first.clone())),
                        Action::Apply(object(second.clone())),
                    ],
                    checks: Vec::new(),
                    expect: Expect { derived: flags[0], rules: vec![rule] },
                },
                Step {
                    name: "2".into(),
                    actions: vec![
                        Action::Delete(ObjectRef { ..reference }),
                        Action::LabelPod { namespace: "x".into(), pod: "a".into(), labels: labels.clone() },
                        Action::LabelNamespace { namespace: "x".into(), labels },
                    ],
                    checks: Vec::new(),
                    expect: Expect { derived: true, rules: vec![] },
                },
                Step {
                    name: "in quick turn".into(),
                    actions: vec![
                        Action::Apply(object(first.clone())),
                        Action::Apply(object(second)),
                        Action::Apply(object(first)),
                        pod("late", PodChange::Start),
                    ],
                    checks: checks(),
                    expect: Expect { derived: true, rules: vec![] },
                },
                Step {
                    name: "going".into(),
                    actions: vec![
                        pod("late", PodChange::Remove),
                        pod("a", if flags[2] { PodChange::Terminate } else { PodChange::Complete }),
                        pod("late", PodChange::Start),
                    ],
                    checks: Vec::new(),
                    expect: Expect { derived: true, rules: vec![] },
                },
            ];
            let mut requires = vec![Requirement::Crd("policies.example.com".into())];
            if flags[1] {
                requires.extend([Requirement::Sctp, Requirement::DualStack, Requirement::Nodes(2)]);
                requires.extend([Requirement::External, Requirement::Dns("169.254.20.10".parse().unwrap())]);
            }
            Scenario {
                name: "fuzz/case-1".into(),
                labels: [("level".to_owned(), level.to_string()), ("feature".to_owned(), "on".to_owned())]
                    .into(),
                level,
                summary,
                clauses: vec!["N1".into()],
                references: vec!["https://example.com/#a: b".into()],
                differs: vec![
                    Differs {
                        dataplane: "Calico (eBPF)".into(),
                        how: "no: it's other".into(),
                        reference: None,
                    },
                    Differs {
                        dataplane: "on".into(),
                        how: "y".into(),
                        reference: Some("https://a/#b".into()),
                    },
                ],
                repeat: 1,
                requires,
                topology,
                steps,
                source: "x.yaml".into(),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn random_scenarios_survive(scenario in scenario()) {
        prop_assert_eq!(back(&scenario), scenario.clone(), "{}", to_yaml(&scenario));
    }
}

#[test]
fn the_schema_takes_good_files_and_refuses_bad_ones() {
    let schema = scenario_schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut good = serde_json::json!({
        "apiVersion": "verdikt.dev/v1alpha1", "kind": "Scenario", "metadata": {"name": "a/b"},
        "spec": {
            "summary": "s", "topology": {"namespaces": {"x": {"pods": {"a": null, "b": {"node": "same-as x/a"}}}}},
            "repeat": 3, "differs": [{"dataplane": "d", "how": "h"}],
            "steps": [{
                "checks": [{"first": "x/c -> x/b", "expect": "closed"}, {"http": "x/a -> x/b", "expect": 403}],
                "start": ["x/c"],
                "apply": [{
                    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                    "metadata": {"name": "p", "namespace": "x"},
                    "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": "http"}, {"port": 80}]}]}
                }],
                "expect": {"deny": ["x/a -> x/b"]}
            }]
        }
    });
    if let Err(error) = validator.validate(&good) {
        panic!("{error} at {}", error.instance_path());
    }
    for (pointer, bad) in [
        ("/spec/summary", serde_json::json!(3)),
        ("/spec/steps", serde_json::json!({})),
        ("/spec/steps/0", serde_json::json!({"aply": []})),
        ("/spec/steps/0/checks/0/first", serde_json::json!(["x/c -> x/b"])),
        ("/spec/steps/0/start", serde_json::json!("x/c")),
        ("/spec/differs/0", serde_json::json!({"how": "h"})),
        ("/spec/repeat", serde_json::json!("3")),
        ("/spec/steps/0/apply/0/spec/ingress", serde_json::json!("all")),
        (
            "/spec/topology",
            serde_json::json!({"namespaces": {"x": {"pods": {"a": {"serve": {"tcp": [70000]}}}}}}),
        ),
        ("/kind", serde_json::json!("Scenarios")),
    ] {
        let kept = std::mem::replace(good.pointer_mut(pointer).unwrap(), bad);
        assert!(!validator.is_valid(&good), "{pointer}");
        *good.pointer_mut(pointer).unwrap() = kept;
    }
    assert!(validator.is_valid(&good));
}
