//! Leaving nothing behind: namespaces are found by label, deleted, and watched until they are gone.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
    discovery::pinned_kind,
};
use tokio::time::{Instant, sleep};
use verdikt_model::ObjectRef;

use crate::{
    client::Cluster,
    error::ClusterError,
    id::RunId,
    objects::{describe, noted_objects},
    scope::RUN_LABEL,
};

/// Pauses while waiting for namespaces to go.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Most deletions at once.
const AT_ONCE: usize = 16;

/// Longest wait of [`Cluster::clean`] until what it deletes is gone.
const CLEAN_LIMIT: Duration = Duration::from_secs(120);

/// Which namespaces a clean-up is about.
#[derive(Debug, Clone, Copy, Default)]
struct Filter<'a> {
    /// Only this run; otherwise every run of verdikt.
    run: Option<&'a str>,
    /// Only what is older.
    older_than: Option<Duration>,
    /// But not these.
    keep: &'a [String],
}

/// What a clean-up did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanReport {
    /// Namespaces whose removal was started, or, in a dry run, would be.
    pub namespaces: Vec<String>,
    /// What is still there at the end, and why: `namespace verdikt-k3f9q0x1-x is still terminating (…)`.
    pub left: Vec<String>,
}

impl Cluster {
    /// Removes everything of one run but the namespaces `keep`, and waits until it is gone, at most `limit`; looks
    /// again after `late`, unless that is zero.
    ///
    /// # Errors
    /// If the namespaces cannot be listed. What could not be removed is in [`CleanReport::left`].
    pub async fn delete_run(
        &self,
        run: &RunId,
        keep: &[String],
        limit: Duration,
        late: Duration,
    ) -> Result<CleanReport, ClusterError> {
        let filter = Filter { run: Some(run.as_str()), older_than: None, keep };
        let mut report = self.remove(filter, limit).await?;
        if !late.is_zero() && report.left.is_empty() {
            sleep(late).await;
            let more = self.remove(filter, limit.saturating_sub(late)).await?;
            report.namespaces.extend(more.namespaces);
            report.left = more.left;
        }
        Ok(report)
    }

    /// Removes what verdikt made: of one run or of all, of any age or only what is older. Only namespaces with
    /// verdikt's label are touched, and the cluster-scoped objects that their annotations name.
    ///
    /// # Errors
    /// If the namespaces cannot be listed. What could not be removed is in [`CleanReport::left`].
    pub async fn clean(
        &self,
        run: Option<&str>,
        older_than: Option<Duration>,
        dry_run: bool,
    ) -> Result<CleanReport, ClusterError> {
        let filter = Filter { run, older_than, keep: &[] };
        if dry_run {
            let namespaces = self.owned_namespaces(filter).await?.iter().map(name).collect();
            return Ok(CleanReport { namespaces, left: Vec::new() });
        }
        self.remove(filter, CLEAN_LIMIT).await
    }

