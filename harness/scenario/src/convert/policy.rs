//! NetworkPolicies: the checks that an API server makes, and some that it does not.

use ipnet::IpNet;
use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use verdikt_model::Protocol;

use super::{
    names::{Name, check_annotation_key, check_labels},
    object::{Surroundings, check_namespace, filled},
    selector::selector,
    service::protocol,
};
use crate::{
    clean,
    decode::{Findings, Ignored},
    diagnostic::Finding,
    raw::{RawIpBlock, RawNetworkPolicy, RawPeer, RawPolicyPort, RawPortNumber, RawRule},
    span::At,
    suggest,
};

/// Entries of `policyTypes` that the API server takes; it does not ask whether they are different.
const MOST_POLICY_TYPES: usize = 2;

/// Checks a NetworkPolicy and makes the typed object of it. `None` when a finding stands in the way.
pub(crate) fn policy(
    raw: &RawNetworkPolicy,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<NetworkPolicy> {
    let errors = findings.errors();
    let metadata = metadata(raw, around, findings);
    let Some(spec) = &raw.spec else {
        findings.push(
            Finding::error("scenario/missing-field", raw.kind.span, "the NetworkPolicy has no `spec`").help(
                "to isolate every pod for ingress write `spec: {podSelector: {}, policyTypes: [Ingress]}`",
            ),
        );
        return None;
    };
    if spec.pod_selector.is_none() {
        findings.push(
            Finding::warning(
                "scenario/no-pod-selector",
                raw.metadata.name.span,
                "the policy has no podSelector and so selects every pod of its namespace",
            )
            .help("write `podSelector: {}` if that is meant"),
        );
    }
    let pod_selector =
        spec.pod_selector.as_ref().map(|s| selector(s, false, around, findings)).unwrap_or_default();
    let policy_types = spec.policy_types.as_ref().map(|types| policy_types(types, findings));
    let ingress = spec.ingress.as_ref().map(|rules| {
        rules
            .iter()
            .map(|raw| {
                let (from, ports) = rule(&raw.rule(), around, findings);
                NetworkPolicyIngressRule { from, ports }
            })
            .collect()
    });
    let egress = spec.egress.as_ref().map(|rules| {
        rules
            .iter()
            .map(|raw| {
                let (to, ports) = rule(&raw.rule(), around, findings);
                NetworkPolicyEgressRule { to, ports }
            })
            .collect()
    });
    let spec = NetworkPolicySpec { pod_selector: Some(pod_selector), policy_types, ingress, egress };
    (findings.errors() == errors).then_some(NetworkPolicy { metadata, spec: Some(spec) })
}

fn metadata(raw: &RawNetworkPolicy, around: &Surroundings<'_>, findings: &mut Findings) -> ObjectMeta {
    let meta = &raw.metadata;
    Name::Object.check(&meta.name, findings);
    match &meta.namespace {
        Some(namespace) => {
            let what = format!("NetworkPolicy `{}`", clean::word(&meta.name.value));
            check_namespace(namespace, &what, around.topology, findings);
        }
        None => findings.push(
            Finding::error(
                "scenario/missing-namespace",
                meta.name.span,
                format!("NetworkPolicy `{}` names no namespace", clean::word(&meta.name.value)),
            )
            .help(format!(
                "add `namespace:` with one of {}",
                suggest::list(around.topology.namespaces.keys().map(String::as_str))
            )),
        ),
    }
    let ignored: [(&str, &Option<Ignored>); 12] = [
        ("creationTimestamp", &meta.creation_timestamp),
        ("deletionGracePeriodSeconds", &meta.deletion_grace_period),
        ("deletionTimestamp", &meta.deletion_timestamp),
        ("finalizers", &meta.finalizers),
        ("generateName", &meta.generate_name),
        ("generation", &meta.generation),
        ("managedFields", &meta.managed_fields),
        ("ownerReferences", &meta.owner_references),
        ("resourceVersion", &meta.resource_version),
        ("selfLink", &meta.self_link),
        ("uid", &meta.uid),
        ("status", &raw.status),
    ];
    for (name, at) in ignored {
        if let Some(Ignored(span)) = at {
            findings.push(
                Finding::warning("scenario/ignored-field", *span, format!("`{name}` is not applied"))
                    .help("it belongs to the cluster that the policy was read from; remove it"),
            );
        }
    }
    let labels = check_labels(&meta.labels, findings);
    meta.annotations.iter().for_each(|(key, _)| check_annotation_key(key, findings));
    let annotations: std::collections::BTreeMap<String, String> =
        meta.annotations.iter().map(|(key, value)| (key.value.clone(), value.value.clone())).collect();
    ObjectMeta {
        name: Some(meta.name.value.clone()),
        namespace: meta.namespace.as_ref().map(|at| at.value.clone()),
        labels: (!labels.is_empty()).then_some(labels),
        annotations: (!annotations.is_empty()).then_some(annotations),
        ..ObjectMeta::default()
    }
}

fn policy_types(types: &[At<String>], findings: &mut Findings) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in types {
        if !matches!(word.value.as_str(), "Ingress" | "Egress") {
            findings.push(
                Finding::error(
                    "scenario/unknown-word",
                    word.span,
                    format!("`{}` is no policy type", clean::word(&word.value)),
                )
                .maybe_help(suggest::help(
                    &word.value,
                    "policy types",
                    ["Ingress", "Egress"],
                )),
            );
        } else if out.contains(&word.value) {
            findings.push(
                Finding::warning(
                    "scenario/duplicate-policy-type",
                    word.span,
                    format!("policy type `{}` is here twice", word.value),
                )
                .help("the API server takes it and it means the same as once; is the other direction meant?"),
            );
        }
        out.push(word.value.clone());
    }
    if let Some(third) = types.get(MOST_POLICY_TYPES) {
        findings.push(Finding::error(
            "scenario/duplicate-key",
            third.span,
            format!(
                "there are {} policy types; the API server takes at most {MOST_POLICY_TYPES}",
                types.len()
            ),
        ));
    }
    out
}

