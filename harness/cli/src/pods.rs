//! From the command line's words about probe pods to the cluster's.

use verdikt_cluster::DeployOptions;

use crate::args::{ProbePods, PullPolicy, Spread};

/// How probe pods are made; a pull secret is read later.
pub(crate) fn deploy_options(pods: &ProbePods) -> DeployOptions {
    DeployOptions {
        image: pods.image.clone(),
        pull_policy: pods.image_pull_policy.map(|policy| match policy {
            PullPolicy::Always => verdikt_cluster::PullPolicy::Always,
            PullPolicy::IfNotPresent => verdikt_cluster::PullPolicy::IfNotPresent,
            PullPolicy::Never => verdikt_cluster::PullPolicy::Never,
        }),
        pull_secret: None,
        tolerations: pods.tolerations.iter().map(|toleration| toleration.0.clone()).collect(),
        node_selector: pods.node_selector.iter().cloned().collect(),
        spread: match pods.spread {
            Spread::Scheduler => verdikt_cluster::Spread::Scheduler,
            Spread::SameNode => verdikt_cluster::Spread::SameNode,
            Spread::OtherNode => verdikt_cluster::Spread::OtherNode,
        },
        // The runner knows it.
        cluster_domain: String::new(),
        ready_limit: pods.ready_timeout,
    }
}
