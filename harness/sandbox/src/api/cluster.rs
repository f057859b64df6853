//! What every part of the server shares, and the objects that exist from the start.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    controllers::{Pods, Syncer},
    decode::FieldValidation,
    discovery::KUBERNETES,
    kinds::Kind,
    lifecycle::Write,
    limits::Limits,
    node_api::NodeApi,
    object::{new_uid, now, now_micros, text},
    status::ApiError,
    store::Store,
};
use crate::{plan, profile::Profile};

/// The cluster: objects, the node, and what connects them.
pub(crate) struct Cluster {
    /// All objects.
    pub(crate) store: Arc<Store>,
    /// The node process.
    pub(crate) node: Arc<dyn NodeApi>,
    /// Tells the dataplane what is new.
    pub(crate) syncer: Syncer,
    /// Runs pods.
    pub(crate) pods: Pods,
    /// How the dataplane behaves.
    pub(crate) profile: Profile,
    /// Bearer token.
    pub(crate) token: String,
    /// Where the pods' logs are.
    pub(crate) logs: PathBuf,
    /// How much clients may ask for.
    pub(crate) limits: Limits,
    /// Cancelled when the server stops.
    pub(crate) stop: CancellationToken,
    events: AtomicU64,
}

impl Cluster {
    /// A cluster with its nodes and first namespaces; its controllers do not run yet.
    pub(crate) fn new(node: Arc<dyn NodeApi>, profile: Profile, token: String, logs: PathBuf) -> Arc<Self> {
        let cluster = Arc::new(Self {
            store: Arc::new(Store::new(node.ipv6())),
            node,
            syncer: Syncer::new(),
            pods: Pods::new(),
            profile,
            token,
            logs,
            limits: Limits::new(),
            stop: CancellationToken::new(),
            events: AtomicU64::new(0),
        });
        cluster.furnish();
        cluster
    }

    fn furnish(&self) {
        for number in 0..plan::NODES {
            let node = self.node_object(number);
            self.store.write(|tx| tx.put(Kind::Node, node));
        }
        let kubernetes = json!({
            "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"clusterIP": plan::service_ips(1)[0].to_string(), "ports": [{"name": "https", "port": 443}]},
        });
        let dns = json!({
            "metadata": {"name": "kube-dns", "labels": {"k8s-app": "kube-dns"}},
            "spec": {
                "clusterIP": plan::service_ips(10)[0].to_string(),
                "selector": {"k8s-app": "kube-dns"},
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            },
        });
        let dns_pod = json!({
            "metadata": {"name": "kube-dns", "labels": {"k8s-app": "kube-dns"}},
            "spec": {
                "nodeName": plan::NODE_NAMES[0],
                "containers": [{
                    "name": "kube-dns", "image": "verdikt/kube-dns", "command": ["kube-dns"],
                    "ports": [
                        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                        {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
                    ],
                }],
            },
        });
        for (kind, namespace, object) in [
            (Kind::Namespace, "", json!({"metadata": {"name": "default"}})),
            (Kind::Namespace, "", json!({"metadata": {"name": "kube-system"}})),
            (
                Kind::ServiceCIDR,
                "",
                json!({
                    "metadata": {"name": "kubernetes"},
                    "spec": {"cidrs": &plan::SERVICE_CIDRS[..self.families()]},
                }),
            ),
            (Kind::Service, "default", kubernetes),
            (Kind::Service, "kube-system", dns),
            (Kind::Pod, "kube-system", dns_pod),
        ] {
            self.create(kind, namespace, object).expect("the cluster's own objects are valid");
        }
    }

    /// Creates an object in the server's own name.
    ///
    /// # Errors
    /// As any create.
    pub(crate) fn create(&self, kind: Kind, namespace: &str, object: Value) -> Result<(), ApiError> {
        let write = Write {
            facts: kind.facts(),
            namespace: namespace.to_owned(),
            name: String::new(),
            subresource: String::new(),
            manager: "verdikt-sandbox".into(),
            validation: FieldValidation::Strict,
            dry_run: false,
        };
        let (object, _) = self.store.write(|tx| write.create(tx, object))?;
        if kind == Kind::Namespace {
            self.service_account(object.name());
        }
        Ok(())
    }

    /// Gives a namespace its default service account.
    pub(crate) fn service_account(&self, namespace: &str) {
        let account = json!({"metadata": {"name": "default"}});
        // It fails only when the namespace is gone again.
        let _ = self.create(Kind::ServiceAccount, namespace, account);
    }

    /// How many IP families the cluster has: IPv4, and IPv6 if the kernel has it.
    pub(crate) fn families(&self) -> usize {
        if self.store.dual_stack { 2 } else { 1 }
    }

    fn node_object(&self, number: u16) -> Value {
        let name = plan::NODE_NAMES[usize::from(number)];
        let time = now();
        let condition = |kind: &str, status: &str, reason: &str, message: &str| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": message,
                "lastHeartbeatTime": time, "lastTransitionTime": time,
            })
        };
        let families = self.families();
        let cidrs = &plan::pod_cidrs(number)[..families];
        let capacity = json!({"cpu": "64", "memory": "64Gi", "pods": "4094"});
        let mut addresses: Vec<Value> = plan::node_ips(number)[..families]
            .iter()
            .map(|ip| json!({"type": "InternalIP", "address": ip.to_string()}))
            .collect();
        addresses.push(json!({"type": "Hostname", "address": name}));
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "uid": new_uid(),
                "creationTimestamp": time,
                "labels": {
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": kubernetes_arch(),
                    "sandbox.verdikt.dev/profile": self.profile.base().as_str(),
                },
                "annotations": match self.profile.added() {
                    none if none.is_empty() => json!({}),
                    traits => json!({"sandbox.verdikt.dev/traits": traits}),
                },
            },
            "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
            "status": {
                "addresses": addresses,
                "capacity": capacity,
                "allocatable": capacity,
                "conditions": [
                    condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                    condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                    condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                    condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
                ],
                "nodeInfo": {
                    "architecture": kubernetes_arch(),
                    "bootID": "", "machineID": "", "systemUUID": "",
                    "containerRuntimeVersion": format!("verdikt-sandbox://{}", env!("CARGO_PKG_VERSION")),
                    "kernelVersion": self.node.kernel(),
                    "kubeProxyVersion": KUBERNETES,
                    "kubeletVersion": KUBERNETES,
                    "operatingSystem": "linux",
                    "osImage": "verdikt sandbox",
                },
            },
        })
    }

    /// Records an event about a pod.
    pub(crate) fn event(&self, pod: &Value, kind: &str, reason: &str, message: &str, component: &str) {
        use std::sync::atomic::Ordering;
        let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        let time = now();
        let number = self.events.fetch_add(1, Ordering::Relaxed);
        let event = json!({
            "metadata": {"name": format!("{name}.{number:016x}")},
            "involvedObject": {
                "kind": "Pod", "apiVersion": "v1", "namespace": namespace, "name": name,
                "uid": text(pod, "/metadata/uid"), "resourceVersion": text(pod, "/metadata/resourceVersion"),
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": component, "host": text(pod, "/spec/nodeName")},
            "firstTimestamp": time,
            "lastTimestamp": time,
            "eventTime": now_micros(),
            "count": 1,
            "reportingComponent": component,
            "reportingInstance": "verdikt-sandbox",
            "action": reason,
        });
        // A namespace that is being deleted takes no events; nothing is lost by that.
        let _ = self.create(Kind::Event, namespace, event);
    }
}

fn kubernetes_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