    /// Deletes and waits until there are none.
    async fn remove(&self, filter: Filter<'_>, limit: Duration) -> Result<CleanReport, ClusterError> {
        let deadline = Instant::now() + limit;
        let mut report = CleanReport::default();
        let mut refused: BTreeMap<String, String> = BTreeMap::new();
        let mut pause = PAUSE;
        loop {
            let mut found = self.owned_namespaces(filter).await?;
            found.retain(|namespace| !refused.contains_key(&name(namespace)));
            let fresh = found.iter().filter(|ns| ns.metadata.deletion_timestamp.is_none());
            let deletions: Vec<_> =
                fresh.map(|ns| async move { (name(ns), self.delete_owned(ns).await) }).collect();
            let results: Vec<(String, Result<(), ClusterError>)> =
                stream::iter(deletions).buffer_unordered(AT_ONCE).collect().await;
            for (name, result) in results {
                match result {
                    Ok(()) if report.namespaces.contains(&name) => {}
                    Ok(()) => report.namespaces.push(name),
                    Err(error) => {
                        refused.insert(name.clone(), format!("namespace {name} is still there ({error})"));
                    }
                }
            }
            if found.is_empty() {
                break;
            }
            if Instant::now() + pause >= deadline {
                report.left = found.iter().map(still_there).collect();
                break;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        report.left.extend(refused.into_values());
        Ok(report)
    }

    /// Waits until these namespaces are gone, at most `limit`; tells whether they are.
    ///
    /// # Errors
    /// If they cannot be looked up.
    pub async fn wait_gone(&self, names: &[String], limit: Duration) -> Result<bool, ClusterError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let deadline = Instant::now() + limit;
        for name in names {
            let mut pause = PAUSE;
            let what = format!("get namespace {name}");
            while self.call(&what, || async { api.get_opt(name).await }).await?.is_some() {
                if Instant::now() >= deadline {
                    return Ok(false);
                }
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        Ok(true)
    }

    /// Starts the removal of namespaces by name, without waiting; those that are gone already are no error.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn delete_namespaces(&self, names: &[String]) -> Result<(), ClusterError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let deletions: Vec<_> = names
            .iter()
            .map(|name| {
                let api = api.clone();
                async move {
                    // With what its annotation names: nothing else would know of those objects afterwards.
                    let what = format!("get namespace {name}");
                    match self.call(&what, || async { api.get_opt(name).await }).await? {
                        Some(namespace) => self.delete_owned(&namespace).await,
                        None => Ok(()),
                    }
                }
            })
            .collect();
        let results: Vec<Result<(), ClusterError>> =
            stream::iter(deletions).buffer_unordered(AT_ONCE).collect().await;
        results.into_iter().collect()
    }

    async fn owned_namespaces(&self, filter: Filter<'_>) -> Result<Vec<Namespace>, ClusterError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let selector = match filter.run {
            Some(run) => format!("{RUN_LABEL}={run}"),
            None => RUN_LABEL.to_owned(),
        };
        let params = ListParams::default().labels(&selector);
        let list = self.call("list namespaces", || async { api.list(&params).await }).await?;
        let now = Timestamp::now();
        Ok(list
            .items
            .into_iter()
            .filter(|ns| !filter.keep.contains(&name(ns)))
            .filter(|ns| filter.older_than.is_none_or(|limit| age(ns, now).is_some_and(|age| age > limit)))
            .collect())
    }

    /// Deletes a namespace of ours, after the cluster-scoped objects that its annotation names.
    async fn delete_owned(&self, namespace: &Namespace) -> Result<(), ClusterError> {
        let run =
            namespace.metadata.labels.as_ref().and_then(|l| l.get(RUN_LABEL)).cloned().unwrap_or_default();
        for reference in noted_objects(namespace) {
            self.delete_noted(&reference, &run).await?;
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        let name = name(namespace);
        let what = format!("delete namespace {name}");
        match self.call(what, || async { api.delete(&name, &DeleteParams::default()).await }).await {
            Ok(_) | Err(ClusterError::NotFound { .. }) => Ok(()),
            // It is being deleted already.
            Err(ClusterError::Refused { code: 409, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes a cluster-scoped object if it is the run's.
    async fn delete_noted(&self, reference: &ObjectRef, run: &str) -> Result<(), ClusterError> {
        let (group, version) = reference.api_version.split_once('/').unwrap_or(("", &reference.api_version));
        let gvk = GroupVersionKind::gvk(group, version, &reference.kind);
        let what = format!("delete {}", describe(reference));
        let resource: ApiResource = match self.call(&what, || pinned_kind(&self.client, &gvk)).await {
            Ok((resource, _)) => resource,
            // Without its kind the object is gone, too.
            Err(ClusterError::NotFound { .. }) => return Ok(()),
            Err(ClusterError::Failed { cause, .. }) if cause.contains("Missing") => return Ok(()),
            Err(error) => return Err(error),
        };
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let have = match self.call(&what, || async { api.get(&reference.name).await }).await {
            Ok(have) => have,
            Err(ClusterError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        if have.metadata.labels.as_ref().and_then(|l| l.get(RUN_LABEL)).map(String::as_str) != Some(run) {
            return Ok(());
        }
        match self.call(&what, || async { api.delete(&reference.name, &DeleteParams::default()).await }).await
        {
            Ok(_) | Err(ClusterError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn name(namespace: &Namespace) -> String {
    namespace.metadata.name.clone().unwrap_or_default()
}

/// Age by the creation time; `None` where the API server tells none.
fn age(namespace: &Namespace, now: Timestamp) -> Option<Duration> {
    let made = namespace.metadata.creation_timestamp.as_ref()?.0;
    Duration::try_from(now.duration_since(made)).ok()
}

/// A namespace that does not go away: why, as far as it says so.
fn still_there(namespace: &Namespace) -> String {
    let mut why = Vec::new();
    if let Some(status) = &namespace.status {
        for condition in status.conditions.iter().flatten().filter(|c| c.status == "True") {
            why.extend(condition.message.clone());
        }
    }
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone()).unwrap_or_default();
    if why.is_empty() && !finalizers.is_empty() {
        why.push(format!("finalizers {}", finalizers.join(", ")));
    }
    let state = if namespace.metadata.deletion_timestamp.is_some() {
        "is still terminating"
    } else {
        "is still there"
    };
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
    format!("namespace {} {state}{why}", name(namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(json: serde_json::Value) -> Namespace {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn age_comes_from_the_creation_time() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let made = namespace(serde_json::json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}));
        assert_eq!(age(&made, now), Some(Duration::from_secs(3600)));
        assert_eq!(age(&namespace(serde_json::json!({"metadata": {}})), now), None);
    }

    #[test]
    fn what_is_left_says_why() {
        let stuck = namespace(serde_json::json!({
            "metadata": {"name": "verdikt-r1-x", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"conditions": [{"type": "NamespaceContentRemaining", "status": "True",
                "message": "Some content has finalizers remaining: example.com/f in 1 resource instances",
                "reason": "SomeFinalizersRemain", "lastTransitionTime": null}]},
        }));
        let text = still_there(&stuck);
        assert!(
            text.contains("verdikt-r1-x is still terminating") && text.contains("example.com/f"),
            "{text}"
        );
    }
}
