//! What has become of probe pods since they were ready.
//!
//! Silence from a pod that is gone looks like a policy that drops everything, and a pod that was made anew under the
//! same name answers, though it is another: with another address, and perhaps before any policy holds for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};

use crate::{
    client::Cluster,
    error::ClusterError,
    pods::CONTAINER,
    ready::describe,
    scope::{LANE_LABEL, RUN_LABEL, Scope},
};

/// A probe pod that was ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbePodId {
    /// Real namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Which of all pods that have ever had this name.
    pub uid: String,
    /// Value of its lane label.
    pub mark: String,
}

/// Why a pod is not any more what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// It does not run. What it answered before is true; its silence means nothing.
    Died(String),
    /// Whether it runs could not be found out, so it counts as one that does not.
    Unseen(String),
    /// Another stands in its place, whose answers are not its own.
    Replaced(String),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Died(why) => write!(f, "died: {why}"),
            Self::Unseen(why) => write!(f, "may have died: {why}"),
            Self::Replaced(why) => write!(f, "was replaced: {why}"),
        }
    }
}

impl Cluster {
    /// Which of these pods of a run are not any more what they were, by (namespace, name).
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn lost_pods(
        &self,
        scope: &Scope,
        pods: &[ProbePodId],
    ) -> Result<BTreeMap<(String, String), Loss>, ClusterError> {
        let marks: BTreeSet<&str> = pods.iter().map(|pod| pod.mark.as_str()).collect();
        let marks: Vec<&str> = marks.into_iter().collect();
        let selector = format!("{RUN_LABEL}={},{LANE_LABEL} in ({})", scope.run, marks.join(","));
        let params = ListParams::default().labels(&selector);
        let api: Api<Pod> = Api::all(self.client.clone());
        let list = self.call("list probe pods", || async { api.list(&params).await }).await?;
        let found: BTreeMap<(&str, &str), &Pod> = list
            .items
            .iter()
            .filter_map(|pod| {
                Some(((pod.metadata.namespace.as_deref()?, pod.metadata.name.as_deref()?), pod))
            })
            .collect();
        let losses = pods.iter().filter_map(|pod| {
            let loss = loss(pod, found.get(&(pod.namespace.as_str(), pod.name.as_str())).copied())?;
            Some(((pod.namespace.clone(), pod.name.clone()), loss))
        });
        Ok(losses.collect())
    }
}

fn loss(was: &ProbePodId, is: Option<&Pod>) -> Option<Loss> {
    let died = |why: &str| Some(Loss::Died(why.to_owned()));
    let Some(pod) = is else { return died("the pod is gone") };
    if pod.metadata.uid.as_deref() != Some(was.uid.as_str()) {
        return Some(Loss::Replaced("another pod has its name now".into()));
    }
    let status = pod.status.clone().unwrap_or_default();
    let own = status.container_statuses.iter().flatten().find(|container| container.name == CONTAINER);
    if own.is_some_and(|container| container.restart_count > 0) {
        return Some(Loss::Replaced("its container was started again".into()));
    }
    let ended = own.is_some_and(|c| c.state.as_ref().is_some_and(|state| state.terminated.is_some()));
    if ended || status.phase.as_deref() != Some("Running") {
        return Some(Loss::Died(format!("the pod {}", describe(pod))));
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return died("the pod is being deleted");
    }
    // Its node's kubelet has not been heard of; nobody knows what holds there.
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready")?;
    let reason = ready.reason.as_deref().unwrap_or("without a reason");
    (ready.status != "True").then(|| Loss::Died(format!("the pod is not ready any more: {reason}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(metadata: Value, status: Value) -> Option<Loss> {
        let mut pod = json!({"metadata": {"name": "a", "namespace": "n", "uid": "u1"}, "status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": CONTAINER, "ready": true, "restartCount": 0, "image": "", "imageID": ""}]}});
        for (part, changes) in [("metadata", metadata), ("status", status)] {
            for (key, value) in changes.as_object().unwrap() {
                pod[part][key] = value.clone();
            }
        }
        let was =
            ProbePodId { namespace: "n".into(), name: "a".into(), uid: "u1".into(), mark: "r10".into() };
        loss(&was, Some(&serde_json::from_value(pod).unwrap()))
    }

    #[test]
    fn only_the_pod_that_was_ready_and_still_is_counts() {
        assert_eq!(of(json!({}), json!({})), None);
        let replaced = |loss| matches!(loss, Some(Loss::Replaced(_)));
        assert!(replaced(of(json!({"uid": "u2"}), json!({}))));
        let restarted =
            json!([{"name": CONTAINER, "ready": true, "restartCount": 1, "image": "", "imageID": ""}]);
        assert!(replaced(of(json!({}), json!({"containerStatuses": restarted}))));
        let ended = json!([{"name": CONTAINER, "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"terminated": {"exitCode": 137}}}]);
        let died = |loss: Option<Loss>| match loss {
            Some(Loss::Died(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(died(of(json!({}), json!({"containerStatuses": ended}))).contains("exit code 137"));
        let evicted = died(of(json!({}), json!({"phase": "Failed", "reason": "Evicted"})));
        assert!(evicted.contains("is Failed, Evicted"), "{evicted}");
        assert!(
            died(of(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), json!({}))).contains("deleted")
        );
        let conditions = json!([{"type": "Ready", "status": "False", "reason": "NodeNotReady"}]);
        assert!(died(of(json!({}), json!({"conditions": conditions}))).contains("NodeNotReady"));
    }
}
