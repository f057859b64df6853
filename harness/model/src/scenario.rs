//! A scenario: topology, then steps that change something and say what should be.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    check::Check, endpoint::EndpointName, pattern::CellPattern, topology::Topology, verdict::Expectation,
};

/// A scenario as verdikt runs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// `area/title`, unique in a run.
    pub name: String,
    /// Labels for `-l`: `feature`, `level` and any of the author's.
    pub labels: BTreeMap<String, String>,
    /// How binding it is.
    pub level: Level,
    /// One sentence.
    pub summary: String,
    /// Statements of the specification that it tests: `N18`.
    pub clauses: Vec<String>,
    /// Links for the reader.
    pub references: Vec<String>,
    /// Dataplanes that are known to behave otherwise or in one of several ways that are open.
    pub differs: Vec<Differs>,
    /// What the cluster must have; otherwise the scenario is skipped with the reason.
    pub requires: Vec<Requirement>,
    /// How often the steps are gone through, for figures over many changes.
    pub repeat: u16,
    /// What stands before the first step.
    pub topology: Topology,
    /// The steps, in order; objects and labels of earlier steps stay.
    pub steps: Vec<Step>,
    /// Where it was read from: a path, or `catalogue:PATH`.
    pub source: String,
}

impl Scenario {
    /// Tells apart scenarios of one name that do or expect something else. Meaningful only between equal versions of
    /// verdikt.
    pub fn digest(&self) -> String {
        let meant = format!("{:?}", (&self.level, &self.requires, &self.topology, &self.steps, self.repeat));
        // FNV-1a: nobody means harm, and it is the same in every build.
        let hash = meant.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

/// What is known of a dataplane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Differs {
    /// Which, as in `Cilium` or `Calico (eBPF)`.
    pub dataplane: String,
    /// What it does.
    pub how: String,
    /// Where that is documented.
    pub reference: Option<String>,
}

/// How binding a scenario is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Fails on a mismatch; must not contradict the oracle.
    Core,
    /// Fails on a mismatch where the capability exists.
    Extended,
    /// Recorded and compared, never failed.
    ImplementationDefined,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Core => "core",
            Self::Extended => "extended",
            Self::ImplementationDefined => "implementation-defined",
        })
    }
}

/// Something that a cluster must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// A custom resource definition, by full name: `ciliumnetworkpolicies.cilium.io`.
    Crd(String),
    /// What enforces policies, by the name that the environment of a record has for it: `cilium`. A custom resource
    /// definition alone may be what an earlier one has left.
    Dataplane(String),
    /// SCTP sockets in the nodes' kernels.
    Sctp,
    /// Both IP families.
    DualStack,
    /// A host outside the cluster.
    External,
    /// A DNS server at this address, as seen from a pod before the first policy.
    Dns(std::net::IpAddr),
    /// At least this many nodes.
    Nodes(u16),
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Name, unique in the scenario.
    pub name: String,
    /// What is changed, in order.
    pub actions: Vec<Action>,
    /// What is measured besides cells.
    pub checks: Vec<Check>,
    /// What should be then.
    pub expect: Expect,
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Creates or replaces an object.
    Apply(PolicyObject),
    /// Deletes an object.
    Delete(ObjectRef),
    /// Sets (`Some`) or removes (`None`) labels of a pod.
    LabelPod {
        /// Logical namespace.
        namespace: String,
        /// Logical pod.
        pod: String,
        /// Labels to set or remove.
        labels: BTreeMap<String, Option<String>>,
    },
    /// Sets (`Some`) or removes (`None`) labels of a namespace.
    LabelNamespace {
        /// Logical namespace.
        namespace: String,
        /// Labels to set or remove.
        labels: BTreeMap<String, Option<String>>,
    },
    /// Starts or ends a pod.
    Pod {
        /// Logical namespace.
        namespace: String,
        /// Logical pod.
        pod: String,
        /// What becomes of it.
        change: PodChange,
    },
}

/// What becomes of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodChange {
    /// A pod that is `late` is made.
    Start,
    /// Its processes end with code 0; the object stays, as Succeeded.
    Complete,
    /// It is deleted with a grace period, for which it lingers.
    Terminate,
    /// It is deleted, and waited for until it is gone.
    Remove,
}

/// An object of a step, with logical names and `${…}` variables still in place.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyObject {
    /// `networking.k8s.io/v1` NetworkPolicy: typed, and understood by the oracle. Its namespace is set.
    NetworkPolicy(Box<NetworkPolicy>),
    /// Any other kind, passed on as it is. Its `metadata.namespace`, if any, is logical.
    Other(serde_json::Value),
}

/// Names an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// `networking.k8s.io/v1`
    pub api_version: String,
    /// `NetworkPolicy`
    pub kind: String,
    /// Logical namespace; `None` for a cluster-scoped object.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

/// What a step expects.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expect {
    /// Whether the oracle fills in what no rule names. Otherwise only named cells are probed.
    pub derived: bool,
    /// Hand-written rules. No two of them give one cell different expectations (lint sees to it).
    pub rules: Vec<ExpectRule>,
}

/// One hand-written rule.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectRule {
    /// Which cells.
    pub pattern: CellPattern,
    /// What they should be.
    pub expectation: Expectation,
}

impl ObjectRef {
    /// Its API group; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

impl PolicyObject {
    /// The object's name, kind and logical namespace.
    pub fn reference(&self) -> ObjectRef {
        match self {
            Self::NetworkPolicy(policy) => ObjectRef {
                api_version: "networking.k8s.io/v1".into(),
                kind: "NetworkPolicy".into(),
                namespace: policy.metadata.namespace.clone(),
                name: policy.metadata.name.clone().unwrap_or_default(),
            },
            Self::Other(value) => {
                let text = |pointer: &str| value.pointer(pointer).and_then(|v| v.as_str()).map(str::to_owned);
                ObjectRef {
                    api_version: text("/apiVersion").unwrap_or_default(),
                    kind: text("/kind").unwrap_or_default(),
                    namespace: text("/metadata/namespace"),
                    name: text("/metadata/name").unwrap_or_default(),
                }
            }
        }
    }
}

impl Scenario {
    /// The pods that a step's actions name, for checks.
    pub fn has_pod(&self, namespace: &str, pod: &str) -> bool {
        self.topology.namespaces.get(namespace).is_some_and(|ns| ns.pods.contains_key(pod))
    }

    /// Whether any endpoint outside the pods takes part.
    pub fn uses(&self, endpoint: &EndpointName) -> bool {
        self.topology.endpoints.contains_key(endpoint)
    }
}
