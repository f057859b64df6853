//! Keeps the EndpointSlices of every Service that has a selector: one for each IP family.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::state::{group, is_ready, pod_ips, selects, target};
use crate::api::{
    cluster::Cluster,
    kinds::Kind,
    object::{Shared, items, new_uid, now, strings, text},
    store::{Store, Transaction},
};

const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Runs until the cluster stops.
pub(super) async fn run(cluster: Arc<Cluster>) {
    let mut services = cluster.store.subscribe(Kind::Service);
    let mut pods = cluster.store.subscribe(Kind::Pod);
    loop {
        services.borrow_and_update();
        pods.borrow_and_update();
        reconcile(&cluster.store);
        tokio::select! {
            _ = services.changed() => {}
            _ = pods.changed() => {}
            () = cluster.stop.cancelled() => return,
        }
    }
}

fn reconcile(store: &Store) {
    let ([services, pods, slices, namespaces], _) =
        store.snapshot([Kind::Service, Kind::Pod, Kind::EndpointSlice, Kind::Namespace]);
    let by_namespace = group(&pods);
    let mut wanted: BTreeMap<(String, String), Value> = BTreeMap::new();
    for service in &services {
        let pods = by_namespace.get(service.namespace()).map_or(&[][..], Vec::as_slice);
        for slice in wanted_slices(service, pods) {
            wanted.insert((service.namespace().to_owned(), text(&slice, "/metadata/name").to_owned()), slice);
        }
    }
    let ours = |slice: &&Shared| {
        strings(&slice.value, "/metadata/labels")
            .get("endpointslice.kubernetes.io/managed-by")
            .is_some_and(|m| m == MANAGER)
    };
    let gone: Vec<&Shared> = slices
        .iter()
        .filter(ours)
        .filter(|slice| !wanted.contains_key(&(slice.namespace().to_owned(), slice.name().to_owned())))
        .collect();
    let terminating = |name: &str| namespaces.iter().all(|ns| ns.name() != name || ns.terminating());
    store.write(|tx| {
        for slice in gone {
            tx.remove(Kind::EndpointSlice, slice.namespace(), slice.name());
        }
        for ((namespace, _), slice) in wanted {
            if !terminating(&namespace) {
                put(tx, &namespace, slice);
            }
        }
    });
}

/// Creates or changes a slice, if it differs.
fn put(tx: &mut Transaction<'_>, namespace: &str, mut slice: Value) {
    let name = text(&slice, "/metadata/name").to_owned();
    let old = tx.get(Kind::EndpointSlice, namespace, &name);
    if let Some(old) = &old
        && ["endpoints", "ports"].iter().all(|key| old.value.get(key) == slice.get(key))
    {
        return;
    }
    let metadata = &mut slice["metadata"];
    metadata["uid"] = old.as_ref().map_or_else(|| json!(new_uid()), |old| json!(old.uid()));
    metadata["creationTimestamp"] =
        old.map_or_else(|| json!(now()), |old| old.value["metadata"]["creationTimestamp"].clone());
    tx.put(Kind::EndpointSlice, slice);
}

fn wanted_slices(service: &Shared, pods: &[&Shared]) -> Vec<Value> {
    let value = &service.value;
    let selector = strings(value, "/spec/selector");
    if selector.is_empty() || service.terminating() {
        return vec![];
    }
    let selected: Vec<&Shared> = pods.iter().copied().filter(|pod| selects(&selector, pod)).collect();
    items(value, "/spec/ipFamilies")
        .iter()
        .filter_map(Value::as_str)
        .map(|family| {
            let endpoints: Vec<Value> = selected.iter().filter_map(|pod| endpoint(pod, family)).collect();
            let ports: Vec<Value> = items(value, "/spec/ports")
                .iter()
                .map(|port| {
                    let number = selected.iter().find_map(|pod| target(port, &pod.value));
                    let mut json = json!({"name": text(port, "/name"), "protocol": text(port, "/protocol")});
                    let fixed = || port.get("targetPort").filter(|t| t.is_number()).cloned();
                    if let Some(number) = number.map(Value::from).or_else(fixed) {
                        json["port"] = number;
                    }
                    json
                })
                .collect();
            json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "namespace": service.namespace(),
                    "name": format!("{}-{}", service.name(), family.to_lowercase()),
                    "labels": {
                        "kubernetes.io/service-name": service.name(),
                        "endpointslice.kubernetes.io/managed-by": MANAGER,
                    },
                    "ownerReferences": [{
                        "apiVersion": "v1", "kind": "Service", "name": service.name(), "uid": service.uid(),
                        "controller": true, "blockOwnerDeletion": true,
                    }],
                },
                "addressType": family,
                "endpoints": endpoints,
                "ports": ports,
            })
        })
        .collect()
}

fn endpoint(pod: &Shared, family: &str) -> Option<Value> {
    let ip = pod_ips(&pod.value).into_iter().find(|ip| ip.is_ipv6() == (family == "IPv6"))?;
    let (ready, terminating) = (is_ready(pod), pod.terminating());
    Some(json!({
        "addresses": [ip.to_string()],
        "conditions": {"ready": ready, "serving": ready, "terminating": terminating},
        "nodeName": text(&pod.value, "/spec/nodeName"),
        "targetRef": {"kind": "Pod", "namespace": pod.namespace(), "name": pod.name(), "uid": pod.uid()},
    }))
}
