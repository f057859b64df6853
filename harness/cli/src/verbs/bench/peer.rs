//! The yardstick on a real cluster: the same cells, each by an exec of its own, as cyclonus and the upstream
//! end-to-end tests probe.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{core::v1::Pod, networking::v1::NetworkPolicy};
use kube::{
    Api,
    api::{AttachParams, ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, time::Instant};
use verdikt_cluster::{CONTAINER, Cluster, RUN_LABEL, identity};

use super::{millis, nine::Nine, scenario::policy, show};
use crate::failure::Failure;

/// Execs at once: cyclonus' number of workers.
const WORKERS: usize = 15;
/// How long silence lasts: the upstream tests' limit. cyclonus waits 10 s.
const DEADLINE: &str = "1s";
/// How often a sweep is tried until all of it is as it should be.
const TRIES: usize = 10;

/// How long one sweep takes with one exec for each probe.
pub(super) struct Peer {
    cells: usize,
    allowed: Duration,
    denied: Duration,
}

impl Peer {
    pub(super) fn human(&self, nine: &Nine) -> String {
        let ratio = |peer: Duration, own: Duration| peer.as_secs_f64() / own.as_secs_f64().max(f64::EPSILON);
        format!(
            "one exec for each probe, {WORKERS} at once, {DEADLINE} of silence ({} cells)\n\
             \x20 all allowed      {:>9}  ({:.0} times as long)\n\
             \x20 all denied       {:>9}  ({:.0} times as long)\n",
            self.cells,
            show(self.allowed),
            ratio(self.allowed, nine.allowed),
            show(self.denied),
            ratio(self.denied, nine.denied),
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({"cells": self.cells, "allowedMs": millis(self.allowed), "deniedMs": millis(self.denied)})
    }
}

/// Sweeps over the pods that a run has kept, without policies and with a deny-all in each namespace.
pub(super) async fn peer(cluster: &Cluster, run: &str) -> Result<Peer, Failure> {
    let mine = ListParams::default().labels(&format!("{RUN_LABEL}={run}"));
    let pods = Api::<Pod>::all(cluster.client().clone()).list(&mine).await.map_err(Failure::setup)?;
    let pods: Vec<Place> = pods.items.into_iter().filter_map(place).collect();
    let (cells, allowed) = until(cluster, &pods, |cells, allowed| allowed == cells).await?;
    let namespaces: BTreeSet<&str> = pods.iter().map(|pod| pod.namespace.as_str()).collect();
    for namespace in namespaces {
        let api = Api::<NetworkPolicy>::namespaced(cluster.client().clone(), namespace);
        api.create(&PostParams::default(), &policy("deny-all")).await.map_err(Failure::setup)?;
    }
    // A pod may always reach itself.
    let (_, denied) = until(cluster, &pods, |cells, allowed| allowed <= cells / pods.len().max(1)).await?;
    Ok(Peer { cells, allowed, denied })
}

/// Sweeps until all is as it should be: policies take effect in a moment. Gives the number of cells and the last time.
async fn until(
    cluster: &Cluster,
    pods: &[Place],
    right: impl Fn(usize, usize) -> bool,
) -> Result<(usize, Duration), Failure> {
    let mut seen = (0, 0);
    for _ in 0..TRIES {
        let (cells, time, allowed) = sweep(cluster, pods).await?;
        if right(cells, allowed) {
            return Ok((cells, time));
        }
        seen = (cells, allowed);
    }
    Err(Failure::setup(format!("{} of {} cells are allowed, which is not as it should be", seen.1, seen.0)))
}

/// A pod: where it is, and how it is reached.
struct Place {
    namespace: String,
    name: String,
    ip: IpAddr,
}

fn place(pod: Pod) -> Option<Place> {
    let listed = pod.status?.pod_ips?;
    let ip = listed.iter().filter_map(|ip| ip.ip.parse().ok()).find(IpAddr::is_ipv4)?;
    Some(Place { namespace: pod.metadata.namespace?, name: pod.metadata.name?, ip })
}

/// Every cell once: how many, how long, and how many were allowed.
async fn sweep(cluster: &Cluster, pods: &[Place]) -> Result<(usize, Duration, usize), Failure> {
    let mut probes = Vec::new();
    for from in pods {
        for to in pods {
            for (port, protocol) in [(80, "tcp"), (80, "udp"), (81, "tcp"), (81, "udp")] {
                probes.push(probe(cluster, from, to, port, protocol));
            }
        }
    }
    let cells = probes.len();
    let started = Instant::now();
    let allowed: Vec<bool> = stream::iter(probes).buffer_unordered(WORKERS).try_collect().await?;
    Ok((cells, started.elapsed(), allowed.into_iter().filter(|allowed| *allowed).count()))
}

/// Longest answer of one probe, in bytes; it is a word.
const SAID: u64 = 4096;

/// One exec: whether the connection is allowed.
async fn probe(
    cluster: &Cluster,
    from: &Place,
    to: &Place,
    port: u16,
    protocol: &str,
) -> Result<bool, Failure> {
    let (address, expect) = (format!("{}:{port}", to.ip), identity(&to.namespace, &to.name));
    let command = [
        "verdikt-probe",
        "connect",
        &address,
        "--protocol",
        protocol,
        "--deadline",
        DEADLINE,
        "--expect",
        &expect,
    ];
    let params = AttachParams::default().container(CONTAINER).stdout(true).stderr(true);
    let api = Api::<Pod>::namespaced(cluster.client().clone(), &from.namespace);
    let mut process = api.exec(&from.name, command, &params).await.map_err(Failure::setup)?;
    let (status, mut said) = (process.take_status(), String::new());
    if let Some(stdout) = process.stdout() {
        stdout.take(SAID).read_to_string(&mut said).await.map_err(Failure::setup)?;
    }
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    match (status.and_then(|status| status.status).as_deref(), said.split(':').next()) {
        (Some("Success"), _) => Ok(true),
        (_, Some("dropped" | "rejected")) => Ok(false),
        _ => Err(Failure::setup(format!("the exec in {}/{} failed: {said}", from.namespace, from.name))),
    }
}
