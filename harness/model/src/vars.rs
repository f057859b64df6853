//! Variables in policies: `${pod.x/a.ip}`, filled in from a [`World`].

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::NetworkPolicy;

use crate::{
    cell::EndpointId,
    endpoint::EndpointName,
    net::Family,
    world::{EndpointKind, World},
};

/// A variable that cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// There is no such variable, or it names nothing in the scenario.
    #[error(
        "`${{{0}}}` names nothing; known are pod.NS/POD.ip, node.N.ip, node.of.NS/POD.ip, service.NS/NAME.ip, \
         external.ip, external/N.ip (each also .ipv6), cluster.podCIDR and cluster.serviceCIDR (each also with v6)"
    )]
    Unknown(String),
    /// It is well formed, but this cluster has no such address.
    #[error("`${{{0}}}` has no value in this cluster")]
    Unavailable(String),
    /// An opened `${` without its `}`.
    #[error("`{0}` has a `${{` without its `}}`")]
    Open(String),
    /// The policy is no NetworkPolicy any more with its variables filled in.
    #[error("the policy is not valid with its variables filled in: {0}")]
    Invalid(String),
}

/// A copy of a policy with its variables filled in.
///
/// # Errors
/// The first variable that cannot be filled in.
pub fn substitute(policy: &NetworkPolicy, world: &World) -> Result<NetworkPolicy, VariableError> {
    let invalid = |e: serde_json::Error| VariableError::Invalid(e.to_string());
    let mut value = serde_json::to_value(policy).map_err(invalid)?;
    if !substitute_value(&mut value, world)? {
        return Ok(policy.clone());
    }
    serde_json::from_value(value).map_err(invalid)
}

/// Fills in the variables in every string of a JSON value; tells whether there were any.
///
/// # Errors
/// The first variable that cannot be filled in.
pub fn substitute_value(value: &mut serde_json::Value, world: &World) -> Result<bool, VariableError> {
    let mut any = false;
    match value {
        serde_json::Value::String(text) if text.contains("${") => {
            *text = fill(text, world)?;
            any = true;
        }
        serde_json::Value::Array(items) => {
            for item in items {
                any |= substitute_value(item, world)?;
            }
        }
        serde_json::Value::Object(fields) => {
            for (_, field) in fields {
                any |= substitute_value(field, world)?;
            }
        }
        _ => {}
    }
    Ok(any)
}

fn fill(text: &str, world: &World) -> Result<String, VariableError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or_else(|| VariableError::Open(text.to_owned()))?;
        out.push_str(before);
        out.push_str(&lookup(name, world)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn lookup(name: &str, world: &World) -> Result<String, VariableError> {
    let unknown = || VariableError::Unknown(name.to_owned());
    let unavailable = || VariableError::Unavailable(name.to_owned());
    let cidr = |nets: &[IpNet], family: Family| {
        nets.iter()
            .find(|net| Family::of(net.addr()) == family)
            .map(ToString::to_string)
            .ok_or_else(unavailable)
    };
    match name {
        "cluster.podCIDR" => return cidr(&world.pod_cidrs, Family::Ipv4),
        "cluster.podCIDRv6" => return cidr(&world.pod_cidrs, Family::Ipv6),
        "cluster.serviceCIDR" => return cidr(&world.service_cidrs, Family::Ipv4),
        "cluster.serviceCIDRv6" => return cidr(&world.service_cidrs, Family::Ipv6),
        _ => {}
    }
    let (subject, family) = if let Some(subject) = name.strip_suffix(".ipv6") {
        (subject, Family::Ipv6)
    } else if let Some(subject) = name.strip_suffix(".ip") {
        (subject, Family::Ipv4)
    } else {
        return Err(unknown());
    };
    let node_ip = |node: u16| -> Option<IpAddr> {
        world.nodes.get(usize::from(node))?.iter().copied().find(|ip| Family::of(*ip) == family)
    };
    let find = |text: &str, service: bool| -> Option<EndpointId> {
        let (namespace, name) = text.split_once('/')?;
        world.find(&if service {
            EndpointName::service(namespace, name)
        } else {
            EndpointName::pod(namespace, name)
        })
    };
    let ip = if let Some(pod) = subject.strip_prefix("node.of.") {
        let node = match find(pod, false).map(|id| &world.endpoint(id).kind) {
            Some(EndpointKind::Pod(pod)) => pod.node,
            _ => return Err(unknown()),
        };
        node.and_then(node_ip)
    } else if let Some(n) = subject.strip_prefix("node.") {
        let n: u16 = n.parse().ok().filter(|n| *n > 0).ok_or_else(unknown)?;
        node_ip(n - 1)
    } else if let Some(pod) = subject.strip_prefix("pod.") {
        world.ip(find(pod, false).ok_or_else(unknown)?, family)
    } else if let Some(service) = subject.strip_prefix("service.") {
        world.ip(find(service, true).ok_or_else(unknown)?, family)
    } else if subject.starts_with("external") {
        let endpoint: EndpointName = subject.parse().map_err(|_| unknown())?;
        world.ip(world.find(&endpoint).ok_or_else(unknown)?, family)
    } else {
        return Err(unknown());
    };
    ip.map(|ip| ip.to_string()).ok_or_else(unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{NamespaceSpec, PodSpec, Topology};

    fn world() -> World {
        World::synthetic(&Topology {
            namespaces: [(
                "x".to_owned(),
                NamespaceSpec {
                    pods: [("a".to_owned(), PodSpec::default())].into(),
                    ..NamespaceSpec::default()
                },
            )]
            .into(),
            ..Topology::default()
        })
    }

    #[test]
    fn addresses_are_filled_in() {
        let world = world();
        assert_eq!(fill("${pod.x/a.ip}/32", &world).unwrap(), "10.244.0.2/32");
        assert_eq!(fill("${node.of.x/a.ip}", &world).unwrap(), "172.30.0.1");
        assert_eq!(fill("${node.2.ipv6}/128", &world).unwrap(), "fd00:172:30::2/128");
        assert_eq!(fill("${cluster.podCIDR}", &world).unwrap(), "10.244.0.0/16");
        assert_eq!(fill("plain", &world).unwrap(), "plain");
    }

    #[test]
    fn what_cannot_be_filled_in_is_an_error() {
        let world = world();
        for (text, error) in [
            ("${pod.x/b.ip}", VariableError::Unknown("pod.x/b.ip".into())),
            ("${pod.x/a}", VariableError::Unknown("pod.x/a".into())),
            ("${node.9.ip}", VariableError::Unavailable("node.9.ip".into())),
            ("${pod.x/a.ip", VariableError::Open("${pod.x/a.ip".into())),
        ] {
            assert_eq!(fill(text, &world).unwrap_err(), error, "{text}");
        }
    }
}
