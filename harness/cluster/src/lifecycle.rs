//! Pods that come and go within a scenario.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::DeleteParams};
use tokio::time::{Instant, sleep};
use verdikt_model::{EndpointName, PodPhase, PodSpec, PortProtocol};

use crate::{
    client::Cluster,
    deploy::{DeployedPod, Deployment},
    error::ClusterError,
    nodes::Node,
    pods::{ProbePod, ips},
    scope::{LANE_LABEL, RUN_LABEL, Scope},
    settings::DeployOptions,
};

/// How often a pod is made again for an address: a host-local pool hands the freed one out last.
const ADDRESS_TRIES: u32 = 20;
/// Longest wait for a pod to be gone or to have completed.
const ENDED: Duration = Duration::from_secs(60);
/// Grace period of a pod that lingers, beyond its lingering.
const GRACE_BEYOND: u32 = 5;
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What a pod tries with its first instruction: an address, and who must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    /// Identity of who must answer, where there is only one.
    pub identity: Option<String>,
    /// Where.
    pub ip: IpAddr,
    /// On which port.
    pub port: PortProtocol,
}

/// What a pod of a deployment is made from.
#[derive(Debug, Clone, Copy)]
pub struct Making<'a> {
    /// The run.
    pub scope: &'a Scope,
    /// The cluster's nodes.
    pub nodes: &'a [Node],
    /// What the user decides.
    pub options: &'a DeployOptions,
}

impl Cluster {
    /// Makes a pod of a deployment and waits until it is ready. `first`: what it tries with its first instruction.
    /// Where another's `address` is wanted, pods are made until one has it; `None` when none had.
    ///
    /// # Errors
    /// If it cannot be made or does not get ready.
    pub async fn start_pod(
        &self,
        making: Making<'_>,
        deployment: &Deployment,
        name: (&str, &str),
        spec: &PodSpec,
        first: Vec<First>,
        address: Option<&[IpAddr]>,
    ) -> Result<Option<DeployedPod>, ClusterError> {
        for _ in 0..if address.is_some() { ADDRESS_TRIES } else { 1 } {
            let manifest = probe_pod(making, deployment, name, spec, first.clone()).manifest();
            self.create_pod(manifest).await?;
            let key = (deployment.real(name.0)?, name.1.to_owned());
            let selector = format!("{LANE_LABEL}={},{RUN_LABEL}={}", deployment.lane, making.scope.run);
            let ready =
                self.wait_ready(&selector, BTreeSet::from([key.clone()]), making.options.ready_limit).await?;
            let Some(pod) = ready.get(&key).map(deployed) else { continue };
            if address.is_none_or(|wanted| pod.ips.iter().any(|ip| wanted.contains(ip))) {
                return Ok(Some(pod));
            }
            self.remove_pod(deployment, name, Some(0)).await?;
        }
        Ok(None)
    }

