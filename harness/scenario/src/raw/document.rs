//! Scenario and Topology documents.

use std::borrow::Cow;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{
    decode::{Entries, Findings, FromNode, raw_struct, wrong_type},
    raw::topology::RawTopology,
    span::At,
    yaml::{Kind, Node, Value},
};

raw_struct! {
    /// A scenario: a topology, then steps that change something and say what should be reachable.
    #[schemars(rename = "Scenario")]
    RawScenario, "a Scenario" {
        /// `verdikt.dev/v1alpha1`
        #[expect(dead_code, reason = "told apart before the document is decoded; here for strictness and the schema")]
        api_version: At<String> = "apiVersion",
        /// `Scenario`
        #[expect(dead_code, reason = "told apart before the document is decoded; here for strictness and the schema")]
        kind: At<String> = "kind",
        /// Name and labels.
        metadata: RawMetadata = "metadata",
        /// What is set up and what is expected.
        spec: RawSpec = "spec",
    }
}

raw_struct! {
    /// A topology with a name, for use by several scenarios.
    #[schemars(rename = "Topology")]
    RawTopologyDocument, "a Topology" {
        /// `verdikt.dev/v1alpha1`
        #[expect(dead_code, reason = "told apart before the document is decoded; here for strictness and the schema")]
        api_version: At<String> = "apiVersion",
        /// `Topology`
        #[expect(dead_code, reason = "told apart before the document is decoded; here for strictness and the schema")]
        kind: At<String> = "kind",
        /// Its name.
        metadata: RawMetadata = "metadata",
        /// What stands in the cluster.
        spec: RawTopology = "spec",
    }
}

raw_struct! {
    /// Name and labels.
    #[schemars(rename = "Metadata")]
    RawMetadata, "metadata" {
        /// `area/title`, unique in a run.
        name: At<String> = "name",
        /// Labels for `-l`. `level` is core (default), extended or implementation-defined; `feature` and others are free.
        #[schemars(default)]
        labels: Entries<At<String>> = "labels",
    }
}

raw_struct! {
    /// What is set up and what is expected.
    #[schemars(rename = "ScenarioSpec")]
    RawSpec, "spec" {
        /// One sentence for the reader.
        summary: At<String> = "summary",
        /// Statements of the NetworkPolicy specification that it tests: N1 to N43.
        #[schemars(default)]
        clauses: Vec<At<String>> = "clauses",
        /// Links for the reader.
        #[schemars(default)]
        references: Vec<At<String>> = "references",
        /// Dataplanes that are known to behave otherwise, or in one of several ways that are open.
        #[schemars(default)]
        differs: Vec<RawDiffers> = "differs",
        /// Warnings of which the cause is meant here, such as step-changes-nothing.
        #[schemars(default)]
        meant: Vec<At<String>> = "meant",
        /// What the cluster must have; otherwise the scenario is skipped with the reason.
        requires: Option<RawRequires> = "requires",
        /// How often the steps are gone through (1 by default): for figures over many changes.
        repeat: Option<At<u16>> = "repeat",
        /// What stands before the first step: the name of a shared topology, or a topology.
        topology: RawTopologyRef = "topology",
        /// The steps, in order; objects and labels of earlier steps stay.
        steps: Vec<RawStep> = "steps",
    }
}

raw_struct! {
    /// A dataplane that is known to behave otherwise.
    #[schemars(rename = "Differs")]
    RawDiffers, "a known difference" {
        /// Which, as in `Cilium` or `Calico (eBPF)`.
        dataplane: At<String> = "dataplane",
        /// What it does.
        how: At<String> = "how",
        /// Where that is documented.
        reference: Option<At<String>> = "reference",
    }
}

