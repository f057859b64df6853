//! Reading what a cluster shows. Nothing here fails: what cannot be read is noted, and the answer is poorer.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{ConfigMap, Node as ApiNode, Pod},
};
use kube::{
    Api,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
};

use super::seen::{Marks, PodMarks, Seen, Settings, Workload};
use crate::{client::Cluster, dns::DNS_NAMESPACE, error::ClusterError};

impl Cluster {
    pub(super) async fn look_at_dataplane(&self, nodes: &[ApiNode]) -> Seen {
        let api: Api<DaemonSet> = Api::all(self.client.clone());
        let params = ListParams::default();
        let sets = self.call("list daemonsets", || async { api.list(&params).await });
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), DNS_NAMESPACE);
        let what = format!("list pods of {DNS_NAMESPACE}");
        let pods = self.call(what, || async { pods.list(&params).await });
        let (sets, groups, pods) = tokio::join!(sets, self.api_groups(), pods);
        let mut seen = Seen { nodes: nodes.iter().map(Marks::from).collect(), ..Seen::default() };
        match sets {
            Ok(sets) => seen.containers = Some(sets.items.iter().flat_map(Workload::of).collect()),
            // A cluster without that kind, as the sandbox is, has none.
            Err(ClusterError::NotFound { .. }) => seen.containers = Some(Vec::new()),
            Err(error) => seen.unread.push(error.to_string()),
        }
        match pods {
            Ok(pods) => seen.pods = pods.items.into_iter().filter_map(PodMarks::of).collect(),
            Err(error) => seen.unread.push(error.to_string()),
        }
        match groups {
            Ok(groups) => seen.groups = groups.into_keys().collect(),
            Err(error) => seen.unread.push(error.to_string()),
        }
        self.read_settings(&mut seen).await;
        seen
    }

    async fn read_settings(&self, seen: &mut Seen) {
        let calico = seen.groups.contains("crd.projectcalico.org");
        let cilium = seen.groups.contains("cilium.io");
        let mut settings = Settings::default();
        let mut unread = Vec::new();
        let mut note = |error: ClusterError| unread.push(error.to_string());
        if calico {
            match self.calico_object("FelixConfiguration", "felixconfigurations").await {
                Ok(felix) => settings.felix = Some(felix),
                Err(error) => note(error),
            }
            match self.calico_object("ClusterInformation", "clusterinformations").await {
                Ok(spec) => {
                    let version = spec.get("calicoVersion").and_then(|version| version.as_str());
                    settings.calico_version =
                        version.filter(|version| !version.is_empty()).map(str::to_owned);
                }
                Err(error) => note(error),
            }
        }
        if cilium {
            let gvk = GroupVersionKind::gvk("cilium.io", "v2", "CiliumEndpoint");
            let resource = ApiResource::from_gvk_with_plural(&gvk, "ciliumendpoints");
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), DNS_NAMESPACE, &resource);
            let params = ListParams::default();
            match self.call("list ciliumendpoints", || async { api.list_metadata(&params).await }).await {
                Ok(list) => {
                    let stay = list.items.into_iter().map(|endpoint| endpoint.metadata);
                    let stay = stay.filter(|metadata| metadata.deletion_timestamp.is_none());
                    settings.cilium_endpoints = stay.filter_map(|metadata| metadata.name).collect();
                }
                Err(ClusterError::NotFound { .. }) => {}
                Err(error) => note(error),
            }
        }
        // Not every map is looked for everywhere: a cluster with audit logs would show refusals for nothing.
        let has = |name: &str| seen.containers().iter().any(|workload| workload.set == name);
        let cilium_at =
            seen.containers().iter().find(|workload| ["cilium", "anetd"].contains(&workload.set.as_str()));
        let cilium_at = cilium_at.map(|workload| workload.namespace.clone());
        let wanted = [
            (cilium_at.is_some() || cilium, "cilium-config", cilium_at.as_deref().unwrap_or(DNS_NAMESPACE)),
            (has("antrea-agent"), "antrea-config", DNS_NAMESPACE),
            (true, "kube-proxy", DNS_NAMESPACE),
            (has("aws-node"), "kube-proxy-config", DNS_NAMESPACE),
        ];
        for (_, name, namespace) in wanted.into_iter().filter(|(wanted, ..)| *wanted) {
            match self.config_map(namespace, name).await {
                Ok(Some(map)) => drop(settings.maps.insert(name.to_owned(), map)),
                Ok(None) => {}
                Err(error) => note(error),
            }
        }
        seen.settings = settings;
        seen.unread.extend(unread);
    }

    async fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, String>>, ClusterError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("get configmap {namespace}/{name}");
        let map = self.call(what, || async { api.get_opt(name).await }).await?;
        Ok(map.map(|map| map.data.unwrap_or_default()))
    }

    /// The `spec` of Calico's object `default`; null when there is none.
    async fn calico_object(&self, kind: &str, plural: &str) -> Result<serde_json::Value, ClusterError> {
        let gvk = GroupVersionKind::gvk("crd.projectcalico.org", "v1", kind);
        let api: Api<DynamicObject> =
            Api::all_with(self.client.clone(), &ApiResource::from_gvk_with_plural(&gvk, plural));
        let what = format!("get {plural} default");
        let object = self.call(what, || async { api.get_opt("default").await }).await?;
        Ok(object.and_then(|object| object.data.get("spec").cloned()).unwrap_or_default())
    }
}
