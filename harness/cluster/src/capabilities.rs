//! What a cluster can do, as far as scenarios require it.

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
};

use crate::client::Cluster;

impl Cluster {
    /// The ranges of cluster IPs: from the ServiceCIDR objects (Kubernetes 1.33), else from the arguments of an API
    /// server that runs as a pod; none when neither tells.
    pub async fn service_cidrs(&self) -> Vec<IpNet> {
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("networking.k8s.io", "v1", "ServiceCIDR"),
            "servicecidrs",
        );
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let listed =
            self.call("list service CIDRs", || async { api.list(&ListParams::default()).await }).await;
        let told = listed.map(|list| list.items).unwrap_or_default();
        let told: Vec<IpNet> = told
            .iter()
            .filter_map(|object| object.data.pointer("/spec/cidrs"))
            .flat_map(|cidrs| cidrs.as_array().into_iter().flatten())
            .filter_map(|cidr| cidr.as_str()?.parse().ok())
            .collect();
        if !told.is_empty() {
            return told;
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), "kube-system");
        let params = ListParams::default().labels("component=kube-apiserver");
        let pods = self.call("list pods of kube-system", || async { api.list(&params).await }).await;
        let pods = pods.map(|list| list.items).unwrap_or_default();
        let containers = pods.iter().flat_map(|pod| pod.spec.iter().flat_map(|spec| &spec.containers));
        let mut words = containers.flat_map(|c| c.command.iter().flatten().chain(c.args.iter().flatten()));
        let ranges = words.find_map(|word| word.strip_prefix("--service-cluster-ip-range="));
        ranges
            .into_iter()
            .flat_map(|ranges| ranges.split(','))
            .filter_map(|cidr| cidr.trim().parse().ok())
            .collect()
    }
}
