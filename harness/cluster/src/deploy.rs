//! Putting a topology into a cluster: namespaces, Services, pods; then waiting until the pods are ready.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::core::v1::{Namespace, Pod, Secret, Service},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, api::PostParams};
use verdikt_model::{EndpointName, Placement, PodPhase, PortProtocol, Topology};

use crate::{
    client::Cluster,
    error::ClusterError,
    lifecycle::{Making, deployed, probe_pod},
    nodes::Node,
    scope::{LANE_LABEL, LOGICAL_ANNOTATION, Names, RUN_LABEL, Scope},
    services::{deployed_service, service},
    settings::{DeployOptions, PULL_SECRET, Spread},
};

/// Most creations at once.
const AT_ONCE: usize = 16;

/// A topology that stands in a cluster.
#[derive(Debug, Clone, Default)]
pub struct Deployment {
    /// Lane id.
    pub lane: String,
    /// Real names of its namespaces.
    pub names: Names,
    /// Its pods by (logical namespace, name).
    pub pods: BTreeMap<(String, String), DeployedPod>,
    /// Its Services by (logical namespace, name).
    pub services: BTreeMap<(String, String), DeployedService>,
    /// EndpointSlices that have been made for it, by (real namespace, name).
    pub(crate) slices: BTreeSet<(String, String)>,
    /// Which node (index) pods must run on whose place matters.
    pub(crate) placed: BTreeMap<EndpointName, usize>,
    /// Whether its pods send ICMP echo requests.
    pub(crate) pings: bool,
}

/// A pod that stands, or stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployedPod {
    /// Name of its node.
    pub node: String,
    /// Its addresses, at most one of each family.
    pub ips: Vec<IpAddr>,
    /// Its uid.
    pub uid: String,
    /// What has become of it since.
    pub phase: PodPhase,
}

/// A Service that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployedService {
    /// Its cluster IPs; none when it is headless.
    pub cluster_ips: Vec<IpAddr>,
    /// The node port of each of its ports, in the topology's order.
    pub node_ports: Vec<Option<u16>>,
}

impl Cluster {
    /// Deploys a topology into fresh namespaces of a lane and waits until every pod is ready.
    ///
    /// # Errors
    /// What could not be created, or which pods do not get ready and why. What was made so far stays; it carries
    /// the run's label.
    pub async fn deploy(
        &self,
        scope: &Scope,
        lane: &str,
        topology: &Topology,
        nodes: &[Node],
        options: &DeployOptions,
    ) -> Result<Deployment, ClusterError> {
        let mut deployment = Deployment {
            lane: lane.to_owned(),
            names: Names::new(scope, lane, topology),
            placed: place(topology, nodes, options.spread)?,
            pings: pings(topology),
            ..Deployment::default()
        };
        let names = deployment.names.clone();
        let creations: Vec<_> = names
            .iter()
            .map(|(logical, real)| {
                let spec = &topology.namespaces[logical];
                let host_network = spec.pods.values().any(|pod| pod.host_network);
                let manifest = namespace(scope, lane, logical, real, &spec.labels, host_network);
                self.create_namespace_for_pods(scope, manifest, options)
            })
            .collect();
        stream::iter(creations).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;

        let real = |logical: &str| {
            names.real(logical).expect("every namespace of the topology has a name").to_owned()
        };
        let creations: Vec<_> = topology
            .services()
            .map(|(ns, name, spec)| {
                let manifest = service(scope, lane, &names, &options.cluster_domain, (ns, name), spec);
                let key = (ns.to_owned(), name.to_owned());
                async move { self.create_service(manifest).await.map(|service| (key, service)) }
            })
            .collect();
        let services: Vec<((String, String), DeployedService)> =
            stream::iter(creations).buffer_unordered(AT_ONCE).try_collect().await?;

        deployment.services = services.into_iter().collect();
        let making = Making { scope, nodes, options };
        let mut expected = BTreeSet::new();
        let creations: Vec<_> = topology
            .pods()
            .filter(|(.., spec)| !spec.late)
            .map(|(ns, name, spec)| {
                expected.insert((real(ns), name.to_owned()));
                self.create_pod(probe_pod(making, &deployment, (ns, name), spec, Vec::new()).manifest())
            })
            .collect();
        stream::iter(creations).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;

        let selector = format!("{LANE_LABEL}={lane},{RUN_LABEL}={}", scope.run);
        let ready = self.wait_ready(&selector, expected, options.ready_limit).await?;
        let pods = topology.pods().filter_map(|(ns, name, _)| {
            let pod = ready.get(&(real(ns), name.to_owned()))?;
            Some(((ns.to_owned(), name.to_owned()), deployed(pod)))
        });
        deployment.pods = pods.collect();
        self.write_slices(scope, topology, &mut deployment, None).await?;
        Ok(deployment)
    }

