//! Notes in the Nodes when the node process has ended.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    api::{
        cluster::Cluster,
        kinds::Kind,
        object::{map_at, now},
    },
    plan,
};

/// Waits for the node's end, or the cluster's.
pub(super) async fn run(cluster: Arc<Cluster>) {
    let why = tokio::select! {
        biased;
        () = cluster.stop.cancelled() => return,
        why = cluster.node.ended() => why,
    };
    let message = format!("the sandbox's node process has ended: {why}");
    for name in plan::NODE_NAMES {
        cluster.store.write(|tx| {
            tx.modify(Kind::Node, "", name, |node| {
                let conditions = map_at(node, "status").get_mut("conditions").and_then(Value::as_array_mut);
                for condition in conditions.into_iter().flatten().filter(|c| c["type"] == "Ready") {
                    condition["status"] = json!("False");
                    condition["reason"] = json!("NodeProcessEnded");
                    condition["message"] = json!(message);
                    condition["lastTransitionTime"] = json!(now());
                }
                true
            })
        });
    }
}
