//! Services.

use std::collections::BTreeSet;

use verdikt_model::{
    EndpointName, PodSpec, PortProtocol, Protocol, ServiceKind, ServicePortSpec, ServiceSpec, TargetPort,
    Topology, Via,
};

use super::{
    late::pod_of,
    names::{Name, check_deployed_labels},
};
use crate::{
    clean,
    decode::Findings,
    diagnostic::Finding,
    raw::{RawService, RawTargetPort, RawTopology},
    span::At,
    suggest,
};

/// Ports of one Service at most.
const MOST_SERVICE_PORTS: usize = 100;

/// Checks a Service and fills in its defaults.
pub(super) fn service(name: &At<String>, raw: &RawService, findings: &mut Findings) -> ServiceSpec {
    let set = |flag: &Option<At<bool>>| flag.as_ref().is_some_and(|at| at.value);
    let kind = match (set(&raw.headless), set(&raw.node_port)) {
        _ if raw.external_name.is_some() => {
            external_name(name, raw, findings);
            ServiceKind::ExternalName
        }
        (true, true) => {
            let span = raw.node_port.as_ref().map_or(name.span, |at| at.span);
            findings.push(Finding::error(
                "scenario/service-kind",
                span,
                format!("service `{}` cannot be headless and have a node port", clean::word(&name.value)),
            ));
            ServiceKind::Headless
        }
        (true, false) => ServiceKind::Headless,
        (false, true) => ServiceKind::NodePort { local: traffic_policy(raw, true, findings) },
        (false, false) => {
            traffic_policy(raw, false, findings);
            ServiceKind::ClusterIp
        }
    };
    let mut ports: Vec<ServicePortSpec> = Vec::new();
    for port in raw.ports.iter().take(MOST_SERVICE_PORTS) {
        let Some(protocol) = protocol(port.protocol.as_ref(), findings) else { continue };
        let number = PortProtocol { port: port.port.value.0, protocol };
        if ports.iter().any(|have| have.port == number) {
            findings.push(Finding::error(
                "scenario/duplicate-port",
                port.port.span,
                format!("{number} is here twice"),
            ));
            continue;
        }
        let target = match &port.target_port {
            None => TargetPort::Number(number.port),
            Some(RawTargetPort::Number(target)) => TargetPort::Number(target.value.0),
            Some(RawTargetPort::Name(target)) => {
                Name::Port.check(target, findings);
                TargetPort::Name(target.value.clone())
            }
        };
        ports.push(ServicePortSpec { port: number, target });
    }
    if raw.ports.len() > MOST_SERVICE_PORTS {
        findings.push(Finding::error(
            "scenario/too-many-endpoints",
            name.span,
            format!("service `{}` has more than {MOST_SERVICE_PORTS} ports", clean::word(&name.value)),
        ));
    }
    if raw.ports.is_empty() && raw.external_name.is_none() {
        findings.push(
            Finding::error(
                "scenario/no-port",
                name.span,
                format!("service `{}` has no port", clean::word(&name.value)),
            )
            .help("add `ports: [{port: 80}]`"),
        );
    }
    let selector = check_deployed_labels(&raw.selector, findings);
    if let (Some(pod), false) = (raw.pods.first(), selector.is_empty()) {
        findings.push(
            Finding::error(
                "scenario/service-kind",
                pod.span,
                format!("service `{}` has a selector, which finds its pods", clean::word(&name.value)),
            )
            .help("leave `selector` or `pods` out"),
        );
    }
    // Pods and other Services are looked up once all are known.
    ServiceSpec { selector, pods: Vec::new(), alias: None, ports, kind, via: vias(name, raw, kind, findings) }
}

