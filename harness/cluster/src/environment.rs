//! What the cluster is: version, nodes, kernel, IP families, and who enforces policies there.

use std::collections::BTreeSet;

use k8s_openapi::api::{apps::v1::DaemonSet, core::v1::Pod};
use kube::{Api, api::ListParams};
use verdikt_model::{Dataplane, Environment, Family};

use crate::{client::Cluster, error::ClusterError, nodes::Node};

/// Daemon sets by which a dataplane is known: (name of the daemon set, name of the dataplane). The first that
/// is there wins, so those that are chained onto others stand first.
const KNOWN: [(&str, &str); 12] = [
    ("calico-node", "calico"),
    ("canal", "canal"),
    ("cilium", "cilium"),
    ("antrea-agent", "antrea"),
    ("kube-router", "kube-router"),
    ("ovnkube-node", "ovn-kubernetes"),
    ("azure-npm", "azure-npm"),
    ("weave-net", "weave"),
    ("aws-node", "aws"),
    ("kube-network-policies", "kube-network-policies"),
    ("kindnet", "kindnet"),
    ("kube-flannel-ds", "flannel"),
];

impl Cluster {
    /// Describes the cluster for the record.
    ///
    /// # Errors
    /// If the nodes cannot be listed. A dataplane that cannot be told is `unknown`, which is no error.
    pub async fn environment(&self) -> Result<Environment, ClusterError> {
        let nodes = self.nodes().await?;
        Ok(Environment {
            target: self.target().to_owned(),
            dataplane: self.dataplane(&nodes).await,
            kubernetes: self.version().to_owned(),
            nodes: u16::try_from(nodes.len()).unwrap_or(u16::MAX),
            kernel: kernels(&nodes),
            ip_families: self.families(&nodes).await?,
            verdikt: env!("CARGO_PKG_VERSION").to_owned(),
            enforcement: None,
        })
    }

    async fn dataplane(&self, nodes: &[Node]) -> Dataplane {
        if let Some(profile) = nodes.iter().find_map(|node| node.profile.clone()) {
            // The version is that of the emulation. Flannel has no policies to emulate, only Services.
            let mode = if profile == "flannel" { "nftables, policies ignored" } else { "nftables" };
            return Dataplane {
                name: profile,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                mode: mode.to_owned(),
                emulated: true,
            };
        }
        let api: Api<DaemonSet> = Api::all(self.client.clone());
        let sets = self.call("list daemonsets", || async { api.list(&ListParams::default()).await }).await;
        sets.ok()
            .and_then(|sets| known_dataplane(&sets.items))
            .unwrap_or_else(|| Dataplane { name: "unknown".to_owned(), ..Dataplane::default() })
    }

    /// The families of pod addresses: from the nodes' ranges, else from pods that run already, else from the
    /// nodes' own addresses.
    ///
    /// # Errors
    /// If pods cannot be listed, though that is allowed: a family that is overlooked would never be probed.
    async fn families(&self, nodes: &[Node]) -> Result<Vec<Family>, ClusterError> {
        let ranges = nodes.iter().flat_map(|node| &node.pod_cidrs).map(|net| Family::of(net.addr()));
        let mut families: BTreeSet<Family> = ranges.collect();
        if families.is_empty() {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), "kube-system");
            let pods =
                self.call("list pods of kube-system", || async { api.list(&ListParams::default()).await });
            let pods = match pods.await {
                Err(ClusterError::Forbidden { .. }) => Vec::new(),
                pods => pods?.items,
            };
            families = pods
                .iter()
                .filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.host_network != Some(true)))
                .flat_map(crate::pods::ips)
                .map(Family::of)
                .collect();
        }
        if families.is_empty() {
            families = nodes.iter().flat_map(|node| &node.ips).map(|ip| Family::of(*ip)).collect();
        }
        Ok(families.into_iter().collect())
    }
}

fn kernels(nodes: &[Node]) -> String {
    let kernels: BTreeSet<&str> =
        nodes.iter().map(|node| node.kernel.as_str()).filter(|k| !k.is_empty()).collect();
    kernels.into_iter().collect::<Vec<_>>().join(", ")
}

fn known_dataplane(sets: &[DaemonSet]) -> Option<Dataplane> {
    KNOWN.iter().find_map(|(set_name, dataplane)| {
        let set = sets.iter().find(|set| set.metadata.name.as_deref() == Some(set_name))?;
        let containers = set.spec.as_ref()?.template.spec.as_ref().map(|spec| spec.containers.as_slice());
        let container = containers?.first();
        let version =
            container.and_then(|c| c.image.as_deref()).map(image_tag).unwrap_or_default().to_owned();
        let env = |name: &str| {
            let mut all = container?.env.iter().flatten();
            all.find(|var| var.name == name).and_then(|var| var.value.clone())
        };
        let mode = match *dataplane {
            "cilium" => "ebpf",
            "calico" if env("FELIX_BPFENABLED").as_deref() == Some("true") => "ebpf",
            "calico" if env("FELIX_NFTABLESMODE").as_deref() == Some("Enabled") => "nftables",
            _ => "",
        };
        Some(Dataplane { name: (*dataplane).to_owned(), version, mode: mode.to_owned(), emulated: false })
    })
}

/// The tag of an image reference: `quay.io:443/calico/node:v3.30.1@sha256:…` → `v3.30.1`.
fn image_tag(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    let last = name.rsplit('/').next().unwrap_or(name);
    last.split_once(':').map_or("", |(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, image: &str) -> DaemonSet {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name},
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "c", "image": image,
                "env": [{"name": "FELIX_BPFENABLED", "value": "true"}]}]}}},
        }))
        .unwrap()
    }

    #[test]
    fn dataplanes_are_known_by_their_daemon_sets() {
        let known =
            known_dataplane(&[set("kube-proxy", "k:1"), set("calico-node", "quay.io/calico/node:v3.30.1")])
                .unwrap();
        assert_eq!(
            (known.name.as_str(), known.version.as_str(), known.mode.as_str()),
            ("calico", "v3.30.1", "ebpf")
        );
        assert!(!known.emulated);
        assert_eq!(known_dataplane(&[set("kube-proxy", "k:1")]), None);
    }

    #[test]
    fn tags() {
        assert_eq!(image_tag("quay.io:443/cilium/cilium:v1.18.2@sha256:abc"), "v1.18.2");
        assert_eq!(image_tag("quay.io:443/cilium/cilium@sha256:abc"), "");
    }
}
