//! What a user decides about probe pods, whatever the topology: image, pull, nodes.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use k8s_openapi::{
    ByteString,
    api::core::v1::{Secret, Toleration},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Api;

use crate::{client::Cluster, error::ClusterError, pods::DEFAULT_IMAGE};

/// Name of the copy of a pull secret in each of the run's namespaces.
pub(crate) const PULL_SECRET: &str = "verdikt-pull";

/// How probe pods are deployed.
#[derive(Debug, Clone)]
pub struct DeployOptions {
    /// Probe image.
    pub image: String,
    /// When the image is pulled; `None` for the cluster's default, which goes by the tag.
    pub pull_policy: Option<PullPolicy>,
    /// Credentials for the image's registry; copied into each namespace.
    pub pull_secret: Option<PullSecret>,
    /// Taints that the pods tolerate.
    pub tolerations: Vec<Toleration>,
    /// Labels of the nodes on which they may run.
    pub node_selector: BTreeMap<String, String>,
    /// Where pods go whose place the topology leaves open.
    pub spread: Spread,
    /// The cluster's DNS domain, for Services that are other names.
    pub cluster_domain: String,
    /// Longest wait for the pods to be ready.
    pub ready_limit: Duration,
}

impl Default for DeployOptions {
    fn default() -> Self {
        Self {
            image: DEFAULT_IMAGE.to_owned(),
            pull_policy: None,
            pull_secret: None,
            tolerations: Vec::new(),
            node_selector: BTreeMap::new(),
            spread: Spread::Scheduler,
            cluster_domain: "cluster.local".to_owned(),
            ready_limit: Duration::from_secs(120),
        }
    }
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// At each start of a pod.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never: it has been loaded onto the nodes.
    Never,
}

impl PullPolicy {
    /// As Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Where pods go whose place the topology leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Where the scheduler puts them.
    Scheduler,
    /// All on one node.
    SameNode,
    /// On the nodes in turn, so that neighbours in the matrix are on different ones.
    OtherNode,
}

/// A registry's credentials as a Secret holds them. `Debug` shows none of it.
#[derive(Clone)]
pub struct PullSecret {
    kind: String,
    data: BTreeMap<String, ByteString>,
}

impl fmt::Debug for PullSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullSecret").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl PullSecret {
    /// The copy for a namespace of the run.
    pub(crate) fn manifest(&self, namespace: &str, labels: BTreeMap<String, String>) -> Secret {
        Secret {
            metadata: ObjectMeta {
                name: Some(PULL_SECRET.to_owned()),
                namespace: Some(namespace.to_owned()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            type_: Some(self.kind.clone()),
            data: Some(self.data.clone()),
            ..Secret::default()
        }
    }
}

impl Cluster {
    /// Reads the credentials of a Secret of type `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg`.
    ///
    /// # Errors
    /// If it cannot be read or is of another type.
    pub async fn pull_secret(&self, namespace: &str, name: &str) -> Result<PullSecret, ClusterError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("get secret {namespace}/{name}");
        let secret = match self.call(what, || async { api.get(name).await }).await {
            Err(ClusterError::NotFound { .. }) => {
                return Err(ClusterError::Object(format!(
                    "there is no secret {namespace}/{name}; --image-pull-secret needs NAMESPACE/NAME of one that \
                     `kubectl create secret docker-registry` has made"
                )));
            }
            got => got?,
        };
        let kind = secret.type_.unwrap_or_default();
        if !matches!(kind.as_str(), "kubernetes.io/dockerconfigjson" | "kubernetes.io/dockercfg") {
            return Err(ClusterError::Object(format!(
                "secret {namespace}/{name} is of type {kind}, and holds no registry credentials; \
                 `kubectl create secret docker-registry` makes one that does"
            )));
        }
        Ok(PullSecret { kind, data: secret.data.unwrap_or_default() })
    }
}

/// A toleration as a taint is written: `KEY[=VALUE][:EFFECT]`, or `*` for every taint.
#[derive(Debug, Clone, PartialEq)]
pub struct TolerationArg(pub Toleration);

impl FromStr for TolerationArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, effect) = match text.split_once(':') {
            Some((rest, effect)) => (rest, Some(effect)),
            None => (text, None),
        };
        if let Some(effect) = effect
            && !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect)
        {
            return Err(format!(
                "`{effect}` is no effect; expected NoSchedule, PreferNoSchedule or NoExecute"
            ));
        }
        let (key, value) = match rest.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (rest, None),
        };
        let key = match key {
            "" => return Err("expected KEY[=VALUE][:EFFECT], or `*` for every taint".into()),
            "*" if value.is_none() => None,
            key => Some(key.to_owned()),
        };
        Ok(Self(Toleration {
            key,
            operator: Some(if value.is_some() { "Equal" } else { "Exists" }.into()),
            value: value.map(str::to_owned),
            effect: effect.map(str::to_owned),
            toleration_seconds: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<[Option<String>; 4], String> {
        let TolerationArg(t) = text.parse()?;
        Ok([t.key, t.operator, t.value, t.effect])
    }

    #[test]
    fn tolerations_are_written_as_taints_are() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parse("gpu").unwrap(), [some("gpu"), some("Exists"), None, None]);
        assert_eq!(
            parse("dedicated=ci:NoSchedule").unwrap(),
            [some("dedicated"), some("Equal"), some("ci"), some("NoSchedule")]
        );
        assert_eq!(parse("*").unwrap(), [None, some("Exists"), None, None]);
        assert_eq!(parse("*:NoExecute").unwrap(), [None, some("Exists"), None, some("NoExecute")]);
        assert!(parse("a:Nope").unwrap_err().contains("NoSchedule"));
        assert!(parse("=b").is_err() && parse("").is_err());
    }

    #[test]
    fn credentials_are_not_shown() {
        let secret = PullSecret {
            kind: "kubernetes.io/dockerconfigjson".into(),
            data: [(".dockerconfigjson".to_owned(), ByteString(b"hunter2".to_vec()))].into(),
        };
        let shown = format!("{secret:?}");
        assert!(!shown.contains("dockerconfigjson\"") || !shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("104, 117"), "{shown}");
        assert_eq!(secret.manifest("n", BTreeMap::new()).metadata.name.as_deref(), Some(PULL_SECRET));
    }
}