/// An external name has nothing of its own.
fn external_name(name: &At<String>, raw: &RawService, findings: &mut Findings) {
    let own = raw.ports.first().map(|port| port.port.span);
    let own = own.or(raw.selector.iter().next().map(|(key, _)| key.span));
    let own = own.or(raw.pods.first().map(|pod| pod.span));
    let flags = [&raw.headless, &raw.node_port];
    if let Some(span) = own.or(flags.into_iter().flatten().map(|at| at.span).next()) {
        findings.push(
            Finding::error(
                "scenario/service-kind",
                span,
                format!(
                    "service `{}` is only another name, with nothing of its own",
                    clean::word(&name.value)
                ),
            )
            .help("beside `externalName` only `via: [dns]` is possible"),
        );
    }
}

/// Fills in the pods that Services name, and the Services that they are other names of.
pub(super) fn aliases(raw: &RawTopology, topology: &mut Topology, findings: &mut Findings) {
    for (namespace, spec) in raw.namespaces.iter() {
        for (name, service) in spec.iter().flat_map(|spec| spec.services.iter()) {
            let pods = service.pods.iter().filter_map(|pod| pod_of(pod, topology, findings)).collect();
            let target = service.external_name.as_ref().and_then(|of| service_of(of, topology, findings));
            let Some(spec) = topology.namespaces.get_mut(&namespace.value) else { continue };
            let Some(spec) = spec.services.get_mut(&name.value) else { continue };
            spec.pods = pods;
            if let Some((target, ports)) = target {
                (spec.alias, spec.ports) = (Some(target), ports);
            }
        }
    }
}

fn service_of(
    name: &At<String>,
    topology: &Topology,
    findings: &mut Findings,
) -> Option<(EndpointName, Vec<ServicePortSpec>)> {
    let found = topology.services().find(|(namespace, service, spec)| {
        spec.kind != ServiceKind::ExternalName && format!("{namespace}/{service}") == name.value
    });
    if let Some((namespace, service, spec)) = found {
        return Some((EndpointName::service(namespace, service), spec.ports.clone()));
    }
    findings.push_error(|| {
        let known: Vec<String> = topology
            .services()
            .filter(|(.., spec)| spec.kind != ServiceKind::ExternalName)
            .map(|(namespace, service, _)| format!("{namespace}/{service}"))
            .collect();
        Finding::error(
            "scenario/unknown-endpoint",
            name.span,
            format!("there is no service `{}` with pods behind it", clean::word(&name.value)),
        )
        .maybe_help(suggest::help(&name.value, "services", known.iter().map(String::as_str)))
    });
    None
}

fn traffic_policy(raw: &RawService, node_port: bool, findings: &mut Findings) -> bool {
    let Some(policy) = &raw.external_traffic_policy else { return false };
    if !node_port {
        findings.push(
            Finding::error(
                "scenario/service-kind",
                policy.span,
                "externalTrafficPolicy is for services with a node port",
            )
            .help("add `nodePort: true`, or remove it"),
        );
    }
    match policy.value.as_str() {
        "Local" => true,
        "Cluster" => false,
        other => {
            findings.push(
                Finding::error(
                    "scenario/unknown-word",
                    policy.span,
                    format!("`{}` is no externalTrafficPolicy", clean::word(other)),
                )
                .maybe_help(suggest::help(other, "known", ["Cluster", "Local"])),
            );
            false
        }
    }
}

/// Reads a protocol in the API's spelling; none means TCP (statement N24).
pub(crate) fn protocol(raw: Option<&At<String>>, findings: &mut Findings) -> Option<Protocol> {
    let found = Protocol::from_kubernetes(raw.map(|at| at.value.as_str()));
    if let (None, Some(at)) = (found, raw) {
        findings.push(
            Finding::error(
                "scenario/unknown-protocol",
                at.span,
                format!("`{}` is no protocol", clean::word(&at.value)),
            )
            .maybe_help(suggest::help(&at.value, "known protocols", ["TCP", "UDP", "SCTP"])),
        );
    }
    found
}

