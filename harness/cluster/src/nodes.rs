//! The cluster's nodes.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node as ApiNode;
use kube::{Api, api::ListParams};
use verdikt_model::Family;

use crate::{client::Cluster, error::ClusterError};

/// Label with which the embedded cluster marks its nodes; the value is its profile.
pub const SANDBOX_PROFILE_LABEL: &str = "sandbox.verdikt.dev/profile";

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Profile of the embedded cluster; `None` on a real one.
    pub profile: Option<String>,
    /// Whether pods without tolerations can run there: ready, not cordoned, no taint that keeps them off.
    pub usable: bool,
}

impl Cluster {
    /// The nodes: usable ones first, sorted by name, then the others. `node/1` is the first.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn nodes(&self) -> Result<Vec<Node>, ClusterError> {
        let api: Api<ApiNode> = Api::all(self.client.clone());
        let list = self.call("list nodes", || async { api.list(&ListParams::default()).await }).await?;
        let mut nodes: Vec<Node> = list.items.into_iter().map(Node::from).collect();
        nodes.sort_by(|a, b| (!a.usable, &a.name).cmp(&(!b.usable, &b.name)));
        Ok(nodes)
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
        let kept_off = spec
            .taints
            .iter()
            .flatten()
            .any(|taint| taint.effect == "NoSchedule" || taint.effect == "NoExecute");
        Self {
            hostname: labels.get("kubernetes.io/hostname").cloned().unwrap_or_else(|| name.clone()),
            profile: labels.get(SANDBOX_PROFILE_LABEL).cloned(),
            kernel: status.node_info.map(|info| info.kernel_version).unwrap_or_default(),
            usable: ready && !kept_off && !spec.unschedulable.unwrap_or_default(),
            ips,
            pod_cidrs,
            name,
        }
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
    }
}
