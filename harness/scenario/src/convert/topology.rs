//! Topologies.

use std::collections::{BTreeMap, BTreeSet};

use verdikt_model::{
    EndpointName, ExtraEndpoint, NamespaceSpec, Placement, PodSpec, PortProtocol, Protocol, Serve,
    ServiceKind, ServicePortSpec, ServiceSpec, TargetPort, Topology, Via,
};

use super::names::{Name, check_labels};
use crate::{
    clean,
    decode::Findings,
    diagnostic::Finding,
    raw::{
        RawEndpoint, RawNamespace, RawPlacement, RawPod, RawServe, RawService, RawTargetPort, RawTopology,
    },
    span::{At, Span},
    suggest,
};

/// Pods in one scenario at most; the sandbox's address plan has room for so many on one node.
const MOST_PODS: usize = 4000;
/// Ports of one Service at most.
const MOST_SERVICE_PORTS: usize = 100;
/// External hosts that a scenario may use.
const EXTERNAL_HOSTS: u16 = 2;
/// Nodes that a scenario may use without `requires.nodes`.
const DEFAULT_NODES: u16 = 2;
/// The label that names a namespace (statement N36).
pub(crate) const METADATA_NAME: &str = "kubernetes.io/metadata.name";

/// Checks a topology and makes it complete: defaults are filled in. `nodes` is what the scenario requires.
pub(crate) fn topology(raw: &RawTopology, nodes: u16, at: Span, findings: &mut Findings) -> Topology {
    let default = match &raw.serve {
        Some(own) => serve(own, findings),
        None => Serve {
            ports: [PortProtocol { port: 80, protocol: Protocol::Tcp }].into(),
            names: BTreeMap::new(),
        },
    };
    let mut topology = Topology::default();
    for (name, spec) in raw.namespaces.iter() {
        Name::Namespace.check(name, findings);
        topology.namespaces.insert(name.value.clone(), namespace(name, spec.as_ref(), &default, findings));
    }
    let pods = topology.pods().count();
    if pods == 0 {
        let at = raw.namespaces.iter().next().map_or(at, |(name, _)| name.span);
        findings.push(
            Finding::error("scenario/no-pods", at, "the topology has no pod, so there is nothing to probe")
                .help("add one: `namespaces: {x: {pods: {a: {}, b: {}}}}`"),
        );
    } else if pods > MOST_PODS {
        findings.push(Finding::error(
            "scenario/too-many-endpoints",
            at,
            format!("the topology has {pods} pods; at most {MOST_PODS} are possible"),
        ));
    }
    let services = topology.services().count();
    if services > MOST_PODS {
        findings.push(Finding::error(
            "scenario/too-many-endpoints",
            at,
            format!("the topology has {services} services; at most {MOST_PODS} are possible"),
        ));
    }
    placements(raw, &mut topology, nodes.max(DEFAULT_NODES), findings);
    for (name, spec) in raw.endpoints.iter() {
        if let Some((name, spec)) = endpoint(name, spec.as_ref(), &default, nodes, findings) {
            topology.endpoints.insert(name, spec);
        }
    }
    for (namespace, spec) in raw.namespaces.iter() {
        for (name, service) in spec.iter().flat_map(|spec| spec.services.iter()) {
            check_backends(namespace, name, service, &topology, findings);
        }
    }
    let serves = topology.pods().any(|(_, _, pod)| !pod.serve.ports.is_empty())
        || topology.endpoints.iter().any(|(name, e)| *name == EndpointName::Dns || !e.serve.ports.is_empty());
    if pods > 0 && !serves {
        findings.push(
            Finding::error("scenario/no-port", at, "no endpoint serves a port, so there is nothing to probe")
                .help("add `serve: {tcp: [80]}` to the topology or to a pod"),
        );
    }
    topology
}

fn namespace(
    name: &At<String>,
    raw: Option<&RawNamespace>,
    default: &Serve,
    findings: &mut Findings,
) -> NamespaceSpec {
    let Some(raw) = raw else { return NamespaceSpec::default() };
    let mut labels = check_labels(&raw.labels, findings);
    if let Some(own) = labels.remove(METADATA_NAME)
        && own != name.value
    {
        let span =
            raw.labels.iter().find(|(key, _)| key.value == METADATA_NAME).map_or(name.span, |(_, v)| v.span);
        findings.push(
            Finding::error(
                "scenario/reserved-label",
                span,
                format!("`{METADATA_NAME}` of namespace `{}` can only be `{}`", name.value, name.value),
            )
            .help("the control plane sets this label (statement N36); leave it out"),
        );
    }
    check_reserved_labels(&raw.labels, findings);
    let pods = raw
        .pods
        .iter()
        .map(|(name, spec)| {
            Name::Pod.check(name, findings);
            (name.value.clone(), pod(spec.as_ref(), default, findings))
        })
        .collect();
    let services = raw
        .services
        .iter()
        .map(|(name, spec)| {
            Name::Service.check(name, findings);
            (name.value.clone(), service(name, spec, findings))
        })
        .collect();
    NamespaceSpec { labels, pods, services }
}

