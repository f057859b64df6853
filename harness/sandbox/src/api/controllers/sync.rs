//! Tells dataplane and DNS what is new: one message in flight, the newest state wins.

use std::{sync::Arc, time::Instant};

use tokio::sync::watch;

use super::state;
use crate::{
    api::{cluster::Cluster, kinds::Kind},
    wire::State,
};

/// Kinds that the dataplane depends on.
const KINDS: [Kind; 5] =
    [Kind::Namespace, Kind::Pod, Kind::Service, Kind::EndpointSlice, Kind::NetworkPolicy];

/// How far the dataplane is: the store's version, and what it refused.
#[derive(Debug, Clone, Default)]
struct Progress {
    version: u64,
    error: Option<String>,
}

/// Lets others wait for the dataplane.
pub(crate) struct Syncer {
    done: watch::Sender<Progress>,
}

impl Syncer {
    /// Nothing is in the dataplane yet.
    pub(crate) fn new() -> Self {
        Self { done: watch::Sender::default() }
    }

    /// Waits until the dataplane knows the store's state of a version.
    ///
    /// # Errors
    /// What the dataplane refused.
    pub(crate) async fn reached(&self, version: u64) -> Result<(), String> {
        let mut done = self.done.subscribe();
        match done.wait_for(|progress| progress.version >= version).await {
            Ok(progress) => progress.error.clone().map_or(Ok(()), Err),
            Err(_) => Err("the sandbox stops".into()),
        }
    }
}

/// Runs until the cluster stops.
pub(super) async fn run(cluster: Arc<Cluster>) {
    let mut changes = KINDS.map(|kind| cluster.store.subscribe(kind));
    let mut builder = state::Builder::default();
    let mut sent: Option<State> = None;
    let mut accepted = Instant::now();
    loop {
        for change in &mut changes {
            change.borrow_and_update();
        }
        let (state, version) = builder.build(&cluster.store, &cluster.profile);
        let mut next = None;
        if sent.as_ref() == Some(&state) {
            cluster.syncer.done.send_modify(|progress| progress.version = version);
        } else {
            let mut sync = cluster.node.sync(state.clone(), accepted.elapsed());
            let result = tokio::select! {
                result = &mut sync => result,
                // The delays of the dataplane begin with the change, even if it has to wait here.
                () = any(&mut changes) => {
                    next = Some(Instant::now());
                    sync.await
                }
            };
            let error = result.err();
            // What was refused is tried again with the next change, even if it is the same.
            sent = error.is_none().then_some(state);
            cluster.syncer.done.send_replace(Progress { version, error });
        }
        if next.is_none() {
            tokio::select! {
                () = any(&mut changes) => {}
                () = cluster.stop.cancelled() => return,
            }
        }
        accepted = next.unwrap_or_else(Instant::now);
    }
}

/// Waits until something has changed.
async fn any(changes: &mut [watch::Receiver<u64>; KINDS.len()]) {
    let _ = futures::future::select_all(changes.iter_mut().map(|change| Box::pin(change.changed()))).await;
}
