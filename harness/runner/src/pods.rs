//! Pods that a step starts or ends.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use tokio::time::Instant;

use verdikt_cluster::{ClusterError, First, Making};
use verdikt_model::{
    Action, Cell, EndpointId, EndpointKind, EndpointName, Family, PodChange, PodFacts, PodPhase, World,
};
use verdikt_protocol::{Probe, Target};

use crate::{
    checks::{Arrival, Checking},
    lane::Lane,
    target::Targets,
};

/// Grace period, in seconds, of a pod that lingers and is to go now.
const GRACE_S: u32 = 1;

/// What happens as a pod comes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beginning {
    /// What it tries with its first instruction.
    pub(crate) own: Vec<First>,
    /// Who tries to reach it, with the cells and their checks.
    pub(crate) toward: BTreeMap<EndpointId, Vec<(usize, Cell)>>,
}

impl Lane {
    /// Starts or ends a pod, and lets `world` know its node and addresses. `first`: what happens as it comes.
    pub(crate) async fn change_pod(
        &mut self,
        (namespace, pod): (&str, &str),
        change: PodChange,
        world: &mut World,
        first: Beginning,
    ) -> Result<(), ClusterError> {
        let name = EndpointName::pod(namespace, pod);
        let Some(id) = world.find(&name) else {
            return Err(ClusterError::Object(format!("there is no pod {name} in the scenario's topology")));
        };
        if change != PodChange::Start && self.was_not_made(Some(id)) {
            return Ok(());
        }
        let facts = Arc::clone(&self.facts);
        match change {
            PodChange::Start => {
                // Only one pod can have the name.
                if self.completed.remove(&id) {
                    facts.cluster.remove_pod(&self.deployment, (namespace, pod), None).await?;
                }
                self.start(id, (namespace, pod), world, first).await
            }
            PodChange::Remove => {
                self.leave(id).await;
                // One that lingers would do so to its end: the API server shortens only what it is told to.
                let grace = self.terminating.contains(&id).then_some(GRACE_S);
                facts.cluster.delete_pod(&self.deployment, (namespace, pod), grace).await?;
                self.followed((namespace, pod), PodPhase::Terminating).await?;
                facts.cluster.wait_removed(&self.deployment, (namespace, pod)).await?;
                self.terminating.remove(&id);
                self.completed.remove(&id);
                self.followed((namespace, pod), PodPhase::Absent).await
            }
            PodChange::Terminate => {
                let linger = self.topology.namespaces[namespace].pods[pod].linger_s;
                self.terminating.insert(id);
                facts.cluster.terminate_pod(&self.deployment, (namespace, pod), linger).await?;
                self.followed((namespace, pod), PodPhase::Terminating).await
            }
            PodChange::Complete => {
                let agent = self.agents[usize::from(id.0)].clone();
                let agent = agent.ok_or_else(|| ClusterError::Object(format!("{name} is not there")))?;
                // The servers take their container along, and so the session, perhaps before its answer.
                let asked = agent.finish().await;
                self.leave(id).await;
                self.completed.insert(id);
                let completed = facts.cluster.wait_completed(&self.deployment, (namespace, pod)).await;
                completed.map_err(|error| match asked {
                    Ok(()) => error,
                    Err(cause) => ClusterError::Session { pod: name.to_string(), cause },
                })?;
                self.followed((namespace, pod), PodPhase::Absent).await
            }
        }
    }

    /// Whether there is nothing to change, because the pod could not be had as the topology wants it.
    pub(crate) fn was_not_made(&self, id: Option<EndpointId>) -> bool {
        id.is_some_and(|id| self.gaps.missing.contains_key(&id))
    }

    /// Notes what has become of a pod, and has the EndpointSlices that name it follow.
    async fn followed(
        &mut self,
        (namespace, pod): (&str, &str),
        phase: PodPhase,
    ) -> Result<(), ClusterError> {
        let key = (namespace.to_owned(), pod.to_owned());
        match self.deployment.pods.get_mut(&key) {
            // One that has completed is not behind a Service any more.
            Some(have) if have.phase != PodPhase::Absent => have.phase = phase,
            _ => return Ok(()),
        }
        self.write_slices((namespace, pod)).await
    }

    async fn write_slices(&mut self, (namespace, pod): (&str, &str)) -> Result<(), ClusterError> {
        let (facts, name) = (Arc::clone(&self.facts), EndpointName::pod(namespace, pod));
        let deployment = &mut self.deployment;
        facts.cluster.write_slices(&facts.scope, &self.topology, deployment, Some(&name)).await
    }

    /// Ends the session with a pod that goes.
    async fn leave(&mut self, id: EndpointId) {
        if let Some(agent) = self.agents[usize::from(id.0)].take() {
            agent.quit().await;
        }
    }

