//! Egress rules with selectors where they are judged by the cluster IPs of Services, as AWS's controller has them:
//! <https://github.com/aws/amazon-network-policy-controller-k8s/blob/ecc7e6a793/pkg/resolvers/endpoints.go>.
//!
//! A rule names ports of pods. What it opens of a Service is the Service's port that leads there.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    super::select::selects,
    Allow, Peers, Resolver,
    ports::{Ports, named_port, numbers, protocol},
};
use crate::wire::{PodState, ServicePortState, ServiceState};

impl Resolver<'_> {
    /// What an egress rule opens of Services.
    pub(super) fn cluster_ips(
        &self,
        ports: &[NetworkPolicyPort],
        peers: &[NetworkPolicyPeer],
        namespace: &str,
    ) -> Result<Vec<Allow>, String> {
        let mut allows = vec![];
        for service in self.state.services.iter().filter(|service| self.names(peers, service, namespace)) {
            let mut opened = BTreeSet::new();
            for port in ports {
                opened.extend(self.listening(service, port, ports)?);
            }
            if ports.is_empty() || !opened.is_empty() {
                let pods = service.cluster_ips.iter().copied().collect();
                let ports = (!ports.is_empty()).then_some(opened);
                allows.push(Allow { peers: Peers::Only { pods, ranges: vec![] }, ports });
            }
        }
        Ok(allows)
    }

    /// Whether a peer means a Service: its selector finds the Service's own, taken for labels.
    fn names(&self, peers: &[NetworkPolicyPeer], service: &ServiceState, namespace: &str) -> bool {
        peers.iter().any(|peer| {
            (peer.pod_selector.is_some() || peer.namespace_selector.is_some())
                && self.is_meant(peer, &service.namespace, namespace)
                && peer.pod_selector.as_ref().is_none_or(|pods| selects(pods, &service.selector))
        })
    }

    /// The Service's ports for a port of a rule; `all` are those of the rule. Of a range only the first is looked up.
    fn listening(
        &self,
        service: &ServiceState,
        port: &NetworkPolicyPort,
        all: &[NetworkPolicyPort],
    ) -> Result<Option<Ports>, String> {
        let (name, number) = protocol(port)?;
        let Some(wanted) = &port.port else { return numbers(port, number).map(Some) };
        let mut candidates = service.ports.iter().filter(|candidate| candidate.protocol == name);
        let pods = || self.behind(service);
        let by_pod =
            |candidate: &ServicePortState| pods().any(|pod| is_same(pod, name, wanted, &candidate.target));
        let Some(found) = candidates
            .clone()
            .find(|candidate| candidate.target == *wanted)
            .or_else(|| candidates.find(|candidate| by_pod(candidate)))
        else {
            return Ok(None);
        };
        // A name may lead to a number that the rule does not open.
        if let (IntOrString::Int(_), IntOrString::String(target)) = (wanted, &found.target) {
            let opened =
                all.iter().map(|port| numbers(port, protocol(port)?.1)).collect::<Result<Vec<_>, _>>()?;
            let opens = |at: u16| {
                opened.iter().any(|ports| ports.protocol == number && (ports.low..=ports.high).contains(&at))
            };
            if pods().filter_map(|pod| named_port(pod, target, name)).any(|at| !opens(at)) {
                return Ok(None);
            }
        }
        let last = port.end_port.and_then(|last| u16::try_from(last).ok()).unwrap_or(found.port);
        Ok(Some(Ports { protocol: number, low: found.port, high: last.max(found.port) }))
    }

    /// The pods that a Service's selector finds, ready or not; without one, all of its namespace.
    fn behind<'s>(&'s self, service: &'s ServiceState) -> impl Iterator<Item = &'s PodState> {
        self.state.pods.iter().filter(|pod| {
            pod.namespace == service.namespace
                && service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
        })
    }
}

/// Whether on a pod a name and a number, in either order, are one port.
fn is_same(pod: &PodState, protocol: &str, one: &IntOrString, other: &IntOrString) -> bool {
    match (one, other) {
        (IntOrString::String(name), IntOrString::Int(number))
        | (IntOrString::Int(number), IntOrString::String(name)) => {
            named_port(pod, name, protocol).map(i32::from) == Some(*number)
        }
        _ => false,
    }
}
