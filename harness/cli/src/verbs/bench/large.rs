//! A large matrix over one TCP port against a bare loop of connects over the same namespaces.

use std::{net::IpAddr, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use verdikt_cluster::Cluster;
use verdikt_model::{PortProtocol, Protocol, Step};
use verdikt_runner::{Keep, Options};
use verdikt_sandbox::Sandbox;

use super::{
    median, millis,
    scenario::{derived, scenario, topology, watch},
    show,
};
use crate::failure::Failure;

const RATIO_TARGET: f64 = 1.5;

/// Port of the large matrix.
const PORT: u16 = 80;

/// The large matrix against the bare loop.
pub(super) struct Large {
    pods: u16,
    cells: usize,
    sweep: Duration,
    bare: Duration,
}

impl Large {
    fn ratio(&self) -> f64 {
        self.sweep.as_secs_f64() / self.bare.as_secs_f64().max(f64::EPSILON)
    }

    pub(super) fn human(&self) -> String {
        format!(
            "{0} x {0} pods, TCP {PORT} ({1} cells)\n\
             \x20 verdikt          {2:>9}\n\
             \x20 bare loop        {3:>9}  connects over the same namespaces, one thread a processor\n\
             \x20 ratio            {4:>9.2}  (target {RATIO_TARGET})\n",
            self.pods,
            self.cells,
            show(self.sweep),
            show(self.bare),
            self.ratio(),
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "pods": self.pods, "cells": self.cells, "verdiktMs": millis(self.sweep),
            "bareLoopMs": millis(self.bare), "ratio": self.ratio(),
        })
    }
}

/// Measures both.
pub(super) async fn large(
    cluster: &Cluster,
    sandbox: &Sandbox,
    pods: u16,
    repeat: usize,
    options: Options,
) -> Result<Large, Failure> {
    let port = PortProtocol { port: PORT, protocol: Protocol::Tcp };
    let topology = topology([("x".to_owned(), pods)], &[port]);
    let steps = (0..repeat)
        .map(|n| Step {
            name: format!("open-{n}"),
            actions: Vec::new(),
            checks: Vec::new(),
            expect: derived(),
        })
        .collect();
    let watched =
        watch(cluster, scenario("bench/large", topology, steps), Options { keep: Keep::Always, ..options })
            .await?;
    let cells = watched.record.steps.first().map_or(0, |step| step.cells.rows.len());
    let full: Vec<Duration> =
        watched.sweeps.iter().filter(|(n, _)| *n == cells).skip(1).map(|(_, d)| *d).collect();
    let (sources, targets) = kept_pods(cluster).await?;
    let mut bare = Vec::with_capacity(repeat);
    for _ in 0..repeat {
        let done = sandbox.connect_loop(&sources, &targets).await.map_err(Failure::setup)?;
        if done.connects != cells as u64 {
            return Err(Failure::setup(format!("the bare loop made {} of {cells} connects", done.connects)));
        }
        bare.push(done.time);
    }
    Ok(Large { pods, cells, sweep: median(&full), bare: median(&bare) })
}

/// The pods that the large run left: (namespace, name) and address.
async fn kept_pods(cluster: &Cluster) -> Result<(Vec<(String, String)>, Vec<(IpAddr, u16)>), Failure> {
    let marked = ListParams::default().labels(verdikt_cluster::RUN_LABEL);
    let pods = Api::<Pod>::all(cluster.client().clone()).list(&marked).await.map_err(Failure::setup)?;
    let mut all = (Vec::new(), Vec::new());
    for pod in pods {
        let ip = pod.status.and_then(|status| status.pod_ip).and_then(|ip| ip.parse().ok());
        if let (Some(namespace), Some(name), Some(ip)) = (pod.metadata.namespace, pod.metadata.name, ip) {
            all.0.push((namespace, name));
            all.1.push((ip, PORT));
        }
    }
    Ok(all)
}
