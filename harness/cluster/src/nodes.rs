//! The cluster's nodes.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Node as ApiNode, Taint, Toleration};
use kube::{Api, api::ListParams};
use verdikt_model::Family;

use crate::{client::Cluster, error::ClusterError, settings::DeployOptions};

/// Label with which the embedded cluster marks its nodes; the value is the word with which its profile begins.
pub const SANDBOX_PROFILE_LABEL: &str = "sandbox.verdikt.dev/profile";

/// Annotation beside it: the traits that were added, joined by `+`. A label's value could not have it.
pub const SANDBOX_TRAITS_ANNOTATION: &str = "sandbox.verdikt.dev/traits";

/// One node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Value of its `kubernetes.io/hostname` label.
    pub hostname: String,
    /// Internal addresses, at most one of each family.
    pub ips: Vec<IpAddr>,
    /// Ranges of its pods' addresses, where it says so.
    pub pod_cidrs: Vec<IpNet>,
    /// Kernel release.
    pub kernel: String,
    /// What the profile of the embedded cluster begins with; `None` on a real one.
    pub profile: Option<String>,
    /// Whether probe pods can run there: ready, not cordoned, chosen by the node selector, no taint that keeps them off.
    pub usable: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) taints: Vec<Taint>,
    /// Ready and not cordoned.
    pub(crate) open: bool,
}

impl Cluster {
    /// The nodes: usable ones first, sorted by name, then the others. `node/1` is the first.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn nodes(&self) -> Result<Vec<Node>, ClusterError> {
        let mut nodes: Vec<Node> = self.api_nodes().await?.into_iter().map(Node::from).collect();
        sort(&mut nodes);
        Ok(nodes)
    }

    /// The same for pods with these options: their tolerations and node selector decide which nodes are usable.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn nodes_for(&self, options: &DeployOptions) -> Result<Vec<Node>, ClusterError> {
        let mut nodes = self.nodes().await?;
        for node in &mut nodes {
            node.usable = node.takes(options);
        }
        sort(&mut nodes);
        Ok(nodes)
    }

    /// The nodes as the API has them.
    pub(crate) async fn api_nodes(&self) -> Result<Vec<ApiNode>, ClusterError> {
        let api: Api<ApiNode> = Api::all(self.client.clone());
        let list = self.call("list nodes", || async { api.list(&ListParams::default()).await }).await?;
        Ok(list.items)
    }
}

fn sort(nodes: &mut [Node]) {
    nodes.sort_by(|a, b| (!a.usable, &a.name).cmp(&(!b.usable, &b.name)));
}

impl Node {
    fn takes(&self, options: &DeployOptions) -> bool {
        let chosen = options.node_selector.iter().all(|(key, value)| self.labels.get(key) == Some(value));
        let keeps_off = |taint: &&Taint| {
            let hard = taint.effect == "NoSchedule" || taint.effect == "NoExecute";
            hard && !options.tolerations.iter().any(|toleration| tolerates(toleration, taint))
        };
        self.open && chosen && self.taints.iter().find(keeps_off).is_none()
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    toleration.effect.as_ref().is_none_or(|effect| *effect == taint.effect)
        && toleration.key.as_ref().is_none_or(|key| *key == taint.key)
        && match toleration.operator.as_deref() {
            Some("Exists") => true,
            _ => {
                toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
            }
        }
}

impl From<ApiNode> for Node {
    fn from(node: ApiNode) -> Self {
        let name = node.metadata.name.unwrap_or_default();
        let labels: BTreeMap<String, String> = node.metadata.labels.unwrap_or_default();
        let spec = node.spec.unwrap_or_default();
        let status = node.status.unwrap_or_default();
        let addresses = status.addresses.unwrap_or_default();
        let mut ips: Vec<IpAddr> = Vec::new();
        for kind in ["InternalIP", "ExternalIP"] {
            for address in addresses.iter().filter(|a| a.type_ == kind) {
                if let Ok(ip) = address.address.parse::<IpAddr>()
                    && !ips.iter().any(|have| Family::of(*have) == Family::of(ip))
                {
                    ips.push(ip);
                }
            }
        }
        let single = spec.pod_cidr.into_iter().collect::<Vec<_>>();
        let pod_cidrs =
            spec.pod_cidrs.unwrap_or(single).iter().filter_map(|cidr| cidr.parse().ok()).collect();
        let ready = status
            .conditions
            .iter()
            .flatten()
            .find(|c| c.type_ == "Ready")
            .is_none_or(|c| c.status == "True");
        let mut node = Self {
            hostname: labels.get("kubernetes.io/hostname").cloned().unwrap_or_else(|| name.clone()),
            profile: labels.get(SANDBOX_PROFILE_LABEL).cloned(),
            kernel: status.node_info.map(|info| info.kernel_version).unwrap_or_default(),
            open: ready && !spec.unschedulable.unwrap_or_default(),
            usable: false,
            taints: spec.taints.unwrap_or_default(),
            ips,
            pod_cidrs,
            name,
            labels,
        };
        node.usable = node.takes(&DeployOptions::default());
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tainted_node_is_not_usable_and_addresses_are_one_of_each_family() {
        let node: ApiNode = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "cp", "labels": {"kubernetes.io/hostname": "cp.local"}},
            "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "fd00::/64"],
                     "taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]},
            "status": {"addresses": [
                {"type": "Hostname", "address": "cp"},
                {"type": "ExternalIP", "address": "203.0.113.1"},
                {"type": "InternalIP", "address": "172.18.0.2"},
                {"type": "InternalIP", "address": "fc00::2"},
            ], "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        let node = Node::from(node);
        assert!(!node.usable);
        assert_eq!(node.hostname, "cp.local");
        assert_eq!(node.ips, ["172.18.0.2", "fc00::2"].map(|ip| ip.parse::<IpAddr>().unwrap()));
        assert_eq!(node.pod_cidrs.len(), 2);
        let options = |toleration: &str, label: &str| DeployOptions {
            tolerations: vec![toleration.parse::<crate::settings::TolerationArg>().unwrap().0],
            node_selector: [("kubernetes.io/hostname".to_owned(), label.to_owned())].into(),
            ..DeployOptions::default()
        };
        assert!(node.takes(&options("node-role.kubernetes.io/control-plane:NoSchedule", "cp.local")));
        assert!(node.takes(&options("*", "cp.local")));
        assert!(!node.takes(&options("*", "other")));
        assert!(!node.takes(&options("other", "cp.local")));
        assert!(!node.takes(&options("node-role.kubernetes.io/control-plane=x", "cp.local")));
    }
}
