//! Objects and lists in the form that the client accepts: JSON, Table, or metadata alone.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Response},
};
use serde_json::{Value, json};

use super::{
    kinds::Facts,
    object::Shared,
    status::{ApiError, bytes_response},
    table,
};

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Json,
    /// Rows for `kubectl get`.
    Table,
    /// `PartialObjectMetadata`
    Metadata,
}

/// What a table's rows carry besides cells (`includeObject=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    /// Nothing.
    None,
    /// Metadata.
    Metadata,
    /// The whole object.
    Object,
}

impl Include {
    /// Reads the query parameter.
    pub(crate) fn parse(word: Option<&str>) -> Self {
        match word {
            Some("None") => Self::None,
            Some("Object") => Self::Object,
            _ => Self::Metadata,
        }
    }
}

impl Form {
    /// The first form in `Accept` that the server has.
    ///
    /// # Errors
    /// 406 when there is none.
    pub(crate) fn accepted(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(accept) = headers.get("accept").and_then(|v| v.to_str().ok()).filter(|a| !a.is_empty())
        else {
            return Ok(Self::Json);
        };
        for media in accept.split(',') {
            let mut parts = media.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let shape = parts.filter_map(|p| p.strip_prefix("as=")).next();
            match (kind, shape) {
                ("application/json" | "application/*" | "*/*", None) => return Ok(Self::Json),
                ("application/json", Some("Table")) => return Ok(Self::Table),
                ("application/json", Some("PartialObjectMetadata" | "PartialObjectMetadataList")) => {
                    return Ok(Self::Metadata);
                }
                _ => {}
            }
        }
        Err(ApiError::not_acceptable("application/json"))
    }

    /// One object, as bytes.
    pub(crate) fn object(self, facts: &Facts, object: &Shared, include: Include) -> Bytes {
        match self {
            Self::Json => object.json().clone(),
            Self::Metadata => metadata(object).to_string().into(),
            Self::Table => table::of(facts, std::slice::from_ref(object), include, None).to_string().into(),
        }
    }

    /// A list, as bytes.
    pub(crate) fn list(self, facts: &Facts, objects: &[Shared], version: u64, include: Include) -> Bytes {
        match self {
            Self::Json => {
                let mut text = format!(
                    r#"{{"kind":"{}List","apiVersion":"{}","metadata":{{"resourceVersion":"{version}"}},"items":["#,
                    facts.kind,
                    facts.api_version()
                )
                .into_bytes();
                for (i, object) in objects.iter().enumerate() {
                    if i > 0 {
                        text.push(b',');
                    }
                    text.extend_from_slice(object.json());
                }
                text.extend_from_slice(b"]}");
                text.into()
            }
            Self::Metadata => json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": version.to_string()},
                "items": objects.iter().map(metadata).collect::<Vec<_>>(),
            })
            .to_string()
            .into(),
            Self::Table => table::of(facts, objects, include, Some(version)).to_string().into(),
        }
    }
}

/// An object's metadata alone.
pub(super) fn metadata(object: &Shared) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.value["metadata"],
    })
}

/// A response with warnings for the client.
pub(crate) fn with_warnings(code: u16, body: Bytes, warnings: &[String]) -> Response<Body> {
    let mut response = bytes_response(code, body);
    for warning in warnings {
        let text = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append("warning", value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Result<Form, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert("accept", accept.parse().unwrap());
        Form::accepted(&headers)
    }

    #[test]
    fn the_first_known_form_wins() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(accepted(kubectl), Ok(Form::Table));
        assert_eq!(accepted("application/vnd.kubernetes.protobuf,application/json"), Ok(Form::Json));
        assert_eq!(
            accepted("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            Ok(Form::Metadata)
        );
        assert_eq!(accepted("application/vnd.kubernetes.protobuf").unwrap_err().code(), 406);
    }
}
