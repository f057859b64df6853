//! Ports of policies as numbers.

use std::collections::BTreeSet;

use k8s_openapi::{api::networking::v1::NetworkPolicyPort, apimachinery::pkg::util::intstr::IntOrString};

use crate::wire::PodState;

/// Ports of one protocol, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in super::super) struct Ports {
    /// IP protocol number.
    pub(in super::super) protocol: u8,
    pub(in super::super) low: u16,
    pub(in super::super) high: u16,
}

/// The number of a protocol of the API.
pub(in super::super) fn protocol_number(name: &str) -> Option<u8> {
    match name {
        "TCP" => Some(6),
        "UDP" => Some(17),
        "SCTP" => Some(132),
        _ => None,
    }
}

/// Ports of an ingress rule, named ones looked up in the pod that receives. A name that the pod does not have gives
/// no port at all.
pub(super) fn ingress_ports(
    ports: &[NetworkPolicyPort],
    pod: &PodState,
) -> Result<Option<BTreeSet<Ports>>, String> {
    if ports.is_empty() {
        return Ok(None);
    }
    let mut all = BTreeSet::new();
    for port in ports {
        let (name, number) = protocol(port)?;
        match &port.port {
            Some(IntOrString::String(wanted)) => {
                all.extend(named_port(pod, wanted, name).map(|port| Ports {
                    protocol: number,
                    low: port,
                    high: port,
                }));
            }
            _ => {
                all.insert(numbers(port, number)?);
            }
        }
    }
    Ok(Some(all))
}

/// Name and number of a port's protocol; TCP by default.
pub(super) fn protocol(port: &NetworkPolicyPort) -> Result<(&str, u8), String> {
    let name = port.protocol.as_deref().unwrap_or("TCP");
    protocol_number(name).map(|number| (name, number)).ok_or_else(|| format!("there is no protocol `{name}`"))
}

/// A port without a name: one, a range, or all.
pub(super) fn numbers(port: &NetworkPolicyPort, protocol: u8) -> Result<Ports, String> {
    let number = |n: i32| u16::try_from(n).map_err(|_| format!("{n} is no port"));
    let (low, high) = match (&port.port, port.end_port) {
        (Some(IntOrString::Int(low)), None) => (number(*low)?, number(*low)?),
        (Some(IntOrString::Int(low)), Some(high)) => (number(*low)?, number(high)?),
        _ => (0, u16::MAX),
    };
    Ok(Ports { protocol, low, high })
}

/// The number that a pod has for a name.
pub(super) fn named_port(pod: &PodState, name: &str, protocol: &str) -> Option<u16> {
    pod.ports.iter().find(|(n, p, _)| n == name && p == protocol).map(|(_, _, number)| *number)
}
