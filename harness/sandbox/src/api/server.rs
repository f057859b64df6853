//! The HTTP server: who may come in, and which part answers.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderValue, Method, Response, header},
};
use connections::Client;
use percent::decode;
use tokio::{net::TcpListener, sync::OwnedSemaphorePermit, task::JoinHandle, time::timeout};

use super::{
    cluster::Cluster, decode::BODY_LIMIT, discovery, object::new_uid, query::Target, rest, status::ApiError,
};

pub(super) mod connections;
mod held;
mod percent;

/// How long a request's body may take.
const BODY: Duration = Duration::from_secs(60);

/// Marks an answer that goes on for as long as the client likes, and is counted elsewhere.
#[derive(Clone)]
pub(super) struct Endless;

/// First segment of a URL that carries the token in its path: `/token/TOKEN/api/…`. Kubernetes' Go clients send no
/// credentials over plain HTTP, so a kubeconfig for them needs the token in the server's URL.
pub(crate) const TOKEN_SEGMENT: &str = "token";

/// Serves until the cluster's stop token is cancelled.
pub(crate) fn serve(cluster: Arc<Cluster>, listener: TcpListener) -> JoinHandle<()> {
    let stop = cluster.stop.clone();
    tokio::spawn(connections::serve(listener, stop, connections::PATIENCE, move |client, request| {
        let cluster = Arc::clone(&cluster);
        async move { entry(&cluster, &client, request.map(Body::new)).await }
    }))
}

async fn entry(cluster: &Arc<Cluster>, client: &Client, request: Request) -> Response<Body> {
    let mut response = match answer(cluster, client, request).await {
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

async fn answer(
    cluster: &Arc<Cluster>,
    client: &Client,
    request: Request,
) -> Result<Response<Body>, ApiError> {
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
    client.is_known();
    if let ["healthz" | "livez" | "readyz", ..] = segments[..] {
        return Ok(Response::new(Body::from("ok")));
    }
    let place = cluster.limits.request()?;
    if parts.method == Method::GET
        && let Some(answer) = discovery::respond(&segments, &parts.headers)
    {
        return keep(answer?, place, cluster).await;
    }
    let target = Target::parse(&segments).ok_or_else(ApiError::no_such_path)?;
    let body = read(body).await?;
    keep(rest::respond(cluster, &target, &mut parts, body).await?, place, cluster).await
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    match timeout(BODY, axum::body::to_bytes(body, BODY_LIMIT)).await {
        Ok(bytes) => bytes.map_err(|_| ApiError::too_large(BODY_LIMIT)),
        Err(_) => Err(ApiError::too_slow(BODY)),
    }
}

/// Counts a request until its answer has been read.
async fn keep(
    response: Response<Body>,
    place: OwnedSemaphorePermit,
    cluster: &Cluster,
) -> Result<Response<Body>, ApiError> {
    if response.extensions().get::<Endless>().is_some() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await;
    let bytes = bytes.map_err(|error| ApiError::internal(error.to_string()))?;
    let room = cluster.limits.answer(bytes.len())?;
    Ok(Response::from_parts(parts, held::held(bytes, [place, room])))
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
