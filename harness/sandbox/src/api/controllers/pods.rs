//! The pods that run: one task for each pod, from its creation to its end, see [`super::life`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{addresses::Addresses, life::live};
use crate::{
    api::{cluster::Cluster, kinds::Kind, object::Shared},
    wire::Exit,
};

/// The pods that have a task, by uid.
pub(crate) struct Pods {
    running: Mutex<HashMap<String, Running>>,
    addresses: Mutex<Addresses>,
}

/// What a pod's task listens to.
struct Running {
    entry: Entry,
    exits: mpsc::UnboundedSender<(String, Exit)>,
}

/// Which pod a task is for, and when it is to end.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    end: watch::Sender<Option<End>>,
}

/// The end of a pod.
#[derive(Debug, Clone, Copy)]
struct End {
    /// Seconds that it was given.
    grace: i64,
    /// When it is killed.
    by: Instant,
}

impl Entry {
    /// Begins the pod's end, or brings it forward.
    fn end(&self, grace: i64) {
        self.end.send_if_modified(|end| {
            if end.is_some_and(|end| end.grace <= grace) {
                return false;
            }
            let by = Instant::now() + Duration::from_secs(grace.unsigned_abs());
            *end = Some(End { grace, by: end.map_or(by, |end| end.by.min(by)) });
            true
        });
    }

    /// Waits until the pod's deletion has begun.
    pub(super) async fn ending(&self) {
        // The sender is ours, so there is always an answer.
        let _ = self.end.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until the pod's grace period is over, which may become shorter meanwhile.
    pub(super) async fn expired(&self) {
        let mut end = self.end.subscribe();
        loop {
            let by = end.borrow_and_update().map(|end| end.by);
            let over = async {
                match by {
                    Some(by) => sleep_until(by).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                _ = end.changed() => {}
            }
        }
    }
}

impl Pods {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { running: Mutex::default(), addresses: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod's task has ended.
    pub(super) fn forget(&self, uid: &str) {
        self.running().remove(uid);
    }
}

/// Starts and ends pods until the cluster stops.
pub(crate) async fn run(cluster: Arc<Cluster>) {
    let mut changed = cluster.store.subscribe(Kind::Pod);
    let mut seen = 0;
    loop {
        changed.borrow_and_update();
        match cluster.store.changes(Kind::Pod, seen, usize::MAX) {
            Ok(changes) => {
                for change in changes {
                    seen = change.version;
                    look(&cluster, &change.after, change.deleted);
                }
            }
            // So many changes at once that the history does not hold them: look at what there is instead.
            Err(_) => {
                let (pods, version) = cluster.store.list(Kind::Pod, None);
                for (uid, running) in &*cluster.pods.running() {
                    if pods.iter().all(|pod| pod.uid() != uid) {
                        running.entry.end(0);
                    }
                }
                pods.iter().for_each(|pod| look(&cluster, pod, false));
                seen = version;
                continue;
            }
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = cluster.stop.cancelled() => return,
        }
    }
}

fn look(cluster: &Arc<Cluster>, pod: &Shared, deleted: bool) {
    let mut running = cluster.pods.running();
    match running.get(pod.uid()) {
        Some(Running { entry, .. }) if deleted => entry.end(0),
        Some(Running { entry, .. }) if pod.terminating() => {
            let grace = pod.value.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
            entry.end(grace.unwrap_or_default());
        }
        None if !deleted && !pod.terminating() => {
            let entry = Entry {
                namespace: pod.namespace().to_owned(),
                name: pod.name().to_owned(),
                uid: pod.uid().to_owned(),
                end: watch::Sender::default(),
            };
            let (exits, ended) = mpsc::unbounded_channel();
            running.insert(pod.uid().to_owned(), Running { entry: entry.clone(), exits });
            tokio::spawn(live(cluster.clone(), entry, ended));
        }
        _ => {}
    }
}

/// Tells every pod's task which of its containers have ended.
pub(crate) async fn run_exits(cluster: Arc<Cluster>) {
    let mut exits = cluster.node.exits();
    loop {
        let exit = tokio::select! {
            exit = exits.recv() => exit,
            () = cluster.stop.cancelled() => return,
        };
        let Some(exit) = exit else { return };
        if let Some(running) = cluster.pods.running().get(&exit.uid) {
            // A task that has ended needs no news.
            let _ = running.exits.send((exit.container, exit.exit));
        }
    }
}
