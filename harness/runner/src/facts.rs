//! What is the same for all scenarios of a run: nodes, ranges, DNS, and pods that stand for hosts.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::sync::{Mutex, OnceCell};
use verdikt_cluster::{Cluster, ClusterError, DeployOptions, DnsFacts, HostPod, Kinds, Node, Scope};
use verdikt_model::{Environment, Family, Serve};

use crate::options::ExternalHost;

/// What is the same for all scenarios of a run.
pub(crate) struct Facts {
    pub(crate) cluster: Cluster,
    pub(crate) scope: Scope,
    pub(crate) environment: Environment,
    pub(crate) families: Vec<Family>,
    /// Usable nodes first, each sorted by name.
    pub(crate) nodes: Vec<Node>,
    pub(crate) kinds: Kinds,
    pub(crate) deploy: DeployOptions,
    /// Ports of the external host: the union over all scenarios, since its pod is shared.
    pub(crate) external_serve: Serve,
    pub(crate) service_cidrs: Vec<IpNet>,
    /// Hosts outside that the user has named.
    pub(crate) given: Vec<ExternalHost>,
    dns: OnceCell<Option<DnsFacts>>,
    external: OnceCell<HostPod>,
    /// Taken while the hosts' namespace is made.
    hosts: Mutex<bool>,
}

impl Facts {
    pub(crate) fn new(
        cluster: &Cluster,
        scope: Scope,
        environment: Environment,
        nodes: Vec<Node>,
        deploy: DeployOptions,
        external_serve: Serve,
        service_cidrs: Vec<IpNet>,
    ) -> Self {
        Self {
            cluster: cluster.clone(),
            scope,
            families: environment.ip_families.clone(),
            environment,
            nodes,
            kinds: Kinds::default(),
            deploy,
            external_serve,
            service_cidrs,
            given: Vec::new(),
            dns: OnceCell::new(),
            external: OnceCell::new(),
            hosts: Mutex::new(false),
        }
    }

    /// The n-th host outside (from 1) that the user has named.
    pub(crate) fn given(&self, n: u16) -> Option<&ExternalHost> {
        self.given.get(usize::from(n).checked_sub(1)?)
    }

    /// Whether there is an external host in which verdikt can run pods: only the embedded cluster has one.
    pub(crate) fn has_external(&self) -> bool {
        self.nodes.iter().any(|node| node.profile.is_some())
    }

    /// Nodes on which pods may run.
    pub(crate) fn usable_nodes(&self) -> usize {
        self.nodes.iter().filter(|node| node.usable).count()
    }

    /// The cluster's DNS, read once.
    pub(crate) async fn dns(&self) -> Result<Option<&DnsFacts>, ClusterError> {
        Ok(self.dns.get_or_try_init(|| self.cluster.dns()).await?.as_ref())
    }

    /// The external host's pod, made when first needed.
    pub(crate) async fn external(&self) -> Result<&HostPod, ClusterError> {
        self.external
            .get_or_try_init(|| async {
                self.ensure_hosts().await?;
                self.cluster.deploy_external_pod(&self.scope, &self.external_serve, &self.deploy).await
            })
            .await
    }

    /// A pod in the n-th node's network (from 1) for one lane.
    pub(crate) async fn node_pod(&self, n: u16, lane: &str, serve: &Serve) -> Result<HostPod, ClusterError> {
        self.ensure_hosts().await?;
        let node = self.nodes.get(usize::from(n) - 1).ok_or_else(|| {
            ClusterError::Topology(format!("there is no node {n}, only {}", self.nodes.len()))
        })?;
        self.cluster.deploy_node_pod(&self.scope, node, &format!("node/{n}"), lane, serve, &self.deploy).await
    }

    async fn ensure_hosts(&self) -> Result<(), ClusterError> {
        let mut made = self.hosts.lock().await;
        if !*made {
            self.cluster.ensure_hosts_namespace(&self.scope, &self.deploy).await?;
            *made = true;
        }
        Ok(())
    }

    /// Index of a node by name.
    pub(crate) fn node_index(&self, name: &str) -> Option<u16> {
        self.nodes.iter().position(|node| node.name == name).and_then(|index| u16::try_from(index).ok())
    }

    /// For each family, the smallest range that holds every node's pod range. Nodes tell only their own parts.
    pub(crate) fn pod_cidrs(&self) -> Vec<IpNet> {
        let mut merged: BTreeMap<Family, IpNet> = BTreeMap::new();
        for net in self.nodes.iter().flat_map(|node| &node.pod_cidrs) {
            merged
                .entry(Family::of(net.addr()))
                .and_modify(|have| *have = common_range(*have, *net))
                .or_insert_with(|| net.trunc());
        }
        merged.into_values().collect()
    }
}

/// The smallest range that holds two ranges of one family.
fn common_range(a: IpNet, b: IpNet) -> IpNet {
    let mut prefix = a.prefix_len().min(b.prefix_len());
    loop {
        let range = match a.addr() {
            IpAddr::V4(ip) => Ipv4Net::new(ip, prefix).map(IpNet::V4),
            IpAddr::V6(ip) => Ipv6Net::new(ip, prefix).map(IpNet::V6),
        };
        match range {
            Ok(range) if range.contains(&b.addr()) || prefix == 0 => return range.trunc(),
            _ => prefix = prefix.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_to_the_smallest_that_holds_both() {
        let join = |a: &str, b: &str| common_range(a.parse().unwrap(), b.parse().unwrap()).to_string();
        assert_eq!(join("10.244.0.0/24", "10.244.1.0/24"), "10.244.0.0/23");
        assert_eq!(join("10.244.0.0/20", "10.244.16.0/20"), "10.244.0.0/19");
        assert_eq!(join("10.244.0.0/24", "10.244.0.0/16"), "10.244.0.0/16");
        assert_eq!(join("fd00:10:244::/64", "fd00:10:244:1::/64"), "fd00:10:244::/63");
    }
}
