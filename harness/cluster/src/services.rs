//! Services of a topology: their manifests.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec as ApiServiceSpec},
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use verdikt_model::{EndpointName, Family, ServiceKind, ServiceSpec, TargetPort};

use crate::{
    deploy::DeployedService,
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

/// The labels of everything that a lane has.
pub(crate) fn labels(scope: &Scope, lane: &str) -> BTreeMap<String, String> {
    let mut labels = scope.labels();
    labels.insert(LANE_LABEL.into(), lane.to_owned());
    labels
}

/// The name of a Service's port by its place.
pub(crate) fn port_name(index: usize) -> String {
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
