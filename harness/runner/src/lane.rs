//! A lane: one disposable copy of a topology, with an agent for every source, used by scenarios in turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use verdikt_cluster::{Agent, ClusterError, Deployment, Hello, HostPod, Loss, Objects, ProbePodId};
use verdikt_model::{
    Action, Cell, Endpoint, EndpointId, EndpointKind, EndpointName, Family, ObjectRef, Topology, World, cells,
};

use verdikt_protocol::{Probe, ProbeResult, ProbeVerdict, Target, Transport};

use crate::{
    checks::Arrival,
    facts::Facts,
    live::{Gaps, Hosts, world},
    pods::Beginning,
    queue::host_ports,
    target::QUERY,
};

/// Most agent sessions that are opened at once.
const OPENED_AT_ONCE: usize = 24;
/// Most signs of life that are asked for at once.
const CHECKED_AT_ONCE: usize = 256;
/// How long a DNS server may take that a scenario requires.
const DNS_PATIENCE: Duration = Duration::from_secs(1);
/// Longest wait for a lane that used nodes' ports to be gone.
const GONE: Duration = Duration::from_secs(60);

/// A topology that stands and can be probed.
pub(crate) struct Lane {
    pub(crate) facts: Arc<Facts>,
    pub(crate) topology: Arc<Topology>,
    pub(crate) deployment: Deployment,
    /// The world before the first policy.
    pub(crate) world: World,
    /// All its cells, ordered by source.
    pub(crate) cells: Arc<[Cell]>,
    /// By endpoint; `None` for endpoints that are no sources.
    pub(crate) agents: Vec<Option<Arc<Agent>>>,
    pub(crate) gaps: Gaps,
    pub(crate) objects: Objects,
    pub(crate) hosts: Hosts,
    touched: Touched,
    /// Pods that have been told to end and linger.
    pub(crate) terminating: BTreeSet<EndpointId>,
    /// Pods that have completed, and whose objects are still there.
    pub(crate) completed: BTreeSet<EndpointId>,
    /// Attempts to reach pods that the step under way has started.
    pub(crate) arrivals: Vec<Arrival>,
    /// Whether it was found broken.
    broken: bool,
}

/// What the scenario has changed since the last reset.
#[derive(Default)]
struct Touched {
    objects: BTreeSet<ObjectRef>,
    /// Labels of a pod or of a namespace, or pods themselves.
    beyond_objects: bool,
}

impl Lane {
    /// Deploys a topology and opens a session with every source.
    pub(crate) async fn deploy(
        facts: &Arc<Facts>,
        number: u32,
        topology: &Arc<Topology>,
    ) -> Result<Self, ClusterError> {
        let lane = facts.scope.lane(number);
        let (deployment, hosts) = tokio::try_join!(
            facts.cluster.deploy(&facts.scope, &lane, topology, &facts.nodes, &facts.deploy),
            deploy_hosts(facts, &lane, topology),
        )?;
        let dns = if topology.endpoints.contains_key(&EndpointName::Dns) { facts.dns().await? } else { None };
        let world = world(facts, topology, &deployment, &hosts, dns);
        has_families(&world, &facts.families)?;
        let agents: Vec<Option<Arc<Agent>>> = world
            .endpoints
            .iter()
            .map(|endpoint| agent(facts, &deployment, &hosts, &endpoint.name))
            .collect();
        let mut gaps =
            Gaps { missing: missing(facts, &world), given: given(facts, &world), ..Gaps::default() };
        for (id, hello) in greet(&world, &agents).await? {
            gaps.greeted(id, &hello);
        }
        let cells = cells(&world, &facts.families).into();
        let objects = Objects::new(&facts.cluster, &facts.kinds, &facts.scope, &deployment.names);
        Ok(Self {
            facts: Arc::clone(facts),
            topology: Arc::clone(topology),
            deployment,
            world,
            cells,
            agents,
            gaps,
            objects,
            hosts,
            touched: Touched::default(),
            terminating: BTreeSet::new(),
            completed: BTreeSet::new(),
            arrivals: Vec::new(),
            broken: false,
        })
    }

