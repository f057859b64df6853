//! Objects of scenarios: policies of any kind, and labels.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::{Scope as KindScope, pinned_kind},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use verdikt_model::{
    ObjectRef, PolicyObject, World,
    policy_kind::{self, Standing},
    substitute, substitute_value,
};

use crate::{
    client::Cluster,
    error::ClusterError,
    rewrite::rewrite,
    scope::{CLUSTER_OBJECTS_ANNOTATION, Names, RUN_LABEL, Scope},
    strict,
};

/// How often an object is replaced that somebody else changes at the same time.
const CONFLICTS: u32 = 5;

/// A kind that the cluster serves.
#[derive(Debug, Clone)]
pub struct Kind {
    resource: ApiResource,
    /// Whether its objects have no namespace.
    pub cluster_scoped: bool,
}

/// Kinds that have been looked up.
#[derive(Debug, Clone, Default)]
pub struct Kinds(Arc<Mutex<Known>>);

/// By apiVersion and kind; `None` for one that the cluster does not serve.
type Known = HashMap<(String, String), Option<Kind>>;

impl Kinds {
    /// Looks a kind up, once.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchKind`], or the failure of the lookup.
    pub async fn get(&self, cluster: &Cluster, api_version: &str, kind: &str) -> Result<Kind, ClusterError> {
        let key = (api_version.to_owned(), kind.to_owned());
        let missing = || ClusterError::NoSuchKind { api_version: api_version.into(), kind: kind.into() };
        let mut known = self.0.lock().await;
        if let Some(found) = known.get(&key) {
            return found.clone().ok_or_else(missing);
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        if api_version == "networking.k8s.io/v1" && kind == "NetworkPolicy" {
            // Part of every cluster: no need to ask.
            let found = Kind {
                resource: ApiResource::from_gvk_with_plural(&gvk, "networkpolicies"),
                cluster_scoped: false,
            };
            known.insert(key, Some(found.clone()));
            return Ok(found);
        }
        let what = format!("look up {kind} in {api_version}");
        let found = cluster.call(what, || pinned_kind(&cluster.client, &gvk)).await;
        let found = match found {
            Ok((resource, capabilities)) => {
                Some(Kind { resource, cluster_scoped: capabilities.scope == KindScope::Cluster })
            }
            Err(ClusterError::NotFound { .. }) => None,
            Err(ClusterError::Failed { cause, .. }) if cause.contains("Missing") => None,
            Err(error) => return Err(error),
        };
        known.insert(key, found.clone());
        found.ok_or_else(missing)
    }
}

/// Applies and deletes the objects of one deployment.
#[derive(Debug, Clone)]
pub struct Objects {
    cluster: Cluster,
    kinds: Kinds,
    names: Names,
    labels: Vec<(String, String)>,
}

impl Objects {
    /// For the namespaces `names` of a run.
    pub fn new(cluster: &Cluster, kinds: &Kinds, scope: &Scope, names: &Names) -> Self {
        Self {
            cluster: cluster.clone(),
            kinds: kinds.clone(),
            names: names.clone(),
            labels: scope.labels().into_iter().collect(),
        }
    }

    /// Creates an object, or replaces it if it is there, with its variables filled in from `world` and its names
    /// made real. A field that the API server does not know is refused. A cluster-scoped object that is there and is not the run's own is left alone, with an error.
    ///
    /// # Errors
    /// A variable without a value, a foreign namespace, an unknown kind, or the API server's refusal.
    pub async fn apply(&self, object: &PolicyObject, world: &World) -> Result<(), ClusterError> {
        let reference = object.reference();
        if policy_kind::standing(reference.group(), &reference.kind) == Standing::BuiltIn {
            let name = policy_kind::kind_name(&reference.api_version, &reference.kind);
            return Err(ClusterError::Object(format!(
                "{name} {} is not a policy; it is not applied",
                reference.name
            )));
        }
        let bad = |e: String| ClusterError::Object(format!("{} {}: {e}", reference.kind, reference.name));
        let mut value = match object {
            PolicyObject::NetworkPolicy(policy) => {
                let policy = substitute(policy, world).map_err(|e| bad(e.to_string()))?;
                serde_json::to_value(policy).map_err(|e| bad(e.to_string()))?
            }
            PolicyObject::Other(value) => {
                let mut value = value.clone();
                substitute_value(&mut value, world).map_err(|e| bad(e.to_string()))?;
                value
            }
        };
        rewrite(&mut value, &self.names, &self.labels)?;
        let kind = self.kinds.get(&self.cluster, &reference.api_version, &reference.kind).await?;
        let api = self.api(&kind, &reference)?;
        if kind.cluster_scoped {
            self.note_cluster_object(&reference).await?;
        }
        let mut wanted: DynamicObject = serde_json::from_value(value).map_err(|e| bad(e.to_string()))?;
        let client = &self.cluster.client;
        let what = format!("create {}", describe(&reference));
        match self.cluster.change(&what, || strict::write(client, &api, None, &wanted)).await {
            Err(ClusterError::AlreadyExists { .. }) => {}
            done => return done.map(drop),
        }
        let what = format!("replace {}", describe(&reference));
        let run = self.labels.iter().find(|(key, _)| key == RUN_LABEL).map(|(_, value)| value);
        for left in (0..CONFLICTS).rev() {
            let have = self.cluster.call(&what, || async { api.get(&reference.name).await }).await?;
            if kind.cluster_scoped && have.metadata.labels.as_ref().and_then(|l| l.get(RUN_LABEL)) != run {
                return Err(bad(
                    "there is one already that this run did not make; it is left as it is".into()
                ));
            }
            wanted.metadata.resource_version = have.metadata.resource_version;
            let replace = || strict::write(client, &api, Some(&reference.name), &wanted);
            match self.cluster.change(&what, replace).await {
                // A controller has written to it meanwhile, or this replacement was made and its answer lost.
                Err(ClusterError::Refused { code: 409, .. }) if left > 0 => {}
                done => return done.map(drop),
            }
        }
        unreachable!("the last turn of the loop returns")
    }