    /// The addresses of a pod that is being made, as soon as the API tells them.
    ///
    /// # Errors
    /// If it tells none within the limit.
    pub async fn pod_addresses(
        &self,
        deployment: &Deployment,
        (namespace, pod): (&str, &str),
        limit: Duration,
    ) -> Result<Vec<IpAddr>, ClusterError> {
        let real = deployment.real(namespace)?;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &real);
        let what = format!("read the addresses of pod {real}/{pod}");
        let until = Instant::now() + limit;
        loop {
            let have = self.call(&what, || async { api.get_opt(pod).await }).await?;
            let found = have.as_ref().map(ips).unwrap_or_default();
            if !found.is_empty() {
                return Ok(found);
            }
            if Instant::now() >= until {
                let cause = format!("it has none after {} s", limit.as_secs());
                return Err(ClusterError::Failed { what, cause });
            }
            sleep(PAUSE).await;
        }
    }

    /// Deletes a pod and waits until it is gone.
    ///
    /// # Errors
    /// If the API server refuses, or it does not go.
    pub async fn remove_pod(
        &self,
        deployment: &Deployment,
        name: (&str, &str),
        grace: Option<u32>,
    ) -> Result<(), ClusterError> {
        self.delete_pod(deployment, name, grace).await?;
        self.wait_removed(deployment, name).await
    }

    /// Deletes a pod that lingers; returns once the API server has said that it is terminating.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn terminate_pod(
        &self,
        deployment: &Deployment,
        name: (&str, &str),
        linger_s: u16,
    ) -> Result<(), ClusterError> {
        self.delete_pod(deployment, name, Some(u32::from(linger_s) + GRACE_BEYOND)).await
    }

    /// Waits until a pod whose servers have been asked to end has completed.
    ///
    /// # Errors
    /// If it does not.
    pub async fn wait_completed(
        &self,
        deployment: &Deployment,
        name: (&str, &str),
    ) -> Result<(), ClusterError> {
        let succeeded = |pod: Option<&Pod>| {
            let phase = pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref());
            phase == Some("Succeeded")
        };
        self.wait_for(deployment, name, "complete", succeeded).await
    }

    /// Waits until a pod that has been deleted is gone.
    ///
    /// # Errors
    /// If it does not go.
    pub async fn wait_removed(
        &self,
        deployment: &Deployment,
        name: (&str, &str),
    ) -> Result<(), ClusterError> {
        self.wait_for(deployment, name, "be gone", |pod| pod.is_none()).await
    }

    /// Has a pod deleted, with a grace period in seconds other than its own; returns once the API server has said so.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn delete_pod(
        &self,
        deployment: &Deployment,
        (namespace, pod): (&str, &str),
        grace: Option<u32>,
    ) -> Result<(), ClusterError> {
        let real = deployment.real(namespace)?;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &real);
        let params = DeleteParams { grace_period_seconds: grace, ..DeleteParams::default() };
        match self
            .change(format!("delete pod {real}/{pod}"), || async { api.delete(pod, &params).await })
            .await
        {
            Ok(_) | Err(ClusterError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn wait_for(
        &self,
        deployment: &Deployment,
        (namespace, pod): (&str, &str),
        what: &str,
        done: impl Fn(Option<&Pod>) -> bool,
    ) -> Result<(), ClusterError> {
        let real = deployment.real(namespace)?;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &real);
        let what = format!("wait for pod {real}/{pod} to {what}");
        let until = Instant::now() + ENDED;
        let mut pause = PAUSE;
        loop {
            let have = self.call(&what, || async { api.get_opt(pod).await }).await?;
            if done(have.as_ref()) {
                return Ok(());
            }
            if Instant::now() >= until {
                let phase = have.and_then(|pod| pod.status?.phase).unwrap_or_else(|| "unknown".into());
                let cause = format!("after {} s its phase is {phase}", ENDED.as_secs());
                return Err(ClusterError::Failed { what, cause });
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

impl Deployment {
    pub(crate) fn real(&self, logical: &str) -> Result<String, ClusterError> {
        self.names.real(logical).map(str::to_owned).ok_or_else(|| {
            ClusterError::Object(format!("namespace `{logical}` is not of the scenario's topology"))
        })
    }
}

/// What a pod of a topology is made from.
pub(crate) fn probe_pod<'a>(
    making: Making<'a>,
    deployment: &Deployment,
    (namespace, name): (&str, &str),
    spec: &PodSpec,
    first: Vec<First>,
) -> ProbePod<'a> {
    let mut labels = spec.labels.clone();
    labels.extend(making.scope.labels());
    labels.insert(LANE_LABEL.into(), deployment.lane.clone());
    let placed = deployment.placed.get(&EndpointName::pod(namespace, name));
    ProbePod {
        namespace: deployment.names.real(namespace).unwrap_or(namespace).to_owned(),
        name: name.to_owned(),
        labels,
        annotations: BTreeMap::new(),
        options: making.options,
        serve: spec.serve.clone(),
        sidecar: spec.sidecar.clone(),
        node: placed.map(|index| making.nodes[*index].hostname.clone()),
        host_network: spec.host_network,
        root: spec.root,
        linger_s: spec.linger_s,
        pings: deployment.pings,
        first,
    }
}

/// A pod that is ready.
pub(crate) fn deployed(pod: &Pod) -> DeployedPod {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    DeployedPod { node, ips: ips(pod), uid, phase: PodPhase::Running }
}