raw_struct! {
    /// What the cluster must have.
    #[schemars(rename = "Requires")]
    RawRequires, "requires" {
        /// Custom resource definitions by full name, one or a list: ciliumnetworkpolicies.cilium.io.
        #[schemars(default)]
        crd: OneOrMany = "crd",
        /// What enforces policies: cilium, calico, antrea, …, as `verdikt doctor` names it.
        dataplane: Option<At<String>> = "dataplane",
        /// SCTP sockets in the nodes' kernels.
        sctp: Option<At<bool>> = "sctp",
        /// Both IP families.
        dual_stack: Option<At<bool>> = "dualStack",
        /// At least this many nodes.
        nodes: Option<At<u16>> = "nodes",
        /// A host outside the cluster.
        external: Option<At<bool>> = "external",
        /// A DNS server that answers pods at this address, such as 169.254.20.10.
        dns: Option<At<String>> = "dns",
    }
}

raw_struct! {
    /// One step: changes, in the order delete, remove, complete, terminate, apply, replace, label, start; then what should be.
    #[schemars(rename = "Step")]
    RawStep, "a step" {
        /// Name, unique in the scenario; `step-N` by default.
        name: Option<At<String>> = "name",
        /// Objects to delete; earlier steps applied them.
        #[schemars(default)]
        delete: Vec<RawDelete> = "delete",
        /// Objects to create or replace.
        #[schemars(default)]
        apply: Vec<RawApply> = "apply",
        /// Objects that replace each other in quick turn.
        replace: Option<RawReplace> = "replace",
        /// Labels to set or, with null, remove.
        label: Option<RawLabel> = "label",
        /// Pods to start, `NAMESPACE/POD`; each is `late`.
        #[schemars(default)]
        start: Vec<At<String>> = "start",
        /// Pods to delete and wait for.
        #[schemars(default)]
        remove: Vec<At<String>> = "remove",
        /// Pods whose processes are to end with code 0; the objects stay.
        #[schemars(default)]
        complete: Vec<At<String>> = "complete",
        /// Pods to delete that go on for their `linger`.
        #[schemars(default)]
        terminate: Vec<At<String>> = "terminate",
        /// What is measured besides cells.
        #[schemars(default)]
        checks: Vec<RawCheck> = "checks",
        /// What should be then. Without it, whatever the oracle derives.
        expect: Option<RawExpect> = "expect",
    }
}

raw_struct! {
    /// Objects that replace each other in quick turn. The last one of the last round stays.
    #[schemars(rename = "Replace")]
    RawReplace, "replace" {
        /// How many rounds.
        times: At<u16> = "times",
        /// The objects, in turn.
        objects: Vec<RawApply> = "objects",
    }
}

raw_struct! {
    /// A measurement besides cells: exactly one of hold, first, sample, transfer and http, a cell pattern.
    #[schemars(rename = "Check")]
    RawCheck, "a check" {
        /// A connection that is opened before the step's changes and used on: survives, cut or either (default).
        hold: Option<At<String>> = "hold",
        /// From a pod that the step starts, from its first instruction: closed, allow, either or derived (default).
        first: Option<At<String>> = "first",
        /// How long it takes until the cell is as expected: recorded; or `closed`: nothing gets through at any moment of the step.
        sample: Option<At<String>> = "sample",
        /// Bytes there and back on one connection: allow, deny, either or derived (default).
        transfer: Option<At<String>> = "transfer",
        /// An HTTP request: a status, allow, deny or either.
        http: Option<At<String>> = "http",
        /// What should be seen.
        expect: Option<RawWord> = "expect",
        /// For hold: how many milliseconds it is watched once the step is as expected (1000 by default).
        for_ms: Option<At<u32>> = "forMs",
        /// For transfer: how many bytes (1048576 by default).
        bytes: Option<At<u32>> = "bytes",
        /// For http: the method (GET by default).
        method: Option<At<String>> = "method",
        /// For http: the path (/ by default).
        path: Option<At<String>> = "path",
    }
}

raw_struct! {
    /// An object to delete.
    #[schemars(rename = "ObjectReference")]
    RawDelete, "an object to delete" {
        /// networking.k8s.io/v1 by default.
        api_version: Option<At<String>> = "apiVersion",
        /// Its kind: NetworkPolicy.
        kind: At<String> = "kind",
        /// Its logical namespace; none for a cluster-scoped object.
        namespace: Option<At<String>> = "namespace",
        /// Its name.
        name: At<String> = "name",
    }
}

