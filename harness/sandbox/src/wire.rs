//! Messages between the API server (in the verdikt process) and the node process (in its own namespaces).
//!
//! JSON in frames on a Unix stream socket, see [`crate::channel`].
//! File descriptors travel beside a message where its documentation says so.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::traits::Traits;

/// Where a pod's network stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// A pod of the n-th node (from 0), with a network of its own.
    Pod(u16),
    /// The n-th node's own network (a hostNetwork pod).
    Node(u16),
    /// The external host's network.
    External,
}

/// From API server to node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub(crate) enum ToNode {
    /// Makes a pod's network and starts its first container, as [`ToNode::AddContainer`] does.
    AddPod {
        /// The pod's uid.
        uid: String,
        /// Where.
        place: Place,
        /// Addresses; empty unless the place is [`Place::Pod`].
        ips: Vec<IpAddr>,
        /// Its first container.
        container: Container,
    },
    /// Starts another container in a pod's network. Answered by [`FromNode::ContainerReady`] once its command has
    /// printed a line that begins with `ready`, by [`FromNode::ContainerExited`] when it has ended before, or by
    /// [`FromNode::ContainerFailed`].
    AddContainer {
        /// The pod's uid.
        uid: String,
        /// The container.
        container: Container,
    },
    /// Asks a container's command to end (SIGTERM). Not answered: [`FromNode::ContainerExited`] tells when it has.
    Terminate {
        /// The pod's uid.
        uid: String,
        /// The container's name.
        container: String,
    },
    /// Kills a pod's processes and removes its network; answered by [`FromNode::PodGone`].
    DeletePod {
        /// The pod's uid.
        uid: String,
    },
    /// Runs a command in a pod. Three descriptors travel along: its stdin, stdout and stderr. Answered by
    /// [`FromNode::Exited`].
    Exec {
        /// Chosen by the sender.
        id: u64,
        /// The pod's uid.
        uid: String,
        /// In which container.
        container: String,
        /// The command. It has the container's environment.
        argv: Vec<String>,
    },
    /// Ends a command that [`ToNode::Exec`] started.
    Kill {
        /// Of the exec.
        id: u64,
    },
    /// What the dataplane and DNS shall know from now on; answered by [`FromNode::Synced`].
    Sync {
        /// Counts up.
        generation: u64,
        /// How long ago the API accepted what is new in it.
        age: Duration,
        /// The whole state.
        state: Box<State>,
    },
    /// Measures a bare loop of TCP connects, as a yardstick for `verdikt bench`: from each pod to each target,
    /// one after another within a pod, with as many threads as there are processors. Answered by
    /// [`FromNode::LoopDone`].
    ConnectLoop {
        /// Uids of the sources.
        sources: Vec<String>,
        /// Addresses and port of the targets.
        targets: Vec<(IpAddr, u16)>,
    },
    /// Ends the node and everything in it.
    Stop,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Container {
    /// Unique in its pod.
    pub(crate) name: String,
    /// Its command; only `verdikt-probe …` exists in the sandbox.
    pub(crate) argv: Vec<String>,
    /// Its environment; the node passes on what `verdikt-probe` reads.
    pub(crate) env: BTreeMap<String, String>,
}

/// How a container's command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// Exit code, or 128 + signal.
    pub(crate) code: i32,
    /// The end of its log, when it was never ready.
    pub(crate) said: Option<String>,
}

/// Name of the file, in the directory `pods` of the scratch directory, in which the node keeps a container's log.
pub(crate) fn log_name(uid: &str, container: &str) -> String {
    format!("{uid}.{container}.log")
}

/// Why a node cannot be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// User namespaces are refused, or give no rights.
    UserNamespaces,
    /// nf_tables, or one of its expressions, is missing.
    Nftables,
    /// A limit is too low: open files, processes, namespaces, memory.
    Limits,
    /// Anything else.
    Other,
}

