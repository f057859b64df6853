//! OpenAPI as far as `kubectl` needs it: from v3 it learns that the server validates fields, and from v2 it wants schemas
//! where it would validate by itself, which it does with a `List`. There are none: what has no schema it leaves to the
//! server, and asks it to be strict.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Response, header},
};
use serde_json::{Value, json};

use super::{
    discovery::{GROUPS, KUBERNETES, kinds},
    kinds::VERSION,
    status::{bytes_response, json_response},
};

const TITLE: &str = "verdikt sandbox";
const SWAGGER: &str = "2.0";
/// As a client asks for it, and as a server names it.
const PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];

/// The document without schemas, in the form that the client asks for.
pub(super) fn v2(headers: &HeaderMap) -> Response<Body> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !PROTOBUF.iter().any(|form| accept.contains(form)) {
        let info = json!({"title": TITLE, "version": KUBERNETES});
        let document = json!({"swagger": SWAGGER, "info": info, "paths": {}, "definitions": {}});
        return json_response(200, &document);
    }
    let mut response = bytes_response(200, v2_protobuf());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF[1]));
    response
}

/// As `openapi.v2.Document` of <https://github.com/google/gnostic-models>: swagger, info, paths and definitions are
/// fields 1, 2, 8 and 9; title and version of info are 1 and 2.
fn v2_protobuf() -> Bytes {
    let info = [field(1, TITLE.as_bytes()), field(2, KUBERNETES.as_bytes())].concat();
    [field(1, SWAGGER.as_bytes()), field(2, &info), field(8, &[]), field(9, &[])].concat().into()
}

/// A field with bytes in it; both its number and its length are small.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    const BYTES: u8 = 2;
    debug_assert!(number < 16 && bytes.len() < 128, "each is one byte long");
    [&[number << 3 | BYTES, bytes.len() as u8], bytes].concat()
}

/// The groups that [`v3`] knows.
pub(super) fn v3_index() -> Value {
    let mut paths = serde_json::Map::new();
    paths.insert("api/v1".into(), json!({"serverRelativeURL": "/openapi/v3/api/v1?hash=1"}));
    for group in GROUPS {
        paths.insert(
            format!("apis/{group}/{VERSION}"),
            json!({"serverRelativeURL": format!("/openapi/v3/apis/{group}/{VERSION}?hash=1")}),
        );
    }
    json!({ "paths": paths })
}

/// Only the paths: that PATCH and POST take `fieldValidation` is all that `kubectl apply` looks for. It has the merge
/// keys of these kinds built in.
pub(super) fn v3(group: &str) -> Value {
    let parameter =
        |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let parameters = ["dryRun", "fieldManager", "fieldValidation"].map(parameter);
    let mut paths = serde_json::Map::new();
    for facts in kinds(group) {
        let root =
            if group.is_empty() { format!("/api/{VERSION}") } else { format!("/apis/{group}/{VERSION}") };
        let scope = if facts.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{root}{scope}/{}", facts.plural);
        let operation = |action: &str| {
            json!({
                "parameters": parameters,
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": {"group": facts.group, "version": VERSION, "kind": facts.kind},
            })
        };
        paths.insert(
            format!("{collection}/{{name}}"),
            json!({"patch": operation("patch"), "put": operation("put")}),
        );
        paths.insert(collection, json!({"post": operation("post")}));
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": TITLE, "version": KUBERNETES},
        "paths": paths,
        "components": {"schemas": {}},
    })
}
