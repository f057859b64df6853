//! Watches: an answer without an end.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    Shared,
    http::{Request, answer, head_end},
    plan::Watch,
    reset, status, until_gone,
};

const BEGUN: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
const END: &[u8] = b"0\r\n\r\n";

pub(super) async fn pass(shared: &Shared, request: &Request, mut client: TcpStream) {
    // Whoever goes first ends it; the other sees that by itself.
    let _ = watch(shared, request, &mut client).await;
}

async fn watch(shared: &Shared, request: &Request, client: &mut TcpStream) -> io::Result<()> {
    let fault = shared.plan.watch(request);
    match fault {
        Some(Watch::Gone) => {
            let body = status(410, "Expired", "too old resource version: 1 (2)", "");
            return client.write_all(&answer("410 Gone", "", "application/json", &body)).await;
        }
        Some(Watch::GoneEvent) => {
            let status = status(410, "Expired", "too old resource version: 1 (2)", "");
            let event = format!("{{\"type\":\"ERROR\",\"object\":{status}}}\n");
            let chunk = format!("{BEGUN}{:x}\r\n{event}\r\n", event.len());
            client.write_all(chunk.as_bytes()).await?;
            return client.write_all(END).await;
        }
        Some(Watch::Unavailable) => {
            let body = status(503, "ServiceUnavailable", "apiserver is shutting down", "");
            return client.write_all(&answer("503 Service Unavailable", "", "application/json", &body)).await;
        }
        Some(Watch::Ended) => {
            client.write_all(BEGUN.as_bytes()).await?;
            sleep(shared.plan.pause() / 4).await;
            return client.write_all(END).await;
        }
        Some(Watch::Stalled) => {
            client.write_all(BEGUN.as_bytes()).await?;
            until_gone(client).await;
            return Ok(());
        }
        Some(Watch::Cut | Watch::Late) | None => {}
    }
    let mut server = TcpStream::connect(shared.upstream).await?;
    server.write_all(&request.bytes()).await?;
    if fault == Some(Watch::Cut) {
        let mut some = vec![0; 64 << 10];
        let mut read = 0;
        // The head, and what there is of the first events.
        while head_end(&some[..read]).is_none_or(|end| end == read) {
            match timeout(shared.plan.pause(), server.read(&mut some[read..])).await {
                Ok(Ok(n @ 1..)) => read += n,
                _ => break,
            }
        }
        let head = head_end(&some[..read]).unwrap_or(0);
        client.write_all(&some[..head + shared.plan.part(read - head)]).await?;
        reset(client);
        return Ok(());
    }
    let mut chunk = vec![0; 64 << 10];
    let mut nothing = [0; 64];
    loop {
        tokio::select! {
            read = server.read(&mut chunk) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                if fault == Some(Watch::Late) {
                    sleep(shared.plan.pause()).await;
                }
                client.write_all(&chunk[..read]).await?;
            }
            gone = client.read(&mut nothing) => {
                if !matches!(gone, Ok(1..)) {
                    return Ok(());
                }
            }
        }
    }
}
