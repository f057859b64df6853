//! Failures as the Kubernetes API words them: `metav1.Status`.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use serde_json::{Value, json};

use super::kinds::Facts;

/// A failed request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    code: u16,
    reason: &'static str,
    message: String,
    details: Value,
}

/// One violated rule of an object, as it appears in `details.causes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// `FieldValueInvalid` and the like.
    pub(crate) reason: &'static str,
    /// What is wrong, without the field.
    pub(crate) message: String,
    /// JSON path of the field.
    pub(crate) field: String,
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: json!({}) }
    }

    fn about(mut self, facts: &Facts, name: &str) -> Self {
        self.details = json!({"name": name, "kind": facts.plural});
        if !facts.group.is_empty() {
            self.details["group"] = json!(facts.group);
        }
        self
    }

    /// 404 for an object.
    pub(crate) fn not_found(facts: &Facts, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", facts.qualified())).about(facts, name)
    }

    /// 404 for a path that no resource has.
    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 409: the name is taken.
    pub(crate) fn already_exists(facts: &Facts, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", facts.qualified()))
            .about(facts, name)
    }

    /// 409: somebody else was faster, or a precondition does not hold.
    pub(crate) fn conflict(facts: &Facts, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", facts.qualified());
        Self::new(409, "Conflict", message).about(facts, name)
    }

    /// 409: the object has changed since it was read.
    pub(crate) fn stale(facts: &Facts, name: &str) -> Self {
        Self::conflict(
            facts,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409: other field managers own what an apply would change.
    pub(crate) fn apply_conflict(causes: Vec<Cause>) -> Self {
        let list: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.message, c.field)).collect();
        let plural = if causes.len() == 1 { "" } else { "s" };
        let text =
            if list.len() == 1 { list.join("") } else { format!("conflicts with {}", list.join("\n- ")) };
        let mut error = Self::new(
            409,
            "Conflict",
            format!("Apply failed with {} conflict{plural}: {text}", causes.len()),
        );
        error.details = json!({"causes": causes.iter().map(Cause::json).collect::<Vec<_>>()});
        error
    }

    /// 422: the object breaks rules.
    pub(crate) fn invalid(facts: &Facts, name: &str, causes: &[Cause]) -> Self {
        let list: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let text = if list.len() == 1 { list.join("") } else { format!("[{}]", list.join(", ")) };
        let kind = if facts.group.is_empty() {
            facts.kind.to_owned()
        } else {
            format!("{}.{}", facts.kind, facts.group)
        };
        let mut error =
            Self::new(422, "Invalid", format!("{kind} {name:?} is invalid: {text}")).about(facts, name);
        error.details["kind"] = json!(facts.kind);
        error.details["causes"] = causes.iter().map(Cause::json).collect();
        error
    }

    /// 422 for a request that is well-formed but cannot be carried out.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    /// 400
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401
    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403: nothing new in a namespace that is being deleted.
    pub(crate) fn terminating(facts: &Facts, name: &str, namespace: &str) -> Self {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut error =
            Self::new(403, "Forbidden", format!("{} {name:?} is forbidden: {why}", facts.qualified()))
                .about(facts, name);
        error.details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]);
        error
    }

    /// 403 for other reasons.
    pub(crate) fn forbidden(facts: &Facts, name: &str, why: &str) -> Self {
        Self::new(403, "Forbidden", format!("{} {name:?} is forbidden: {why}", facts.qualified()))
            .about(facts, name)
    }

    /// 405
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// 406
    pub(crate) fn not_acceptable(types: &str) -> Self {
        Self::new(406, "NotAcceptable", format!("only the following media types are accepted: {types}"))
    }

    /// 410: the history that a watch asks for is gone.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 413
    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    /// 415
    pub(crate) fn unsupported_media_type(types: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {types}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 408: the rest of a request did not come.
    pub(crate) fn too_slow(limit: Duration) -> Self {
        Self::new(408, "Timeout", format!("the request's body took more than {} s", limit.as_secs()))
    }

    /// 413: an object has grown beyond what is kept.
    pub(crate) fn object_too_large(facts: &Facts, name: &str, limit: usize) -> Self {
        let message = format!("{} {name:?} is too large: limit is {limit}", facts.qualified());
        Self::new(413, "RequestEntityTooLarge", message).about(facts, name)
    }

    /// 413: a patch has too many operations.
    pub(crate) fn too_many_operations(limit: usize, given: usize) -> Self {
        let message = format!("The allowed maximum operations in a JSON patch is {limit}, got {given}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 429
    pub(crate) fn too_many(message: impl Into<String>) -> Self {
        let mut error = Self::new(429, "TooManyRequests", message);
        error.details = json!({"retryAfterSeconds": 1});
        error
    }

    /// 500
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", message)
    }

    /// HTTP status code.
    #[cfg(test)]
    pub(crate) fn code(&self) -> u16 {
        self.code
    }

    /// As a `Status` object.
    pub(crate) fn json(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if self.details.as_object().is_some_and(|d| !d.is_empty()) {
            status["details"] = self.details.clone();
        }
        status
    }

    /// As a response.
    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = json_response(self.code, &self.json());
        if self.code == 429 {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl Cause {
    fn json(&self) -> Value {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}

/// A response with a JSON body.
pub(crate) fn json_response(code: u16, body: &Value) -> Response<Body> {
    bytes_response(code, body.to_string().into())
}

/// A response with a body that is already JSON.
pub(crate) fn bytes_response(code: u16, body: axum::body::Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(code).expect("only codes written in this crate reach this place");
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
