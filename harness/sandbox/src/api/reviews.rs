//! Who may do what: whoever holds the token may do everything.

use serde_json::{Value, json};

use super::status::ApiError;

/// Answers a `SelfSubjectAccessReview` or `SelfSubjectRulesReview`; `None` for another resource.
pub(crate) fn respond(group: &str, resource: &str, body: &Value) -> Option<Result<Value, ApiError>> {
    let (kind, status) = match (group, resource) {
        ("authorization.k8s.io", "selfsubjectaccessreviews") => (
            "SelfSubjectAccessReview",
            json!({"allowed": true, "reason": "the holder of the sandbox's token may do everything"}),
        ),
        ("authorization.k8s.io", "selfsubjectrulesreviews") => (
            "SelfSubjectRulesReview",
            json!({
                "incomplete": false,
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            }),
        ),
        _ => return None,
    };
    let spec = body.get("spec").cloned().unwrap_or_else(|| json!({}));
    let attributes = ["resourceAttributes", "nonResourceAttributes"].iter().filter(|k| spec.get(k).is_some()).count();
    if kind == "SelfSubjectAccessReview" && attributes != 1 {
        return Some(Err(ApiError::unprocessable(
            "spec.resourceAttributes: Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )));
    }
    Some(Ok(json!({
        "kind": kind,
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": spec,
        "status": status,
    })))
}
