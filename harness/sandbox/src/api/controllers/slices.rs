//! Keeps the EndpointSlices of every Service that has a selector: one for each IP family.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    foreign::{MANAGER, is_own},
    state::{group, hostname, is_over, pod_ips, selects, serves, target},
};
use crate::api::{
    cluster::Cluster,
    kinds::Kind,
    object::{Shared, items, new_uid, now, strings, text},
    store::{Store, Transaction},
};

/// Runs until the cluster stops.
pub(super) async fn run(cluster: Arc<Cluster>) {
    let mut services = cluster.store.subscribe(Kind::Service);
    let mut pods = cluster.store.subscribe(Kind::Pod);
    let mut slices = cluster.store.subscribe(Kind::EndpointSlice);
    loop {
        services.borrow_and_update();
        pods.borrow_and_update();
        slices.borrow_and_update();
        reconcile(&cluster.store);
        tokio::select! {
            _ = services.changed() => {}
            // A user may have written, changed or deleted one.
            _ = slices.changed() => {}
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
    // Names that users have taken: what they wrote is never touched.
    let foreign: HashSet<(&str, &str)> =
        slices.iter().filter(|s| !is_own(&s.value)).map(|s| (s.namespace(), s.name())).collect();
    for service in &services {
        let namespace = service.namespace();
        let pods = by_namespace.get(namespace).map_or(&[][..], Vec::as_slice);
        for mut slice in wanted_slices(service, pods) {
            let plain = text(&slice, "/metadata/name").to_owned();
            let mut name = plain.clone();
            let mut number = 2;
            while foreign.contains(&(namespace, &*name)) {
                name = format!("{plain}-{number}");
                number += 1;
            }
            slice["metadata"]["name"] = json!(name);
            wanted.insert((namespace.to_owned(), name), slice);
        }
    }
    let gone: Vec<&Shared> = slices
        .iter()
        .filter(|slice| is_own(&slice.value))
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
    // It was written since we looked; we are told and look again.
    if old.as_ref().is_some_and(|old| !is_own(&old.value)) {
        return;
    }
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
    if selector.is_empty() || service.terminating() || text(value, "/spec/type") == "ExternalName" {
        return vec![];
    }
    let behind = |pod: &&Shared| selects(&selector, pod) && !is_over(&pod.value);
    let selected: Vec<&Shared> = pods.iter().copied().filter(behind).collect();
    items(value, "/spec/ipFamilies")
        .iter()
        .filter_map(Value::as_str)
        .map(|family| {
            let endpoints: Vec<Value> =
                selected.iter().filter_map(|pod| endpoint(service, pod, family)).collect();
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

fn endpoint(service: &Shared, pod: &Shared, family: &str) -> Option<Value> {
    let ip = pod_ips(&pod.value).into_iter().find(|ip| ip.is_ipv6() == (family == "IPv6"))?;
    let (serving, terminating) = (serves(pod), pod.terminating());
    let publish = service.value["spec"]["publishNotReadyAddresses"] == Value::Bool(true);
    let mut endpoint = json!({
        "addresses": [ip.to_string()],
        "conditions": {
            "ready": publish || serving && !terminating, "serving": serving, "terminating": terminating,
        },
        "nodeName": text(&pod.value, "/spec/nodeName"),
        "targetRef": {"kind": "Pod", "namespace": pod.namespace(), "name": pod.name(), "uid": pod.uid()},
    });
    if let Some(name) = hostname(&pod.value, service.name()) {
        endpoint["hostname"] = json!(name);
    }
    Some(endpoint)
}