    /// A namespace with what its pods need to be pulled.
    pub(crate) async fn create_namespace_for_pods(
        &self,
        scope: &Scope,
        namespace: Namespace,
        options: &DeployOptions,
    ) -> Result<(), ClusterError> {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        self.create_namespace(namespace).await?;
        let Some(secret) = &options.pull_secret else { return Ok(()) };
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &name);
        let what = format!("create secret {name}/{PULL_SECRET}");
        self.create(&api, &secret.manifest(&name, scope.labels()), &what).await.map(drop)
    }

    async fn create_namespace(&self, namespace: Namespace) -> Result<(), ClusterError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let name = namespace.metadata.name.clone().unwrap_or_default();
        self.create(&api, &namespace, &format!("create namespace {name}")).await.map(drop)
    }

    pub(crate) async fn create_pod(&self, pod: Pod) -> Result<(), ClusterError> {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let what = format!("create pod {namespace}/{}", pod.metadata.name.as_deref().unwrap_or_default());
        self.create(&api, &pod, &what).await.map(drop)
    }

    async fn create_service(&self, service: Service) -> Result<DeployedService, ClusterError> {
        let namespace = service.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Service> = Api::namespaced(self.client.clone(), &namespace);
        let what =
            format!("create service {namespace}/{}", service.metadata.name.as_deref().unwrap_or_default());
        let made = self.create(&api, &service, &what).await?;
        Ok(deployed_service(&made))
    }

    /// Creates an object. One that is there already counts as created if it is the run's own: its answer was lost,
    /// or an earlier attempt was given up.
    pub(crate) async fn create<K>(&self, api: &Api<K>, object: &K, what: &str) -> Result<K, ClusterError>
    where
        K: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        let params = PostParams::default();
        match self.call(what, || async { api.create(&params, object).await }).await {
            Err(there @ ClusterError::AlreadyExists { .. }) => {
                let name = object.meta().name.clone().unwrap_or_default();
                let have = self.call(what, || async { api.get(&name).await }).await?;
                if is_own(have.meta(), object.meta()) { Ok(have) } else { Err(there) }
            }
            made => made,
        }
    }
}

/// Whether an object is the one that was to be made: of the same run and lane, and not on its way out.
fn is_own(have: &ObjectMeta, wanted: &ObjectMeta) -> bool {
    let label =
        |meta: &ObjectMeta, key: &str| meta.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
    let same = |key: &str| label(have, key) == label(wanted, key);
    have.deletion_timestamp.is_none()
        && label(wanted, RUN_LABEL).is_some()
        && same(RUN_LABEL)
        && same(LANE_LABEL)
}

