//! The oracle: a world, compiled, and the two questions one can ask it.

use verdikt_model::{Cell, EndpointId, EndpointKind, Expectation, World};

use crate::{
    compile::{Direction, PodIndex, Pods, Policy},
    dns::ClusterDns,
    trace::Trace,
    truth::{Statement, Truth},
};

/// What the NetworkPolicy specification says about the cells of one world.
///
/// Making one costs a selector match per policy (and per peer) and pod; after that an answer costs a look at
/// the rules that isolate the two ends.
pub struct Oracle<'w> {
    pub(crate) world: &'w World,
    pub(crate) pods: Pods<'w>,
    /// By namespace and name, so that reasons do not depend on the order of creation (N13).
    pub(crate) policies: Vec<Policy<'w>>,
    /// Per pod, the policies that isolate it: indices into `policies`.
    pub(crate) ingress: Vec<Vec<u32>>,
    pub(crate) egress: Vec<Vec<u32>>,
    /// Per endpoint, its pod.
    pub(crate) pod_of: Vec<Option<PodIndex>>,
    /// Per endpoint, the pods behind it, where it is a Service.
    pub(crate) backends: Vec<Vec<PodIndex>>,
    /// Where the cluster's DNS is.
    pub(crate) dns: ClusterDns<'w>,
    /// In what it judges otherwise than the specification, to find out what verdicts turn on.
    pub(crate) liberties: Liberties,
}

/// What a dataplane was measured to do where the specification leaves it open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Habits {
    /// Whether an `ipBlock` in an egress rule matches the addresses of pods (N20); `None` where it is not known.
    pub egress_blocks: Option<bool>,
    /// The same in an ingress rule.
    pub ingress_blocks: Option<bool>,
}

impl Habits {
    pub(crate) const fn blocks(self, direction: Direction) -> Option<bool> {
        match direction {
            Direction::Egress => self.egress_blocks,
            Direction::Ingress => self.ingress_blocks,
        }
    }
}

/// Judgements that are not the specification's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Liberties {
    /// Traffic from a pod's own node needs a rule (N5, N10 say that it passes).
    pub(crate) polices_own_node: bool,
    /// A pod that reaches itself through its own Service is judged as though it were another (open).
    pub(crate) polices_own_service: bool,
    /// A namespaceSelector finds nodes, for there are pods on their network (N18 says pods only).
    pub(crate) finds_nodes: bool,
    /// What came through a node port passes at the target (open, or denied).
    pub(crate) trusts_node_ports: bool,
    /// A source's policy sees a cluster IP, or a node and its port, of which no selector knows whose it is (N21 leaves open
    /// what it sees).
    pub(crate) sees_cluster_ips: bool,
    /// What is open is as this dataplane was measured to do it.
    pub(crate) habits: Habits,
}

/// An answer with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Allow, deny or either; the same as [`Oracle::expect`] gives.
    pub expectation: Expectation,
    /// For [`Expectation::Either`], the statement of the specification that leaves it open: `N20`.
    pub statement: Option<&'static str>,
    /// One line each, beginning with `allowed:`, `denied:` or `either:`; never empty. Text for people: not stable.
    pub reasons: Vec<String>,
}

impl<'w> Oracle<'w> {
    /// Compiles a world.
    pub fn new(world: &'w World) -> Self {
        let pods = Pods::of(world);
        let mut policies: Vec<Policy<'w>> =
            world.policies.iter().map(|policy| Policy::compile(policy, &pods)).collect();
        policies.sort_by_key(|policy| (policy.namespace, policy.name));
        let isolating = |direction| {
            let of = |pod| {
                (0..)
                    .zip(&policies)
                    .filter(|(_, policy)| policy.rules(direction).is_some() && policy.subjects.contains(pod))
                    .map(|(index, _)| index)
                    .collect()
            };
            pods.iter().map(|(pod, _)| of(pod)).collect()
        };
        let (ingress, egress) = (isolating(Direction::Ingress), isolating(Direction::Egress));
        let mut next = 0..;
        let pod_of = world
            .endpoints
            .iter()
            .map(|e| matches!(e.kind, EndpointKind::Pod(_)).then(|| next.next())?)
            .collect();
        let behind =
            |service| world.backends(service).into_iter().filter_map(|pod| pods.index_of(pod)).collect();
        let backends: Vec<Vec<PodIndex>> = world
            .endpoints
            .iter()
            .map(|endpoint| match &endpoint.kind {
                EndpointKind::Service(service) | EndpointKind::Dns(service) => behind(service),
                _ => Vec::new(),
            })
            .collect();
        let dns = ClusterDns::find(world, &pods, &backends);
        Self {
            world,
            pods,
            policies,
            ingress,
            egress,
            pod_of,
            backends,
            dns,
            liberties: Liberties::default(),
        }
    }

    /// The same, where what the specification leaves open is as a dataplane was measured to do it.
    #[must_use]
    pub fn held_to(self, habits: Habits) -> Self {
        Self { liberties: Liberties { habits, ..self.liberties }, ..self }
    }

    /// What the specification says about a cell: allow, deny or either.
    ///
    /// # Panics
    /// If the cell is not of this world.
    pub fn expect(&self, cell: &Cell) -> Expectation {
        self.judge(cell, &mut Trace::off()).expectation()
    }

    /// The same with its reasons.
    ///
    /// # Panics
    /// If the cell is not of this world.
    pub fn explain(&self, cell: &Cell) -> Answer {
        let mut trace = Trace::on();
        let truth = self.judge(cell, &mut trace);
        let statement: Option<Statement> = match truth {
            Truth::Open(open) => Some(open.statement),
            Truth::No | Truth::Yes => None,
        };
        Answer { expectation: truth.expectation(), statement, reasons: trace.reasons(truth) }
    }

    /// The policies that isolate a pod in a direction (N8, N10).
    pub(crate) fn isolating(&self, direction: Direction, pod: PodIndex) -> &[u32] {
        match direction {
            Direction::Ingress => &self.ingress[pod as usize],
            Direction::Egress => &self.egress[pod as usize],
        }
    }

    /// The pod that an endpoint is.
    pub(crate) fn pod_of(&self, id: EndpointId) -> Option<PodIndex> {
        self.pod_of[usize::from(id.0)]
    }

    /// The pods behind an endpoint that is a Service.
    pub(crate) fn backends(&self, id: EndpointId) -> &[PodIndex] {
        &self.backends[usize::from(id.0)]
    }
}
