//! Names and what they stand for, after the Kubernetes DNS specification 1.1.0.

use std::{
    borrow::Cow,
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
    /// Another name that this one stands for (an ExternalName Service).
    pub(crate) alias: Option<String>,
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
    Records(Cow<'a, Records>),
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
            if let Some(alias) = &service.external_name {
                zone.add(name).alias = Some(alias.trim_end_matches('.').to_lowercase());
                continue;
            }
            let headless = service.cluster_ips.is_empty();
            let addresses = if headless { &service.pod_ips } else { &service.cluster_ips };
            zone.add(name.clone()).addresses.clone_from(addresses);
            let mut hosts = vec![name.clone()];
            if headless {
                hosts.clear();
                for address in addresses {
                    let label = service.hostnames.get(address).cloned().unwrap_or_else(|| dashed(*address));
                    let host = format!("{label}.{name}");
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
        for namespace in state.namespaces.keys() {
            zone.parents.insert(format!("{namespace}.svc.{DOMAIN}"));
            zone.parents.insert(format!("{namespace}.pod.{DOMAIN}"));
        }
        zone.parents.insert(format!("pod.{DOMAIN}"));
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
            Answer::Records(Cow::Borrowed(records))
        } else if let Some(address) = self.pod(name) {
            Answer::Records(Cow::Owned(Records { addresses: vec![address], ..Records::default() }))
        } else if self.parents.contains(name) {
            Answer::Empty
        } else if name.strip_suffix(DOMAIN).is_some_and(|rest| rest.ends_with('.')) {
            Answer::Unknown
        } else {
            Answer::NotOurs
        }
    }

    /// What `ADDRESS.NAMESPACE.pod` says of itself, whether or not there is such a pod: as CoreDNS answers with
    /// `pods insecure`, which kubeadm sets.
    fn pod(&self, name: &str) -> Option<IpAddr> {
        let (label, parent) = name.split_once('.')?;
        let ours = parent.ends_with(&format!(".pod.{DOMAIN}")) && self.parents.contains(parent);
        let v4 = label.matches('-').count() == 3 && !label.contains("--");
        if !ours {
            return None;
        }
        label.replace('-', if v4 { "." } else { ":" }).parse().ok()
    }
}

/// An address as a label: `10-244-0-5`, `fd00-10-244--5`.
fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    use super::*;
    use crate::wire::{ServicePortState, ServiceState};

    fn service(name: &str, cluster: &[&str], pods: &[&str]) -> ServiceState {
        let parse = |all: &[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect();
        ServiceState {
            namespace: "x".into(),
            name: name.into(),
            selector: BTreeMap::new(),
            cluster_ips: parse(cluster),
            external_name: None,
            hostnames: BTreeMap::new(),
            pod_ips: parse(pods),
            ports: vec![ServicePortState {
                name: "web".into(),
                protocol: "TCP".into(),
                port: 80,
                target: IntOrString::Int(80),
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
        let addresses = |name: &str| -> Vec<String> {
            match zone.look(name) {
                Answer::Records(records) => records.addresses.iter().map(ToString::to_string).collect(),
                other => vec![format!("{other:?}")],
            }
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

    #[test]
    fn pods_host_names_and_aliases() {
        let mut headless = service("h", &[], &["10.244.0.5", "10.244.0.6"]);
        headless.hostnames.insert("10.244.0.5".parse().unwrap(), "db-0".into());
        let mut external = service("e", &[], &[]);
        external.external_name = Some("H.x.svc.cluster.local.".into());
        let namespaces = [("x".to_owned(), BTreeMap::new())].into();
        let zone = Zone::new(&State { services: vec![headless, external], namespaces, ..State::default() });
        let records = |name: &str| match zone.look(name) {
            Answer::Records(records) => records.into_owned(),
            other => panic!("{name}: {other:?}"),
        };
        for (name, address) in [
            ("db-0.h.x.svc.cluster.local", "10.244.0.5"),
            ("10-244-0-6.h.x.svc.cluster.local", "10.244.0.6"),
            ("10-244-9-9.x.pod.cluster.local", "10.244.9.9"),
            ("fd00-10--5.x.pod.cluster.local", "fd00:10::5"),
        ] {
            assert_eq!(records(name).addresses, [address.parse::<IpAddr>().unwrap()], "{name}");
        }
        for (name, answer) in [
            ("10-244-0-5.h.x.svc.cluster.local", Answer::Unknown),
            ("10-244-0-5.y.pod.cluster.local", Answer::Unknown),
            ("nonsense.x.pod.cluster.local", Answer::Unknown),
            ("x.pod.cluster.local", Answer::Empty),
        ] {
            assert_eq!(zone.look(name), answer, "{name}");
        }
        assert_eq!(records("e.x.svc.cluster.local").alias.as_deref(), Some("h.x.svc.cluster.local"));
    }
}
