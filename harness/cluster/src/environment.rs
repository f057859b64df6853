//! What the cluster is: version, nodes, kernel, IP families, and what its network is made of.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, api::ListParams};
use verdikt_model::{Environment, Family};

use crate::{client::Cluster, dataplane::Networking, error::ClusterError, nodes::Node};

impl Cluster {
    /// Describes the cluster for the record.
    ///
    /// # Errors
    /// If the nodes cannot be listed. A dataplane that cannot be told is `unknown`, which is no error.
    pub async fn environment(&self) -> Result<Environment, ClusterError> {
        let listed = self.api_nodes().await?;
        let dataplane = self.networking_of(&listed).await.dataplane;
        let nodes: Vec<Node> = listed.into_iter().map(Node::from).collect();
        Ok(Environment {
            target: self.target().to_owned(),
            dataplane,
            kubernetes: self.version().to_owned(),
            nodes: u16::try_from(nodes.len()).unwrap_or(u16::MAX),
            kernel: kernels(&nodes),
            ip_families: self.families(&nodes).await?,
            verdikt: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: self.uid().await,
            enforcement: None,
            pod_blocks: None,
        })
    }

    /// What tells this cluster from any other: the uid of kube-system; empty when it cannot be read.
    async fn uid(&self) -> String {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let got = self.call("get namespace kube-system", || async { api.get("kube-system").await }).await;
        got.ok().and_then(|namespace| namespace.metadata.uid).unwrap_or_default()
    }

    /// What the cluster's network is made of. What cannot be told is `unknown`, which is no error.
    ///
    /// # Errors
    /// If the nodes cannot be listed.
    pub async fn networking(&self) -> Result<Networking, ClusterError> {
        Ok(self.networking_of(&self.api_nodes().await?).await)
    }

    /// The families of pod addresses: from the nodes' ranges, else from pods that run already, else from the
    /// nodes' own addresses.
    ///
    /// # Errors
    /// If pods cannot be listed, though that is allowed: a family that is overlooked would never be probed.
    pub async fn families(&self, nodes: &[Node]) -> Result<Vec<Family>, ClusterError> {
        let ranges = nodes.iter().flat_map(|node| &node.pod_cidrs).map(|net| Family::of(net.addr()));
        let mut families: BTreeSet<Family> = ranges.collect();
        if families.is_empty() {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), "kube-system");
            let pods =
                self.call("list pods of kube-system", || async { api.list(&ListParams::default()).await });
            let pods = match pods.await {
                Err(ClusterError::Forbidden { .. }) => Vec::new(),
                pods => pods?.items,
            };
            families = pods
                .iter()
                .filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.host_network != Some(true)))
                .flat_map(crate::pods::ips)
                .map(Family::of)
                .collect();
        }
        if families.is_empty() {
            families = nodes.iter().flat_map(|node| &node.ips).map(|ip| Family::of(*ip)).collect();
        }
        Ok(families.into_iter().collect())
    }
}

fn kernels(nodes: &[Node]) -> String {
    let kernels: BTreeSet<&str> =
        nodes.iter().map(|node| node.kernel.as_str()).filter(|k| !k.is_empty()).collect();
    kernels.into_iter().collect::<Vec<_>>().join(", ")
}
