//! Waiting for pods: one watch over a label, with a limit, and an account of what hinders them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api,
    api::ListParams,
    runtime::{WatchStreamExt, watcher},
};
use tokio::time::{Instant, timeout_at};

use crate::{client::Cluster, error::ClusterError};

/// Most pods that an error describes.
const DESCRIBED: usize = 5;

/// Waiting reasons that do not mend themselves within a run.
const HOPELESS: [&str; 6] = [
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

impl Cluster {
    /// Waits until these pods (real namespace, name), which all carry `selector`, are ready; returns them.
    ///
    /// # Errors
    /// [`ClusterError::NotReady`] with conditions and events, at the limit or as soon as a pod cannot get ready any
    /// more; or the failure of the watch.
    pub(crate) async fn wait_ready(
        &self,
        selector: &str,
        pods: BTreeSet<(String, String)>,
        limit: Duration,
    ) -> Result<BTreeMap<(String, String), Pod>, ClusterError> {
        let started = Instant::now();
        let deadline = started + limit;
        let mut seen: BTreeMap<(String, String), Pod> = BTreeMap::new();
        let mut waiting = pods;
        let api: Api<Pod> = Api::all(self.client.clone());
        let config = watcher::Config::default().labels(selector).page_size(500);
        let events = watcher(api, config).default_backoff().applied_objects();
        pin_mut!(events);
        let mut last_error = None;
        while !waiting.is_empty() {
            let pod = match timeout_at(deadline, events.next()).await {
                Ok(Some(Ok(pod))) => pod,
                Ok(Some(Err(error))) => {
                    let error = watch_error(&error, &self.url);
                    if error.is_fatal() {
                        return Err(error);
                    }
                    last_error = Some(error);
                    continue;
                }
                // The watch ended, which it does not by itself, or the limit passed.
                Ok(None) | Err(_) => break,
            };
            let key = (
                pod.metadata.namespace.clone().unwrap_or_default(),
                pod.metadata.name.clone().unwrap_or_default(),
            );
            if is_ready(&pod) {
                waiting.remove(&key);
            } else if hopeless(&pod).is_some() && waiting.contains(&key) {
                seen.insert(key.clone(), pod);
                return Err(self.not_ready(&[key].into(), &seen, started.elapsed()).await);
            }
            seen.insert(key, pod);
        }
        if waiting.is_empty() {
            return Ok(seen);
        }
        Err(match last_error {
            Some(error) if seen.is_empty() => error,
            _ => self.not_ready(&waiting, &seen, started.elapsed()).await,
        })
    }

    async fn not_ready(
        &self,
        waiting: &BTreeSet<(String, String)>,
        seen: &BTreeMap<(String, String), Pod>,
        after: Duration,
    ) -> ClusterError {
        let mut pods = Vec::new();
        for key in waiting.iter().take(DESCRIBED) {
            let (namespace, name) = key;
            let state = seen.get(key).map_or_else(|| "was never seen".to_owned(), describe);
            let event =
                self.last_warning(namespace, name).await.map(|e| format!(" ({e})")).unwrap_or_default();
            pods.push(format!("{namespace}/{name} {state}{event}"));
        }
        if waiting.len() > DESCRIBED {
            pods.push(format!("and {} more", waiting.len() - DESCRIBED));
        }
        ClusterError::NotReady { after, pods }
    }

    /// The newest warning about a pod, if events can be read.
    async fn last_warning(&self, namespace: &str, pod: &str) -> Option<String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let fields = format!("involvedObject.kind=Pod,involvedObject.name={pod},type=Warning");
        let params = ListParams::default().fields(&fields);
        let events = self.call("list events", || async { api.list(&params).await }).await.ok()?;
        let newest =
            events.items.into_iter().max_by_key(|event| event.last_timestamp.as_ref().map(|t| t.0))?;
        Some(format!("{}: {}", newest.reason.unwrap_or_default(), newest.message.unwrap_or_default()))
    }
}

