//! Whether nodes take pods, and if not, why: for people, where [`crate::Node`] is for runs.

use k8s_openapi::api::core::v1::Node as ApiNode;

use crate::{client::Cluster, error::ClusterError};

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Name.
    pub name: String,
    /// Why pods without tolerations do not run there; `None` when they do.
    pub unusable: Option<String>,
    /// Kernel release.
    pub kernel: String,
    /// `containerd://2.1.9`
    pub runtime: String,
    /// Version of its kubelet.
    pub kubelet: String,
}

impl Cluster {
    /// All nodes, by name.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn node_states(&self) -> Result<Vec<NodeState>, ClusterError> {
        let mut states: Vec<NodeState> = self.api_nodes().await?.into_iter().map(NodeState::from).collect();
        states.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(states)
    }
}

impl From<ApiNode> for NodeState {
    fn from(node: ApiNode) -> Self {
        let (spec, status) = (node.spec.unwrap_or_default(), node.status.unwrap_or_default());
        let mut why = Vec::new();
        let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
        if let Some(condition) = ready.filter(|condition| condition.status != "True") {
            why.push(format!("is not ready: {}", condition.message.clone().unwrap_or_default()));
        }
        if spec.unschedulable == Some(true) {
            why.push("is cordoned".to_owned());
        }
        let taints = spec.taints.iter().flatten();
        let keeps_off = taints.filter(|taint| taint.effect == "NoSchedule" || taint.effect == "NoExecute");
        why.extend(keeps_off.map(|taint| format!("has the taint {}:{}", taint.key, taint.effect)));
        let info = status.node_info.unwrap_or_default();
        Self {
            name: node.metadata.name.unwrap_or_default(),
            unusable: (!why.is_empty()).then(|| why.join(", ")),
            kernel: info.kernel_version,
            runtime: info.container_runtime_version,
            kubelet: info.kubelet_version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_why_it_takes_no_pods() {
        let state = |node: serde_json::Value| {
            NodeState::from(serde_json::from_value::<ApiNode>(node).unwrap()).unusable
        };
        assert_eq!(state(serde_json::json!({"metadata": {"name": "a"}})), None);
        let tainted = serde_json::json!({
            "spec": {"unschedulable": true, "taints": [{"key": "k", "effect": "NoSchedule"}, {"key": "p", "effect": "PreferNoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": "False", "message": "no CNI"}]},
        });
        assert_eq!(state(tainted).unwrap(), "is not ready: no CNI, is cordoned, has the taint k:NoSchedule");
    }
}
