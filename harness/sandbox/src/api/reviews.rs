//! Who may do what: whoever holds the token may do everything.

use serde_json::{Value, json};

use super::status::ApiError;

/// Kinds that can only be created, and are answered at once.
pub(crate) struct Review {
    /// API group.
    pub(crate) group: &'static str,
    /// `selfsubjectaccessreviews`
    pub(crate) plural: &'static str,
    /// `selfsubjectaccessreview`
    pub(crate) singular: &'static str,
    /// `SelfSubjectAccessReview`
    pub(crate) kind: &'static str,
}

/// All of them.
pub(crate) const REVIEWS: [Review; 3] = [
    Review {
        group: "authentication.k8s.io",
        plural: "selfsubjectreviews",
        singular: "selfsubjectreview",
        kind: "SelfSubjectReview",
    },
    Review {
        group: "authorization.k8s.io",
        plural: "selfsubjectaccessreviews",
        singular: "selfsubjectaccessreview",
        kind: "SelfSubjectAccessReview",
    },
    Review {
        group: "authorization.k8s.io",
        plural: "selfsubjectrulesreviews",
        singular: "selfsubjectrulesreview",
        kind: "SelfSubjectRulesReview",
    },
];

/// Answers a review.
///
/// # Errors
/// 404 for another resource, 422 for an access review about nothing or about two things.
pub(crate) fn respond(group: &str, resource: &str, body: &Value) -> Result<Value, ApiError> {
    let review = REVIEWS
        .iter()
        .find(|r| r.group == group && r.plural == resource)
        .ok_or_else(ApiError::no_such_path)?;
    let spec = body.get("spec").cloned().unwrap_or_else(|| json!({}));
    let status = match review.kind {
        "SelfSubjectReview" => json!({
            "userInfo": {"username": "verdikt-sandbox", "groups": ["system:masters", "system:authenticated"]},
        }),
        "SelfSubjectAccessReview" => {
            let about = ["resourceAttributes", "nonResourceAttributes"];
            if about.iter().filter(|key| spec.get(key).is_some()).count() != 1 {
                return Err(ApiError::unprocessable(
                    "spec.resourceAttributes: Invalid value: exactly one of nonResourceAttributes or \
                     resourceAttributes must be specified",
                ));
            }
            json!({"allowed": true, "reason": "the holder of the sandbox's token may do everything"})
        }
        _ => json!({
            "incomplete": false,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }),
    };
    let mut answer = json!({
        "kind": review.kind,
        "apiVersion": format!("{}/v1", review.group),
        "metadata": {},
        "status": status,
    });
    if review.kind != "SelfSubjectReview" {
        answer["spec"] = spec;
    }
    Ok(answer)
}
