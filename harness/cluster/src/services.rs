//! Services of a topology: their manifests, and EndpointSlices for those that name their pods.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::{
    api::{
        core::v1::{Service, ServicePort, ServiceSpec as ApiServiceSpec},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use kube::{Api, api::PostParams};
use verdikt_model::{EndpointName, Family, ServiceKind, ServiceSpec, TargetPort, Topology};

use crate::{
    client::Cluster,
    deploy::{DeployedService, Deployment},
    error::ClusterError,
    scope::{LANE_LABEL, Names, Scope},
};

/// The manifest of a Service. `domain`: the cluster's DNS domain.
pub(crate) fn service(
    scope: &Scope,
    lane: &str,
    names: &Names,
    domain: &str,
    (logical, name): (&str, &str),
    spec: &ServiceSpec,
) -> Service {
    let real = |logical: &str| names.real(logical).unwrap_or(logical).to_owned();
    let ports = spec.ports.iter().enumerate().map(|(index, port)| ServicePort {
        name: Some(port_name(index)),
        port: i32::from(port.port.port),
        protocol: Some(port.port.protocol.kubernetes().to_owned()),
        target_port: Some(match &port.target {
            TargetPort::Number(number) => IntOrString::Int(i32::from(*number)),
            TargetPort::Name(name) => IntOrString::String(name.clone()),
        }),
        ..ServicePort::default()
    });
    let local = matches!(spec.kind, ServiceKind::NodePort { local: true });
    let alias = spec.alias.as_ref().and_then(|alias| match alias {
        EndpointName::Service { namespace, name } => Some(format!("{name}.{}.svc.{domain}", real(namespace))),
        _ => None,
    });
    let kind = match spec.kind {
        ServiceKind::NodePort { .. } => "NodePort",
        ServiceKind::ExternalName => "ExternalName",
        ServiceKind::ClusterIp | ServiceKind::Headless => "ClusterIP",
    };
    let has_address = spec.kind != ServiceKind::ExternalName;
    Service {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(real(logical)),
            labels: Some(labels(scope, lane)),
            ..ObjectMeta::default()
        },
        spec: Some(ApiServiceSpec {
            type_: Some(kind.into()),
            cluster_ip: (spec.kind == ServiceKind::Headless).then(|| "None".into()),
            external_name: alias,
            selector: (!spec.selector.is_empty()).then(|| spec.selector.clone()),
            ports: has_address.then(|| ports.collect()),
            ip_family_policy: has_address.then(|| "PreferDualStack".into()),
            external_traffic_policy: local.then(|| "Local".into()),
            ..ApiServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn labels(scope: &Scope, lane: &str) -> BTreeMap<String, String> {
    let mut labels = scope.labels();
    labels.insert(LANE_LABEL.into(), lane.to_owned());
    labels
}

fn port_name(index: usize) -> String {
    format!("p{index}")
}

/// Addresses and node ports of a Service.
pub(crate) fn deployed_service(service: &Service) -> DeployedService {
    let Some(spec) = &service.spec else {
        return DeployedService { cluster_ips: Vec::new(), node_ports: Vec::new() };
    };
    let mut cluster_ips: Vec<IpAddr> = Vec::new();
    let listed = spec.cluster_ips.iter().flatten().chain(spec.cluster_ip.as_ref());
    for ip in listed.filter_map(|ip| ip.parse::<IpAddr>().ok()) {
        if !cluster_ips.iter().any(|have| Family::of(*have) == Family::of(ip)) {
            cluster_ips.push(ip);
        }
    }
    let port = |port: &ServicePort| port.node_port.and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
    DeployedService { cluster_ips, node_ports: spec.ports.iter().flatten().map(port).collect() }
}

impl Cluster {
    /// Makes the EndpointSlices of Services that name their pods.
    ///
    /// # Errors
    /// What could not be created.
    pub(crate) async fn create_slices(
        &self,
        scope: &Scope,
        topology: &Topology,
        deployment: &Deployment,
    ) -> Result<(), ClusterError> {
        for (namespace, name, spec) in topology.services().filter(|(.., spec)| !spec.pods.is_empty()) {
            let real = deployment.real(namespace)?;
            let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &real);
            for family in Family::ALL {
                let slice = slice(scope, topology, deployment, (&real, name), spec, *family);
                if slice.endpoints.is_empty() {
                    continue;
                }
                let (what, params) = (format!("create endpointslice {real}/{name}"), PostParams::default());
                match self.call(&what, || async { api.create(&params, &slice).await }).await {
                    // The namespace is new and ours, so what is there already is from an attempt whose answer was lost.
                    Ok(_) | Err(ClusterError::AlreadyExists { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

fn slice(
    scope: &Scope,
    topology: &Topology,
    deployment: &Deployment,
    (real, service): (&str, &str),
    spec: &ServiceSpec,
    family: Family,
) -> EndpointSlice {
    let pods: Vec<(&str, &str)> = spec
        .pods
        .iter()
        .filter_map(|pod| match pod {
            EndpointName::Pod { namespace, name } => Some((namespace.as_str(), name.as_str())),
            _ => None,
        })
        .collect();
    let endpoint = |(namespace, name): &(&str, &str)| {
        let pod = deployment.pods.get(&((*namespace).to_owned(), (*name).to_owned()))?;
        let ip = pod.ips.iter().find(|ip| Family::of(**ip) == family)?;
        Some(Endpoint {
            addresses: vec![ip.to_string()],
            node_name: Some(pod.node.clone()),
            conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
            ..Endpoint::default()
        })
    };
    // A slice has one number for all its pods; a name is that of the first pod that has it.
    let number = |target: &TargetPort| match target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(port) => pods.iter().find_map(|(namespace, name)| {
            let pod = topology.namespaces.get(*namespace)?.pods.get(*name)?;
            pod.serve.names.get(port).map(|port| port.port)
        }),
    };
    let ports = spec.ports.iter().enumerate().map(|(index, port)| EndpointPort {
        name: Some(port_name(index)),
        port: number(&port.target).map(i32::from),
        protocol: Some(port.port.protocol.kubernetes().to_owned()),
        ..EndpointPort::default()
    });
    let mut labels = labels(scope, &deployment.lane);
    labels.insert("kubernetes.io/service-name".into(), service.to_owned());
    labels.insert("endpointslice.kubernetes.io/managed-by".into(), "verdikt.dev".into());
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(format!("{service}-{family}")),
            namespace: Some(real.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        address_type: if family == Family::Ipv4 { "IPv4" } else { "IPv6" }.into(),
        endpoints: pods.iter().filter_map(endpoint).collect(),
        ports: Some(ports.collect()),
    }
}
