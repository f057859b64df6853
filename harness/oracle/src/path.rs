//! From a cell to the connections that it can mean, and their common answer.

use verdikt_model::{
    Cell, EndpointKind, Family, PortProtocol, Protocol, ServiceFacts, ServiceKind, TargetPort, Via,
};

use crate::{
    compile::{Direction, PodIndex},
    ends::{Connection, End, Path, Reading, Role, Who},
    oracle::Oracle,
    reasons::list,
    side::Finding,
    trace::Trace,
    truth::Truth,
};

/// A Service's port as a source dials it.
#[derive(Clone, Copy)]
struct Dialled<'a> {
    service: &'a ServiceFacts,
    port: PortProtocol,
    target: &'a TargetPort,
    node_port: Option<u16>,
    family: Family,
    reading: Reading,
}

impl Oracle<'_> {
    /// Judges a cell. Where a pod on the host's network takes part, both readings of N42 are asked.
    pub(crate) fn judge(&self, cell: &Cell, trace: &mut Trace) -> Truth {
        if !self.host_network_takes_part(cell) {
            return self.judge_under(Reading::AsPods, cell, trace);
        }
        let [pods, nodes] = Reading::BOTH.map(|reading| {
            trace.alternative(|trace| {
                trace.scoped(|| reading.prefix().into(), |trace| self.judge_under(reading, cell, trace))
            })
        });
        if !pods.same(nodes) {
            trace.add(Truth::Open("N42"), || {
                "a pod on its node's network may count as a pod or as its node, and the two differ here (N42)".into()
            });
        }
        pods.agree(nodes, "N42")
    }

    fn host_network_takes_part(&self, cell: &Cell) -> bool {
        let on_host = |pod: PodIndex| self.pods.get(pod).host_network;
        let resolves = matches!(cell.via, Via::Dns | Via::Headless);
        [cell.from, cell.to].into_iter().filter_map(|id| self.pod_of(id)).any(on_host)
            || self.backends(cell.to).iter().copied().any(on_host)
            || resolves && self.dns.pods.iter().copied().any(on_host)
    }

    fn judge_under(&self, reading: Reading, cell: &Cell, trace: &mut Trace) -> Truth {
        let Some(from) = self.end(cell.from, cell.family, reading) else {
            trace.add(Truth::Open("N2"), || {
                format!("{} is a Service: it opens no connection", self.world.name(cell.from))
            });
            return Truth::Open("N2");
        };
        if let Some(to) = self.end(cell.to, cell.family, reading) {
            return self
                .direct(Connection { from, to, port: cell.port_protocol(), path: Path::Direct }, trace);
        }
        let (EndpointKind::Service(service) | EndpointKind::Dns(service)) =
            &self.world.endpoint(cell.to).kind
        else {
            unreachable!("what is no end is a Service")
        };
        if matches!(self.world.endpoint(cell.to).kind, EndpointKind::Dns(_))
            && self.backends(cell.to).is_empty()
        {
            return self.ask_unknown_dns(&from, cell.port_protocol(), trace);
        }
        let Some(port) = service.ports.iter().find(|have| have.port == cell.port_protocol()) else {
            trace.add(Truth::Open("N21"), || {
                format!("{} has no port {}", self.world.name(cell.to), cell.port_protocol())
            });
            return Truth::Open("N21");
        };
        let dialled = Dialled {
            service,
            port: port.port,
            target: &port.target,
            node_port: port.node_port,
            family: cell.family,
            reading,
        };
        let reach = |trace: &mut Trace| self.through(cell.via, &from, self.backends(cell.to), dialled, trace);
        match cell.via {
            Via::Dns | Via::Headless => trace.both(|trace| self.resolve_name(&from, reading, trace), reach),
            Via::PodIp | Via::ClusterIp | Via::NodePort => reach(trace),
        }
    }

    /// A connection to a pod's, node's or host's own address.
    fn direct(&self, connection: Connection, trace: &mut Trace) -> Truth {
        let Connection { from, to, .. } = connection;
        if from.who == to.who {
            trace.add(Truth::Yes, || {
                format!("{} connects to itself, which no policy can block (N4)", self.who(&from))
            });
            return Truth::Yes;
        }
        let egress = self.side(Direction::Egress, &connection);
        let ingress = self.side(Direction::Ingress, &connection);
        self.note_sides(&connection, egress, ingress, trace);
        egress.truth.and(ingress.truth)
    }

    /// A connection through a Service: whatever all its backends have in common.
    fn through(
        &self,
        via: Via,
        from: &End,
        backends: &[PodIndex],
        dialled: Dialled<'_>,
        trace: &mut Trace,
    ) -> Truth {
        let headless = via == Via::Headless || dialled.service.kind == ServiceKind::Headless;
        // A backend is one that has the family and, unless the name leads to it directly, the target port.
        let usable = backends.iter().copied().filter_map(|pod| {
            let facts = self.pods.get(pod);
            facts.ip(dialled.family)?;
            let number = if headless {
                dialled.port.port
            } else {
                facts.resolve(dialled.target, dialled.port.protocol)?
            };
            Some((pod, PortProtocol { port: number, ..dialled.port }))
        });
        let (mut answer, mut differ) = (None, false);
        for (pod, port) in usable {
            let to = self.pod_end(pod, dialled.family, dialled.reading);
            let prefix = || format!("behind {}, {}:{port}: ", name(dialled.service), self.pod_name(pod));
            let truth = trace.alternative(|trace| {
                trace.scoped(prefix, |trace| match via {
                    _ if headless => {
                        self.direct(Connection { from: *from, to, port, path: Path::Direct }, trace)
                    }
                    Via::NodePort => self.through_node_port(from, to, port, dialled, trace),
                    _ => self.through_cluster_ip(from, to, port, dialled, trace),
                })
            });
            answer = Some(match answer {
                None => truth,
                Some(before) => {
                    differ |= !truth.same(before);
                    truth.agree(before, "N21")
                }
            });
        }
        let answer = answer.unwrap_or_else(|| {
            trace.add(Truth::Open("N21"), || {
                let family = dialled.family;
                format!(
                    "no pod with {family} is behind {}; no statement covers that (N21)",
                    name(dialled.service)
                )
            });
            Truth::Open("N21")
        });
        if differ {
            trace.add(answer, || {
                format!(
                    "the pods behind {} differ, and which one is reached is open (N21)",
                    name(dialled.service)
                )
            });
        }
        answer
    }

    /// A cluster IP. The destination sees the client; the source's policy sees the Service's address and port or
    /// the backend's (N21).
    fn through_cluster_ip(
        &self,
        from: &End,
        to: End,
        port: PortProtocol,
        dialled: Dialled<'_>,
        trace: &mut Trace,
    ) -> Truth {
        if let Some(truth) = self.hairpin(from, &to, dialled.service, trace) {
            return truth;
        }
        let after = Connection { from: *from, to, port, path: Path::Service };
        let cluster_ip =
            dialled.service.cluster_ips.iter().copied().find(|ip| Family::of(*ip) == dialled.family);
        let before = Connection { to: End { ip: cluster_ip, ..to }, port: dialled.port, ..after };
        let ingress = self.side(Direction::Ingress, &after);
        let egress = self.side(Direction::Egress, &after);
        let egress_before = self.side(Direction::Egress, &before);
        if egress.truth.same(egress_before.truth) {
            self.note_sides(&after, egress, ingress, trace);
            return egress.truth.and(ingress.truth);
        }
        let judge_egress = |trace: &mut Trace| {
            let open = Truth::Open("N21");
            trace.add(open, || {
                let service = format!("{}:{}", name(dialled.service), dialled.port);
                let backend = format!("{}:{port}", self.who(&to));
                format!("an egress policy may see {service} or, after rewriting, {backend}, and they differ here (N21)")
            });
            for (prefix, connection, finding) in
                [("as the backend: ", &after, egress), ("as the Service: ", &before, egress_before)]
            {
                trace.alternative(|trace| {
                    trace.scoped(
                        || prefix.into(),
                        |trace| self.note_side(Direction::Egress, connection, finding, trace),
                    );
                    finding.truth
                });
            }
            open
        };
        let judge_ingress = |trace: &mut Trace| {
            self.note_side(Direction::Ingress, &after, ingress, trace);
            ingress.truth
        };
        trace.both(judge_egress, judge_ingress)
    }

    /// A node port: the source may be rewritten to a node's address, the destination is a node's or the
    /// backend's. Only rules that let everybody through are sure (N21).
    fn through_node_port(
        &self,
        from: &End,
        to: End,
        port: PortProtocol,
        dialled: Dialled<'_>,
        trace: &mut Trace,
    ) -> Truth {
        if let Some(truth) = self.hairpin(from, &to, dialled.service, trace) {
            return truth;
        }
        let connection = Connection { from: *from, to, port, path: Path::Service };
        let node_port = dialled
            .node_port
            .map(|number| Connection { port: PortProtocol { port: number, ..port }, ..connection });
        let ingress = self.side_for_anybody(Direction::Ingress, &connection, "N21");
        let mut egress = self.side_for_anybody(Direction::Egress, &connection, "N21");
        let other = node_port.map(|before| self.side_for_anybody(Direction::Egress, &before, "N21").truth);
        if !egress.truth.same(other.unwrap_or(Truth::Open("N21"))) && self.isolated(Direction::Egress, from) {
            egress.truth = Truth::Open("N21");
        }
        for (direction, finding) in [(Direction::Egress, egress), (Direction::Ingress, ingress)] {
            if matches!(finding.truth, Truth::Open(_)) {
                trace.add(finding.truth, || {
                    let pod = if direction == Direction::Ingress { self.who(&to) } else { self.who(from) };
                    format!(
                        "{pod} is isolated for {} by {}; through a node port the addresses that it sees are open (N21)",
                        direction.word(),
                        self.isolating_names(direction, &connection),
                    )
                });
            }
        }
        if egress.truth == Truth::Yes && ingress.truth == Truth::Yes {
            self.note_sides(&connection, egress, ingress, trace);
        }
        egress.truth.and(ingress.truth)
    }

    /// One side where the other end's address is not known: only rules without peers are sure.
    fn side_for_anybody(&self, direction: Direction, connection: &Connection, open: &'static str) -> Finding {
        // An external end without an address: no selector matches it, every block may.
        let nobody = |end: End| End { role: Role::External, ip: None, ..end };
        let unknown = match direction {
            Direction::Ingress => Connection { from: nobody(connection.from), ..*connection },
            Direction::Egress => Connection { to: nobody(connection.to), ..*connection },
        };
        let finding = self.side(direction, &unknown);
        if finding.truth == Truth::Yes { finding } else { Finding { truth: Truth::Open(open), ..finding } }
    }

    fn isolated(&self, direction: Direction, end: &End) -> bool {
        matches!(end.role, Role::Pod(pod) if !self.isolating(direction, pod).is_empty())
    }

    /// A pod that reaches itself through its own Service: open in every case (k8s#95879).
    fn hairpin(&self, from: &End, to: &End, service: &ServiceFacts, trace: &mut Trace) -> Option<Truth> {
        (from.who == to.who).then(|| {
            trace.add(Truth::Open("N21"), || {
                format!(
                    "{} reaches itself through {}; that is not defined (N21, k8s#95879)",
                    self.who(from),
                    name(service)
                )
            });
            Truth::Open("N21")
        })
    }

    /// Whether a source can have a name resolved: a query over UDP to the cluster's DNS.
    fn resolve_name(&self, from: &End, reading: Reading, trace: &mut Trace) -> Truth {
        let query = PortProtocol { port: 53, protocol: Protocol::Udp };
        if !matches!(from.who, Who::Pod(_)) {
            return Truth::Yes;
        }
        if self.dns.pods.is_empty() {
            return self.ask_unknown_dns(from, query, trace);
        }
        let nameless = ServiceFacts {
            namespace: "kube-system".into(),
            name: "kube-dns".into(),
            selector: [].into(),
            ports: Vec::new(),
            kind: ServiceKind::ClusterIp,
            via: [Via::ClusterIp].into(),
            cluster_ips: Vec::new(),
        };
        let service = self.dns.service.unwrap_or(&nameless);
        let port = service.ports.iter().find(|have| have.port == query);
        let target = port.map_or(TargetPort::Number(query.port), |port| port.target.clone());
        // The name server's address can be of either family, whatever the connection's.
        let families = Family::ALL.iter().copied().filter(|family| {
            service.cluster_ips.is_empty() || service.cluster_ips.iter().any(|ip| Family::of(*ip) == *family)
        });
        let families = families
            .filter(|family| self.dns.pods.iter().any(|pod| self.pods.get(*pod).ip(*family).is_some()));
        let mut answer = None;
        for family in families {
            let Who::Pod(pod) = from.who else { continue };
            let from = self.pod_end(pod, family, reading);
            let dialled = Dialled { service, port: query, target: &target, node_port: None, family, reading };
            let truth = trace.scoped(
                || format!("{} must resolve the name: ", self.who(&from)),
                |trace| self.through(Via::ClusterIp, &from, &self.dns.pods, dialled, trace),
            );
            answer = Some(answer.map_or(truth, |before: Truth| before.agree(truth, "N21")));
        }
        answer.unwrap_or(Truth::Open("N28"))
    }

    /// A query to a DNS of which nothing is known: sure only without egress isolation, or by a rule without peers.
    fn ask_unknown_dns(&self, from: &End, port: PortProtocol, trace: &mut Trace) -> Truth {
        let connection = Connection {
            from: *from,
            to: End { role: Role::External, ip: None, ..*from },
            port,
            path: Path::Service,
        };
        let egress = self.side_for_anybody(Direction::Egress, &connection, "N28");
        match egress.truth {
            Truth::Yes => self.note_side(Direction::Egress, &connection, egress, trace),
            truth => trace.add(truth, || {
                format!(
                    "{} is isolated for egress by {}, and where the cluster's DNS is, is not known (N28)",
                    self.who(from),
                    self.isolating_names(Direction::Egress, &connection),
                )
            }),
        }
        egress.truth
    }

    /// The policies that isolate a connection's end in a direction, for reasons.
    fn isolating_names(&self, direction: Direction, connection: &Connection) -> String {
        let (subject, _) = crate::side::ends_of(direction, connection);
        let Role::Pod(pod) = subject.role else { return String::new() };
        let policies = self.isolating(direction, pod).iter().map(|policy| &self.policies[*policy as usize]);
        list(policies.map(|policy| format!("{}/{}", policy.namespace, policy.name)), 3)
    }
}

fn name(service: &ServiceFacts) -> String {
    format!("{}/{}", service.namespace, service.name)
}