    /// Real names of the lane's namespaces.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        self.deployment.names.iter().map(|(_, real)| real.to_owned()).collect()
    }

    /// On which node each pod runs or ran, and which one `node/1` is, by names of endpoints.
    pub(crate) fn pod_nodes(&self) -> BTreeMap<String, String> {
        let pods = self.deployment.pods.iter();
        let pods =
            pods.map(|((namespace, pod), made)| (EndpointName::pod(namespace, pod), made.node.clone()));
        let hosts = self.hosts.nodes.keys().filter_map(|n| {
            let node = self.facts.nodes.get(usize::from(*n).checked_sub(1)?)?;
            Some((EndpointName::Node(*n), node.name.clone()))
        });
        pods.chain(hosts).map(|(endpoint, node)| (endpoint.to_string(), node)).collect()
    }

    /// Whether scenarios may still use it.
    pub(crate) const fn is_sound(&self) -> bool {
        !self.broken
    }

    /// Whether an endpoint is a pod that was not there at first.
    pub(crate) fn came_later(&self, id: EndpointId) -> bool {
        self.world.pod(id).is_some_and(|pod| !pod.is_there())
    }

    /// Takes it out of use: its network or one of its pods is broken.
    pub(crate) const fn give_up(&mut self) {
        self.broken = true;
    }

    /// Which endpoints are not any more what they were when the lane was made: their pods have ended or are others,
    /// or their agents give no sign of life. A pod that died answers nothing, which looks like a policy that drops
    /// everything.
    pub(crate) async fn lost(&self) -> BTreeMap<EndpointId, Loss> {
        let checks: Vec<_> = (0_u16..)
            .zip(&self.agents)
            .filter_map(|(id, agent)| {
                let agent = Arc::clone(agent.as_ref()?);
                Some(async move { (EndpointId(id), agent.check().await) })
            })
            .collect();
        let checked: Vec<_> = stream::iter(checks).buffer_unordered(CHECKED_AT_ONCE).collect().await;
        let mut lost: BTreeMap<EndpointId, Loss> = checked
            .into_iter()
            .filter_map(|(id, check)| {
                Some((id, Loss::Unseen(format!("its agent does not answer: {}", check.err()?))))
            })
            .collect();
        let pods: Vec<(EndpointId, ProbePodId)> = (0_u16..)
            .zip(&self.world.endpoints)
            .filter(|(id, _)| self.agents[usize::from(*id)].is_some())
            .map(|(id, endpoint)| (EndpointId(id), endpoint))
            // The API says of those that linger that they are being deleted, which they are.
            .filter(|(id, _)| !self.terminating.contains(id))
            .filter_map(|(id, endpoint)| Some((id, self.pod(&endpoint.name)?)))
            .collect();
        let asked: Vec<ProbePodId> = pods.iter().map(|(_, pod)| pod.clone()).collect();
        match self.facts.cluster.lost_pods(&self.facts.scope, &asked).await {
            // What the API says of a pod is more than what its silence says.
            Ok(said) => lost.extend(
                pods.into_iter()
                    .filter_map(|(id, pod)| Some((id, said.get(&(pod.namespace, pod.name)).cloned()?))),
            ),
            Err(error) => {
                let why = format!("the API server does not say whether it runs: {error}");
                lost.extend(pods.into_iter().map(|(id, _)| (id, Loss::Unseen(why.clone()))));
            }
        }
        lost
    }

    /// The pod of an endpoint, as it was when it became ready.
    fn pod(&self, name: &EndpointName) -> Option<ProbePodId> {
        let of_host = |host: &HostPod| ProbePodId {
            namespace: host.namespace.clone(),
            name: host.pod.clone(),
            uid: host.uid.clone(),
            mark: host.mark.clone(),
        };
        match name {
            EndpointName::Pod { namespace, name } => {
                let pod = self.deployment.pods.get(&(namespace.clone(), name.clone()))?;
                Some(ProbePodId {
                    namespace: self.deployment.names.real(namespace)?.to_owned(),
                    name: name.clone(),
                    uid: pod.uid.clone(),
                    mark: self.deployment.lane.clone(),
                })
            }
            EndpointName::Node(n) => self.hosts.nodes.get(n).map(of_host),
            EndpointName::External(_) => self.hosts.external.as_ref().map(of_host),
            EndpointName::Service { .. } | EndpointName::Dns => None,
        }
    }

    /// Whether a DNS server answers a pod at this address.
    ///
    /// # Errors
    /// What was seen instead.
    pub(crate) async fn asks_dns(&self, server: IpAddr) -> Result<(), String> {
        let agent = self.agents.iter().flatten().next().ok_or("there is no pod that could ask")?;
        let probe = Probe {
            n: 0,
            to: Target::Ip(server),
            port: 53,
            transport: Transport::Udp,
            from: None,
            expect: Vec::new(),
            query: Some(QUERY.to_owned()),
            http: None,
        };
        let mut seen = Err("it was not asked".to_owned());
        let mut take = |_: usize, answer: Result<ProbeResult, &str>| {
            seen = match answer {
                Ok(ProbeResult { verdict: ProbeVerdict::Allowed, .. }) => Ok(()),
                Ok(result) => Err(result.detail.unwrap_or_else(|| "no answer".to_owned())),
                Err(why) => Err(why.to_owned()),
            };
        };
        agent.probe(vec![probe], DNS_PATIENCE, &mut take).await;
        seen
    }

    /// Makes a change in the cluster, and remembers it for [`Self::reset`]. `first`: what a pod that it starts tries with its
    /// first instruction, and who tries to reach it.
    pub(crate) async fn act(
        &mut self,
        action: &Action,
        world: &mut World,
        first: Beginning,
    ) -> Result<(), ClusterError> {
        match action {
            Action::Apply(object) => {
                self.touched.objects.insert(object.reference());
                self.objects.apply(object, world).await
            }
            Action::Delete(reference) => {
                self.objects.delete(reference).await?;
                self.touched.objects.remove(reference);
                Ok(())
            }
            Action::LabelPod { namespace, pod, labels } => {
                self.touched.beyond_objects = true;
                if self.was_not_made(world.find(&EndpointName::pod(namespace, pod))) {
                    return Ok(());
                }
                self.objects.label_pod(namespace, pod, labels).await
            }
            Action::LabelNamespace { namespace, labels } => {
                self.touched.beyond_objects = true;
                self.objects.label_namespace(namespace, labels).await
            }
            Action::Pod { namespace, pod, change } => {
                self.touched.beyond_objects = true;
                self.change_pod((namespace, pod), *change, world, first).await
            }
        }
    }

    /// Undoes what the last scenario did: its objects are deleted. Whether the network is back, too, the next scenario's
    /// positive control shows. A lane with other pods is of no use any more, and neither is one with changed labels: without policies nothing shows when a
    /// dataplane has taken the old ones again (Cilium may wait for 30 s, its `identity-max-jitter`), and the next
    /// scenario's policies would meet the ones in between.
    pub(crate) async fn reset(&mut self) -> Result<(), ClusterError> {
        let touched = std::mem::take(&mut self.touched);
        self.broken |= touched.beyond_objects;
        self.delete(&touched.objects).await
    }

    /// Deletes what reaches beyond the lane's namespaces, which may be kept for a look.
    pub(crate) async fn withdraw(&mut self) -> Result<(), ClusterError> {
        let (wide, own) = std::mem::take(&mut self.touched.objects)
            .into_iter()
            .partition(|object| object.namespace.is_none());
        self.touched.objects = own;
        self.delete(&wide).await
    }

    /// Deletes objects: all that can be, even if some cannot.
    async fn delete(&self, objects: &BTreeSet<ObjectRef>) -> Result<(), ClusterError> {
        let deletions: Vec<_> = objects.iter().map(|reference| self.objects.delete(reference)).collect();
        let deleted: Vec<Result<(), ClusterError>> =
            stream::iter(deletions).buffer_unordered(8).collect().await;
        deleted.into_iter().collect()
    }

    /// Lets go of the nodes' own ports, which the next lane may need, where the lane itself stays for a look.
    pub(crate) async fn free_node_ports(&mut self) -> Result<(), ClusterError> {
        let facts = Arc::clone(&self.facts);
        for host in std::mem::take(&mut self.hosts.nodes).values() {
            facts.cluster.delete_host_pod(host).await?;
        }
        let on_host: Vec<(String, String)> = self
            .topology
            .pods()
            .filter(|(namespace, name, spec)| {
                let key = ((*namespace).to_owned(), (*name).to_owned());
                spec.host_network && self.deployment.pods.contains_key(&key)
            })
            .map(|(namespace, name, _)| (namespace.to_owned(), name.to_owned()))
            .collect();
        for (namespace, name) in on_host {
            facts.cluster.remove_pod(&self.deployment, (&namespace, &name), None).await?;
        }
        Ok(())
    }

    /// Ends the lane: sessions are closed and the removal of its namespaces begins. When it used nodes' own ports,
    /// it is waited until they are free.
    pub(crate) async fn remove(self) -> Result<(), ClusterError> {
        let cluster = &self.facts.cluster;
        let namespaces = self.namespaces();
        let farewells: Vec<_> = self.agents.iter().flatten().map(|agent| agent.quit()).collect();
        stream::iter(farewells).buffer_unordered(OPENED_AT_ONCE).collect::<Vec<()>>().await;
        for pod in self.hosts.nodes.values() {
            cluster.delete_host_pod(pod).await?;
        }
        cluster.delete_namespaces(&namespaces).await?;
        if host_ports(&self.topology) && !cluster.wait_gone(&namespaces, GONE).await? {
            return Err(ClusterError::Failed {
                what: format!("free the node ports of lane {}", self.deployment.lane),
                cause: format!("its pods are still there after {} s", GONE.as_secs()),
            });
        }
        Ok(())
    }
}

