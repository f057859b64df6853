//! Connections: how many there may be, and how long a client has that has not shown the token.
//!
//! Who has no token may neither hold connections for long nor keep others out: each has [`PATIENCE`], and when there
//! are too many of them the oldest goes, not the newest. What a client does not read is bounded as well: little of an
//! answer is made ahead, and a connection that takes nothing for [`STALLED`] ends.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// How long a client may take until it has shown the token.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Most clients at a time that have not shown the token.
pub(super) const STRANGERS: usize = 128;

/// Most connections at a time, commands in pods not counted.
const CONNECTIONS: usize = 4096;

/// How long a client may take nothing of what there is for it.
const STALLED: Duration = Duration::from_secs(60);

/// Most bytes of answers that wait for one client to read them, besides what the kernel has; and of a request's head.
const BUFFER: usize = 64 << 10;

/// The same for what the kernel has of them; it doubles this, and would otherwise take megabytes.
const KERNEL_BUFFER: usize = 256 << 10;

/// Pause after a connection that could not be accepted: most often there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// A client on one connection.
#[derive(Default)]
pub(super) struct Client {
    known: AtomicBool,
    leave: CancellationToken,
}

impl Client {
    /// Notes that it has shown the token.
    pub(super) fn is_known(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    fn is_stranger(&self) -> bool {
        !self.known.load(Ordering::Relaxed)
    }
}

/// Serves until `stop` is cancelled and the last connection has ended. A client has `patience` to show the token.
pub(super) async fn serve<F>(
    listener: TcpListener,
    stop: CancellationToken,
    patience: Duration,
    answer: impl Fn(Arc<Client>, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut strangers: VecDeque<Weak<Client>> = VecDeque::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        if connections.len() >= CONNECTIONS || tune(&stream).is_err() {
            continue;
        }
        strangers.retain(|stranger| stranger.upgrade().is_some_and(|client| client.is_stranger()));
        if strangers.len() >= STRANGERS
            && let Some(oldest) = strangers.pop_front().and_then(|oldest| oldest.upgrade())
        {
            oldest.leave.cancel();
        }
        let client = Arc::new(Client::default());
        strangers.push_back(Arc::downgrade(&client));
        connections.spawn(connection(stream, client, stop.clone(), patience, answer.clone()));
    }
    while connections.join_next().await.is_some() {}
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    // Small frames of an exec session must not wait for each other.
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::SndBuf, &KERNEL_BUFFER)?;
    Ok(setsockopt(stream, sockopt::TcpUserTimeout, &(STALLED.as_millis() as u32))?)
}

async fn connection<F>(
    stream: TcpStream,
    client: Arc<Client>,
    stop: CancellationToken,
    patience: Duration,
    answer: impl Fn(Arc<Client>, Request<Incoming>) -> F,
) where
    F: Future<Output = Response<Body>>,
{
    let service = service_fn(|request| {
        let answered = answer(Arc::clone(&client), request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let connection = http1::Builder::new()
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut patience = pin!(sleep(patience));
    let (mut looked, mut stopping) = (false, false);
    loop {
        tokio::select! {
            // How it ended is of interest to the client alone.
            _ = connection.as_mut() => return,
            () = patience.as_mut(), if !looked => {
                looked = true;
                if client.is_stranger() {
                    return;
                }
            }
            () = client.leave.cancelled() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A server for which `GET /token` shows the token.
    async fn server(patience: Duration) -> (std::net::SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let answer = |client: Arc<Client>, request: Request<Incoming>| async move {
            if request.uri().path() == "/token" {
                client.is_known();
            }
            Response::new(Body::from("ok"))
        };
        tokio::spawn(serve(listener, stop.clone(), patience, answer));
        (address, stop)
    }

    async fn asks(stream: &mut TcpStream, path: &str) -> bool {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut answer = [0; 1024];
        stream.write_all(request.as_bytes()).await.is_ok()
            && matches!(stream.read(&mut answer).await, Ok(got) if answer[..got].ends_with(b"ok"))
    }

    /// A connection that has begun a request.
    async fn half_open(address: std::net::SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /token HTTP/1.1\r\nHost:").await.unwrap();
        stream
    }

    async fn ends(stream: &mut TcpStream) -> bool {
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0])).await;
        matches!(ended, Ok(Ok(0) | Err(_)))
    }

    #[tokio::test]
    async fn strangers_must_go_and_others_stay() {
        let (address, stop) = server(Duration::from_millis(200)).await;
        let mut known = TcpStream::connect(address).await.unwrap();
        assert!(asks(&mut known, "/token").await);
        let mut half = half_open(address).await;
        let mut unknown = TcpStream::connect(address).await.unwrap();
        assert!(asks(&mut unknown, "/healthz").await);
        assert!(ends(&mut half).await && ends(&mut unknown).await);
        assert!(asks(&mut known, "/").await);
        stop.cancel();
    }

    #[tokio::test]
    async fn too_many_strangers_keep_nobody_out() {
        let (address, stop) = server(Duration::from_secs(60)).await;
        let mut known = TcpStream::connect(address).await.unwrap();
        assert!(asks(&mut known, "/token").await);
        let mut half = vec![];
        for _ in 0..STRANGERS + 20 {
            half.push(half_open(address).await);
        }
        let mut late = TcpStream::connect(address).await.unwrap();
        assert!(asks(&mut late, "/token").await && asks(&mut known, "/").await);
        for stream in &mut half[..20] {
            assert!(ends(stream).await);
        }
        assert!(half[40].try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
        stop.cancel();
    }
}
