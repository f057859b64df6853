//! The yardstick of `verdikt bench`: a bare loop of connects, with nothing around it.

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::sys::{
    socket::{setsockopt, sockopt},
    time::TimeVal,
};
use socket2::{Domain, SockRef, Socket, Type};

use super::{Node, errors::explained};
use crate::wire::FromNode;

/// After which a connect that is not answered has failed.
const PATIENCE: i64 = 5;

impl Node {
    /// Connects from each source to each target, one after another within a source, and says how long it took.
    pub(crate) fn connect_loop(self: &Arc<Self>, sources: Vec<String>, targets: Vec<(IpAddr, u16)>) {
        let node = Arc::clone(self);
        let coordinator = move || {
            let count = thread::available_parallelism().map_or(1, usize::from).min(sources.len()).max(1);
            let targets: Vec<SocketAddr> = targets.into_iter().map(SocketAddr::from).collect();
            let start = Instant::now();
            let results: Vec<(u64, Option<String>)> = thread::scope(|scope| {
                let threads: Vec<_> = (0..count)
                    .map(|number| {
                        let (node, sources, targets) = (&node, &sources, &targets);
                        thread::Builder::new().spawn_scoped(scope, move || {
                            run(node, sources.iter().skip(number).step_by(count), targets)
                        })
                    })
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| match thread {
                        Ok(thread) => thread.join().unwrap_or_else(|_| (0, Some("a thread panicked".into()))),
                        Err(error) => (0, Some(format!("start a thread: {}", explained(&error)))),
                    })
                    .collect()
            });
            let micros = start.elapsed().as_micros() as u64;
            let connects = results.iter().map(|(connects, _)| connects).sum();
            let error = results.into_iter().find_map(|(_, error)| error);
            node.say(&FromNode::LoopDone { connects, micros, error });
        };
        if let Err(error) = thread::Builder::new().name("connect loop".into()).spawn(coordinator) {
            let error = Some(format!("start a thread: {}", explained(&error)));
            self.say(&FromNode::LoopDone { connects: 0, micros: 0, error });
        }
    }
}

/// Connects that were answered, and the first failure.
fn run<'a>(
    node: &Node,
    sources: impl Iterator<Item = &'a String>,
    targets: &[SocketAddr],
) -> (u64, Option<String>) {
    let mut connects = 0;
    let mut failure = None;
    for uid in sources {
        if let Err(why) = node.enter_pod(uid) {
            failure.get_or_insert(format!("source {uid}: {why}"));
            continue;
        }
        for target in targets {
            match connect(*target) {
                Ok(()) => connects += 1,
                Err(error) => {
                    failure.get_or_insert(format!("from {uid} to {target}: {error}"));
                }
            }
        }
    }
    (connects, failure)
}

fn connect(target: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    // Bounds the connect itself, too.
    let patience = TimeVal::new(PATIENCE, 0);
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    socket.connect(&target.into())?;
    let mut stream = TcpStream::from(socket);
    SockRef::from(&stream).set_read_timeout(Some(Duration::from_secs(PATIENCE as u64)))?;
    let got = stream.read(&mut [0; 8])?;
    // A reset instead of a goodbye: nothing is left in TIME_WAIT.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    if got == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}
