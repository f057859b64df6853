//! A registry in this process: the part of the OCI distribution protocol that a push needs, and its ways to refuse.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use sha2::{Digest, Sha256};

/// What the registry asks of whoever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    Basic,
    Bearer,
    /// Lets in, and then refuses with this code.
    Refuses(u16),
}

/// `user:secret`
const BASIC: &str = "Basic dXNlcjpzZWNyZXQ=";

#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// By digest.
    pub(crate) blobs: BTreeMap<String, Bytes>,
    /// By `repository@tag` or `repository@digest`: media type and bytes.
    pub(crate) manifests: BTreeMap<String, (String, Bytes)>,
    /// Method and path of each request.
    pub(crate) log: Vec<String>,
}

pub(crate) struct Stub {
    /// `127.0.0.1:port`
    pub(crate) address: String,
    pub(crate) contents: Arc<Mutex<Contents>>,
}

#[derive(Clone)]
struct Shared {
    door: Door,
    address: String,
    contents: Arc<Mutex<Contents>>,
}

impl Stub {
    /// Serves until the test's runtime ends.
    pub(crate) async fn start(door: Door) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let contents = Arc::default();
        let shared = Shared { door, address: address.clone(), contents: Arc::clone(&contents) };
        let router = Router::new().fallback(any(serve)).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, contents }
    }
}

async fn serve(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 8 << 20).await.unwrap();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    shared.contents.lock().unwrap().log.push(format!("{} {path}", parts.method));
    if path == "/token" {
        return token(&parts.headers, &query);
    }
    if let Some(challenge) = challenge(&shared, &parts.headers) {
        return challenge;
    }
    let mut contents = shared.contents.lock().unwrap();
    if path == "/v2/" {
        return StatusCode::OK.into_response();
    }
    if let Door::Refuses(code) = shared.door {
        let words = r#"{"errors":[{"code":"DENIED","message":"not \u001b[31myou"}]}"#;
        return (StatusCode::from_u16(code).unwrap(), words).into_response();
    }
    let (repository, what) = path.strip_prefix("/v2/").unwrap().split_once("/blobs/").map_or_else(
        || path.strip_prefix("/v2/").unwrap().split_once("/manifests/").unwrap(),
        |(repository, _)| (repository, "blob"),
    );
    match (parts.method, what) {
        (Method::POST, "blob") => {
            let location = format!("/v2/{repository}/blobs/uploads/1?state=secret");
            (StatusCode::ACCEPTED, [(header::LOCATION, location)]).into_response()
        }
        (Method::PUT, "blob") => {
            let digest = query.split("digest=").nth(1).unwrap().replace("%3A", ":");
            assert_eq!(digest, digest_of(&body));
            contents.blobs.insert(digest, body);
            (StatusCode::CREATED, [(header::LOCATION, path)]).into_response()
        }
        (Method::PUT, reference) => {
            let media_type = parts.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
            for digest in mentioned(&body) {
                let known = contents.blobs.contains_key(&digest)
                    || contents.manifests.contains_key(&format!("{repository}@{digest}"));
                assert!(known, "{reference} refers to {digest}, which is not there");
            }
            contents.manifests.insert(format!("{repository}@{reference}"), (media_type, body));
            // No location, as some registries do.
            StatusCode::CREATED.into_response()
        }
        (method, _) => panic!("{method} {path}"),
    }
}

/// What a door says to who has no key.
fn challenge(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let (key, challenge) = match shared.door {
        Door::Open | Door::Refuses(_) => return None,
        Door::Basic => (BASIC, "Basic realm=\"stub\"".to_owned()),
        Door::Bearer => {
            ("Bearer pass", format!("Bearer realm=\"http://{}/token\",service=\"stub\"", shared.address))
        }
    };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
    (shown != Some(key))
        .then(|| (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], body).into_response())
}

fn token(headers: &HeaderMap, query: &str) -> Response {
    assert!(query.contains("push") && query.contains("service=stub"), "{query}");
    if headers.get(header::AUTHORIZATION).is_some_and(|value| value == BASIC) {
        r#"{"token":"pass"}"#.into_response()
    } else {
        (StatusCode::UNAUTHORIZED, "who are you?").into_response()
    }
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

/// The digests that a manifest or an index refers to.
fn mentioned(manifest: &[u8]) -> Vec<String> {
    let document: serde_json::Value = serde_json::from_slice(manifest).unwrap();
    let lists = ["layers", "manifests"].map(|list| document[list].as_array().cloned().unwrap_or_default());
    lists
        .concat()
        .iter()
        .chain(document.get("config"))
        .map(|descriptor| descriptor["digest"].as_str().unwrap().to_owned())
        .collect()
}
