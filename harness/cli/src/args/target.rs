//! The cluster to work on, and the pods in it.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, ValueHint};
use verdikt_cluster::TolerationArg;
use verdikt_sandbox::Profile;

use crate::values::{duration, key_value, namespace_prefix, namespaced, other_kind, profile};

/// The cluster to work on: the embedded sandbox unless a real one is named.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct Target {
    /// The embedded sandbox, with this behaviour (the default target): BASE[+TRAIT[=VALUE]]…, such as
    /// reference+policy-delay=200ms; `verdikt sandbox profiles` lists them.
    #[arg(long, value_name = "PROFILE", num_args = 0..=1, default_missing_value = "reference", env = "VERDIKT_SANDBOX", value_parser = profile, conflicts_with_all = ["context", "in_cluster"])]
    pub(crate) sandbox: Option<Profile>,
    /// The real cluster of this kubeconfig context. The current context is never used by itself.
    #[arg(long, value_name = "NAME", env = "VERDIKT_CONTEXT", conflicts_with = "in_cluster")]
    pub(crate) context: Option<String>,
    /// The cluster in which this process runs as a pod.
    #[arg(long, env = "VERDIKT_IN_CLUSTER")]
    pub(crate) in_cluster: bool,
    /// Kubeconfig file, for --context; else $KUBECONFIG, else ~/.kube/config.
    #[arg(long, value_name = "FILE", env = "VERDIKT_KUBECONFIG", requires = "context", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// First word of the names of disposable namespaces.
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "verdikt",
        env = "VERDIKT_NAMESPACE_PREFIX",
        value_parser = namespace_prefix
    )]
    pub(crate) namespace_prefix: String,
    /// When to leave namespaces behind for inspection, each as its scenario has left it, policies included.
    #[arg(long, value_enum, default_value = "never", env = "VERDIKT_KEEP", value_name = "WHEN")]
    pub(crate) keep: Keep,
    /// Run scenarios with cluster-scoped objects, too, one at a time; they reach beyond verdikt's namespaces.
    #[arg(long, env = "VERDIKT_ALLOW_CLUSTER_SCOPED")]
    pub(crate) allow_cluster_scoped: bool,
    /// Run scenarios that apply this kind, too, though it is not a policy: HTTPRoute.gateway.networking.k8s.io. Again for
    /// more. Kinds that every API server has are never applied.
    #[arg(long = "allow-kind", value_name = "KIND.GROUP", value_parser = other_kind)]
    pub(crate) allow_kinds: Vec<String>,
}

impl Target {
    /// Whether a real cluster was named.
    pub(crate) fn is_real(&self) -> bool {
        self.context.is_some() || self.in_cluster
    }
}

/// How probe pods are made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Probe pods")]
pub(crate) struct ProbePods {
    /// Image of the probe pods, by default this release's; `verdikt image` saves and pushes it.
    #[arg(long, value_name = "REF", default_value = verdikt_cluster::DEFAULT_IMAGE, hide_default_value = true, env = "VERDIKT_IMAGE")]
    pub(crate) image: String,
    /// When nodes pull it; by default the cluster decides by the tag.
    #[arg(long, value_enum, value_name = "WHEN", env = "VERDIKT_IMAGE_PULL_POLICY")]
    pub(crate) image_pull_policy: Option<PullPolicy>,
    /// Secret with the registry's credentials; it is copied into each disposable namespace.
    #[arg(long, value_name = "NAMESPACE/NAME", env = "VERDIKT_IMAGE_PULL_SECRET", value_parser = namespaced)]
    pub(crate) image_pull_secret: Option<(String, String)>,
    /// Taint that probe pods tolerate, `*` for every one; may be given more than once.
    #[arg(
        long = "toleration",
        value_name = "KEY[=VALUE][:EFFECT]",
        env = "VERDIKT_TOLERATIONS",
        value_delimiter = ','
    )]
    pub(crate) tolerations: Vec<TolerationArg>,
    /// Label of the nodes on which probe pods may run; may be given more than once.
    #[arg(long = "node-selector", value_name = "KEY=VALUE", env = "VERDIKT_NODE_SELECTOR", value_delimiter = ',', value_parser = key_value)]
    pub(crate) node_selector: Vec<(String, String)>,
    /// Where probe pods go whose node the scenario leaves open.
    #[arg(long, value_enum, default_value = "scheduler", value_name = "HOW", env = "VERDIKT_SPREAD")]
    pub(crate) spread: Spread,
    /// How long probe pods may take to be ready.
    #[arg(long, value_name = "DUR", default_value = "2m", env = "VERDIKT_READY_TIMEOUT", value_parser = duration)]
    pub(crate) ready_timeout: Duration,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullPolicy {
    /// At each start of a pod.
    Always,
    /// When the node does not have it.
    #[value(alias = "IfNotPresent")]
    IfNotPresent,
    /// Never: it has been loaded onto the nodes.
    Never,
}

/// Where pods go whose node the scenario leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spread {
    /// Where the cluster's scheduler puts them.
    Scheduler,
    /// All on one node.
    SameNode,
    /// On the nodes in turn, so that neighbours are on different ones.
    OtherNode,
}

/// When to leave namespaces behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keep {
    Never,
    OnFailure,
    Always,
}

/// A real cluster, named on purpose.
#[derive(Debug, Args)]
pub(crate) struct RealCluster {
    /// Kubeconfig context.
    #[arg(long, value_name = "NAME", env = "VERDIKT_CONTEXT", conflicts_with = "in_cluster")]
    pub(crate) context: Option<String>,
    /// The cluster in which this process runs as a pod.
    #[arg(long, env = "VERDIKT_IN_CLUSTER")]
    pub(crate) in_cluster: bool,
    /// Kubeconfig file; else $KUBECONFIG, else ~/.kube/config.
    #[arg(long, value_name = "FILE", env = "VERDIKT_KUBECONFIG", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
}
