//! Which rights we have: the API server is asked, and nothing is tried.

use futures::{StreamExt, stream};
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
};
use kube::{Api, api::PostParams};

use crate::{
    client::Cluster,
    dns::DNS_NAMESPACE,
    error::ClusterError,
    rights::{Place, RIGHTS, Right},
};

/// Most questions at once.
const AT_ONCE: usize = 16;

/// A right that we do not have, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRight {
    /// Which.
    pub right: Right,
    /// The verbs of it that are refused.
    pub verbs: Vec<&'static str>,
}

impl std::fmt::Display for MissingRight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verbs.join("/"), self.right.qualified())
    }
}

impl Cluster {
    /// Which rights are missing, of those that `wanted` chooses. `own` is a namespace as a run would make it. Rights
    /// on what the cluster does not serve are not asked for.
    ///
    /// # Errors
    /// If the API server does not answer the question.
    pub async fn missing_rights(
        &self,
        own: &str,
        wanted: impl Fn(&Right) -> bool,
    ) -> Result<Vec<MissingRight>, ClusterError> {
        let groups = self.api_groups().await?;
        let served = |right: &&Right| right.group.is_empty() || groups.contains_key(right.group);
        let chosen: Vec<&Right> = RIGHTS.iter().filter(|right| wanted(right)).filter(served).collect();
        let mut questions = Vec::new();
        for (index, right) in chosen.iter().enumerate() {
            for verb in right.verbs {
                let names = right.names.iter().map(|name| Some(*name));
                for name in names.chain(right.names.is_empty().then_some(None)) {
                    questions.push(async move {
                        self.may(right, verb, name, own).await.map(|may| (index, *verb, may))
                    });
                }
            }
        }
        let answers: Vec<_> = stream::iter(questions).buffered(AT_ONCE).collect().await;
        let mut missing: Vec<MissingRight> = Vec::new();
        for answer in answers {
            let (index, verb, may) = answer?;
            if may {
                continue;
            }
            match missing.iter_mut().find(|have| have.right == *chosen[index]) {
                Some(have) if have.verbs.contains(&verb) => {}
                Some(have) => have.verbs.push(verb),
                None => missing.push(MissingRight { right: *chosen[index], verbs: vec![verb] }),
            }
        }
        Ok(missing)
    }

    /// Refuses to go on without the rights that every run needs: each scenario would fail by itself, later, with only
    /// the first of them named. A cluster that does not answer the question is given the benefit of the doubt.
    ///
    /// # Errors
    /// [`ClusterError::MissingRights`] with all of them, or credentials that are not accepted at all.
    pub async fn demand_rights(&self, prefix: &str) -> Result<(), ClusterError> {
        let own = format!("{prefix}-rights");
        match self.missing_rights(&own, |right| right.lost.is_none()).await {
            Ok(missing) if missing.is_empty() => Ok(()),
            Ok(missing) => Err(ClusterError::MissingRights {
                rights: missing.iter().map(ToString::to_string).collect(),
                user: self.user().await,
            }),
            Err(error @ (ClusterError::Unauthorized { .. } | ClusterError::Unreachable { .. })) => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// As whom the API server knows us; `None` when it does not tell (before Kubernetes 1.28).
    pub async fn user(&self) -> Option<String> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let params = PostParams::default();
        let review = SelfSubjectReview::default();
        let answer =
            self.call("ask who we are", || async { api.create(&params, &review).await }).await.ok()?;
        answer.status?.user_info?.username
    }

    async fn may(
        &self,
        right: &Right,
        verb: &str,
        name: Option<&str>,
        own: &str,
    ) -> Result<bool, ClusterError> {
        let (resource, subresource) = match right.resource.split_once('/') {
            Some((resource, sub)) => (resource, Some(sub.to_owned())),
            None => (right.resource, None),
        };
        let namespace = match right.place {
            Place::Cluster => None,
            Place::Own => Some(own.to_owned()),
            Place::KubeSystem => Some(DNS_NAMESPACE.to_owned()),
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(right.group.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource,
                    verb: Some(verb.to_owned()),
                    name: name.map(str::to_owned),
                    namespace,
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let params = PostParams::default();
        let what = format!("ask whether we may {verb} {}", right.qualified());
        let answer = self.call(what, || async { api.create(&params, &review).await }).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}
