//! A scenario back to a file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value as Json;
use verdikt_model::{
    Action, Check, CheckExpect, CheckKind, Differs, EndpointName, Expect, Expectation, ObjectRef, Placement,
    PodChange, PolicyObject, PortProtocol, Protocol, Requirement, Scenario, Serve, ServiceKind, ServiceSpec,
    Step, TargetPort, Topology, Via,
};

use crate::{document::API_VERSION, yaml};

/// Writes a scenario as a scenario file. Reading it again gives the same scenario, but for its source.
///
/// The format fixes the order of actions within a step (delete, apply, label) and of rules (by expectation);
/// a scenario with another order comes back in that one.
pub fn to_yaml(scenario: &Scenario) -> String {
    yaml::to_string(&document(scenario))
        .expect("strings, numbers and mappings with string keys are always YAML")
}

/// A YAML tree whose mappings keep their order.
enum Tree {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => value.serialize(serializer),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(items) => items.serialize(serializer),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

fn text(value: impl Into<String>) -> Tree {
    Tree::Text(value.into())
}

fn number(value: u16) -> Tree {
    Tree::Number(value.into())
}

fn texts<'t>(values: impl IntoIterator<Item = &'t String>) -> Tree {
    Tree::List(values.into_iter().map(text).collect())
}

fn labels(labels: &BTreeMap<String, String>) -> Tree {
    Tree::Map(labels.iter().map(|(key, value)| (key.clone(), text(value))).collect())
}

/// A mapping under construction; empty parts are left out.
#[derive(Default)]
struct Map(Vec<(String, Tree)>);

impl Map {
    fn put(mut self, key: &str, value: Tree) -> Self {
        self.0.push((key.to_owned(), value));
        self
    }

    fn put_some(self, key: &str, value: Tree) -> Self {
        let empty = match &value {
            Tree::List(items) => items.is_empty(),
            Tree::Map(entries) => entries.is_empty(),
            Tree::Null | Tree::Bool(false) => true,
            _ => false,
        };
        if empty { self } else { self.put(key, value) }
    }

    fn done(self) -> Tree {
        Tree::Map(self.0)
    }
}

fn document(scenario: &Scenario) -> Tree {
    let mut own = scenario.labels.clone();
    own.insert("level".into(), scenario.level.to_string());
    let spec = Map::default()
        .put("summary", text(&scenario.summary))
        .put_some("clauses", texts(&scenario.clauses))
        .put_some("references", texts(&scenario.references))
        .put_some("differs", Tree::List(scenario.differs.iter().map(differs).collect()))
        .put_some("requires", requires(&scenario.requires))
        .put_some("repeat", if scenario.repeat > 1 { number(scenario.repeat) } else { Tree::Null })
        .put("topology", topology(&scenario.topology))
        .put("steps", Tree::List(scenario.steps.iter().map(step).collect()));
    Map::default()
        .put("apiVersion", text(API_VERSION))
        .put("kind", text("Scenario"))
        .put("metadata", Map::default().put("name", text(&scenario.name)).put("labels", labels(&own)).done())
        .put("spec", spec.done())
        .done()
}

fn differs(differs: &Differs) -> Tree {
    Map::default()
        .put("dataplane", text(&differs.dataplane))
        .put("how", text(&differs.how))
        .put_some("reference", differs.reference.as_ref().map_or(Tree::Null, text))
        .done()
}

fn requires(requires: &[Requirement]) -> Tree {
    let crds: Vec<&String> = requires
        .iter()
        .filter_map(|r| if let Requirement::Crd(crd) = r { Some(crd) } else { None })
        .collect();
    let mut map = Map::default().put_some("crd", texts(crds));
    for requirement in requires {
        map = match requirement {
            Requirement::Crd(_) => map,
            Requirement::Dataplane(name) => map.put("dataplane", text(name)),
            Requirement::Sctp => map.put("sctp", Tree::Bool(true)),
            Requirement::DualStack => map.put("dualStack", Tree::Bool(true)),
            Requirement::Nodes(nodes) => map.put("nodes", number(*nodes)),
            Requirement::External => map.put("external", Tree::Bool(true)),
            Requirement::Dns(address) => map.put("dns", text(address.to_string())),
        };
    }
    map.done()
}

