//! The dataplane's view of all objects.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize as _;
use serde_json::Value;

use super::{
    container::{Role, of_role, serving},
    foreign, scheduler,
};
use crate::{
    api::{
        kinds::Kind,
        object::{Shared, items, strings, text},
        store::Store,
    },
    profile::Profile,
    traits::Traits,
    wire::{Place, PodState, ServicePortState, ServiceState, State},
};

/// Annotation that puts a hostNetwork pod on the external host.
pub(crate) const PLACE: &str = "sandbox.verdikt.dev/place";

/// Builds states one after another, and keeps of the last what has not changed since.
#[derive(Default)]
pub(super) struct Builder {
    pods: HashMap<String, (Shared, Option<PodState>)>,
}

impl Builder {
    /// The state, and the store's version at which it was taken.
    pub(super) fn build(&mut self, store: &Store, profile: &Profile) -> (State, u64) {
        let ([namespaces, pods, services, slices, policies], version) = store.snapshot([
            Kind::Namespace,
            Kind::Pod,
            Kind::Service,
            Kind::EndpointSlice,
            Kind::NetworkPolicy,
        ]);
        let by_namespace = group(&pods);
        let mut known = HashMap::with_capacity(pods.len());
        let mut states = Vec::with_capacity(pods.len());
        for object in &pods {
            let entry = match self.pods.remove(object.uid()) {
                Some(entry) if Arc::ptr_eq(&entry.0, object) => entry,
                _ => (object.clone(), pod(object, profile.traits())),
            };
            states.extend(entry.1.clone());
            known.insert(object.uid().to_owned(), entry);
        }
        self.pods = known;
        let state = State {
            traits: profile.traits().clone(),
            namespaces: namespaces
                .iter()
                .map(|ns| (ns.name().to_owned(), strings(&ns.value, "/metadata/labels")))
                .collect(),
            pods: states,
            services: services
                .iter()
                .map(|s| service(s, by_namespace.get(s.namespace()).map_or(&[], Vec::as_slice), &slices))
                .collect(),
            policies: policies.iter().map(|policy| slim(&policy.value)).collect(),
        };
        (state, version)
    }
}

/// Pods by namespace.
pub(super) fn group(pods: &[Shared]) -> HashMap<&str, Vec<&Shared>> {
    let mut groups: HashMap<&str, Vec<&Shared>> = HashMap::new();
    for pod in pods {
        groups.entry(pod.namespace()).or_default().push(pod);
    }
    groups
}

/// A policy without what changes nothing in the dataplane.
fn slim(policy: &Value) -> Value {
    let mut policy = policy.clone();
    if let Some(metadata) = policy.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "uid"));
    }
    policy
}

/// A pod as the dataplane sees it. The names of ports are known to policies only, not to Services.
fn pod(pod: &Shared, traits: &Traits) -> Option<PodState> {
    let ips = pod_ips(&pod.value);
    // The addresses of a pod that is over may be another's by now.
    if ips.is_empty() || is_over(&pod.value) {
        return None;
    }
    let mut ports = vec![];
    let sidecars = of_role(&pod.value, Role::Sidecar).filter(|_| !traits.ignores_port_names_of_sidecars);
    for port in of_role(&pod.value, Role::Main).chain(sidecars).flat_map(|c| items(c, "/ports")) {
        let number = port.get("containerPort").and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok());
        if let Some(number) = number {
            ports.push((text(port, "/name").to_owned(), text(port, "/protocol").to_owned(), number));
        }
    }
    Some(PodState {
        uid: pod.uid().to_owned(),
        namespace: pod.namespace().to_owned(),
        name: pod.name().to_owned(),
        place: place(&pod.value)?,
        labels: strings(&pod.value, "/metadata/labels"),
        ips,
        ports,
        terminating: pod.terminating(),
    })
}

/// Where a pod stands; `None` before it has a node.
pub(crate) fn place(pod: &Value) -> Option<Place> {
    let node = scheduler::number(text(pod, "/spec/nodeName"))?;
    let host = pod["spec"]["hostNetwork"] == Value::Bool(true);
    let external = strings(pod, "/metadata/annotations").get(PLACE).is_some_and(|place| place == "external");
    Some(match (host, external) {
        (true, true) => Place::External,
        (true, false) => Place::Node(node),
        (false, _) => Place::Pod(node),
    })
}

/// The addresses in a pod's status.
pub(super) fn pod_ips(pod: &Value) -> Vec<IpAddr> {
    items(pod, "/status/podIPs").iter().filter_map(|ip| text(ip, "/ip").parse().ok()).collect()
}