type Rule = (Option<Vec<NetworkPolicyPeer>>, Option<Vec<NetworkPolicyPort>>);

fn rule(raw: &RawRule<'_>, around: &Surroundings<'_>, findings: &mut Findings) -> Rule {
    let peers = raw.peers.map(|peers| peers.iter().map(|raw| peer(raw, around, findings)).collect());
    let ports = raw.ports.map(|ports| ports.iter().filter_map(|raw| port(raw, around, findings)).collect());
    (peers, ports)
}

fn peer(raw: &RawPeer, around: &Surroundings<'_>, findings: &mut Findings) -> NetworkPolicyPeer {
    let fields = &raw.fields;
    if fields.ip_block.is_some() && (fields.pod_selector.is_some() || fields.namespace_selector.is_some()) {
        findings.push(
            Finding::error(
                "scenario/ip-block-with-selector",
                raw.span,
                "`ipBlock` cannot stand beside `podSelector` or `namespaceSelector` in one peer (statement N25)",
            )
            .help("make two list items of it; they are alternatives: `- ipBlock: …` and `- podSelector: …`"),
        );
    } else if fields.ip_block.is_none()
        && fields.pod_selector.is_none()
        && fields.namespace_selector.is_none()
    {
        findings.push(
            Finding::error("scenario/empty-peer", raw.span, "the peer says nothing")
                .help("to allow all pods of the policy's namespace write `podSelector: {}`, of every namespace `namespaceSelector: {}`; without `from` or `to` a rule allows everyone"),
        );
    }
    NetworkPolicyPeer {
        pod_selector: fields.pod_selector.as_ref().map(|s| selector(s, false, around, findings)),
        namespace_selector: fields.namespace_selector.as_ref().map(|s| selector(s, true, around, findings)),
        ip_block: fields.ip_block.as_ref().map(|b| ip_block(b, around, findings)),
    }
}

fn ip_block(raw: &RawIpBlock, around: &Surroundings<'_>, findings: &mut Findings) -> IPBlock {
    let block = cidr(&raw.cidr, around, findings);
    for except in raw.except.iter().flatten() {
        let (Some(block), Some(inner)) = (block, cidr(except, around, findings)) else { continue };
        if block.addr().is_ipv4() != inner.addr().is_ipv4() || !block.trunc().contains(&inner.trunc()) {
            findings.push(
                Finding::error(
                    "scenario/except-outside-cidr",
                    except.span,
                    format!("except {inner} does not lie inside cidr {block} (statement N25)"),
                )
                .also(raw.cidr.span, "the cidr"),
            );
        } else if block.trunc() == inner.trunc() {
            findings.push(
                Finding::error(
                    "scenario/except-equals-cidr",
                    except.span,
                    format!("except {inner} takes the whole of cidr {block}; the API server refuses that"),
                )
                .also(raw.cidr.span, "the cidr")
                .help("to allow nobody leave the peer out"),
            );
        }
    }
    IPBlock {
        cidr: raw.cidr.value.clone(),
        except: raw.except.as_ref().map(|list| list.iter().map(|at| at.value.clone()).collect()),
    }
}

