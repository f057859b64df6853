//! The cluster's DNS: the Service `kube-dns` of kube-system and the pods behind it.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::{
    api::core::v1::{Namespace, Pod, Service},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{Api, api::ListParams};
use verdikt_model::{NamedPort, PortProtocol, Protocol, TargetPort};

use crate::{client::Cluster, error::ClusterError, pods::ips, ready::is_ready, services::deployed_service};

/// Namespace of the cluster's DNS. It is read, and never changed.
pub const DNS_NAMESPACE: &str = "kube-system";
/// Name of its Service: the same for CoreDNS and its forerunner.
const DNS_SERVICE: &str = "kube-dns";

/// The cluster's DNS as it stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DnsFacts {
    /// Labels of kube-system.
    pub namespace_labels: BTreeMap<String, String>,
    /// Cluster IPs.
    pub cluster_ips: Vec<IpAddr>,
    /// Labels of its pods.
    pub selector: BTreeMap<String, String>,
    /// (Service port, the pods' port) for 53/udp and 53/tcp.
    pub ports: Vec<(PortProtocol, TargetPort)>,
    /// Its pods.
    pub pods: Vec<DnsPod>,
}

/// A pod behind the DNS Service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DnsPod {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
    /// Name of its node.
    pub node: String,
    /// Whether it uses its node's network.
    pub host_network: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// Named container ports.
    pub named_ports: Vec<NamedPort>,
    /// All container ports that are declared.
    pub ports: Vec<PortProtocol>,
}

impl Cluster {
    /// Reads the cluster's DNS; `None` when it has no such Service.
    ///
    /// # Errors
    /// If kube-system cannot be read.
    pub async fn dns(&self) -> Result<Option<DnsFacts>, ClusterError> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), DNS_NAMESPACE);
        let what = format!("get service {DNS_NAMESPACE}/{DNS_SERVICE}");
        let service = match self.call(what, || async { services.get(DNS_SERVICE).await }).await {
            Ok(service) => service,
            Err(ClusterError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let what = format!("get namespace {DNS_NAMESPACE}");
        let namespace = self.call(what, || async { namespaces.get(DNS_NAMESPACE).await }).await?;
        let cluster_ips = deployed_service(&service).cluster_ips;
        let spec = service.spec.unwrap_or_default();
        let selector = spec.selector.unwrap_or_default();
        let labels: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), DNS_NAMESPACE);
        let params = ListParams::default().labels(&labels.join(","));
        let what = format!("list pods of {DNS_NAMESPACE}");
        let pods = self.call(what, || async { pods.list(&params).await }).await?;
        let ports = spec.ports.into_iter().flatten().filter_map(|port| {
            let protocol = Protocol::from_kubernetes(port.protocol.as_deref())?;
            let number = u16::try_from(port.port).ok().filter(|n| *n == 53)?;
            let target = match port.target_port {
                Some(IntOrString::String(name)) => TargetPort::Name(name),
                Some(IntOrString::Int(target)) => TargetPort::Number(u16::try_from(target).ok()?),
                None => TargetPort::Number(number),
            };
            Some((PortProtocol { port: number, protocol }, target))
        });
        Ok(Some(DnsFacts {
            namespace_labels: namespace.metadata.labels.unwrap_or_default(),
            cluster_ips,
            selector,
            ports: ports.collect(),
            pods: pods.items.into_iter().map(dns_pod).collect(),
        }))
    }
}

fn dns_pod(pod: Pod) -> DnsPod {
    let (ips, ready) = (ips(&pod), is_ready(&pod));
    let spec = pod.spec.unwrap_or_default();
    let mut facts = DnsPod {
        name: pod.metadata.name.unwrap_or_default(),
        labels: pod.metadata.labels.unwrap_or_default(),
        ips,
        ready,
        node: spec.node_name.unwrap_or_default(),
        host_network: spec.host_network.unwrap_or_default(),
        ..DnsPod::default()
    };
    for port in spec.containers.iter().flat_map(|c| c.ports.iter().flatten()) {
        let (Some(protocol), Ok(number)) =
            (Protocol::from_kubernetes(port.protocol.as_deref()), u16::try_from(port.container_port))
        else {
            continue;
        };
        let number = PortProtocol { port: number, protocol };
        facts.ports.push(number);
        if let Some(name) = &port.name {
            facts.named_ports.push(NamedPort { name: name.clone(), port: number });
        }
    }
    facts
}
