//! Topologies.

use verdikt_model::{
    EndpointName, ExtraEndpoint, METADATA_NAME, NamespaceSpec, Placement, PodSpec, PortProtocol, Protocol,
    Serve, Topology,
};

use super::{
    late::late_pods,
    names::{Name, check_deployed_labels},
    placement::placements,
    service::{aliases, check_backends, service},
};
use crate::{
    clean,
    decode::Findings,
    diagnostic::Finding,
    raw::{RawEndpoint, RawNamespace, RawPod, RawServe, RawTopology},
    span::{At, Span},
};

/// Pods in one scenario at most; the sandbox's address plan has room for so many on one node.
const MOST_PODS: usize = 4000;
/// External hosts that a scenario may use.
const EXTERNAL_HOSTS: u16 = 2;
/// Nodes that a scenario may use without `requires.nodes`.
const DEFAULT_NODES: u16 = 2;
/// Checks a topology and makes it complete: defaults are filled in. `nodes` is what the scenario requires.
pub(crate) fn topology(raw: &RawTopology, nodes: u16, at: Span, findings: &mut Findings) -> Topology {
    let default = match &raw.serve {
        Some(own) => serve(own, findings),
        None => {
            Serve { ports: [PortProtocol { port: 80, protocol: Protocol::Tcp }].into(), ..Serve::default() }
        }
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
    late_pods(raw, &mut topology, findings);
    for (name, spec) in raw.endpoints.iter() {
        if let Some((name, spec)) = endpoint(name, spec.as_ref(), &default, nodes, findings) {
            topology.endpoints.insert(name, spec);
        }
    }
    aliases(raw, &mut topology, findings);
    for (namespace, spec) in raw.namespaces.iter() {
        for (name, service) in spec.iter().flat_map(|spec| spec.services.iter()) {
            check_backends(namespace, name, service, &topology, findings);
        }
    }
    let serves = topology
        .pods()
        .any(|(_, _, pod)| !(pod.serve.ports.is_empty() && pod.serve.http.is_empty()))
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
    let mut labels = check_deployed_labels(&raw.labels, findings);
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

fn pod(raw: Option<&RawPod>, default: &Serve, findings: &mut Findings) -> PodSpec {
    let Some(raw) = raw else { return PodSpec { serve: default.clone(), ..PodSpec::default() } };
    PodSpec {
        labels: check_deployed_labels(&raw.labels, findings),
        serve: raw.serve.as_ref().map_or_else(|| default.clone(), |own| serve(own, findings)),
        placement: Placement::Any,
        host_network: raw.host_network.as_ref().is_some_and(|at| at.value),
        root: raw.root.as_ref().is_some_and(|at| at.value),
        late: raw.late.as_ref().is_some_and(|at| at.value),
        address_of: None,
        linger_s: raw.linger.as_ref().map_or(0, |at| at.value),
        sidecar: raw.sidecar.as_ref().map_or_else(Serve::default, |own| {
            check_names(raw, own, findings);
            serve(own, findings)
        }),
    }
}

/// Warns of a name that main container and sidecar give to different ports: names are unique within a container only, and
/// dataplanes take the first, the last or both.
fn check_names(pod: &RawPod, sidecar: &RawServe, findings: &mut Findings) {
    let parse = |text: &At<String>| text.value.parse::<PortProtocol>().ok();
    for (name, port) in sidecar.names.iter() {
        let mut main = pod.serve.iter().flat_map(|serve| serve.names.iter());
        let Some((first, other)) = main.find(|(have, _)| have.value == name.value) else { continue };
        let (Some(one), Some(two)) = (parse(other), parse(port)) else { continue };
        if one.protocol == two.protocol && one != two {
            let name_word = clean::word(&name.value);
            findings.push(
                Finding::warning(
                    "scenario/port-name-twice",
                    name.span,
                    format!("`{name_word}` names {two} here and {one} in the main container: a policy with that name is `either` for both (statement N24)"),
                )
                .also(first.span, "the name in the main container")
                .help("give each port of a pod a name of its own"),
            );
        }
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
    for port in &raw.http {
        let tcp = PortProtocol { port: port.value.0, protocol: Protocol::Tcp };
        if serve.ports.contains(&tcp) || !serve.http.insert(port.value.0) {
            findings.push(Finding::error(
                "scenario/duplicate-port",
                port.span,
                format!("{tcp} is here twice; a port speaks HTTP or not"),
            ));
        }
    }
    if raw.icmp.as_ref().is_some_and(|at| at.value) {
        serve.ports.insert(PortProtocol::ICMP);
    }
    for (name, port) in raw.names.iter() {
        Name::Port.check(name, findings);
        match port.value.parse::<PortProtocol>() {
            Err(error) => findings.push(
                Finding::error("scenario/invalid-port", port.span, error.to_string())
                    .help(format!("write `{}: 80/tcp`", clean::word(&name.value))),
            ),
            Ok(number) if !can_be_named(number, &serve) => {
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

/// Whether a port is served, with or without HTTP, and is one that containers declare.
fn can_be_named(port: PortProtocol, serve: &Serve) -> bool {
    match port.protocol {
        Protocol::Icmp => false,
        Protocol::Tcp => serve.ports.contains(&port) || serve.http.contains(&port.port),
        Protocol::Udp | Protocol::Sctp => serve.ports.contains(&port),
    }
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
