//! The HTTP server: who may come in, and which part answers.

use std::{io, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, Response, header},
};
use percent::decode;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    cluster::Cluster, decode::BODY_LIMIT, discovery, object::new_uid, query::Target, rest, status::ApiError,
};

mod percent;

/// First segment of a URL that carries the token in its path: `/token/TOKEN/api/…`. Kubernetes' Go clients send no
/// credentials over plain HTTP, so a kubeconfig for them needs the token in the server's URL.
pub(crate) const TOKEN_SEGMENT: &str = "token";

/// Serves until the cluster's stop token is cancelled.
pub(crate) fn serve(cluster: Arc<Cluster>, listener: TcpListener) -> JoinHandle<io::Result<()>> {
    use axum::serve::ListenerExt as _;
    let stop = cluster.stop.clone();
    let router = Router::new().fallback(entry).with_state(cluster);
    // Small frames of an exec session must not wait for each other.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
    })
}

async fn entry(State(cluster): State<Arc<Cluster>>, request: Request) -> Response<Body> {
    let mut response = match answer(&cluster, request).await {
        Ok(response) => response,
        Err(error) => error.response(),
    };
    let id = HeaderValue::from_str(&new_uid()).expect("a UUID is a valid header value");
    response.headers_mut().insert("audit-id", id);
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache, private"));
    response
}

async fn answer(cluster: &Arc<Cluster>, request: Request) -> Result<Response<Body>, ApiError> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let mut segments: Vec<String> = vec![];
    for segment in path.split('/').filter(|s| !s.is_empty()) {
        segments.push(decode(segment).ok_or_else(ApiError::no_such_path)?);
    }
    let mut segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if let ["healthz" | "livez" | "readyz", ..] = segments[..] {
        return Ok(Response::new(Body::from("ok")));
    }
    let bearer = parts.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let mut given = bearer.and_then(|v| v.strip_prefix("Bearer ")).map(str::trim).unwrap_or_default();
    if let [TOKEN_SEGMENT, token, ..] = segments[..] {
        given = token;
        segments.drain(..2);
    }
    if !same(given.as_bytes(), cluster.token.as_bytes()) {
        return Err(ApiError::unauthorized());
    }
    if let ["healthz" | "livez" | "readyz", ..] = segments[..] {
        return Ok(Response::new(Body::from("ok")));
    }
    if parts.method == Method::GET
        && let Some(answer) = discovery::respond(&segments, &parts.headers)
    {
        return answer;
    }
    let target = Target::parse(&segments).ok_or_else(ApiError::no_such_path)?;
    let body = read(body).await?;
    rest::respond(cluster, &target, &mut parts, body).await
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, BODY_LIMIT).await.map_err(|_| ApiError::too_large(BODY_LIMIT))
}

/// Compares without telling by its time how much is equal.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y));
    std::hint::black_box(difference) == 0 && a.len() == b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"ab", b"abc") && !same(b"", b"abc"));
    }
}
