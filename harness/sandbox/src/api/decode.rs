//! Request bodies: bytes → the kind's typed form → canonical JSON without unknown fields and nulls.

use axum::http::HeaderMap;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Event, Namespace, Node, Pod, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
    networking::v1::{NetworkPolicy, ServiceCIDR},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    kinds::{Facts, Kind, VERSION},
    protobuf,
    status::ApiError,
};

/// Largest request body in bytes, as in a real API server.
pub(crate) const BODY_LIMIT: usize = 3 << 20;

/// What happens with unknown fields (`fieldValidation=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// Dropped silently.
    Ignore,
    /// Dropped with a warning.
    Warn,
    /// Refused.
    Strict,
}

impl FieldValidation {
    /// Reads the query parameter; warnings are the API's default.
    ///
    /// # Errors
    /// 422 for another word.
    pub(crate) fn parse(word: Option<&str>) -> Result<Self, ApiError> {
        match word {
            Some("Ignore") => Ok(Self::Ignore),
            None | Some("" | "Warn") => Ok(Self::Warn),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => Err(ApiError::unprocessable(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// Reads a body that is JSON, or YAML or protobuf when its content type says so.
///
/// # Errors
/// 400 for bad syntax, 415 for other types and for what cannot be read of protobuf.
pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Value, ApiError> {
    let content = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("application/json");
    let media = content.split(';').next().unwrap_or_default().trim();
    match media {
        "" | "*/*" | "application/json" => json(body),
        "application/yaml" => yaml(body),
        "application/vnd.kubernetes.protobuf" => protobuf::read(body).ok_or_else(unsupported),
        _ => Err(unsupported()),
    }
}

fn unsupported() -> ApiError {
    ApiError::unsupported_media_type("application/json, application/yaml")
}

/// Reads JSON.
///
/// # Errors
/// 400 for bad syntax.
pub(crate) fn json(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|e| {
        ApiError::bad_request(format!("the object provided is unrecognized (must be of type JSON): {e}"))
    })
}

/// Reads YAML, of which JSON is a part.
///
/// # Errors
/// 400 for bad syntax.
pub(crate) fn yaml(body: &[u8]) -> Result<Value, ApiError> {
    if body.trim_ascii_start().starts_with(b"{") {
        return json(body);
    }
    let text =
        std::str::from_utf8(body).map_err(|e| ApiError::bad_request(format!("error parsing YAML: {e}")))?;
    serde_yaml::from_str(text).map_err(|e| ApiError::bad_request(format!("error parsing YAML: {e}")))
}

/// Makes an object canonical. The second part is the warnings for the client.
///
/// # Errors
/// 400 when the object is of another kind, a field has another type, or a field is unknown and `validation` is strict.
pub(crate) fn canonical(
    facts: &Facts,
    mut value: Value,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), ApiError> {
    check_type(facts, &mut value)?;
    let (typed, unknown) = match facts.id {
        Kind::Namespace => through::<Namespace>(facts, value),
        Kind::Node => through::<Node>(facts, value),
        Kind::Pod => through::<Pod>(facts, value),
        Kind::Service => through::<Service>(facts, value),
        Kind::ConfigMap => through::<ConfigMap>(facts, value),
        Kind::Event => through::<Event>(facts, value),
        Kind::ServiceAccount => through::<ServiceAccount>(facts, value),
        Kind::EndpointSlice => through::<EndpointSlice>(facts, value),
        Kind::NetworkPolicy => through::<NetworkPolicy>(facts, value),
        Kind::ServiceCIDR => through::<ServiceCIDR>(facts, value),
    }?;
    let complaints: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
    match validation {
        FieldValidation::Strict if !complaints.is_empty() => Err(ApiError::bad_request(format!(
            "{} in version {VERSION:?} cannot be handled as a {}: strict decoding error: {}",
            facts.kind,
            facts.kind,
            complaints.join(", ")
        ))),
        FieldValidation::Warn => Ok((typed, complaints)),
        _ => Ok((typed, vec![])),
    }
}

/// `apiVersion` and `kind` must fit the URL; typed clients may leave them out.
fn check_type(facts: &Facts, value: &mut Value) -> Result<(), ApiError> {
    let Some(map) = value.as_object_mut() else {
        return Err(ApiError::bad_request(
            "the object provided is unrecognized (must be of type JSON object)",
        ));
    };
    for (key, wanted) in [("apiVersion", facts.api_version()), ("kind", facts.kind.to_owned())] {
        match map.get(key).and_then(Value::as_str).unwrap_or_default() {
            "" => map.insert(key.to_owned(), Value::String(wanted)),
            found if found == wanted => None,
            found => {
                return Err(ApiError::bad_request(format!(
                    "the {key} in the data ({found}) does not match the expected {key} ({wanted})"
                )));
            }
        };
    }
    Ok(())
}

fn through<T: Serialize + DeserializeOwned>(
    facts: &Facts,
    value: Value,
) -> Result<(Value, Vec<String>), ApiError> {
    let refuse = |e: serde_json::Error| {
        ApiError::bad_request(format!(
            "{} in version {VERSION:?} cannot be handled as a {}: {e}",
            facts.kind, facts.kind
        ))
    };
    let typed: T = T::deserialize(&value).map_err(refuse)?;
    let canonical = serde_json::to_value(typed).map_err(refuse)?;
    let mut unknown = vec![];
    missing(&value, &canonical, &mut String::new(), &mut unknown);
    Ok((canonical, unknown))
}

/// Paths that `given` has and `kept` has not; nulls do not count.
fn missing(given: &Value, kept: &Value, path: &mut String, unknown: &mut Vec<String>) {
    let length = path.len();
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (key, value) in given.iter().filter(|(_, value)| !value.is_null()) {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
                match kept.get(key) {
                    Some(kept) => missing(value, kept, path, unknown),
                    None => unknown.push(path.clone()),
                }
                path.truncate(length);
            }
        }
        (Value::Array(given), Value::Array(kept)) => {
            for (i, (given, kept)) in given.iter().zip(kept).enumerate() {
                path.push_str(&format!("[{i}]"));
                missing(given, kept, path, unknown);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(spec: Value) -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": spec})
    }

    #[test]
    fn unknown_fields_are_refused_told_or_dropped() {
        let facts = Kind::NetworkPolicy.facts();
        let given = policy(json!({"podSelector": {}, "ingress": [{"form": []}]}));
        let error = canonical(facts, given.clone(), FieldValidation::Strict).unwrap_err().json().to_string();
        assert!(
            error.contains(r#"strict decoding error: unknown field \"spec.ingress[0].form\""#),
            "{error}"
        );
        let (kept, warnings) = canonical(facts, given.clone(), FieldValidation::Warn).unwrap();
        assert_eq!(warnings, ["unknown field \"spec.ingress[0].form\""]);
        assert_eq!(kept["spec"]["ingress"], json!([{}]));
        assert!(canonical(facts, given, FieldValidation::Ignore).unwrap().1.is_empty());
    }

    #[test]
    fn another_type_or_kind_is_refused() {
        let facts = Kind::NetworkPolicy.facts();
        for bad in [
            policy(json!({"podSelector": []})),
            policy(json!({"podSelector": {"matchLabels": {"a": true}}})),
            json!({"kind": "Pod", "metadata": {}}),
            json!([]),
        ] {
            assert_eq!(canonical(facts, bad, FieldValidation::Warn).unwrap_err().code(), 400);
        }
    }

    #[test]
    fn numbers_and_nulls_are_not_unknown_fields() {
        let facts = Kind::NetworkPolicy.facts();
        let given =
            policy(json!({"podSelector": {}, "egress": null, "ingress": [{"ports": [{"port": 80}]}]}));
        assert!(canonical(facts, given, FieldValidation::Strict).is_ok());
    }
}
