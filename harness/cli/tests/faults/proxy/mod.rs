//! A proxy in front of the sandbox's API server that behaves as bad networks and busy servers do.
//!
//! ```text
//! verdikt ──► Proxy ──► API server
//!               │ plan: seed and request ──► fault
//!               ├─ call:  answered otherwise, late, in part, or never
//!               ├─ watch: gone, ended, cut, late, silent
//!               ├─ exec:  refused, cut after some bytes, silent
//!               └─ now and then all connections are cut, and for a while nobody listens, or each new one is cut at once
//! ```

mod call;
mod exec;
mod http;
mod plan;
mod watch;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};

pub(crate) use self::plan::Counts;
use self::{http::Request, plan::Plan};

/// Kinds of faults, harm to pods included: 14 of calls, 7 of watches, 8 of execs, 2 of restarts, 5 of pods.
pub(crate) const KINDS: usize = 36;

/// A running proxy. Dropping it cuts everything.
pub(crate) struct Proxy {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// What connections share.
struct Shared {
    upstream: SocketAddr,
    plan: Plan,
}

impl Proxy {
    pub(crate) async fn start(upstream: SocketAddr, seed: u64, counts: Counts) -> Self {
        let shared = Arc::new(Shared { upstream, plan: Plan::new(seed, counts) });
        let listener = listen(([127, 0, 0, 1], 0).into()).expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        Self { address, task: tokio::spawn(accept(shared, listener, address)) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // The address is taken again after a restart.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn accept(shared: Arc<Shared>, mut listener: TcpListener, address: SocketAddr) {
    let started = Instant::now();
    let mut restarts = shared.plan.restarts().into_iter();
    let mut next = restarts.next();
    let mut connections = JoinSet::new();
    loop {
        let at = next.map(|(at, _, _)| started + at);
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let _ = stream.set_nodelay(true);
                    connections.spawn(connection(Arc::clone(&shared), stream));
                }
            }
            Some(_) = connections.join_next() => {}
            () = sleep_until(at.unwrap_or(started)), if at.is_some() => {
                let (_, away, balanced) = next.take().unwrap_or_default();
                next = restarts.next();
                if balanced {
                    shared.plan.counts().add("BalancedRestart");
                    connections.shutdown().await;
                    let cut = async {
                        loop {
                            drop(listener.accept().await);
                        }
                    };
                    let _ = timeout(away, cut).await;
                    continue;
                }
                shared.plan.counts().add("Restart");
                drop(listener);
                connections.shutdown().await;
                sleep(away).await;
                listener = loop {
                    match listen(address) {
                        Ok(listener) => break listener,
                        // Somebody's outgoing connection has the port for a moment.
                        Err(_) => sleep(Duration::from_millis(10)).await,
                    }
                };
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, mut stream: TcpStream) {
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = Request::read(&mut stream, &mut buffer).await {
        let open = if request.upgrades() {
            exec::pass(&shared, &request, stream).await;
            return;
        } else if request.watches() {
            watch::pass(&shared, &request, stream).await;
            return;
        } else {
            call::pass(&shared, &request, &mut stream).await
        };
        if !open.unwrap_or(false) {
            return;
        }
    }
}

/// Lets the connection end with a reset instead of in good order.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Waits until the other side goes.
async fn until_gone(stream: &mut TcpStream) {
    let mut nothing = [0; 1024];
    while matches!(stream.read(&mut nothing).await, Ok(1..)) {}
}

/// A Status as the API server writes it.
fn status(code: u16, reason: &str, message: &str, details: &str) -> String {
    format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"{message}","reason":"{reason}","details":{{{details}}},"code":{code}}}"#
    )
}
