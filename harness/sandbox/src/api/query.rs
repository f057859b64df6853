//! Paths and query parameters: what a request is about.

use axum::{extract::Query, http::Uri};

use super::{
    kinds::{Facts, VERSION},
    object::Shared,
    selector::{FieldSelector, LabelSelector},
    status::ApiError,
};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Group of the resource.
    pub(crate) group: String,
    /// Plural of the resource.
    pub(crate) resource: String,
    /// Namespace in the path.
    pub(crate) namespace: Option<String>,
    /// Name in the path.
    pub(crate) name: Option<String>,
    /// Subresource in the path.
    pub(crate) subresource: Option<String>,
}

/// Query parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

/// Which objects a list or watch is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Only this namespace.
    pub(crate) namespace: Option<String>,
    /// Only this name.
    pub(crate) name: Option<String>,
    /// Only these labels.
    pub(crate) labels: LabelSelector,
    /// Only these fields.
    pub(crate) fields: FieldSelector,
}

impl Target {
    /// Reads the segments of a path under `/api` or `/apis`; `None` when it names no resource.
    pub(crate) fn parse(segments: &[&str]) -> Option<Self> {
        let (group, rest) = match segments {
            ["api", VERSION, rest @ ..] => ("", rest),
            ["apis", group, VERSION, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            // A namespace itself, and its subresources, are not "in" the namespace.
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            _ => (None, rest),
        };
        let part = |i: usize| rest.get(i).map(|s| (*s).to_owned());
        (!rest.is_empty() && rest.len() <= 3).then(|| Self {
            group: group.to_owned(),
            resource: rest[0].to_owned(),
            namespace,
            name: part(1),
            subresource: part(2),
        })
    }
}

impl Params {
    /// Reads the query of a URI.
    ///
    /// # Errors
    /// 400 when it is not well-formed.
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        let Query(pairs) = Query::try_from_uri(uri).map_err(|e| ApiError::bad_request(e.to_string()))?;
        Ok(Self(pairs))
    }

    /// A parameter's first value.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| &**v)
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, key: &str) -> Vec<String> {
        self.0.iter().filter(|(k, _)| k == key).map(|(_, v)| v.clone()).collect()
    }

    /// Whether a parameter is true.
    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some("true" | "1"))
    }

    /// A number.
    ///
    /// # Errors
    /// 400 when it is none.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, ApiError> {
        match self.get(key) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| ApiError::bad_request(format!("query parameter {key}: {text:?} is no number"))),
        }
    }
}

impl Filter {
    /// From a list's or watch's path and parameters.
    ///
    /// # Errors
    /// 400 for selectors that cannot be read.
    pub(crate) fn new(facts: &Facts, target: &Target, params: &Params) -> Result<Self, ApiError> {
        let fields = FieldSelector::parse(facts, params.get("fieldSelector").unwrap_or_default())?;
        Ok(Self {
            namespace: target.namespace.clone(),
            name: target.name.clone().or_else(|| fields.name().map(str::to_owned)),
            labels: LabelSelector::parse(params.get("labelSelector").unwrap_or_default())?,
            fields,
        })
    }

    /// Whether an object is meant.
    pub(crate) fn matches(&self, object: &Shared) -> bool {
        self.namespace.as_deref().is_none_or(|ns| ns == object.namespace())
            && self.name.as_deref().is_none_or(|name| name == object.name())
            && self.fields.matches(&object.value)
            && (self.labels.is_empty()
                || self.labels.matches(&super::object::strings(&object.value, "/metadata/labels")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Option<Target> {
        Target::parse(&path.split('/').collect::<Vec<_>>())
    }

    #[test]
    fn paths() {
        let pod = target("api/v1/namespaces/x/pods/a/exec").unwrap();
        assert_eq!((pod.namespace.as_deref(), pod.name.as_deref()), (Some("x"), Some("a")));
        assert_eq!((&*pod.resource, pod.subresource.as_deref()), ("pods", Some("exec")));
        let ns = target("api/v1/namespaces/x/finalize").unwrap();
        assert_eq!((ns.namespace, ns.name.as_deref()), (None, Some("x")));
        let all = target("apis/networking.k8s.io/v1/networkpolicies").unwrap();
        assert_eq!((&*all.group, all.namespace, all.name), ("networking.k8s.io", None, None));
        assert_eq!(target("api/v1/namespaces").unwrap().resource, "namespaces");
        assert_eq!(target("api/v1/namespaces/x/pods").unwrap().resource, "pods");
        assert_eq!(target("api/v2/pods"), None);
    }
}
