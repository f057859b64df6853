//! The matrix by which peers are measured: 9 × 9 pods × 2 ports × 2 protocols.

use std::time::Duration;

use serde_json::{Value, json};
use verdikt_cluster::Cluster;
use verdikt_model::{Action, PortProtocol, Protocol, Step};
use verdikt_runner::Options;

use super::{
    median, millis,
    scenario::{deny_all, derived, scenario, topology, watch},
    show,
};
use crate::failure::Failure;

/// Targets of the design, printed beside what was measured.
const ALLOWED_TARGET: Duration = Duration::from_millis(300);
const DENIED_TARGET: Duration = Duration::from_millis(1500);

/// The matrix by which peers are measured.
pub(super) struct Nine {
    /// Id of the run.
    pub(super) run: String,
    pub(super) cells: usize,
    /// One sweep with everything allowed.
    pub(super) allowed: Duration,
    /// One sweep with everything (but self traffic) denied.
    pub(super) denied: Duration,
    /// From the API's acceptance of deny-all until all cells were as expected and had held.
    settled: Duration,
}

impl Nine {
    pub(super) fn human(&self) -> String {
        format!(
            "9 x 9 pods x 2 ports x 2 protocols ({} cells)\n\
             \x20 all allowed      {:>9}  (target {})\n\
             \x20 all denied       {:>9}  (target {})\n\
             \x20 deny-all applied, enforced, and held for a second sweep {}\n",
            self.cells,
            show(self.allowed),
            show(ALLOWED_TARGET),
            show(self.denied),
            show(DENIED_TARGET),
            show(self.settled),
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "cells": self.cells, "allowedMs": millis(self.allowed), "deniedMs": millis(self.denied),
            "deniedAndHeldMs": millis(self.settled),
        })
    }
}

/// Measures it. What `options` says of pods and of keeping them is obeyed.
pub(super) async fn nine(cluster: &Cluster, repeat: usize, options: Options) -> Result<Nine, Failure> {
    let ports: Vec<PortProtocol> = [80, 81]
        .into_iter()
        .flat_map(|port| [Protocol::Tcp, Protocol::Udp].map(|protocol| PortProtocol { port, protocol }))
        .collect();
    let topology = topology(["x", "y", "z"].map(|ns| (ns.to_owned(), 3)), &ports);
    let deny: Vec<Action> = topology.namespaces.keys().map(|namespace| deny_all(namespace)).collect();
    let open = Step { name: "open".into(), actions: Vec::new(), checks: Vec::new(), expect: derived() };
    let mut steps: Vec<Step> =
        (0..repeat).map(|n| Step { name: format!("open-{n}"), ..open.clone() }).collect();
    steps.push(Step { name: "deny-0".into(), actions: deny, checks: Vec::new(), expect: derived() });
    steps.extend((1..repeat).map(|n| Step { name: format!("deny-{n}"), ..open.clone() }));
    let watched = watch(cluster, scenario("bench/nine", topology, steps), options).await?;
    let cells = watched.record.steps.first().map_or(0, |step| step.cells.rows.len());
    // A step without actions is one sweep and one that must hold; the control comes before them all.
    let full: Vec<Duration> = watched.sweeps.iter().filter(|(n, _)| *n == cells).map(|(_, d)| *d).collect();
    let (control, open, held) = (1, 2 * repeat, 2 * repeat);
    if full.len() < control + open + held {
        return Err(Failure::internal(format!("{} sweeps were measured", full.len())));
    }
    let settled = full[control + open..][..2].iter().sum::<Duration>()
        + Duration::from_millis(watched.record.steps[repeat].settle_ms.unwrap_or_default());
    Ok(Nine {
        run: watched.run,
        cells,
        allowed: median(&full[control..control + open]),
        denied: median(&full[control + open + 1..]),
        settled,
    })
}
