//! EndpointSlices that a user has written for a Service, with or without a selector.

use std::net::IpAddr;

use serde_json::Value;

use super::scheduler;
use crate::{
    api::object::{Shared, items, strings, text},
    plan,
};

/// Who manages the slices that the cluster itself writes.
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";

/// An endpoint that may be sent to.
pub(super) struct Endpoint {
    pub(super) ip: IpAddr,
    pub(super) hostname: Option<String>,
    /// The node that it is on; one that does not exist when the slice names none.
    node: u16,
}

/// Whether the cluster itself writes a slice.
pub(super) fn is_own(slice: &Value) -> bool {
    strings(slice, "/metadata/labels")
        .get("endpointslice.kubernetes.io/managed-by")
        .is_some_and(|manager| manager == MANAGER)
}

/// The slices that somebody has written for a Service.
pub(super) fn slices_of<'a>(service: &'a Shared, slices: &'a [Shared]) -> impl Iterator<Item = &'a Shared> {
    const SERVICE: &str = "/metadata/labels/kubernetes.io~1service-name";
    slices.iter().filter(move |slice| {
        slice.namespace() == service.namespace()
            && text(&slice.value, SERVICE) == service.name()
            && !is_own(&slice.value)
    })
}

/// The endpoints of a slice that are ready, or do not say that they are not; only the first address of each counts.
pub(super) fn endpoints(slice: &Shared) -> impl Iterator<Item = Endpoint> {
    let v6 = match text(&slice.value, "/addressType") {
        "IPv4" => Some(false),
        "IPv6" => Some(true),
        _ => None,
    };
    items(&slice.value, "/endpoints")
        .iter()
        .filter(|endpoint| endpoint.pointer("/conditions/ready") != Some(&Value::Bool(false)))
        .filter_map(move |endpoint| {
            let ip: IpAddr = text(endpoint, "/addresses/0").parse().ok()?;
            Some(Endpoint {
                ip,
                hostname: Some(text(endpoint, "/hostname")).filter(|h| !h.is_empty()).map(str::to_owned),
                node: scheduler::number(text(endpoint, "/nodeName")).unwrap_or(plan::NODES),
            })
            .filter(|endpoint| Some(endpoint.ip.is_ipv6()) == v6)
        })
}

/// Where a slice leads a port of its Service: to the port of the same name and protocol.
pub(super) fn backends<'a>(slice: &'a Shared, port: &'a Value) -> impl Iterator<Item = (IpAddr, u16, u16)> {
    let found = items(&slice.value, "/ports")
        .iter()
        .find(|p| text(p, "/name") == text(port, "/name") && text(p, "/protocol") == text(port, "/protocol"))
        .and_then(|p| p.get("port")?.as_u64())
        .and_then(|n| u16::try_from(n).ok());
    endpoints(slice).filter_map(move |endpoint| Some((endpoint.ip, found?, endpoint.node)))
}