raw_struct! {
    /// Changes of labels. A null value removes the label.
    #[schemars(rename = "LabelChanges")]
    RawLabel, "label" {
        /// By pod, `NAMESPACE/POD`.
        #[schemars(default)]
        pods: Entries<Entries<Option<At<String>>>> = "pods",
        /// By namespace.
        #[schemars(default)]
        namespaces: Entries<Entries<Option<At<String>>>> = "namespaces",
    }
}

raw_struct! {
    /// What should be. Patterns are `FROM -> TO[:PORT/PROTOCOL][ via PATH][ over ipv4|ipv6]`.
    #[schemars(rename = "Expect")]
    RawExpect, "expect" {
        /// Whether the oracle fills in the cells that no pattern names (true by default). Otherwise only named cells are probed.
        derived: Option<At<bool>> = "derived",
        /// Cells that must be reachable.
        #[schemars(default)]
        allow: Vec<At<String>> = "allow",
        /// Cells that must not be reachable, whether by silence or refusal.
        #[schemars(default)]
        deny: Vec<At<String>> = "deny",
        /// Cells that must be answered with silence.
        #[schemars(default)]
        drop: Vec<At<String>> = "drop",
        /// Cells that must be refused (RST, ABORT or ICMP).
        #[schemars(default)]
        reject: Vec<At<String>> = "reject",
        /// Cells that the specification leaves open: recorded, never failed.
        #[schemars(default)]
        either: Vec<At<String>> = "either",
    }
}

/// A topology by name or in full.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(rename = "TopologyRef", untagged)]
pub(crate) enum RawTopologyRef {
    /// The name of a shared topology.
    Name(At<String>),
    /// A topology of this scenario alone.
    Inline(Box<RawTopology>),
}

impl FromNode for RawTopologyRef {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        match &node.value {
            Value::Map(_) => RawTopology::from_node(node, findings).map(Box::new).map(Self::Inline),
            Value::Scalar(_, Kind::Str | Kind::Letter) => At::from_node(node, findings).map(Self::Name),
            _ => wrong_type(node, "the name of a shared topology, or a mapping with `namespaces`", findings),
        }
    }
}

/// A word, or a number that stands for one.
#[derive(Debug, Clone)]
pub(crate) struct RawWord(pub(crate) At<String>);

impl FromNode for RawWord {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        match &node.value {
            Value::Scalar(text, Kind::Int) => Some(Self(At::new(text.clone(), node.span))),
            _ => At::from_node(node, findings).map(Self),
        }
    }
}

impl JsonSchema for RawWord {
    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"anyOf": [{"type": "string"}, {"type": "integer"}]})
    }
}

/// A string or a list of strings.
#[derive(Debug, Clone, Default)]
pub(crate) struct OneOrMany(pub(crate) Vec<At<String>>);

impl FromNode for OneOrMany {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        match node.value {
            Value::Seq(_) => Vec::from_node(node, findings).map(Self),
            _ if node.is_null() => Some(Self::default()),
            _ => At::from_node(node, findings).map(|one| Self(vec![one])),
        }
    }
    fn missing() -> Option<Self> {
        Some(Self::default())
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
        })
    }
}

/// An object to create or replace; read further once its kind is known.
#[derive(Debug, Clone)]
pub(crate) struct RawApply(pub(crate) Node);

impl FromNode for RawApply {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        match node.value {
            Value::Map(_) => Some(Self(node.clone())),
            _ => wrong_type(node, "a Kubernetes object (a mapping)", findings),
        }
    }
}

impl JsonSchema for RawApply {
    fn schema_name() -> Cow<'static, str> {
        "Object".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let policy = generator.subschema_for::<NetworkPolicy>();
        schemars::json_schema!({
            "description": "A NetworkPolicy, or an object of a kind that `requires.crd` names.",
            "type": "object",
            "required": ["apiVersion", "kind", "metadata"],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string"}, "namespace": {"type": "string"}}
                }
            },
            "if": {
                "properties": {"apiVersion": {"const": "networking.k8s.io/v1"}, "kind": {"const": "NetworkPolicy"}}
            },
            "then": policy
        })
    }
}