    /// Deletes an object; one that is not there is no error.
    ///
    /// # Errors
    /// An unknown kind, a foreign namespace, or the API server's refusal.
    pub async fn delete(&self, reference: &ObjectRef) -> Result<(), ClusterError> {
        let kind = self.kinds.get(&self.cluster, &reference.api_version, &reference.kind).await?;
        let api = self.api(&kind, reference)?;
        let what = format!("delete {}", describe(reference));
        if kind.cluster_scoped {
            let run = self.labels.iter().find(|(key, _)| key == RUN_LABEL).map(|(_, value)| value);
            match self.cluster.call(&what, || async { api.get(&reference.name).await }).await {
                Err(ClusterError::NotFound { .. }) => return Ok(()),
                Err(error) => return Err(error),
                Ok(have) if have.metadata.labels.as_ref().and_then(|l| l.get(RUN_LABEL)) != run => {
                    let why = format!("{} is not of this run, and is left as it is", describe(reference));
                    return Err(ClusterError::Object(why));
                }
                Ok(_) => {}
            }
        }
        let params = DeleteParams::default();
        match self.cluster.change(&what, || async { api.delete(&reference.name, &params).await }).await {
            Err(ClusterError::NotFound { .. }) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Sets (`Some`) or removes (`None`) labels of a pod.
    ///
    /// # Errors
    /// The API server's refusal.
    pub async fn label_pod(
        &self,
        namespace: &str,
        pod: &str,
        labels: &BTreeMap<String, Option<String>>,
    ) -> Result<(), ClusterError> {
        let real = self.real(namespace)?;
        let api: Api<Pod> = Api::namespaced(self.cluster.client.clone(), real);
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        let params = PatchParams::default();
        let what = format!("label pod {real}/{pod}");
        self.cluster.change(what, || async { api.patch(pod, &params, &patch).await }).await.map(drop)
    }

    /// Sets (`Some`) or removes (`None`) labels of a namespace.
    ///
    /// # Errors
    /// The API server's refusal.
    pub async fn label_namespace(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, Option<String>>,
    ) -> Result<(), ClusterError> {
        let real = self.real(namespace)?;
        let api: Api<Namespace> = Api::all(self.cluster.client.clone());
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        let params = PatchParams::default();
        let what = format!("label namespace {real}");
        self.cluster.change(what, || async { api.patch(real, &params, &patch).await }).await.map(drop)
    }

    fn real(&self, logical: &str) -> Result<&str, ClusterError> {
        self.names.real(logical).ok_or_else(|| {
            ClusterError::Object(format!("namespace `{logical}` is not of the scenario's topology"))
        })
    }

    fn api(&self, kind: &Kind, reference: &ObjectRef) -> Result<Api<DynamicObject>, ClusterError> {
        let client = self.cluster.client.clone();
        match (&reference.namespace, kind.cluster_scoped) {
            (_, true) => Ok(Api::all_with(client, &kind.resource)),
            (Some(logical), false) => Ok(Api::namespaced_with(client, self.real(logical)?, &kind.resource)),
            (None, false) => {
                Err(ClusterError::Object(format!("{} {} needs a namespace", reference.kind, reference.name)))
            }
        }
    }

    /// Notes a cluster-scoped object on a namespace of the deployment before it is made, so that `clean` finds it
    /// even after `kill -9`.
    async fn note_cluster_object(&self, reference: &ObjectRef) -> Result<(), ClusterError> {
        let Some((_, real)) = self.names.iter().next() else {
            return Err(ClusterError::Object(
                "a cluster-scoped object needs a topology with a namespace".into(),
            ));
        };
        let api: Api<Namespace> = Api::all(self.cluster.client.clone());
        let what = format!("annotate namespace {real}");
        let namespace = self.cluster.call(&what, || async { api.get(real).await }).await?;
        let mut noted = noted_objects(&namespace);
        if noted.contains(reference) {
            return Ok(());
        }
        noted.push(reference.clone());
        let text = Value::Array(noted.iter().map(note).collect()).to_string();
        let patch = Patch::Merge(json!({"metadata": {"annotations": {CLUSTER_OBJECTS_ANNOTATION: text}}}));
        let params = PatchParams::default();
        self.cluster.call(&what, || async { api.patch(real, &params, &patch).await }).await.map(drop)
    }
}

/// The cluster-scoped objects that a namespace's annotation names.
pub(crate) fn noted_objects(namespace: &Namespace) -> Vec<ObjectRef> {
    let text = namespace.metadata.annotations.as_ref().and_then(|a| a.get(CLUSTER_OBJECTS_ANNOTATION));
    let values: Vec<Value> = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let field =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    values
        .iter()
        .map(|value| ObjectRef {
            api_version: field(value, "apiVersion"),
            kind: field(value, "kind"),
            namespace: None,
            name: field(value, "name"),
        })
        .collect()
}

fn note(reference: &ObjectRef) -> Value {
    json!({"apiVersion": reference.api_version, "kind": reference.kind, "name": reference.name})
}

/// `NetworkPolicy x/p`
pub(crate) fn describe(reference: &ObjectRef) -> String {
    match &reference.namespace {
        Some(namespace) => format!("{} {namespace}/{}", reference.kind, reference.name),
        None => format!("{} {}", reference.kind, reference.name),
    }
}
