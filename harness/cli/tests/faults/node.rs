//! A node whose kubelet is not heard of any more, in the middle of a step.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::sync::mpsc;
use verdikt_model::{Event, Outcome, ScenarioOutcome, Verdict};
use verdikt_runner::Stop;

use crate::run::{Lab, options};

const SCENARIO: &str = "basics/deleting-the-last-policy-restores-traffic";

pub(crate) async fn lost(lab: Arc<Lab>) -> Result<(), String> {
    let scenarios: Vec<_> = lab.scenarios.iter().filter(|s| s.name == SCENARIO).cloned().collect();
    let (events, mut inbox) = mpsc::unbounded_channel();
    let run = verdikt_runner::run(&lab.direct, scenarios, options("node".into(), 1, 0), events, Stop::new());
    let watch = async {
        let mut record = None;
        let mut done = false;
        while let Some(event) = inbox.recv().await {
            match event {
                Event::Progress { what, .. } if !done && what.starts_with("step") => {
                    done = true;
                    lose_a_node(&lab.client).await.map_err(|e| format!("the test itself: {e}"))?;
                }
                Event::ScenarioFinished { record: ended } => record = Some(ended),
                _ => {}
            }
        }
        record.ok_or_else(|| "no record".to_owned())
    };
    let (finished, record) = tokio::join!(run, watch);
    let (finished, record) = (finished.map_err(|e| e.to_string())?, record?);
    let reason = record.reason.clone().unwrap_or_default();
    if record.outcome != ScenarioOutcome::Errored || !reason.contains("NodeNotReady") {
        return Err(format!("the scenario {}: {reason}", record.outcome));
    }
    let cells = record.steps.iter().flat_map(|step| &step.cells.rows);
    let mut errors = 0;
    for row in cells {
        match (row.outcome, row.observed) {
            (Outcome::Pass, _) => {}
            (Outcome::Error, Some(Verdict::Error) | None) => errors += 1,
            other => return Err(format!("a cell is {other:?}")),
        }
    }
    if errors == 0 {
        return Err("no cell is an error".into());
    }
    lab.nothing_is_left("node-", Some(&finished)).await
}

/// As the node controller does it: the node is not ready, and so are its pods.
async fn lose_a_node(client: &Client) -> kube::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let pods: Api<Pod> = Api::all(client.clone());
    let params = PatchParams::default();
    let all = pods.list(&ListParams::default().labels(verdikt_cluster::RUN_LABEL)).await?;
    let name = all.items.iter().find_map(|pod| pod.spec.as_ref()?.node_name.clone()).unwrap_or_default();
    let condition = |of: &str, status: &str| json!({"type": of, "status": status, "reason": "NodeStatusUnknown", "lastTransitionTime": null});
    let status = json!({"status": {"conditions": [condition("Ready", "Unknown")]}});
    nodes.patch_status(&name, &params, &Patch::Merge(status)).await?;
    for pod in all.items {
        if pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) != Some(name.as_str()) {
            continue;
        }
        let own: Api<Pod> =
            Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
        let mut ready = condition("Ready", "False");
        ready["reason"] = json!("NodeNotReady");
        let status = json!({"status": {"conditions": [ready]}});
        own.patch_status(pod.metadata.name.as_deref().unwrap_or_default(), &params, &Patch::Merge(status))
            .await?;
    }
    Ok(())
}