/// Whether all of a pod's containers have ended for good.
pub(super) fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether a pod can serve, if only for as long as it is still there.
pub(super) fn serves(pod: &Shared) -> bool {
    items(&pod.value, "/status/conditions").iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Whether a pod stands behind Services.
pub(super) fn is_ready(pod: &Shared) -> bool {
    !pod.terminating() && serves(pod)
}

/// The host name that a pod has as an endpoint of a Service.
pub(super) fn hostname<'a>(pod: &'a Value, service: &str) -> Option<&'a str> {
    let name = text(pod, "/spec/hostname");
    (!name.is_empty() && text(pod, "/spec/subdomain") == service).then_some(name)
}

/// Whether a Service's selector (not empty) selects a pod.
pub(super) fn selects(selector: &BTreeMap<String, String>, pod: &Shared) -> bool {
    let labels = pod.value.pointer("/metadata/labels");
    !selector.is_empty()
        && selector.iter().all(|(key, value)| labels.and_then(|l| l.get(key)).is_some_and(|v| v == value))
}

/// The number that a Service's target port has on a pod.
pub(super) fn target(port: &Value, pod: &Value) -> Option<u16> {
    match port.get("targetPort") {
        Some(Value::String(name)) => serving(pod)
            .flat_map(|c| items(c, "/ports"))
            .find(|p| text(p, "/name") == name && text(p, "/protocol") == text(port, "/protocol"))
            .and_then(|p| p.get("containerPort")?.as_u64()),
        Some(number) => number.as_u64(),
        None => port.get("port")?.as_u64(),
    }
    .and_then(|n| u16::try_from(n).ok())
}

fn service(service: &Shared, pods: &[&Shared], slices: &[Shared]) -> ServiceState {
    let value = &service.value;
    let external = text(value, "/spec/type") == "ExternalName";
    let selector = if external { BTreeMap::new() } else { strings(value, "/spec/selector") };
    let publish = value["spec"]["publishNotReadyAddresses"] == Value::Bool(true);
    let behind =
        |pod: &&Shared| selects(&selector, pod) && !is_over(&pod.value) && (publish || is_ready(pod));
    let ready: Vec<&Shared> = pods.iter().copied().filter(behind).collect();
    let cluster_ips: Vec<IpAddr> =
        items(value, "/spec/clusterIPs").iter().filter_map(|ip| ip.as_str()?.parse().ok()).collect();
    let mut state = ServiceState {
        namespace: service.namespace().to_owned(),
        name: service.name().to_owned(),
        selector: selector.clone(),
        cluster_ips,
        external_name: external.then(|| text(value, "/spec/externalName").to_owned()),
        pod_ips: vec![],
        hostnames: BTreeMap::new(),
        ports: vec![],
        local: text(value, "/spec/externalTrafficPolicy") == "Local",
    };
    for pod in &ready {
        let ips = pod_ips(&pod.value);
        if let Some(name) = hostname(&pod.value, service.name()) {
            state.hostnames.extend(ips.iter().map(|ip| (*ip, name.to_owned())));
        }
        state.pod_ips.extend(ips);
    }
    let foreign: Vec<&Shared> = if external { vec![] } else { foreign::slices_of(service, slices).collect() };
    for endpoint in foreign.iter().flat_map(|slice| foreign::endpoints(slice)) {
        if let Some(name) = endpoint.hostname {
            state.hostnames.insert(endpoint.ip, name);
        }
        state.pod_ips.push(endpoint.ip);
    }
    let mut seen = HashSet::new();
    state.pod_ips.retain(|ip| seen.insert(*ip));
    let number = |port: &Value, key: &str| port.get(key)?.as_u64().and_then(|n| u16::try_from(n).ok());
    for port in items(value, "/spec/ports") {
        let mut backends = vec![];
        for pod in &ready {
            let node = scheduler::number(text(&pod.value, "/spec/nodeName")).unwrap_or_default();
            if let Some(target) = target(port, &pod.value) {
                backends.extend(pod_ips(&pod.value).into_iter().map(|ip| (ip, target, node)));
            }
        }
        backends.extend(foreign.iter().flat_map(|slice| foreign::backends(slice, port)));
        backends.dedup();
        state.ports.push(ServicePortState {
            name: text(port, "/name").to_owned(),
            protocol: text(port, "/protocol").to_owned(),
            port: number(port, "port").unwrap_or_default(),
            target: IntOrString::deserialize(&port["targetPort"]).unwrap_or_default(),
            node_port: number(port, "nodePort"),
            backends,
        });
    }
    state
}