/// From node to API server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub(crate) enum FromNode {
    /// Namespaces, links and the dataplane's base are in place.
    Ready {
        /// Kernel release.
        kernel: String,
        /// Whether the kernel has IPv6; without it IPv6 addresses of pods are ignored.
        ipv6: bool,
    },
    /// The node could not be set up. It ends after this message.
    Broken {
        /// What stands in the way.
        cause: Cause,
        /// What failed and why.
        why: String,
        /// What to do about it.
        mend: String,
    },
    /// See [`ToNode::AddContainer`].
    ContainerReady {
        /// The pod's uid.
        uid: String,
        /// The container's name.
        container: String,
    },
    /// A container could not be started.
    ContainerFailed {
        /// The pod's uid.
        uid: String,
        /// The container's name.
        container: String,
        /// Why.
        why: String,
    },
    /// A container's command has ended, by itself or because it was asked to.
    ContainerExited {
        /// The pod's uid.
        uid: String,
        /// The container's name.
        container: String,
        /// How.
        exit: Exit,
    },
    /// See [`ToNode::DeletePod`].
    PodGone {
        /// The pod's uid.
        uid: String,
    },
    /// See [`ToNode::Exec`].
    Exited {
        /// Of the exec.
        id: u64,
        /// Exit code, or 128 + signal; `Err` when it could not be started.
        code: Result<i32, String>,
    },
    /// See [`ToNode::Sync`].
    Synced {
        /// Of the sync.
        generation: u64,
        /// What the dataplane refused, if anything.
        error: Option<String>,
    },
    /// See [`ToNode::ConnectLoop`].
    LoopDone {
        /// Connects that were answered.
        connects: u64,
        /// Wall time in microseconds.
        micros: u64,
        /// First failure, if any.
        error: Option<String>,
    },
}

/// What the dataplane and DNS know.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// How the dataplane behaves.
    pub(crate) traits: Traits,
    /// Labels of every namespace.
    pub(crate) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Pods that have addresses.
    pub(crate) pods: Vec<PodState>,
    /// Services.
    pub(crate) services: Vec<ServiceState>,
    /// NetworkPolicies, as the API has them.
    pub(crate) policies: Vec<Value>,
}

/// A pod as the dataplane sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodState {
    /// Uid.
    pub(crate) uid: String,
    /// Namespace.
    pub(crate) namespace: String,
    /// Name.
    pub(crate) name: String,
    /// Where it runs.
    pub(crate) place: Place,
    /// Labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Addresses, at most one of each family.
    pub(crate) ips: Vec<IpAddr>,
    /// Container ports: (name or nothing, protocol as in the API, number).
    pub(crate) ports: Vec<(String, String, u16)>,
    /// Whether it is being deleted.
    pub(crate) terminating: bool,
}

/// A Service as the dataplane and DNS see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceState {
    /// Namespace.
    pub(crate) namespace: String,
    /// Name.
    pub(crate) name: String,
    /// Which pods are behind it; empty where others say what is.
    pub(crate) selector: BTreeMap<String, String>,
    /// Cluster IPs; none for a headless Service.
    pub(crate) cluster_ips: Vec<IpAddr>,
    /// The name that an ExternalName Service stands for.
    pub(crate) external_name: Option<String>,
    /// Addresses of the ready endpoints behind it, whatever their port.
    pub(crate) pod_ips: Vec<IpAddr>,
    /// Host names among them.
    pub(crate) hostnames: BTreeMap<IpAddr, String>,
    /// Ports.
    pub(crate) ports: Vec<ServicePortState>,
    /// externalTrafficPolicy: Local.
    pub(crate) local: bool,
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServicePortState {
    /// Name, or empty.
    pub(crate) name: String,
    /// Protocol as in the API.
    pub(crate) protocol: String,
    /// The Service's port.
    pub(crate) port: u16,
    /// The port of the pods to which it leads.
    pub(crate) target: IntOrString,
    /// The node port, if any.
    pub(crate) node_port: Option<u16>,
    /// Where it leads: address, port, and the node on which the pod runs.
    pub(crate) backends: Vec<(IpAddr, u16, u16)>,
}