/// A pod without an address of a probed family would have no cells of it, and nobody would miss them.
fn has_families(world: &World, families: &[Family]) -> Result<(), ClusterError> {
    for endpoint in &world.endpoints {
        let EndpointKind::Pod(pod) = &endpoint.kind else { continue };
        if !pod.is_there() {
            continue;
        }
        if let Some(family) = families.iter().find(|family| pod.ip(**family).is_none()) {
            return Err(ClusterError::Failed {
                what: format!("probe {family}"),
                cause: format!(
                    "pod {} has no {family} address, though nodes have one; --ip-family leaves a family out",
                    endpoint.name
                ),
            });
        }
    }
    Ok(())
}

async fn deploy_hosts(facts: &Facts, lane: &str, topology: &Topology) -> Result<Hosts, ClusterError> {
    let mut hosts = Hosts::default();
    for (name, extra) in &topology.endpoints {
        match name {
            EndpointName::External(_) if facts.has_external() => {
                hosts.external = Some(facts.external().await?.clone())
            }
            EndpointName::Node(n) if usize::from(*n) <= facts.nodes.len() => {
                hosts.nodes.insert(*n, facts.node_pod(*n, lane, &extra.serve).await?);
            }
            _ => {}
        }
    }
    Ok(hosts)
}

fn agent(facts: &Facts, deployment: &Deployment, hosts: &Hosts, name: &EndpointName) -> Option<Arc<Agent>> {
    let (namespace, pod) = match name {
        EndpointName::Pod { namespace, name } => {
            // One that comes late is not there yet.
            deployment.pods.get(&(namespace.clone(), name.clone()))?;
            (deployment.names.real(namespace)?.to_owned(), name.clone())
        }
        EndpointName::Node(n) => hosts.nodes.get(n).map(|host| (host.namespace.clone(), host.pod.clone()))?,
        EndpointName::External(_) => {
            hosts.external.as_ref().map(|host| (host.namespace.clone(), host.pod.clone()))?
        }
        EndpointName::Service { .. } | EndpointName::Dns => return None,
    };
    Some(Arc::new(facts.cluster.agent(&namespace, &pod)))
}