/// Reads a block of addresses with its variables filled in.
fn cidr(raw: &At<String>, around: &Surroundings<'_>, findings: &mut Findings) -> Option<IpNet> {
    let text = filled(&raw.value, around)?;
    let Ok(net) = text.parse::<IpNet>() else {
        let mut finding = Finding::error(
            "scenario/invalid-cidr",
            raw.span,
            format!("`{}` is no block of addresses", clean::word(&text)),
        );
        if let Ok(ip) = text.parse::<std::net::IpAddr>() {
            let (bits, shown) = (if ip.is_ipv4() { 32 } else { 128 }, &raw.value);
            finding = finding.help(format!("for one address write `{shown}/{bits}`"));
        } else {
            finding = finding.help("write ADDRESS/BITS, for example 10.0.0.0/8 or 2001:db8::/32");
        }
        findings.push(finding);
        return None;
    };
    if verdikt_model::cidr::has_leading_zeros(&text) {
        findings.push(
            Finding::warning(
                "scenario/leading-zeros",
                raw.span,
                format!("`{}` has numbers with zeros in front: some readers take them as octal or refuse them, so what it decides is `either` (statement N20)", clean::word(&text)),
            )
            .help(format!("write `{net}`")),
        );
    }
    if let IpNet::V6(v6) = &net
        && v6.addr().to_ipv4_mapped().is_some()
    {
        findings.push(
            Finding::warning(
                "scenario/mapped-cidr",
                raw.span,
                format!("`{net}` is an IPv6 form of IPv4 addresses, which dataplanes read in different ways"),
            )
            .help("write the block in IPv4 form"),
        );
    }
    if net.trunc() != net && !raw.value.contains("${") {
        findings.push(
            Finding::warning(
                "scenario/host-bits",
                raw.span,
                format!("`{net}` has bits set beyond its length"),
            )
            .help(format!("it means the block `{}`", net.trunc())),
        );
    }
    Some(net)
}

fn port(
    raw: &RawPolicyPort,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<NetworkPolicyPort> {
    let transport = protocol(raw.protocol.as_ref(), findings)?;
    match (&raw.port, &raw.end_port) {
        (Some(RawPortNumber::Number(port)), Some(end)) if end.value.0 < port.value.0 => findings.push(
            Finding::error(
                "scenario/end-port-before-port",
                end.span,
                format!("endPort {} is less than port {} (statement N33)", end.value.0, port.value.0),
            )
            .also(port.span, "the port")
            .help("a range goes from `port` up to `endPort`"),
        ),
        (Some(RawPortNumber::Name(port)), Some(end)) => findings.push(
            Finding::error(
                "scenario/end-port-with-named-port",
                end.span,
                format!(
                    "endPort needs a number as port, not the name `{}` (statement N33)",
                    clean::word(&port.value)
                ),
            )
            .also(port.span, "the port"),
        ),
        (None, Some(end)) => findings.push(
            Finding::error(
                "scenario/end-port-without-port",
                end.span,
                "endPort needs `port` (statement N33)",
            )
            .help(format!("for ports up to {} write `port: 1` beside it", end.value.0)),
        ),
        _ => {}
    }
    if let Some(RawPortNumber::Name(name)) = &raw.port {
        named_port(name, transport, around, findings);
    }
    Some(NetworkPolicyPort {
        protocol: raw.protocol.as_ref().map(|at| at.value.clone()),
        port: raw.port.as_ref().map(|port| match port {
            RawPortNumber::Number(number) => IntOrString::Int(i32::from(number.value.0)),
            RawPortNumber::Name(name) => IntOrString::String(name.value.clone()),
        }),
        end_port: raw.end_port.as_ref().map(|end| i32::from(end.value.0)),
    })
}

fn named_port(name: &At<String>, transport: Protocol, around: &Surroundings<'_>, findings: &mut Findings) {
    if name.value.contains("${") || !Name::Port.check(name, findings) {
        return;
    }
    let pods =
        || around.topology.pods().flat_map(|(_, _, pod)| pod.serve.names.iter().chain(&pod.sidecar.names));
    // kube-dns is there without being in the topology.
    let dns = [("dns", Protocol::Udp), ("dns-tcp", Protocol::Tcp)];
    if pods().any(|(have, port)| *have == name.value && port.protocol == transport)
        || dns.iter().any(|(have, of)| *have == name.value && *of == transport)
    {
        return;
    }
    let known: std::collections::BTreeSet<&str> =
        pods().filter(|(_, port)| port.protocol == transport).map(|(have, _)| have.as_str()).collect();
    findings.push(
        Finding::warning(
            "scenario/unknown-port-name",
            name.span,
            format!("no pod has a {transport} port named `{}`, so this allows nothing", name.value),
        )
        .maybe_help(suggest::help(&name.value, "named ports", known)),
    );
}
