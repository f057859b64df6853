//! What a cluster shows of its dataplane, reduced to what is compared.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Container, Node as ApiNode, Pod},
};
use serde_json::Value;

/// All that was read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Containers of all DaemonSets; `None` when they could not be read.
    pub(super) containers: Option<Vec<Workload>>,
    /// Pods of kube-system that live on the pod network.
    pub(super) pods: Vec<PodMarks>,
    /// All nodes.
    pub(super) nodes: Vec<Marks>,
    /// API groups that are served.
    pub(super) groups: BTreeSet<String>,
    /// Settings of the dataplanes that were found.
    pub(super) settings: Settings,
    /// What could not be read, and why.
    pub(super) unread: Vec<String>,
}

/// A container of a DaemonSet.
#[derive(Debug, Default)]
pub(super) struct Workload {
    pub(super) namespace: String,
    pub(super) set: String,
    pub(super) image: String,
    /// Command and arguments.
    pub(super) words: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    /// Why it is not at work, if so: a DaemonSet that was switched off, or that has no pod that is ready.
    pub(super) idle: Option<&'static str>,
}

/// What a node shows.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) name: String,
    /// Annotations and labels.
    pub(super) all: BTreeMap<String, String>,
    /// Reason of its condition NetworkUnavailable.
    pub(super) reason: String,
    pub(super) kubelet: String,
}

/// What a pod shows.
#[derive(Debug, Default)]
pub(super) struct PodMarks {
    pub(super) name: String,
    pub(super) annotations: BTreeMap<String, String>,
}

/// Settings that were found in objects.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// ConfigMaps by name.
    pub(super) maps: BTreeMap<String, BTreeMap<String, String>>,
    /// `spec` of the FelixConfiguration `default`; null when there is none.
    pub(super) felix: Option<Value>,
    /// `spec.calicoVersion` of the ClusterInformation `default`.
    pub(super) calico_version: Option<String>,
    /// Pods of kube-system that have a CiliumEndpoint.
    pub(super) cilium_endpoints: BTreeSet<String>,
}

impl Seen {
    pub(super) fn containers(&self) -> &[Workload] {
        self.containers.as_deref().unwrap_or_default()
    }
}

impl PodMarks {
    /// `None` for a pod that says nothing of the pod network as it is: it has ended, is about to, is not ready, or uses its
    /// node's network.
    pub(super) fn of(pod: Pod) -> Option<Self> {
        let ends = pod.metadata.deletion_timestamp.is_some();
        let status = pod.status.unwrap_or_default();
        let running = status.phase.as_deref() == Some("Running");
        let mut ready = status.conditions.iter().flatten().filter(|condition| condition.type_ == "Ready");
        let ready = ready.next().is_none_or(|condition| condition.status == "True");
        let own = pod.spec.is_some_and(|spec| spec.host_network != Some(true));
        let (name, annotations) = (pod.metadata.name?, pod.metadata.annotations.unwrap_or_default());
        (running && ready && !ends && own).then_some(Self { name, annotations })
    }
}

impl Workload {
    /// Containers of a DaemonSet; init containers do not stay, and are left out.
    pub(super) fn of(set: &DaemonSet) -> Vec<Self> {
        let idle = idle(set);
        let spec = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let workload = |container: &Container| Self {
            namespace: set.metadata.namespace.clone().unwrap_or_default(),
            set: set.metadata.name.clone().unwrap_or_default(),
            image: container.image.clone().unwrap_or_default(),
            words: container
                .command
                .iter()
                .flatten()
                .chain(container.args.iter().flatten())
                .cloned()
                .collect(),
            env: container
                .env
                .iter()
                .flatten()
                .filter_map(|var| Some((var.name.clone(), var.value.clone()?)))
                .collect(),
            idle,
        };
        containers.iter().map(workload).collect()
    }

    /// `kube-system/cilium`
    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.set)
    }

    /// Whether it was started with this word.
    pub(super) fn says(&self, word: &str) -> bool {
        self.words.iter().any(|have| have == word)
    }

    /// The tag of its image: `quay.io:443/calico/node:v3.30.1@sha256:…` → `v3.30.1`.
    pub(super) fn version(&self) -> &str {
        let last = self.image_name_and_tag();
        last.rsplit('/').next().unwrap_or_default().split_once(':').map_or("", |(_, tag)| tag)
    }

    /// Whether its image's name ends so: `quay.io/cilium/cilium:v1.18.2` in `cilium/cilium`.
    pub(super) fn is_image(&self, end: &str) -> bool {
        let (folders, last) =
            self.image_name_and_tag().rsplit_once('/').unwrap_or(("", self.image_name_and_tag()));
        let name = last.split(':').next().unwrap_or(last);
        format!("/{folders}/{name}").ends_with(&format!("/{end}"))
    }

    fn image_name_and_tag(&self) -> &str {
        self.image.split('@').next().unwrap_or(&self.image)
    }
}

/// Why a DaemonSet is not at work.
fn idle(set: &DaemonSet) -> Option<&'static str> {
    if set.metadata.deletion_timestamp.is_some() {
        return Some("is being deleted");
    }
    let status = set.status.as_ref()?;
    match (status.desired_number_scheduled, status.number_ready) {
        (0, _) => Some("runs on no node"),
        (_, 0) => Some("has no pod that is ready"),
        _ => None,
    }
}

impl From<&ApiNode> for Marks {
    fn from(node: &ApiNode) -> Self {
        let metadata = &node.metadata;
        let all = metadata.annotations.iter().flatten().chain(metadata.labels.iter().flatten());
        let status = node.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_ref());
        let network = conditions.into_iter().flatten().find(|c| c.type_ == "NetworkUnavailable");
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            all: all.map(|(key, value)| (key.clone(), value.clone())).collect(),
            reason: network.and_then(|c| c.reason.clone()).unwrap_or_default(),
            kubelet: status
                .and_then(|status| status.node_info.as_ref())
                .map(|info| info.kubelet_version.clone())
                .unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(image: &str) -> Workload {
        Workload { image: image.to_owned(), ..Workload::default() }
    }

    #[test]
    fn versions_are_tags() {
        assert_eq!(image("quay.io:443/cilium/cilium:v1.18.2@sha256:abc").version(), "v1.18.2");
        assert_eq!(image("quay.io:443/cilium/cilium@sha256:abc").version(), "");
        assert_eq!(image("kindnetd:v2").version(), "v2");
    }

    #[test]
    fn images_are_known_by_the_ends_of_their_names() {
        assert!(image("quay.io/cilium/cilium:v1").is_image("cilium/cilium"));
        assert!(image("localhost:5000/mirror/cilium/cilium").is_image("cilium/cilium"));
        assert!(!image("quay.io/cilium/cilium-envoy:v1").is_image("cilium/cilium"));
        assert!(!image("example.org/xcilium/cilium").is_image("cilium/cilium"));
        assert!(
            image("registry.k8s.io/networking/kube-network-policies:v1").is_image("kube-network-policies")
        );
    }
}
