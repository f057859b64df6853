//! From a cell to the connections that it can mean, and their common answer.

use verdikt_model::{Cell, EndpointKind, Topic, Via};

use crate::{
    compile::{Direction, PodIndex},
    ends::{Connection, Path, Reading},
    oracle::Oracle,
    service::Dialled,
    trace::Trace,
    truth::Truth,
};

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
            trace.add(Truth::open("N42"), || {
                "a pod on its node's network may count as a pod or as its node, and the two differ here (N42)".into()
            });
        }
        pods.agree(nodes, Truth::open_on("N42", Topic::HostNetwork))
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
            trace.add(Truth::open("N2"), || {
                format!("{} is a Service: it opens no connection", self.world.name(cell.from))
            });
            return Truth::open("N2");
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
            trace.add(Truth::open("N21"), || {
                format!("{} has no port {}", self.world.name(cell.to), cell.port_protocol())
            });
            return Truth::open("N21");
        };
        let dialled = Dialled {
            service,
            port: port.port,
            target: &port.target,
            node_port: port.node_port,
            entry: self.entry(cell),
            family: cell.family,
            reading,
        };
        let reach = |trace: &mut Trace| self.through(cell.via, &from, self.backends(cell.to), dialled, trace);
        match cell.via {
            Via::Dns | Via::Headless => trace.both(|trace| self.resolve_name(&from, reading, trace), reach),
            Via::PodIp | Via::ClusterIp | Via::NodePort | Via::OtherNodePort => reach(trace),
        }
    }

    /// A connection to a pod's, node's or host's own address.
    pub(crate) fn direct(&self, connection: Connection, trace: &mut Trace) -> Truth {
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
}
