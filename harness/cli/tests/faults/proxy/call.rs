//! Calls: one request, one answer.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Shared,
    http::{Request, answer, kept_open},
    plan::Call,
    reset, status, until_gone,
};

/// Whether the connection stays open.
pub(super) async fn pass(shared: &Shared, request: &Request, client: &mut TcpStream) -> io::Result<bool> {
    let own = match shared.plan.call(request) {
        None => return forward(shared, request, client).await,
        Some(Call::TooMany) => answer(
            "429 Too Many Requests",
            "retry-after: 1\r\n",
            "text/plain",
            "Too many requests, please try again later.\n",
        ),
        Some(Call::TooManyOpen) => answer("429 Too Many Requests", "", "text/plain", "too many\n"),
        Some(Call::TooManyStatus) => {
            let body = status(429, "TooManyRequests", "busy", r#""retryAfterSeconds":1"#);
            answer("429 Too Many Requests", "retry-after: 1\r\n", "application/json", &body)
        }
        Some(Call::Internal) => {
            let body = status(500, "InternalError", "etcdserver: leader changed", "");
            answer("500 Internal Server Error", "", "application/json", &body)
        }
        Some(Call::Unavailable) => {
            let body = status(503, "ServiceUnavailable", "apiserver is shutting down", "");
            answer("503 Service Unavailable", "", "application/json", &body)
        }
        Some(Call::Page) => {
            let body = "<html><head><title>503</title></head><body>no server is available</body></html>\n";
            answer("503 Service Unavailable", "", "text/html", body)
        }
        Some(Call::BadGateway) => answer("502 Bad Gateway", "", "text/plain", ""),
        Some(Call::Foreign) => {
            answer("503 Service Unavailable", "", "application/json", r#"{"error":"no healthy upstream"}"#)
        }
        Some(Call::Reset) => {
            reset(client);
            return Ok(false);
        }
        Some(Call::Lost) => {
            upstream(shared, request).await?;
            reset(client);
            return Ok(false);
        }
        Some(Call::Half) => {
            let answer = upstream(shared, request).await?;
            client.write_all(&answer[..shared.plan.part(answer.len())]).await?;
            return Ok(false);
        }
        Some(Call::Late) => {
            // An API server drops what nobody waits for any more.
            if timeout(shared.plan.pause(), until_gone(client)).await.is_ok() {
                return Ok(false);
            }
            return forward(shared, request, client).await;
        }
        Some(Call::Hung) => {
            until_gone(client).await;
            return Ok(false);
        }
        Some(Call::HungDone) => {
            upstream(shared, request).await?;
            until_gone(client).await;
            return Ok(false);
        }
    };
    client.write_all(&own).await?;
    Ok(true)
}

async fn forward(shared: &Shared, request: &Request, client: &mut TcpStream) -> io::Result<bool> {
    let answer = upstream(shared, request).await?;
    client.write_all(&kept_open(answer)).await?;
    Ok(true)
}

async fn upstream(shared: &Shared, request: &Request) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(shared.upstream).await?;
    server.write_all(&request.bytes()).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}
