//! The cluster's DNS: where it is, and who can ask it.

use std::borrow::Cow;

use verdikt_model::{
    EndpointKind, Family, PortProtocol, Protocol, ServiceFacts, ServiceKind, TargetPort, Via, World,
};

use crate::{
    compile::{Direction, PodIndex, Pods},
    ends::{Connection, End, Path, Reading, Who},
    oracle::Oracle,
    service::Dialled,
    trace::Trace,
    truth::Truth,
};

/// A query.
const QUERY: PortProtocol = PortProtocol { port: 53, protocol: Protocol::Udp };

/// What is known of the cluster's DNS.
pub(crate) struct ClusterDns<'w> {
    /// Its Service; one without an address where the world does not show it.
    service: Cow<'w, ServiceFacts>,
    /// Its pods; none when they are not known.
    pub(crate) pods: Vec<PodIndex>,
    /// The families of its address: the name server's family need not be the connection's.
    families: Vec<Family>,
}

impl<'w> ClusterDns<'w> {
    /// The `dns` endpoint and the pods behind it, or else the pods of kube-system that are labelled as kube-dns.
    pub(crate) fn find(world: &'w World, pods: &Pods<'w>, backends: &[Vec<PodIndex>]) -> Self {
        let endpoint =
            world.endpoints.iter().zip(backends).find_map(|(endpoint, backends)| match &endpoint.kind {
                EndpointKind::Dns(service) => Some((service, backends)),
                _ => None,
            });
        let is_dns = |namespace: &str, app: Option<&String>| {
            namespace == "kube-system" && app.is_some_and(|app| app == "kube-dns")
        };
        let found = match endpoint {
            Some((_, backends)) if !backends.is_empty() => backends.clone(),
            _ => pods
                .iter()
                .filter(|(_, pod)| is_dns(&pod.namespace, pod.labels.get("k8s-app")))
                .map(|(index, _)| index)
                .collect(),
        };
        let service =
            endpoint.map_or_else(|| Cow::Owned(unseen_service()), |(service, _)| Cow::Borrowed(service));
        let has = |ips: &[std::net::IpAddr], family| ips.iter().any(|ip| Family::of(*ip) == family);
        let families = Family::ALL.iter().copied().filter(|family| {
            (service.cluster_ips.is_empty() || has(&service.cluster_ips, *family))
                && found.iter().any(|pod| pods.get(*pod).ip(*family).is_some())
        });
        Self { families: families.collect(), pods: found, service }
    }
}

/// kube-dns where only its pods are known.
fn unseen_service() -> ServiceFacts {
    ServiceFacts {
        namespace: "kube-system".into(),
        name: "kube-dns".into(),
        selector: [].into(),
        pods: Vec::new(),
        alias: None,
        ports: Vec::new(),
        kind: ServiceKind::ClusterIp,
        via: [Via::ClusterIp].into(),
        cluster_ips: Vec::new(),
    }
}

impl Oracle<'_> {
    /// Whether a source can have a name resolved: a query over UDP to the cluster's DNS.
    pub(crate) fn resolve_name(&self, from: &End, reading: Reading, trace: &mut Trace) -> Truth {
        let Who::Pod(pod) = from.who else { return Truth::Yes };
        if self.dns.pods.is_empty() {
            return self.ask_unknown_dns(from, QUERY, trace);
        }
        let service = self.dns.service.as_ref();
        let number = TargetPort::Number(QUERY.port);
        let target =
            service.ports.iter().find(|have| have.port == QUERY).map_or(&number, |port| &port.target);
        let judge = |family, trace: &mut Trace| {
            let dialled =
                Dialled { service, port: QUERY, target, node_port: None, entry: None, family, reading };
            trace.alternative(|trace| {
                trace.scoped(
                    || format!("{} must resolve the name: ", self.who(from)),
                    |trace| {
                        let from = self.pod_end(pod, family, reading);
                        self.through(Via::ClusterIp, &from, &self.dns.pods, dialled, trace)
                    },
                )
            })
        };
        let mut families = self.dns.families.iter();
        let Some(first) = families.next() else {
            trace
                .add(Truth::open("N28"), || "the pods of the cluster's DNS have no address yet (N28)".into());
            return Truth::open("N28");
        };
        let mut answer = judge(*first, trace);
        for family in families {
            let other = judge(*family, trace);
            if !answer.same(other) {
                let open = [answer, other].into_iter().find(|truth| matches!(truth, Truth::Open(_)));
                answer = open.unwrap_or(Truth::open("N28"));
                trace
                    .add(answer, || "the IP family over which the name server is asked decides (N28)".into());
            }
        }
        answer
    }

    /// A query to a DNS of which nothing is known: sure only without egress isolation, or by a rule without peers.
    pub(crate) fn ask_unknown_dns(&self, from: &End, port: PortProtocol, trace: &mut Trace) -> Truth {
        let query = Connection { from: *from, to: from.somewhere(), port, path: Path::Service };
        let finding = self.side(Direction::Egress, &query);
        if finding.truth == Truth::Yes {
            self.note_side(Direction::Egress, &query, finding, trace);
            return Truth::Yes;
        }
        let open = Truth::open("N28");
        trace.add(open, || {
            format!(
                "{} is isolated for egress by {}, and where the cluster's DNS is, is not known (N28)",
                self.who(from),
                self.isolating_names(Direction::Egress, &query),
            )
        });
        open
    }
}