    async fn start(
        &mut self,
        id: EndpointId,
        (namespace, pod): (&str, &str),
        world: &mut World,
        first: Beginning,
    ) -> Result<(), ClusterError> {
        let spec = &self.topology.namespaces[namespace].pods[pod];
        let wanted: Option<Vec<IpAddr>> = spec.address_of.as_ref().map(|of| match of {
            EndpointName::Pod { namespace, name } => {
                let pod = self.deployment.pods.get(&(namespace.clone(), name.clone()));
                pod.map(|pod| pod.ips.clone()).unwrap_or_default()
            }
            _ => Vec::new(),
        });
        let facts = Arc::clone(&self.facts);
        let making = Making { scope: &facts.scope, nodes: &facts.nodes, options: &facts.deploy };
        let Beginning { own, toward } = first;
        let starting =
            facts.cluster.start_pod(making, &self.deployment, (namespace, pod), spec, own, wanted.as_deref());
        let (made, arrivals) = tokio::join!(starting, self.arrivals_at(id, (namespace, pod), world, &toward));
        let made = made?;
        self.arrivals.extend(arrivals?);
        let Some(made) = made else {
            let of = spec.address_of.as_ref().map(ToString::to_string).unwrap_or_default();
            let why = format!("no new pod was given the address that {of} had");
            self.gaps.missing.insert(id, why);
            // Its cells exist, and are skipped with the reason.
            placeholder(world, id, &facts.families);
            return Ok(());
        };
        if let EndpointKind::Pod(PodFacts { ips, node, .. }) = &mut world.endpoints[usize::from(id.0)].kind {
            ips.clone_from(&made.ips);
            *node = facts.node_index(&made.node);
        }
        self.gaps.missing.remove(&id);
        self.deployment.pods.insert((namespace.to_owned(), pod.to_owned()), made);
        self.write_slices((namespace, pod)).await?;
        let real = self.deployment.names.real(namespace).unwrap_or(namespace);
        let agent = Arc::new(facts.cluster.agent(real, pod));
        let hello = agent.hello().await;
        let hello =
            hello.map_err(|cause| ClusterError::Session { pod: world.name(id).to_string(), cause })?;
        self.gaps.greeted(id, &hello);
        self.agents[usize::from(id.0)] = Some(agent);
        Ok(())
    }
}

impl Lane {
    /// Has others try to reach a new pod as soon as the API tells its addresses.
    async fn arrivals_at(
        &self,
        id: EndpointId,
        (namespace, pod): (&str, &str),
        world: &World,
        toward: &BTreeMap<EndpointId, Vec<(usize, Cell)>>,
    ) -> Result<Vec<Arrival>, ClusterError> {
        if toward.is_empty() {
            return Ok(Vec::new());
        }
        let facts = &self.facts;
        let limit = facts.deploy.ready_limit;
        let ips = facts.cluster.pod_addresses(&self.deployment, (namespace, pod), limit).await?;
        let mut there = world.clone();
        if let EndpointKind::Pod(pod) = &mut there.endpoints[usize::from(id.0)].kind {
            (pod.ips, pod.phase) = (ips, PodPhase::Running);
        }
        let checking = Checking {
            level: verdikt_model::Level::Core,
            world: &there,
            agents: &self.agents,
            targets: Targets::new(&there, &self.deployment.names, &self.hosts, &facts.deploy.cluster_domain),
            families: &facts.families,
            gaps: &self.gaps,
            only: &[],
            deadline: limit,
            limit: Instant::now(),
        };
        Ok(checking.arrive(toward).await)
    }
}

/// The world as it will be once a step has started its pods: their addresses are not known yet.
pub(crate) fn foreseen(world: &World, actions: &[Action], families: &[Family]) -> World {
    let mut foreseen = world.clone();
    for action in actions {
        if let Action::Pod { namespace, pod, change: PodChange::Start } = action
            && let Some(id) = foreseen.find(&EndpointName::pod(namespace, pod))
            && foreseen.apply(action).is_ok()
        {
            placeholder(&mut foreseen, id, families);
        }
    }
    foreseen
}

/// The world as it will be once a step's changes are made: addresses that are not known yet are the old ones.
pub(crate) fn later(world: &World, actions: &[Action]) -> World {
    let mut later = world.clone();
    for action in actions {
        // What cannot be made ends the scenario, and is told then.
        let _ = later.apply(action);
    }
    later
}

/// Gives a pod addresses that stand for unknown ones.
fn placeholder(world: &mut World, id: EndpointId, families: &[Family]) {
    let unknown = |family: &Family| -> IpAddr {
        match family {
            Family::Ipv4 => [0, 0, 0, 0].into(),
            Family::Ipv6 => [0; 16].into(),
        }
    };
    if let EndpointKind::Pod(facts) = &mut world.endpoints[usize::from(id.0)].kind {
        facts.ips = families.iter().map(unknown).collect();
    }
}

/// What a pod tries first, from the probe of a cell.
pub(crate) fn first(cell: &Cell, probe: Probe) -> Result<First, String> {
    let Target::Ip(ip) = probe.to else {
        return Err(
            "a first moment is tried by address, not by name: the name would be resolved first".into()
        );
    };
    let identity = match probe.expect.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    };
    Ok(First { identity, ip, port: verdikt_model::PortProtocol { port: probe.port, ..cell.port_protocol() } })
}
