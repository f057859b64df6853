//! Waiting for pods: a list over a label, then a watch from there, again and again within a limit, and an account of
//! what hinders them.
//!
//! A watch is a promise that may be broken without a word: by a connection that died, a history that is gone (410),
//! an API server that restarts. So none is believed for longer than [`Patience::watch`](crate::Patience::watch), and
//! whatever ends it, the next list tells what is true.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api,
    api::{ListParams, WatchEvent, WatchParams},
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{client::Cluster, error::ClusterError, id::jitter, mend};

/// Most pods that an error describes.
const DESCRIBED: usize = 5;
/// Pause after a watch that ended early or could not be begun; doubles while that goes on.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Waiting reasons that do not mend themselves within a run.
const HOPELESS: [&str; 6] = [
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// Pods that are waited for.
struct Waiting {
    seen: BTreeMap<(String, String), Pod>,
    left: BTreeSet<(String, String)>,
    /// One of them that cannot get ready any more.
    hopeless: Option<(String, String)>,
}

impl Waiting {
    fn is_over(&self) -> bool {
        self.left.is_empty() || self.hopeless.is_some()
    }

    /// Looks at all that there are. They were made before, so that one that is missing was deleted.
    fn look_at_all(&mut self, pods: Vec<Pod>) {
        let old = std::mem::take(&mut self.seen);
        pods.into_iter().for_each(|pod| self.look(pod));
        if let Some(gone) = self.left.iter().find(|key| !self.seen.contains_key(*key)) {
            self.hopeless = Some(gone.clone());
        }
        // Those that were ready stay so: what becomes of them is looked at after each step.
        for (key, pod) in old.into_iter().filter(|(key, _)| !self.left.contains(key)) {
            self.seen.entry(key).or_insert(pod);
        }
    }

    fn look(&mut self, pod: Pod) {
        let metadata = &pod.metadata;
        let key = (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
        if is_ready(&pod) {
            self.left.remove(&key);
        } else if hopeless(&pod).is_some() && self.left.contains(&key) {
            self.hopeless = Some(key.clone());
        }
        self.seen.insert(key, pod);
    }
}

impl Cluster {
    /// Waits until these pods (real namespace, name), which all carry `selector`, are ready; returns them.
    ///
    /// # Errors
    /// [`ClusterError::NotReady`] with conditions and events, at the limit or as soon as a pod cannot get ready any
    /// more; or why they cannot be watched.
    pub(crate) async fn wait_ready(
        &self,
        selector: &str,
        pods: BTreeSet<(String, String)>,
        limit: Duration,
    ) -> Result<BTreeMap<(String, String), Pod>, ClusterError> {
        let started = Instant::now();
        let mut waiting = Waiting { seen: BTreeMap::new(), left: pods, hopeless: None };
        let mut last_error = None;
        let watching = self.watch_pods(selector, &mut waiting, &mut last_error);
        if let Ok(Err(error)) = timeout_at(started + limit, watching).await {
            return Err(error);
        }
        if let Some(key) = &waiting.hopeless {
            return Err(self.not_ready(&[key.clone()].into(), &waiting.seen, started.elapsed()).await);
        }
        if waiting.left.is_empty() {
            return Ok(waiting.seen);
        }
        Err(match last_error {
            Some(error) if waiting.seen.is_empty() => error,
            _ => self.not_ready(&waiting.left, &waiting.seen, started.elapsed()).await,
        })
    }

    /// Looks at pods until the waiting is over.
    ///
    /// # Errors
    /// What no patience mends: credentials, rights.
    async fn watch_pods(
        &self,
        selector: &str,
        waiting: &mut Waiting,
        last_error: &mut Option<ClusterError>,
    ) -> Result<(), ClusterError> {
        let api: Api<Pod> = Api::all(self.client.clone());
        let params = ListParams::default().labels(selector);
        let mut pause = PAUSE;
        loop {
            let begun = Instant::now();
            let looked = match self.call("list pods", || async { api.list(&params).await }).await {
                Ok(list) => {
                    let version = list.metadata.resource_version.unwrap_or_default();
                    waiting.look_at_all(list.items);
                    self.watch_from(&api, selector, &version, waiting).await
                }
                Err(error) => Err(error),
            };
            if waiting.is_over() {
                return Ok(());
            }
            match looked {
                // Nobody answers for now; everything else that is fatal stays so.
                Err(error) if error.is_fatal() && !matches!(error, ClusterError::Unreachable { .. }) => {
                    return Err(error);
                }
                Err(error) => *last_error = Some(error),
                Ok(()) => {}
            }
            // One that lasted as long as it should needs no pause.
            if begun.elapsed() < self.patience.watch {
                sleep(jitter(pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            } else {
                pause = PAUSE;
            }
        }
    }

    /// One watch, until it ends or the waiting does.
    async fn watch_from(
        &self,
        api: &Api<Pod>,
        selector: &str,
        version: &str,
        waiting: &mut Waiting,
    ) -> Result<(), ClusterError> {
        if waiting.is_over() {
            return Ok(());
        }
        let limit = self.patience.watch;
        let seconds = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).max(1);
        let params = WatchParams::default().labels(selector).timeout(seconds);
        let watch = async {
            let events = api.watch(&params, version).await?;
            let mut events = pin!(events);
            while let Some(event) = events.try_next().await? {
                match event {
                    WatchEvent::Added(pod) | WatchEvent::Modified(pod) => waiting.look(pod),
                    // It will never be ready; the next list may know another of its name.
                    WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                    // Gone history, mostly.
                    WatchEvent::Error(status) => return Err(kube::Error::Api(status.boxed())),
                }
                if waiting.is_over() {
                    break;
                }
            }
            Ok(())
        };
        match timeout(limit, watch).await {
            Ok(Err(error)) => Err(ClusterError::from_kube(&error, "watch pods", &self.url)),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
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
            let state = seen.get(key).map_or_else(|| "is not there".to_owned(), describe);
            let event =
                self.last_warning(namespace, name).await.map(|e| format!(" ({e})")).unwrap_or_default();
            let told = format!("{namespace}/{name} {state}{event}");
            if mend::is_image(&told) {
                return ClusterError::Image { pod: told };
            }
            pods.push(told);
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

pub(crate) fn is_ready(pod: &Pod) -> bool {
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
pub(crate) fn describe(pod: &Pod) -> String {
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