/// A namespace of the run. Pods with their node's network need the `privileged` Pod Security level.
pub(crate) fn namespace(
    scope: &Scope,
    lane: &str,
    logical: &str,
    real: &str,
    labels: &BTreeMap<String, String>,
    host_network: bool,
) -> Namespace {
    let mut all = labels.clone();
    all.extend(scope.labels());
    all.insert(LANE_LABEL.into(), lane.to_owned());
    let level = if host_network { "privileged" } else { "restricted" };
    all.insert("pod-security.kubernetes.io/enforce".into(), level.into());
    let annotations = [(LOGICAL_ANNOTATION.to_owned(), logical.to_owned())].into();
    Namespace {
        metadata: ObjectMeta {
            name: Some(real.to_owned()),
            labels: Some(all),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

/// Whether anybody is to be pinged.
pub(crate) fn pings(topology: &Topology) -> bool {
    let pods = topology.pods().map(|(_, _, pod)| &pod.serve);
    let extra = topology.endpoints.values().map(|endpoint| &endpoint.serve);
    pods.chain(extra).any(|serve| serve.ports.contains(&PortProtocol::ICMP))
}

/// Which node (index) each pod must run on, for pods whose place matters: those with a placement, and those
/// to which others are placed. The rest goes where `spread` says; pods on their node's network, whose ports may be
/// taken there, are left to the scheduler.
fn place(
    topology: &Topology,
    nodes: &[Node],
    spread: Spread,
) -> Result<BTreeMap<EndpointName, usize>, ClusterError> {
    let usable = nodes.iter().filter(|node| node.usable).count();
    let mut placements: BTreeMap<EndpointName, Placement> = BTreeMap::new();
    for (n, (ns, name, pod)) in topology.pods().enumerate() {
        let placement = match (&pod.placement, spread) {
            (Placement::Any, Spread::SameNode) if !pod.host_network => Placement::Node(1),
            (Placement::Any, Spread::OtherNode) if !pod.host_network => {
                let turns = usable.max(2);
                Placement::Node(u16::try_from(n % turns + 1).unwrap_or(u16::MAX))
            }
            (placement, _) => placement.clone(),
        };
        placements.insert(EndpointName::pod(ns, name), placement);
    }
    let mut placed = BTreeMap::new();
    for (pod, placement) in &placements {
        if *placement != Placement::Any {
            resolve(pod, &placements, usable, &mut placed, 0)?;
        }
    }
    Ok(placed)
}

fn resolve(
    pod: &EndpointName,
    placements: &BTreeMap<EndpointName, Placement>,
    usable: usize,
    placed: &mut BTreeMap<EndpointName, usize>,
    depth: usize,
) -> Result<usize, ClusterError> {
    if let Some(index) = placed.get(pod) {
        return Ok(*index);
    }
    let too_few = |need: usize| {
        let what = format!("pod {pod} needs {need} nodes on which pods may run, and it has {usable}");
        ClusterError::Topology(format!(
            "{what}; add `requires: {{nodes: {need}}}` to skip the scenario there"
        ))
    };
    if depth > placements.len() {
        return Err(ClusterError::Topology(format!("the placement of pod {pod} goes in a circle")));
    }
    let of = |other: &EndpointName, placed: &mut BTreeMap<EndpointName, usize>| {
        resolve(other, placements, usable, placed, depth + 1)
    };
    let index = match placements.get(pod) {
        None => {
            return Err(ClusterError::Topology(format!("a placement names pod {pod}, which is not there")));
        }
        Some(Placement::Any) if usable > 0 => 0,
        Some(Placement::Any) => return Err(too_few(1)),
        Some(Placement::Node(n)) => {
            let n = usize::from(*n);
            if n == 0 || n > usable {
                return Err(too_few(n));
            }
            n - 1
        }
        Some(Placement::SameAs(other)) => of(other, placed)?,
        Some(Placement::OtherThan(other)) => {
            if usable < 2 {
                return Err(too_few(2));
            }
            (of(other, placed)? + 1) % usable
        }
    };
    placed.insert(pod.clone(), index);
    Ok(index)
}

#[cfg(test)]
mod tests {
    use verdikt_model::{NamespaceSpec, PodSpec};

    use super::*;

    fn topology(pods: &[(&str, Placement)]) -> Topology {
        let pods = pods
            .iter()
            .map(|(name, placement)| {
                ((*name).to_owned(), PodSpec { placement: placement.clone(), ..PodSpec::default() })
            })
            .collect();
        Topology {
            namespaces: [("x".to_owned(), NamespaceSpec { pods, ..NamespaceSpec::default() })].into(),
            ..Topology::default()
        }
    }

    fn nodes(n: usize) -> Vec<Node> {
        let node =
            |i| Node { name: format!("n{i}"), hostname: format!("n{i}"), usable: true, ..Node::default() };
        (0..n).map(node).collect()
    }

    #[test]
    fn placements_follow_one_another() {
        let x = |name| EndpointName::pod("x", name);
        let topology = topology(&[
            ("a", Placement::OtherThan(x("c"))),
            ("b", Placement::SameAs(x("a"))),
            ("c", Placement::Any),
            ("d", Placement::Any),
        ]);
        let placed = place(&topology, &nodes(2), Spread::Scheduler).unwrap();
        assert_eq!(placed, [(x("a"), 1), (x("b"), 1), (x("c"), 0)].into());
        assert!(place(&topology, &nodes(1), Spread::Scheduler).is_err());
    }

    #[test]
    fn open_places_are_filled_as_the_user_wishes() {
        let x = |name| EndpointName::pod("x", name);
        let topology = topology(&[
            ("a", Placement::Any),
            ("b", Placement::Any),
            ("c", Placement::Node(1)),
            ("d", Placement::SameAs(x("b"))),
        ]);
        let of = |spread| place(&topology, &nodes(2), spread).unwrap().into_values().collect::<Vec<_>>();
        assert_eq!(of(Spread::SameNode), [0, 0, 0, 0]);
        assert_eq!(of(Spread::OtherNode), [0, 1, 0, 1]);
        assert!(place(&topology, &nodes(1), Spread::OtherNode).is_err());
    }

    #[test]
    fn circles_and_missing_nodes_are_errors() {
        let x = |name| EndpointName::pod("x", name);
        let circle = topology(&[("a", Placement::SameAs(x("b"))), ("b", Placement::SameAs(x("a")))]);
        assert!(place(&circle, &nodes(2), Spread::Scheduler).unwrap_err().to_string().contains("circle"));
        let third = topology(&[("a", Placement::Node(3))]);
        assert!(
            place(&third, &nodes(2), Spread::Scheduler).unwrap_err().to_string().contains("needs 3 nodes")
        );
    }

    #[test]
    fn an_object_that_is_there_is_ours_by_its_labels() {
        let meta = |run: &str, lane: &str| ObjectMeta {
            labels: Some([(RUN_LABEL, run), (LANE_LABEL, lane)].map(|(k, v)| (k.into(), v.into())).into()),
            ..ObjectMeta::default()
        };
        assert!(is_own(&meta("r1", "r10"), &meta("r1", "r10")));
        assert!(!is_own(&meta("r1", "r11"), &meta("r1", "r10")));
        assert!(!is_own(&meta("r2", "r10"), &meta("r1", "r10")));
        assert!(!is_own(&ObjectMeta::default(), &ObjectMeta::default()));
    }

    #[test]
    fn namespaces_carry_the_run_and_the_pod_security_level() {
        let scope =
            Scope { run: "r1".into(), prefix: "verdikt".into(), user: "u".into(), started: "t".into() };
        let of = |host| {
            let made = namespace(&scope, "r10", "x", "verdikt-r10-x", &BTreeMap::new(), host);
            made.metadata.labels.unwrap()
        };
        assert_eq!(of(false)["pod-security.kubernetes.io/enforce"], "restricted");
        assert_eq!(of(true)["pod-security.kubernetes.io/enforce"], "privileged");
        assert_eq!(of(false)["verdikt.dev/run"], "r1");
        // Anything else could be what a scenario's policies select.
        assert_eq!(of(false).keys().filter(|key| !key.starts_with("verdikt.dev/")).count(), 1);
    }
}
