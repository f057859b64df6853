//! Scenarios that are run only for their times.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::json;
use tokio::sync::mpsc;
use verdikt_cluster::Cluster;
use verdikt_model::{
    Action, Event, Expect, Family, Level, NamespaceSpec, PodSpec, PolicyObject, PortProtocol, Scenario,
    ScenarioOutcome, ScenarioRecord, Serve, Step, Topology,
};
use verdikt_runner::{Options, Stop};

use crate::failure::Failure;

/// A scenario's record and its sweeps: how many cells, how long.
pub(super) struct Watched {
    /// Id of the run.
    pub(super) run: String,
    pub(super) record: ScenarioRecord,
    pub(super) sweeps: Vec<(usize, Duration)>,
}

/// Runs a scenario alone, over IPv4.
pub(super) async fn watch(
    cluster: &Cluster,
    scenario: Scenario,
    options: Options,
) -> Result<Watched, Failure> {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let options = Options { lanes: 1, families: vec![Family::Ipv4], ..options };
    let collect = async {
        let (mut record, mut sweeps) = (None, Vec::new());
        while let Some(event) = inbox.recv().await {
            match event {
                Event::Swept { cells, duration, .. } => sweeps.push((cells, duration)),
                Event::ScenarioFinished { record: finished } => record = Some(*finished),
                _ => {}
            }
        }
        (record, sweeps)
    };
    let run = verdikt_runner::run(cluster, vec![scenario], options, events, Stop::new());
    let (finished, (record, sweeps)) = tokio::join!(run, collect);
    let finished = finished.map_err(Failure::setup)?;
    let record = record.ok_or_else(|| Failure::internal("the run ended without a record"))?;
    if record.outcome != ScenarioOutcome::Passed {
        let why = record.reason.clone().unwrap_or_else(|| "cells are not as expected".into());
        return Err(Failure::setup(format!("{} {}: {why}", record.name, record.outcome)));
    }
    Ok(Watched { run: finished.run.id, record, sweeps })
}

pub(super) fn topology<const N: usize>(namespaces: [(String, u16); N], ports: &[PortProtocol]) -> Topology {
    let serve = Serve { ports: ports.iter().copied().collect(), ..Serve::default() };
    let pod = PodSpec { serve, ..PodSpec::default() };
    let namespace = |pods: u16| NamespaceSpec {
        pods: (1..=pods).map(|n| (format!("p{n}"), pod.clone())).collect(),
        ..NamespaceSpec::default()
    };
    Topology {
        namespaces: namespaces.into_iter().map(|(name, pods)| (name, namespace(pods))).collect(),
        ..Topology::default()
    }
}

pub(super) fn scenario(name: &str, topology: Topology, steps: Vec<Step>) -> Scenario {
    Scenario {
        name: name.into(),
        labels: BTreeMap::new(),
        level: Level::Core,
        summary: "measures verdikt".into(),
        clauses: Vec::new(),
        references: Vec::new(),
        differs: Vec::new(),
        requires: Vec::new(),
        repeat: 1,
        topology,
        steps,
        source: "verdikt bench".into(),
    }
}

pub(super) fn derived() -> Expect {
    Expect { derived: true, rules: Vec::new() }
}

/// Denies all traffic of a logical namespace.
pub(super) fn deny_all(namespace: &str) -> Action {
    let mut policy = policy("deny-all");
    policy.metadata.namespace = Some(namespace.to_owned());
    Action::Apply(PolicyObject::NetworkPolicy(Box::new(policy)))
}

/// A policy that denies all traffic of its namespace.
pub(super) fn policy(name: &str) -> NetworkPolicy {
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    });
    serde_json::from_value(policy).expect("a constant policy is a NetworkPolicy")
}
