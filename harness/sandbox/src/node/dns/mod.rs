//! The cluster's name server: what the state says about services and pods, under `cluster.local`.
//!
//! ```text
//! Sync ──► Zone::new ──► shared zone ◄── serve: UDP and TCP on port 53 of the kube-dns pod
//! ```

mod serve;
mod zone;

pub(crate) use serve::{DnsServer, start};
pub(crate) use zone::Zone;

use std::sync::{Arc, RwLock};

/// The zone that all servers answer from; a sync replaces it.
pub(crate) type SharedZone = Arc<RwLock<Arc<Zone>>>;
