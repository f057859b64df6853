//! Kinds of policies beyond NetworkPolicy, and which of them a cluster serves: by discovery, which needs no rights.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;

use crate::{client::Cluster, error::ClusterError};

/// A kind of policy objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyKind {
    /// API group.
    pub group: &'static str,
    /// `ciliumnetworkpolicies`
    pub plural: &'static str,
    /// `CiliumNetworkPolicy`
    pub kind: &'static str,
}

/// Those that are known, by group.
pub const POLICY_KINDS: [PolicyKind; 12] = [
    kind("policy.networking.k8s.io", "clusternetworkpolicies", "ClusterNetworkPolicy"),
    kind("policy.networking.k8s.io", "adminnetworkpolicies", "AdminNetworkPolicy"),
    kind("policy.networking.k8s.io", "baselineadminnetworkpolicies", "BaselineAdminNetworkPolicy"),
    kind("cilium.io", "ciliumnetworkpolicies", "CiliumNetworkPolicy"),
    kind("cilium.io", "ciliumclusterwidenetworkpolicies", "CiliumClusterwideNetworkPolicy"),
    kind("crd.projectcalico.org", "networkpolicies", "NetworkPolicy"),
    kind("crd.projectcalico.org", "globalnetworkpolicies", "GlobalNetworkPolicy"),
    kind("projectcalico.org", "networkpolicies", "NetworkPolicy"),
    kind("projectcalico.org", "globalnetworkpolicies", "GlobalNetworkPolicy"),
    kind("crd.antrea.io", "networkpolicies", "NetworkPolicy"),
    kind("crd.antrea.io", "clusternetworkpolicies", "ClusterNetworkPolicy"),
    kind("security.istio.io", "authorizationpolicies", "AuthorizationPolicy"),
];

const fn kind(group: &'static str, plural: &'static str, kind: &'static str) -> PolicyKind {
    PolicyKind { group, plural, kind }
}

impl Cluster {
    /// The versions in which each known kind of policies is served; none for one that is not there.
    ///
    /// # Errors
    /// If the API server does not tell what it serves.
    pub async fn policy_kinds(&self) -> Result<Vec<(PolicyKind, Vec<String>)>, ClusterError> {
        let groups = self.api_groups().await?;
        let mut served: BTreeMap<&str, Vec<(String, Vec<APIResource>)>> = BTreeMap::new();
        for group in POLICY_KINDS.map(|kind| kind.group) {
            if groups.contains_key(group) && !served.contains_key(group) {
                served.insert(group, self.resources(group, &groups[group]).await?);
            }
        }
        let versions = |kind: &PolicyKind| -> Vec<String> {
            let all = served.get(kind.group).into_iter().flatten();
            let have = all.filter(|(_, resources)| resources.iter().any(|r| r.name == kind.plural));
            have.map(|(version, _)| version.clone()).collect()
        };
        Ok(POLICY_KINDS.iter().map(|kind| (*kind, versions(kind))).collect())
    }

    /// Whether a custom resource definition, by its full name `plural.group`, is installed and served.
    ///
    /// # Errors
    /// If the API server does not tell what it serves.
    pub async fn has_crd(&self, name: &str) -> Result<bool, ClusterError> {
        let (plural, group) = name.split_once('.').unwrap_or((name, ""));
        let groups = self.api_groups().await?;
        let Some(versions) = groups.get(group) else { return Ok(false) };
        let served = self.resources(group, versions).await?;
        Ok(served.iter().any(|(_, resources)| resources.iter().any(|resource| resource.name == plural)))
    }

    /// The API groups that are served, with their versions, the preferred one first.
    pub(crate) async fn api_groups(&self) -> Result<BTreeMap<String, Vec<String>>, ClusterError> {
        let list = self.call("list API groups", || self.client.list_api_groups()).await?;
        Ok(list
            .groups
            .into_iter()
            .map(|group| (group.name, group.versions.into_iter().map(|version| version.version).collect()))
            .collect())
    }

    /// The resources of a group, by version.
    async fn resources(
        &self,
        group: &str,
        versions: &[String],
    ) -> Result<Vec<(String, Vec<APIResource>)>, ClusterError> {
        let mut all = Vec::new();
        for version in versions {
            let path = format!("{group}/{version}");
            let what = format!("list resources of {path}");
            let list = self.call(what, || self.client.list_api_group_resources(&path)).await?;
            all.push((version.clone(), list.resources));
        }
        Ok(all)
    }
}