fn watch_error(error: &watcher::Error, url: &str) -> ClusterError {
    let what = "watch pods";
    match error {
        watcher::Error::InitialListFailed(e)
        | watcher::Error::WatchStartFailed(e)
        | watcher::Error::WatchFailed(e) => ClusterError::from_kube(e, what, url),
        watcher::Error::WatchError(status) => {
            ClusterError::from_kube(&kube::Error::Api(status.clone()), what, url)
        }
        other => ClusterError::Failed { what: what.into(), cause: other.to_string() },
    }
}

fn is_ready(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none() && !crate::pods::ips(pod).is_empty()
}

/// Why a pod will not get ready any more; `None` while it may.
fn hopeless(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if pod.metadata.deletion_timestamp.is_some() {
        return Some("is being deleted".into());
    }
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        return Some("has ended".into());
    }
    status.container_statuses.iter().flatten().find_map(|container| {
        let reason = container.state.as_ref()?.waiting.as_ref()?.reason.as_deref()?;
        HOPELESS.contains(&reason).then(|| reason.to_owned())
    })
}

/// A pod's state in words: phase, what its container waits for, conditions that are not met.
fn describe(pod: &Pod) -> String {
    let Some(status) = &pod.status else { return "has no status yet".into() };
    let mut parts = vec![format!("is {}", status.phase.as_deref().unwrap_or("without a phase"))];
    let text = |reason: Option<&String>, message: Option<&String>| {
        [reason, message]
            .into_iter()
            .flatten()
            .map(|s| s.trim())
            .filter(|s| !s.is_empty())
            .collect::<Vec<_>>()
            .join(": ")
    };
    parts.push(text(status.reason.as_ref(), status.message.as_ref()));
    for state in status.container_statuses.iter().flatten().filter_map(|c| c.state.as_ref()) {
        if let Some(waiting) = &state.waiting {
            parts.push(text(waiting.reason.as_ref(), waiting.message.as_ref()));
        }
        if let Some(ended) = &state.terminated {
            parts.push(format!("exit code {}", ended.exit_code));
            parts.push(text(ended.reason.as_ref(), ended.message.as_ref()));
        }
    }
    for condition in status.conditions.iter().flatten() {
        if condition.status != "True" && condition.type_ == "PodScheduled" {
            parts.push(text(condition.reason.as_ref(), condition.message.as_ref()));
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(
            serde_json::json!({"metadata": {"name": "a", "namespace": "n"}, "status": status}),
        )
        .unwrap()
    }

    #[test]
    fn a_pod_is_ready_with_its_condition_and_an_address() {
        let ready = serde_json::json!([{"type": "Ready", "status": "True"}]);
        assert!(is_ready(&pod(serde_json::json!({"conditions": ready, "podIP": "10.0.0.1"}))));
        assert!(!is_ready(&pod(serde_json::json!({"conditions": ready}))));
        assert!(!is_ready(&pod(serde_json::json!({"podIP": "10.0.0.1"}))));
    }

    #[test]
    fn what_hinders_a_pod_is_told() {
        let pulling = pod(
            serde_json::json!({"phase": "Pending", "containerStatuses": [{"name": "probe", "ready": false,
            "restartCount": 0, "image": "", "imageID": "",
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}}]}),
        );
        assert_eq!(hopeless(&pulling).as_deref(), Some("ImagePullBackOff"));
        assert_eq!(describe(&pulling), "is Pending, ImagePullBackOff: no such tag");
        let unscheduled = pod(serde_json::json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}]}));
        assert_eq!(hopeless(&unscheduled), None);
        assert_eq!(describe(&unscheduled), "is Pending, Unschedulable: 0/2 nodes");
        let failed = pod(serde_json::json!({"phase": "Failed", "reason": "SysctlForbidden"}));
        assert_eq!(hopeless(&failed).as_deref(), Some("has ended"));
    }
}
