//! Through a Service: its backends, and what rewriting its address leaves open (N21).

use verdikt_model::{
    Cell, EndpointKind, Family, PortProtocol, ServiceFacts, ServiceKind, TargetPort, Topic, Via,
};

use crate::{
    compile::{Direction, PodIndex},
    ends::{Connection, End, Path, Reading, Role},
    oracle::Oracle,
    side::ends_of,
    trace::Trace,
    truth::Truth,
};

/// A Service's port as a source dials it.
#[derive(Clone, Copy)]
pub(crate) struct Dialled<'a> {
    pub(crate) service: &'a ServiceFacts,
    pub(crate) port: PortProtocol,
    pub(crate) target: &'a TargetPort,
    pub(crate) node_port: Option<u16>,
    /// The node that is dialled, where it is known to be none of a pod behind the Service.
    pub(crate) entry: Option<u16>,
    pub(crate) family: Family,
    pub(crate) reading: Reading,
}

impl Oracle<'_> {
    /// A connection through a Service: whatever all its backends have in common.
    pub(crate) fn through(
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
                    Via::NodePort | Via::OtherNodePort => {
                        self.through_node_port(from, to, port, dialled, trace)
                    }
                    _ => self.through_cluster_ip(from, to, port, dialled, trace),
                })
            });
            answer = Some(match answer {
                None => truth,
                Some(before) => {
                    differ |= !truth.same(before);
                    truth.agree(before, Truth::open("N21"))
                }
            });
        }
        let answer = answer.unwrap_or_else(|| {
            trace.add(Truth::open("N21"), || {
                let family = dialled.family;
                format!(
                    "no pod with {family} is behind {}; no statement covers that (N21)",
                    name(dialled.service)
                )
            });
            Truth::open("N21")
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
        if self.liberties.sees_cluster_ips {
            let address = Connection {
                to: End { role: Role::External, ip: cluster_ip, ..to },
                port: dialled.port,
                ..after
            };
            let egress = self.side(Direction::Egress, &address);
            return egress.truth.and(self.side(Direction::Ingress, &after).truth);
        }
        let to_service = End { ip: cluster_ip, ..to };
        let before = Connection { to: to_service, port: dialled.port, path: Path::ServiceAddress, ..after };
        let ingress = self.side(Direction::Ingress, &after);
        let egress = self.side(Direction::Egress, &after);
        let egress_before = self.side(Direction::Egress, &before);
        if egress.truth.same(egress_before.truth) {
            self.note_sides(&after, egress, ingress, trace);
            return egress.truth.with(egress_before.truth).and(ingress.truth);
        }
        let judge_egress = |trace: &mut Trace| {
            let open =
                Truth::open_on("N21", Topic::ServiceAddresses).with(egress.truth).with(egress_before.truth);
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

    /// The node that a cell dials, for [`Via::OtherNodePort`].
    pub(crate) fn entry(&self, cell: &Cell) -> Option<u16> {
        match &self.world.endpoint(cell.to).kind {
            EndpointKind::Service(service) if cell.via == Via::OtherNodePort => {
                self.world.other_node(service)
            }
            _ => None,
        }
    }

    /// A node port: the source may be rewritten to a node's address, and the source's policy sees a node's
    /// address and the node port, or the backend's. Which node that is, is not known (N21), unless a node is dialled that
    /// has none of the pods: then it is that one, and no pod's own. With externalTrafficPolicy Local, clients from outside
    /// keep their address
    /// (<https://kubernetes.io/docs/tutorials/services/source-ip/>); what it means for pods and nodes is not said.
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
        let local = dialled.service.kind == ServiceKind::NodePort { local: true };
        if local && dialled.entry.is_some() && from.role != Role::External {
            trace.add(Truth::open("N21"), || {
                format!(
                    "what {} reaches through a node without a pod of {}, whose externalTrafficPolicy is Local, is not said (N21)",
                    self.who(from),
                    name(dialled.service)
                )
            });
            return Truth::open_on("N21", Topic::NodePorts);
        }
        let client = Connection { from: *from, to, port, path: Path::Service };
        let rewritten = match (dialled.entry, from.role) {
            (_, Role::External) if local => client,
            (Some(node), _) => {
                Connection { from: End { role: Role::Node(Some(node)), ..from.somewhere() }, ..client }
            }
            (None, _) => Connection { from: from.somewhere(), ..client },
        };
        // Without a number nothing but "every port" can be sure to match.
        let node_port = PortProtocol { port: dialled.node_port.unwrap_or_default(), ..port };
        let entry = match dialled.entry {
            Some(node) => End { role: Role::Node(Some(node)), ..to.somewhere() },
            None => to.somewhere(),
        };
        let node = Connection { to: entry, port: node_port, ..client };
        if self.liberties.trusts_node_ports {
            return self.side_under_both(Direction::Egress, &client, &node, trace);
        }
        if self.liberties.sees_cluster_ips {
            let egress = self.side(Direction::Egress, &node).truth;
            return egress.and(self.side_under_both(Direction::Ingress, &client, &rewritten, trace));
        }
        trace.both(
            |trace| self.side_under_both(Direction::Egress, &client, &node, trace),
            |trace| self.side_under_both(Direction::Ingress, &client, &rewritten, trace),
        )
    }

    /// One side of a connection through a node port, as a policy sees it under one reading and the other.
    fn side_under_both(
        &self,
        direction: Direction,
        one: &Connection,
        other: &Connection,
        trace: &mut Trace,
    ) -> Truth {
        let finding = self.side(direction, one);
        let topic = match direction {
            Direction::Ingress => Topic::NodePorts,
            Direction::Egress => Topic::ServiceAddresses,
        };
        let open = Truth::open_on("N21", topic);
        let answer = finding.truth.agree(self.side(direction, other).truth, open);
        if let Truth::Open(_) = answer {
            let (subject, _) = ends_of(direction, one);
            trace.add(answer, || {
                format!(
                    "{} is isolated for {} by {}; which addresses it sees through a node port is open (N21)",
                    self.who(subject),
                    direction.word(),
                    self.isolating_names(direction, one),
                )
            });
            return open.with(answer);
        }
        self.note_side(direction, one, finding, trace);
        answer
    }

    /// A pod that reaches itself through its own Service: open in every case (k8s#95879).
    fn hairpin(&self, from: &End, to: &End, service: &ServiceFacts, trace: &mut Trace) -> Option<Truth> {
        (from.who == to.who && !self.liberties.polices_own_service).then(|| {
            trace.add(Truth::open("N21"), || {
                format!(
                    "{} reaches itself through {}; that is not defined (N21, k8s#95879)",
                    self.who(from),
                    name(service)
                )
            });
            Truth::open_on("N21", Topic::OwnService)
        })
    }
}

fn name(service: &ServiceFacts) -> String {
    format!("{}/{}", service.namespace, service.name)
}