fn topology(topology: &Topology) -> Tree {
    // What most pods serve becomes the topology's default.
    let mut counts: BTreeMap<&Serve, usize> = BTreeMap::new();
    for (_, _, pod) in topology.pods() {
        *counts.entry(&pod.serve).or_default() += 1;
    }
    let default = counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(serve, _)| serve.clone())
        .unwrap_or_default();
    let namespaces = topology.namespaces.iter().map(|(name, spec)| {
        let pods = spec.pods.iter().map(|(name, pod)| {
            let own = if pod.serve == default { Tree::Null } else { serve(&pod.serve) };
            let map = Map::default()
                .put_some("labels", labels(&pod.labels))
                .put_some("node", placement(&pod.placement))
                .put_some("hostNetwork", Tree::Bool(pod.host_network))
                .put_some("root", Tree::Bool(pod.root))
                .put_some("late", Tree::Bool(pod.late))
                .put_some("addressOf", pod.address_of.as_ref().map_or(Tree::Null, |of| text(of.to_string())))
                .put_some("linger", if pod.linger_s > 0 { number(pod.linger_s) } else { Tree::Null })
                .put_some("sidecar", serve(&pod.sidecar));
            // An empty `serve` differs from none.
            let map = if matches!(own, Tree::Null) { map } else { map.put("serve", own) };
            (name.clone(), map.done())
        });
        let services = spec.services.iter().map(|(name, spec)| (name.clone(), service(spec)));
        let map = Map::default()
            .put_some("labels", labels(&spec.labels))
            .put_some("pods", Tree::Map(pods.collect()))
            .put_some("services", Tree::Map(services.collect()));
        (name.clone(), map.done())
    });
    let endpoints = topology.endpoints.iter().map(|(name, spec)| {
        let map = match name {
            EndpointName::External(_) => Map::default().put("serve", serve(&spec.serve)),
            EndpointName::Node(_) => Map::default().put_some("serve", serve(&spec.serve)),
            _ => Map::default(),
        };
        (name.to_string(), map.done())
    });
    Map::default()
        .put("namespaces", Tree::Map(namespaces.collect()))
        .put("serve", serve(&default))
        .put_some("endpoints", Tree::Map(endpoints.collect()))
        .done()
}

fn serve(serve: &Serve) -> Tree {
    let of = |protocol: Protocol| {
        Tree::List(serve.ports.iter().filter(|p| p.protocol == protocol).map(|p| number(p.port)).collect())
    };
    let names = serve.names.iter().map(|(name, port)| (name.clone(), text(port.to_string())));
    Map::default()
        .put_some("tcp", of(Protocol::Tcp))
        .put_some("udp", of(Protocol::Udp))
        .put_some("sctp", of(Protocol::Sctp))
        .put_some("http", Tree::List(serve.http.iter().copied().map(number).collect()))
        .put_some("icmp", Tree::Bool(serve.ports.contains(&PortProtocol::ICMP)))
        .put_some("names", Tree::Map(names.collect()))
        .done()
}

fn placement(placement: &Placement) -> Tree {
    match placement {
        Placement::Any => Tree::Null,
        Placement::Node(node) => number(*node),
        Placement::SameAs(pod) => text(format!("same-as {pod}")),
        Placement::OtherThan(pod) => text(format!("other-than {pod}")),
    }
}

fn service(spec: &ServiceSpec) -> Tree {
    if let Some(alias) = &spec.alias {
        let via = Tree::List(spec.via.iter().map(|via| text(via.as_str())).collect());
        return Map::default().put("externalName", text(alias.to_string())).put("via", via).done();
    }
    let ports = spec.ports.iter().map(|port| {
        let target = match &port.target {
            TargetPort::Number(target) if *target == port.port.port => Tree::Null,
            TargetPort::Number(target) => number(*target),
            TargetPort::Name(name) => text(name),
        };
        Map::default()
            .put("port", number(port.port.port))
            .put_some("targetPort", target)
            .put("protocol", text(port.port.protocol.kubernetes()))
            .done()
    });
    let map = Map::default()
        .put_some("selector", labels(&spec.selector))
        .put_some("pods", Tree::List(spec.pods.iter().map(|pod| text(pod.to_string())).collect()))
        .put("ports", Tree::List(ports.collect()))
        .put_some("headless", Tree::Bool(spec.kind == ServiceKind::Headless));
    let map = match spec.kind {
        ServiceKind::NodePort { local } => map
            .put("nodePort", Tree::Bool(true))
            .put("externalTrafficPolicy", text(if local { "Local" } else { "Cluster" })),
        ServiceKind::ClusterIp | ServiceKind::Headless | ServiceKind::ExternalName => map,
    };
    let via: &BTreeSet<Via> = &spec.via;
    map.put("via", Tree::List(via.iter().map(|via| text(via.as_str())).collect())).done()
}