/// Labels that verdikt itself puts on what it makes.
fn check_reserved_labels(labels: &crate::decode::Entries<At<String>>, findings: &mut Findings) {
    for (key, _) in labels.iter() {
        if key.value.starts_with("verdikt.dev/") {
            findings.push(Finding::error(
                "scenario/reserved-label",
                key.span,
                format!("`{}`: labels under verdikt.dev/ are verdikt's own", clean::word(&key.value)),
            ));
        }
    }
}

fn pod(raw: Option<&RawPod>, default: &Serve, findings: &mut Findings) -> PodSpec {
    let Some(raw) = raw else { return PodSpec { serve: default.clone(), ..PodSpec::default() } };
    check_reserved_labels(&raw.labels, findings);
    PodSpec {
        labels: check_labels(&raw.labels, findings),
        serve: raw.serve.as_ref().map_or_else(|| default.clone(), |own| serve(own, findings)),
        placement: Placement::Any,
        host_network: raw.host_network.as_ref().is_some_and(|at| at.value),
    }
}

fn serve(raw: &RawServe, findings: &mut Findings) -> Serve {
    let mut serve = Serve::default();
    let lists = [(&raw.tcp, Protocol::Tcp), (&raw.udp, Protocol::Udp), (&raw.sctp, Protocol::Sctp)];
    for (port, protocol) in
        lists.iter().flat_map(|(list, protocol)| list.iter().map(move |port| (port, *protocol)))
    {
        if !serve.ports.insert(PortProtocol { port: port.value.0, protocol }) {
            findings.push(Finding::error(
                "scenario/duplicate-port",
                port.span,
                format!("{}/{protocol} is here twice", port.value.0),
            ));
        }
    }
    for (name, port) in raw.names.iter() {
        Name::Port.check(name, findings);
        match port.value.parse::<PortProtocol>() {
            Err(error) => findings.push(
                Finding::error("scenario/invalid-port", port.span, error.to_string())
                    .help(format!("write `{}: 80/tcp`", clean::word(&name.value))),
            ),
            Ok(number) if !serve.ports.contains(&number) => {
                let served: Vec<String> = serve.ports.iter().map(ToString::to_string).collect();
                findings.push(
                    Finding::error(
                        "scenario/named-port-not-served",
                        port.span,
                        format!(
                            "port `{}` names {number}, which is not served here",
                            clean::word(&name.value)
                        ),
                    )
                    .help(format!(
                        "add {} to `{}`; served are: {}",
                        number.port,
                        number.protocol,
                        if served.is_empty() { "none".into() } else { served.join(", ") }
                    )),
                );
            }
            Ok(number) => {
                serve.names.insert(name.value.clone(), number);
            }
        }
    }
    serve
}

/// Placements are read once all pods are known.
fn placements(raw: &RawTopology, topology: &mut Topology, nodes: u16, findings: &mut Findings) {
    let names: BTreeSet<String> = topology.pods().map(|(ns, name, _)| format!("{ns}/{name}")).collect();
    for (namespace, spec) in raw.namespaces.iter() {
        for (name, pod) in spec.iter().flat_map(|spec| spec.pods.iter()) {
            let Some(raw) = pod.as_ref().and_then(|pod| pod.node.as_ref()) else { continue };
            let own = format!("{}/{}", namespace.value, name.value);
            if let Some(placement) = placement(raw, &own, &names, nodes, findings)
                && let Some(pod) =
                    topology.namespaces.get_mut(&namespace.value).and_then(|ns| ns.pods.get_mut(&name.value))
            {
                pod.placement = placement;
            }
        }
    }
}