fn vias(name: &At<String>, raw: &RawService, kind: ServiceKind, findings: &mut Findings) -> BTreeSet<Via> {
    let possible: &[Via] = match kind {
        ServiceKind::ClusterIp => &[Via::ClusterIp, Via::Dns],
        ServiceKind::Headless => &[Via::Headless],
        ServiceKind::NodePort { .. } => &[Via::ClusterIp, Via::Dns, Via::NodePort, Via::OtherNodePort],
        ServiceKind::ExternalName => &[Via::Dns],
    };
    let Some(words) = &raw.via else {
        return match kind {
            ServiceKind::ClusterIp => [Via::ClusterIp].into(),
            ServiceKind::Headless => [Via::Headless].into(),
            ServiceKind::NodePort { .. } => [Via::ClusterIp, Via::NodePort].into(),
            ServiceKind::ExternalName => [Via::Dns].into(),
        };
    };
    let mut vias = BTreeSet::new();
    for word in words {
        match possible.iter().find(|via| via.as_str() == word.value) {
            Some(via) => {
                vias.insert(*via);
            }
            None => findings.push(
                Finding::error(
                    "scenario/service-path",
                    word.span,
                    format!(
                        "service `{}` has no path `{}`",
                        clean::word(&name.value),
                        clean::word(&word.value)
                    ),
                )
                .maybe_help(suggest::help(
                    &word.value,
                    "its paths",
                    possible.iter().map(|via| via.as_str()),
                )),
            ),
        }
    }
    vias
}

/// A Service must have pods behind it, and they must listen where it sends them traffic.
pub(super) fn check_backends(
    namespace: &At<String>,
    name: &At<String>,
    raw: &RawService,
    topology: &Topology,
    findings: &mut Findings,
) {
    let Some(spec) = topology.namespaces.get(&namespace.value) else { return };
    let Some(service) = spec.services.get(&name.value) else { return };
    let selected =
        |pod: &&PodSpec| service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value));
    let named = |name: &EndpointName| match name {
        EndpointName::Pod { namespace, name } => topology.namespaces.get(namespace)?.pods.get(name),
        _ => None,
    };
    let pods: Vec<&PodSpec> = match service.selector.is_empty() {
        true => service.pods.iter().filter_map(named).collect(),
        false => spec.pods.values().filter(selected).collect(),
    };
    if service.kind == ServiceKind::ExternalName {
        return;
    }
    if pods.is_empty() {
        let span = raw.selector.iter().next().map_or(name.span, |(key, _)| key.span);
        findings.push(
            Finding::warning(
                "scenario/service-without-pods",
                span,
                format!("service `{}` selects no pod of namespace `{}`", name.value, namespace.value),
            )
            .help("its cells would never answer; the selector must equal labels of a pod"),
        );
        return;
    }
    for (port, raw) in service.ports.iter().zip(&raw.ports) {
        let protocol = port.port.protocol;
        let serves = |number: u16| {
            pods.iter().any(|pod| {
                pod.serve.ports.contains(&PortProtocol { port: number, protocol })
                    || protocol == Protocol::Tcp && pod.serve.http.contains(&number)
            })
        };
        match &port.target {
            TargetPort::Number(number) if !serves(*number) => {
                findings.push(Finding::warning(
                    "scenario/target-port-not-served",
                    match &raw.target_port {
                        Some(RawTargetPort::Number(at)) => at.span,
                        _ => raw.port.span,
                    },
                    format!("no pod behind service `{}` serves {number}/{protocol}", name.value),
                ));
            }
            TargetPort::Name(target) => {
                let named =
                    |pod: &&&PodSpec| pod.serve.names.get(target).is_some_and(|p| p.protocol == protocol);
                if !pods.iter().any(|pod| named(&pod)) {
                    let known: BTreeSet<&str> =
                        pods.iter().flat_map(|pod| pod.serve.names.keys()).map(String::as_str).collect();
                    let span = match &raw.target_port {
                        Some(RawTargetPort::Name(at)) => at.span,
                        _ => raw.port.span,
                    };
                    findings.push(
                        Finding::error(
                            "scenario/named-port-not-served",
                            span,
                            format!(
                                "no pod behind service `{}` has a {protocol} port named `{target}`",
                                name.value
                            ),
                        )
                        .maybe_help(suggest::help(target, "named ports", known)),
                    );
                }
            }
            TargetPort::Number(_) => {}
        }
    }
}