fn step(step: &Step) -> Tree {
    let (mut delete, mut apply) = (Vec::new(), Vec::new());
    let (mut pods, mut namespaces) = (Vec::new(), Vec::new());
    let mut changed: BTreeMap<&str, Vec<Tree>> = BTreeMap::new();
    for action in &step.actions {
        match action {
            Action::Delete(object) => delete.push(reference(object)),
            Action::Apply(PolicyObject::NetworkPolicy(policy)) => {
                apply.push(json(&serde_json::to_value(policy).expect("a NetworkPolicy is always JSON")));
            }
            Action::Apply(PolicyObject::Other(value)) => apply.push(json(value)),
            Action::LabelPod { namespace, pod, labels } => {
                pods.push((format!("{namespace}/{pod}"), changes(labels)));
            }
            Action::LabelNamespace { namespace, labels } => {
                namespaces.push((namespace.clone(), changes(labels)))
            }
            Action::Pod { namespace, pod, change } => {
                let word = match change {
                    PodChange::Start => "start",
                    PodChange::Complete => "complete",
                    PodChange::Terminate => "terminate",
                    PodChange::Remove => "remove",
                };
                changed.entry(word).or_default().push(text(format!("{namespace}/{pod}")));
            }
        }
    }
    // An object that is applied more than once in a step is one of those that replace each other.
    let mut seen = BTreeSet::new();
    let applied = step.actions.iter().filter_map(|action| match action {
        Action::Apply(object) => Some(object.reference()),
        _ => None,
    });
    let replace = match applied.into_iter().any(|object| !seen.insert(object)) {
        true => {
            let objects = Tree::List(std::mem::take(&mut apply));
            Map::default().put("times", number(1)).put("objects", objects).done()
        }
        false => Tree::Null,
    };
    let mut of = |word| Tree::List(changed.remove(word).unwrap_or_default());
    let label =
        Map::default().put_some("pods", Tree::Map(pods)).put_some("namespaces", Tree::Map(namespaces));
    Map::default()
        .put("name", text(&step.name))
        .put_some("delete", Tree::List(delete))
        .put_some("remove", of("remove"))
        .put_some("complete", of("complete"))
        .put_some("terminate", of("terminate"))
        .put_some("apply", Tree::List(apply))
        .put_some("replace", replace)
        .put_some("label", label.done())
        .put_some("start", of("start"))
        .put_some("checks", Tree::List(step.checks.iter().map(check).collect()))
        .put("expect", expect(&step.expect))
        .done()
}

fn check(check: &Check) -> Tree {
    let map = Map::default().put(check.kind.word().as_str(), text(check.pattern.to_string()));
    let map = match &check.kind {
        CheckKind::Hold { for_ms } => map.put("forMs", Tree::Number((*for_ms).into())),
        CheckKind::First | CheckKind::Sample => map,
        CheckKind::Transfer { bytes } => map.put("bytes", Tree::Number((*bytes).into())),
        CheckKind::Http { method, path } => map.put("method", text(method)).put("path", text(path)),
    };
    match check.expect {
        CheckExpect::Status(status) => map.put("expect", number(status)),
        expect => map.put("expect", text(expect.to_string())),
    }
    .done()
}

fn reference(object: &ObjectRef) -> Tree {
    Map::default()
        .put("apiVersion", text(&object.api_version))
        .put("kind", text(&object.kind))
        .put_some("namespace", object.namespace.as_ref().map_or(Tree::Null, text))
        .put("name", text(&object.name))
        .done()
}

fn changes(labels: &BTreeMap<String, Option<String>>) -> Tree {
    Tree::Map(
        labels.iter().map(|(key, value)| (key.clone(), value.as_ref().map_or(Tree::Null, text))).collect(),
    )
}

fn expect(expect: &Expect) -> Tree {
    let of = |word: Expectation| {
        let rules = expect.rules.iter().filter(|rule| rule.expectation == word);
        Tree::List(rules.map(|rule| text(rule.pattern.to_string())).collect())
    };
    let mut map = Map::default().put("derived", Tree::Bool(expect.derived));
    for word in Expectation::ALL {
        map = map.put_some(word.as_str(), of(*word));
    }
    map.done()
}

/// Fields that readers look for first; the others follow by name.
const FIRST: [&str; 14] = [
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "spec",
    "podSelector",
    "namespaceSelector",
    "policyTypes",
    "ingress",
    "egress",
    "from",
    "to",
    "key",
];

fn json(value: &Json) -> Tree {
    match value {
        Json::Null => Tree::Null,
        Json::Bool(value) => Tree::Bool(*value),
        Json::Number(value) => Tree::Number(value.clone()),
        Json::String(value) => text(value),
        Json::Array(items) => Tree::List(items.iter().map(json).collect()),
        Json::Object(fields) => {
            let mut fields: Vec<(&String, &Json)> = fields.iter().collect();
            let rank = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
            fields.sort_by_key(|(name, _)| (rank(name), *name));
            Tree::Map(fields.into_iter().map(|(name, value)| (name.clone(), json(value))).collect())
        }
    }
}
