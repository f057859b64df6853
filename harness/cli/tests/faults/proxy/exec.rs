//! Execs: after the handshake, a stream of bytes each way.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::{
    Shared,
    http::{Request, answer},
    plan::Exec,
    reset, status, until_gone,
};

pub(super) async fn pass(shared: &Shared, request: &Request, mut client: TcpStream) {
    // Whoever goes first ends it; the other sees that by itself.
    let _ = exec(shared, request, &mut client).await;
}

async fn exec(shared: &Shared, request: &Request, client: &mut TcpStream) -> io::Result<()> {
    let fault = shared.plan.exec(request);
    let own = match fault {
        Some(Exec::Internal) => {
            let message = "error dialing backend: dial tcp 172.18.0.2:10250: connect: connection refused";
            let body = status(500, "InternalError", message, "");
            answer("500 Internal Server Error", "", "application/json", &body)
        }
        Some(Exec::Unavailable) => answer("503 Service Unavailable", "", "text/plain", "no\n"),
        Some(Exec::TooMany) => {
            answer("429 Too Many Requests", "retry-after: 1\r\n", "text/plain", "Too many requests\n")
        }
        Some(Exec::Reset) => {
            reset(client);
            return Ok(());
        }
        Some(Exec::Late) => {
            sleep(shared.plan.pause()).await;
            Vec::new()
        }
        Some(Exec::CutOut(_) | Exec::CutIn(_) | Exec::Stalled(_)) | None => Vec::new(),
    };
    if !own.is_empty() {
        return client.write_all(&own).await;
    }
    let mut server = TcpStream::connect(shared.upstream).await?;
    server.set_nodelay(true)?;
    server.write_all(&request.bytes()).await?;
    let (most_in, most_out) = match fault {
        Some(Exec::CutOut(bytes) | Exec::Stalled(bytes)) => (usize::MAX, bytes),
        Some(Exec::CutIn(bytes)) => (bytes, usize::MAX),
        _ => (usize::MAX, usize::MAX),
    };
    {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        tokio::select! {
            () = copy(&mut from_client, &mut to_server, most_in) => {}
            () = copy(&mut from_server, &mut to_client, most_out) => {}
        }
    }
    if matches!(fault, Some(Exec::Stalled(_))) {
        until_gone(client).await;
    } else if fault.is_some() && shared.plan.part(2) == 0 {
        reset(client);
    }
    Ok(())
}

/// Copies until the end, an error, or after so many bytes.
async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), most: usize) {
    let mut buffer = vec![0; 64 << 10];
    let mut left = most;
    while left > 0 {
        let room = left.min(buffer.len());
        let Ok(read @ 1..) = from.read(&mut buffer[..room]).await else { return };
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        left -= read;
    }
}
