//! What happens to objects after the API has accepted them.
//!
//! ```text
//! store ──changes──► pods:       a task for each pod (life): address, dataplane first, then start; status; end
//!       ──changes──► sync:       the whole state to dataplane and DNS, one at a time, the newest wins
//!       ──changes──► slices:     EndpointSlices of each Service
//!       ──changes──► namespaces: empties what is being deleted, then lets it go
//! node  ──its end──► nodes:      are no longer ready
//! ```

mod addresses;
mod assign;
mod container;
mod foreign;
mod life;
mod namespaces;
mod nodes;
mod pod_status;
mod pods;
mod scheduler;
mod slices;
mod state;
mod sync;

use std::sync::Arc;

pub(crate) use self::{
    pod_status::{can_exec, has_ended},
    pods::Pods,
    sync::Syncer,
};
use super::cluster::Cluster;

/// Starts all controllers; they end when the cluster stops.
pub(crate) fn start(cluster: &Arc<Cluster>) {
    for controller in [
        tokio::spawn(sync::run(cluster.clone())),
        tokio::spawn(pods::run(cluster.clone())),
        tokio::spawn(pods::run_exits(cluster.clone())),
        tokio::spawn(slices::run(cluster.clone())),
        tokio::spawn(namespaces::run(cluster.clone())),
        tokio::spawn(nodes::run(cluster.clone())),
    ] {
        // They watch the cluster's stop token themselves.
        drop(controller);
    }
}
