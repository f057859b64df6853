//! Names and what they stand for, after the Kubernetes DNS specification 1.1.0.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use crate::wire::State;

/// Data of one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Records {
    pub(crate) addresses: Vec<IpAddr>,
    /// Port and the name of the host it is on.
    pub(crate) services: Vec<(u16, String)>,
}

/// The zone. Names are in lower case, without the final dot.
#[derive(Debug, Default)]
pub(crate) struct Zone {
    names: HashMap<String, Records>,
    /// Names that have something below them, but no data.
    parents: HashSet<String>,
}

/// What the zone knows about a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    Records(&'a Records),
    /// It exists, with no data.
    Empty,
    /// It does not exist.
    Unknown,
    /// It lies outside.
    NotOurs,
}

/// The cluster's domain.
pub(crate) const DOMAIN: &str = "cluster.local";

impl Zone {
    /// Builds the zone.
    pub(crate) fn new(state: &State) -> Self {
        let mut zone = Self::default();
        zone.add(DOMAIN.into());
        for service in &state.services {
            let name = format!("{}.{}.svc.{DOMAIN}", service.name, service.namespace);
            let headless = service.cluster_ips.is_empty();
            let addresses = if headless { &service.pod_ips } else { &service.cluster_ips };
            zone.add(name.clone()).addresses.clone_from(addresses);
            let mut hosts = vec![name.clone()];
            if headless {
                hosts.clear();
                for address in addresses {
                    let host = format!("{}.{name}", dashed(*address));
                    zone.add(host.clone()).addresses.push(*address);
                    hosts.push(host);
                }
            }
            for port in service.ports.iter().filter(|port| !port.name.is_empty()) {
                let srv = format!("_{}._{}.{name}", port.name, port.protocol.to_lowercase());
                let all = hosts.iter().map(|host| (port.port, host.clone()));
                zone.add(srv).services.extend(all);
            }
        }
        for pod in &state.pods {
            for address in &pod.ips {
                let name = format!("{}.{}.pod.{DOMAIN}", dashed(*address), pod.namespace);
                zone.add(name).addresses = vec![*address];
            }
        }
        for namespace in state.namespaces.keys() {
            zone.parents.insert(format!("{namespace}.svc.{DOMAIN}"));
        }
        zone
    }

    fn add(&mut self, name: String) -> &mut Records {
        let mut rest = name.as_str();
        while let Some((_, parent)) = rest.split_once('.') {
            if parent.len() < DOMAIN.len() || !self.parents.insert(parent.to_owned()) {
                break;
            }
            rest = parent;
        }
        self.names.entry(name).or_default()
    }

    /// Looks a name up.
    pub(crate) fn look(&self, name: &str) -> Answer<'_> {
        if let Some(records) = self.names.get(name) {
            Answer::Records(records)
        } else if self.parents.contains(name) {
            Answer::Empty
        } else if name.strip_suffix(DOMAIN).is_some_and(|rest| rest.ends_with('.')) {
            Answer::Unknown
        } else {
            Answer::NotOurs
        }
    }
}

/// An address as a label: `10-244-0-5`, `fd00-10-244--5`.
fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ServicePortState, ServiceState};

    fn service(name: &str, cluster: &[&str], pods: &[&str]) -> ServiceState {
        let parse = |all: &[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect();
        ServiceState {
            namespace: "x".into(),
            name: name.into(),
            cluster_ips: parse(cluster),
            pod_ips: parse(pods),
            ports: vec![ServicePortState {
                name: "web".into(),
                protocol: "TCP".into(),
                port: 80,
                node_port: None,
                backends: vec![],
            }],
            local: false,
        }
    }

    #[test]
    fn services_headless_services_and_holes() {
        let services = vec![
            service("a", &["10.96.0.1", "fd00::1"], &[]),
            service("h", &[], &["10.244.0.5", "10.244.0.6"]),
        ];
        let zone = Zone::new(&State { services, ..State::default() });
        let addresses = |name: &str| match zone.look(name) {
            Answer::Records(records) => records.addresses.iter().map(ToString::to_string).collect(),
            other => vec![format!("{other:?}")],
        };
        assert_eq!(addresses("a.x.svc.cluster.local"), ["10.96.0.1", "fd00::1"]);
        assert_eq!(addresses("h.x.svc.cluster.local"), ["10.244.0.5", "10.244.0.6"]);
        assert_eq!(addresses("10-244-0-6.h.x.svc.cluster.local"), ["10.244.0.6"]);
        assert_eq!(addresses("x.svc.cluster.local"), ["Empty"]);
        assert_eq!(addresses("b.x.svc.cluster.local"), ["Unknown"]);
        assert_eq!(addresses("example.com"), ["NotOurs"]);
        assert_eq!(addresses("notcluster.local"), ["NotOurs"]);
        let Answer::Records(srv) = zone.look("_web._tcp.h.x.svc.cluster.local") else { panic!() };
        assert_eq!(srv.services.len(), 2);
    }
}