fn placement(
    raw: &RawPlacement,
    own: &str,
    names: &BTreeSet<String>,
    nodes: u16,
    findings: &mut Findings,
) -> Option<Placement> {
    let text = match raw {
        RawPlacement::Number(n) if n.value >= 1 && n.value <= nodes => return Some(Placement::Node(n.value)),
        RawPlacement::Number(n) => {
            findings.push(
                Finding::error(
                    "scenario/invalid-placement",
                    n.span,
                    format!("there is no node {}; nodes are counted from 1 to {nodes}", n.value),
                )
                .help("a scenario that needs more than two nodes says so: `requires: {nodes: 3}`"),
            );
            return None;
        }
        RawPlacement::Relative(text) => text,
    };
    let (same, target) = match text.value.split_once(' ') {
        Some(("same-as", target)) => (true, target.trim()),
        Some(("other-than", target)) => (false, target.trim()),
        _ => {
            findings.push(
                Finding::error(
                    "scenario/invalid-placement",
                    text.span,
                    format!("`{}` is no placement", clean::word(&text.value)),
                )
                .help("write 1, 2, \"same-as NAMESPACE/POD\" or \"other-than NAMESPACE/POD\""),
            );
            return None;
        }
    };
    if !names.contains(target) || target == own {
        let others = names.iter().map(String::as_str).filter(|name| *name != own);
        findings.push_error(|| {
            Finding::error(
                "scenario/unknown-pod",
                text.span,
                if target == own {
                    format!("pod `{own}` is placed relative to itself")
                } else {
                    format!("there is no pod `{}` to place `{own}` by", clean::word(target))
                },
            )
            .maybe_help(suggest::help(target, "pods", others))
        });
        return None;
    }
    let (namespace, name) = target.split_once('/')?;
    let target = EndpointName::pod(namespace, name);
    Some(if same { Placement::SameAs(target) } else { Placement::OtherThan(target) })
}

fn service(name: &At<String>, raw: &RawService, findings: &mut Findings) -> ServiceSpec {
    let set = |flag: &Option<At<bool>>| flag.as_ref().is_some_and(|at| at.value);
    let kind = match (set(&raw.headless), set(&raw.node_port)) {
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
    if raw.ports.is_empty() {
        findings.push(
            Finding::error(
                "scenario/no-port",
                name.span,
                format!("service `{}` has no port", clean::word(&name.value)),
            )
            .help("add `ports: [{port: 80}]`"),
        );
    }
    let selector = check_labels(&raw.selector, findings);
    ServiceSpec { selector, ports, kind, via: vias(name, raw, kind, findings) }
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
        ServiceKind::NodePort { .. } => &[Via::ClusterIp, Via::Dns, Via::NodePort],
    };
    let Some(words) = &raw.via else {
        return match kind {
            ServiceKind::ClusterIp => [Via::ClusterIp].into(),
            ServiceKind::Headless => [Via::Headless].into(),
            ServiceKind::NodePort { .. } => [Via::ClusterIp, Via::NodePort].into(),
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

fn endpoint(
    name: &At<String>,
    raw: Option<&RawEndpoint>,
    default: &Serve,
    nodes: u16,
    findings: &mut Findings,
) -> Option<(EndpointName, ExtraEndpoint)> {
    let nodes = nodes.max(DEFAULT_NODES);
    let parsed = name.value.parse::<EndpointName>();
    let own = raw.and_then(|raw| raw.serve.as_ref());
    let fault = match parsed {
        Ok(EndpointName::Node(n)) if n <= nodes => {
            let serve = own.map_or_else(Serve::default, |own| serve(own, findings));
            return Some((EndpointName::Node(n), ExtraEndpoint { serve }));
        }
        Ok(EndpointName::External(n)) if n <= EXTERNAL_HOSTS => {
            let serve = own.map_or_else(|| default.clone(), |own| serve(own, findings));
            return Some((EndpointName::External(n), ExtraEndpoint { serve }));
        }
        Ok(EndpointName::Dns) if own.is_none() => return Some((EndpointName::Dns, ExtraEndpoint::default())),
        Ok(EndpointName::Dns) => "dns always serves 53/udp and 53/tcp; leave `serve` out".to_owned(),
        Ok(EndpointName::Node(_)) => {
            format!("nodes are counted from 1 to {nodes}; more are possible with `requires: {{nodes: N}}`")
        }
        Ok(EndpointName::External(_)) => "there are two external hosts: external and external/2".to_owned(),
        Ok(EndpointName::Pod { .. } | EndpointName::Service { .. }) => {
            "pods and services belong under `namespaces`".to_owned()
        }
        Err(_) => "known endpoints: dns, external, external/2, node/1, node/2".to_owned(),
    };
    findings.push(
        Finding::error(
            "scenario/unknown-endpoint",
            name.span,
            format!("`{}` cannot be an endpoint here", clean::word(&name.value)),
        )
        .help(fault),
    );
    None
}

/// A Service must have pods behind it, and they must listen where it sends them traffic.
fn check_backends(
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
    let pods: Vec<&PodSpec> = spec.pods.values().filter(selected).collect();
    if pods.is_empty() || service.selector.is_empty() {
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
            pods.iter().any(|pod| pod.serve.ports.contains(&PortProtocol { port: number, protocol }))
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