/// Hosts outside that the user has named, with the ports on which they answer.
fn given(facts: &Facts, world: &World) -> BTreeMap<EndpointId, BTreeSet<u16>> {
    let of = |(index, endpoint): (u16, &Endpoint)| match endpoint.name {
        EndpointName::External(n) if !facts.has_external() => {
            Some((EndpointId(index), facts.given(n)?.ports.clone()))
        }
        _ => None,
    };
    (0..).zip(&world.endpoints).filter_map(of).collect()
}

/// Endpoints of the topology that this cluster does not have, with the reason.
fn missing(facts: &Facts, world: &World) -> BTreeMap<EndpointId, String> {
    let mut missing = BTreeMap::new();
    for (index, endpoint) in world.endpoints.iter().enumerate() {
        let why = match (&endpoint.name, &endpoint.kind) {
            (EndpointName::External(n), _) if !facts.has_external() && facts.given(*n).is_none() => {
                format!(
                    "no host outside the cluster stands for {}: --external HOST:PORT names one",
                    endpoint.name
                )
            }
            (EndpointName::Node(n), _) if usize::from(*n) > facts.nodes.len() => {
                format!("this cluster has no node/{n}, only {}", facts.nodes.len())
            }
            (_, EndpointKind::Dns(service)) if service.cluster_ips.is_empty() => {
                "this cluster has no Service kube-dns in kube-system".to_owned()
            }
            _ => continue,
        };
        if let Ok(index) = u16::try_from(index) {
            missing.insert(EndpointId(index), why);
        }
    }
    missing
}

/// Opens every session; tells what the agents say of themselves.
async fn greet(
    world: &World,
    agents: &[Option<Arc<Agent>>],
) -> Result<Vec<(EndpointId, Hello)>, ClusterError> {
    let greetings: Vec<_> = (0_u16..)
        .zip(agents)
        .filter_map(|(id, agent)| {
            let (id, agent) = (EndpointId(id), Arc::clone(agent.as_ref()?));
            Some(async move {
                match agent.hello().await {
                    Ok(hello) => Ok((id, hello)),
                    Err(cause) => Err(ClusterError::Session { pod: world.name(id).to_string(), cause }),
                }
            })
        })
        .collect();
    stream::iter(greetings).buffer_unordered(OPENED_AT_ONCE).try_collect().await
}
