//! Harm that comes to probe pods themselves, past the proxy.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::dice::Dice;

/// What happens to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Somebody deletes it.
    Deleted,
    /// Its kubelet evicts it: the object stays, as Failed.
    Evicted,
    /// Its process is killed; its address answers with resets from then on.
    Killed,
    /// Its servers do not run for a while, as where a node has no time for them; their kernel goes on.
    Paused,
    /// Somebody deletes it and makes another with its name.
    Replaced,
}

impl Harm {
    /// What comes to the pods of a run, and when; mostly nothing.
    pub(crate) fn of(seed: u64) -> Option<(Self, Duration)> {
        let mut dice = Dice::new(seed, "harm");
        let all = [
            (16, None),
            (1, Some(Self::Deleted)),
            (1, Some(Self::Evicted)),
            (1, Some(Self::Killed)),
            (1, Some(Self::Paused)),
            (1, Some(Self::Replaced)),
        ];
        let harm = dice.weighed(&all)?;
        Some((harm, Duration::from_millis(dice.below(3500))))
    }

    /// Does it to one of the pods that run in namespaces that begin with `prefix`; tells whether there was one.
    pub(crate) async fn come(self, client: &Client, prefix: &str, seed: u64) -> bool {
        let victim = tokio::time::timeout(Duration::from_secs(10), victim(client, prefix, seed)).await;
        let Ok(Some(pod)) = victim else { return false };
        let (namespace, name) = (
            pod.metadata.namespace.clone().unwrap_or_default(),
            pod.metadata.name.clone().unwrap_or_default(),
        );
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        // The run may end at any moment, and its pods with it: what fails here has nobody to harm any more.
        match self {
            Self::Deleted => api.delete(&name, &now()).await.is_ok(),
            // Its status says so before its process has ended: a kubelet that is in a hurry.
            Self::Evicted => set_phase(&api, &name, "Failed", "Evicted").await,
            Self::Killed => signal_servers(&namespace, &name, Signal::SIGKILL).is_some(),
            Self::Paused => match signal_servers(&namespace, &name, Signal::SIGSTOP) {
                Some(pid) => {
                    let _paused = Paused(pid);
                    sleep(Duration::from_millis(200 + Dice::new(seed, "pause").below(2800))).await;
                    true
                }
                None => false,
            },
            Self::Replaced => replace(&api, pod, &name).await,
        }
    }
}

fn now() -> DeleteParams {
    DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }
}

/// A pod that runs.
async fn victim(client: &Client, prefix: &str, seed: u64) -> Option<Pod> {
    let api: Api<Pod> = Api::all(client.clone());
    let params = ListParams::default().labels(verdikt_cluster::RUN_LABEL);
    loop {
        let mut pods = api.list(&params).await.ok()?.items;
        pods.retain(|pod| {
            let own = pod.metadata.namespace.as_deref().is_some_and(|ns| ns.starts_with(prefix));
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            own && phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
        });
        if !pods.is_empty() {
            let chosen = Dice::new(seed, "victim").below(pods.len() as u64) as usize;
            return Some(pods.swap_remove(chosen));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn set_phase(api: &Api<Pod>, name: &str, phase: &str, reason: &str) -> bool {
    let ready = if phase == "Running" { "True" } else { "False" };
    let status = json!({"status": {"phase": phase, "reason": reason, "conditions": [
        {"type": "Ready", "status": ready}, {"type": "PodScheduled", "status": "True"}]}});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.is_ok()
}

/// A process that runs again when this is dropped.
struct Paused(Pid);

impl Drop for Paused {
    fn drop(&mut self) {
        // It may be gone.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// Sends a signal to the process with which a pod began, found by its environment, which names the pod.
fn signal_servers(namespace: &str, name: &str, signal: Signal) -> Option<Pid> {
    let mark = format!("{}={namespace}/{name}", verdikt_protocol::IDENTITY_VARIABLE);
    let of = |pid: &i32, file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let has = |bytes: &[u8], word: &str| bytes.split(|b| *b == 0).any(|part| part == word.as_bytes());
    let processes = std::fs::read_dir("/proc").ok()?;
    let pid = processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .find(|pid| has(&of(pid, "environ"), &mark) && has(&of(pid, "cmdline"), "serve"));
    let pid = Pid::from_raw(pid?);
    kill(pid, signal).is_ok().then_some(pid)
}

async fn replace(api: &Api<Pod>, pod: Pod, name: &str) -> bool {
    if api.delete(name, &now()).await.is_err() {
        return false;
    }
    let mut another = pod;
    another.status = None;
    another.metadata = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        name: another.metadata.name,
        namespace: another.metadata.namespace,
        labels: another.metadata.labels,
        annotations: another.metadata.annotations,
        ..Default::default()
    };
    if let Some(spec) = &mut another.spec {
        spec.node_name = None;
    }
    let limit = Instant::now() + Duration::from_secs(5);
    while Instant::now() < limit {
        if api.create(&PostParams::default(), &another).await.is_ok() {
            return true;
        }
        sleep(Duration::from_millis(5)).await;
    }
    false
}
