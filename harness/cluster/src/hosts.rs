//! Pods that stand for endpoints outside the pod network: nodes, and the embedded cluster's external host.
//!
//! They live in one namespace of the run, `<prefix>-<run>-hosts`, and use their host's network.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::DeleteParams};
use verdikt_model::Serve;

use crate::{
    client::Cluster,
    deploy::namespace,
    error::ClusterError,
    nodes::Node,
    pods::{ProbePod, ips},
    scope::{LANE_LABEL, RUN_LABEL, Scope},
    settings::DeployOptions,
};

/// Annotation with which a pod asks the embedded cluster for a place; `external` is the external host.
pub const PLACE_ANNOTATION: &str = "sandbox.verdikt.dev/place";
/// Annotation in which the embedded cluster tells the external host's addresses, comma-separated: IPv4 and IPv6
/// of `external`, then of `external/2`.
pub const ADDRESSES_ANNOTATION: &str = "sandbox.verdikt.dev/addresses";

/// A host's pod that is ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostPod {
    /// Real namespace.
    pub namespace: String,
    /// Name.
    pub pod: String,
    /// Addresses: a node's, or of all identities of the external host in turn.
    pub ips: Vec<IpAddr>,
    /// Its uid.
    pub uid: String,
    /// Value of its lane label.
    pub mark: String,
}

impl Cluster {
    /// Makes the namespace for host pods; it may be there already.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn ensure_hosts_namespace(
        &self,
        scope: &Scope,
        options: &DeployOptions,
    ) -> Result<(), ClusterError> {
        let name = scope.hosts_namespace();
        let manifest = namespace(scope, scope.run.as_str(), "hosts", &name, &Default::default(), true);
        self.create_namespace_for_pods(scope, manifest, options).await
    }

    /// Deploys a pod in a node's network and waits until it is ready. `suffix` keeps its name apart from others'.
    ///
    /// # Errors
    /// If it cannot be made or does not get ready.
    pub async fn deploy_node_pod(
        &self,
        scope: &Scope,
        node: &Node,
        endpoint: &str,
        suffix: &str,
        serve: &Serve,
        options: &DeployOptions,
    ) -> Result<HostPod, ClusterError> {
        let name = format!("{}-{suffix}", endpoint.replace('/', "-"));
        let pod = self.deploy_host_pod(scope, &name, Some(node), serve, options).await?;
        Ok(HostPod { ips: node.ips.clone(), ..pod })
    }

    /// Deploys a pod on the embedded cluster's external host.
    ///
    /// # Errors
    /// If it cannot be made or does not get ready.
    pub async fn deploy_external_pod(
        &self,
        scope: &Scope,
        serve: &Serve,
        options: &DeployOptions,
    ) -> Result<HostPod, ClusterError> {
        self.deploy_host_pod(scope, "external", None, serve, options).await
    }

    /// Deletes a host's pod at once.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn delete_host_pod(&self, pod: &HostPod) -> Result<(), ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let what = format!("delete pod {}/{}", pod.namespace, pod.pod);
        match self.call(&what, || async { api.delete(&pod.pod, &params).await }).await {
            Ok(_) | Err(ClusterError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        // Its ports are free again only when it is gone.
        let mut pause = Duration::from_millis(5);
        for _ in 0..40 {
            match self.call(&what, || async { api.get_opt(&pod.pod).await }).await? {
                None => return Ok(()),
                Some(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_millis(500));
        }
        Err(ClusterError::Failed { what, cause: "it does not go away".into() })
    }

    async fn deploy_host_pod(
        &self,
        scope: &Scope,
        name: &str,
        node: Option<&Node>,
        serve: &Serve,
        options: &DeployOptions,
    ) -> Result<HostPod, ClusterError> {
        let real = scope.hosts_namespace();
        let mark = format!("{}-{name}", scope.run);
        let mut labels = scope.labels();
        labels.insert(LANE_LABEL.into(), mark.clone());
        let place = node.is_none().then(|| (PLACE_ANNOTATION.to_owned(), "external".to_owned()));
        let pod = ProbePod {
            namespace: real.clone(),
            name: name.to_owned(),
            labels,
            annotations: place.into_iter().collect(),
            options,
            serve: serve.clone(),
            node: node.map(|node| node.hostname.clone()),
            host_network: true,
            root: false,
            sidecar: Serve::default(),
            linger_s: 0,
            pings: false,
            first: Vec::new(),
        };
        self.create_pod(pod.manifest()).await?;
        let key = (real.clone(), name.to_owned());
        let selector = format!("{LANE_LABEL}={mark},{RUN_LABEL}={}", scope.run);
        let ready = self.wait_ready(&selector, BTreeSet::from([key.clone()]), options.ready_limit).await?;
        let pod = ready.get(&key);
        let told = pod
            .and_then(|pod| pod.metadata.annotations.as_ref())
            .and_then(|annotations| annotations.get(ADDRESSES_ANNOTATION))
            .map(|text| text.split(',').filter_map(|ip| ip.trim().parse().ok()).collect::<Vec<IpAddr>>());
        let ips = told.unwrap_or_else(|| pod.map(ips).unwrap_or_default());
        let uid = pod.and_then(|pod| pod.metadata.uid.clone()).unwrap_or_default();
        Ok(HostPod { namespace: real, pod: name.to_owned(), ips, uid, mark })
    }
}
