//! Connections: on TCP and SCTP a greeting on accept, then every line comes back until the client closes; on HTTP an
//! answer to each request.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc::{SOCK_CLOEXEC, SOCK_NONBLOCK},
    sys::epoll::Epoll,
};
use socket2::Socket;
use verdikt_protocol::Greeting;

use super::{
    connection::{Connection, Service},
    echo::Echo,
    http::Http,
};

/// A connection on which nothing comes for so long is closed,
const IDLE: Duration = Duration::from_secs(60);

/// later when it is held by questions: it may be cut off for a while, and then go on.
const IDLE_HELD: Duration = Duration::from_secs(3600);

/// Connections that are accepted before others get their turn.
const ACCEPTS: usize = 128;

/// How long nothing is accepted after the system had no descriptor or memory left.
const RECOVERY: Duration = Duration::from_millis(20);

/// A socket on which connections come in.
pub(super) struct Listener {
    /// It listens.
    pub(super) socket: Socket,
    /// Whether HTTP is served on it.
    pub(super) http: bool,
}

/// The open connections.
pub(super) struct Streams {
    identity: String,
    /// By descriptor.
    open: Vec<Option<Connection>>,
    count: usize,
    room: usize,
    /// (when to look, descriptor), in this order. An entry counts only while its connection is due then: others
    /// are of connections that have been closed.
    idle: VecDeque<(Instant, RawFd)>,
    /// Until when nothing is accepted.
    exhausted: Option<Instant>,
}

impl Streams {
    /// No connections; at most `room` at once.
    pub(super) fn new(identity: &str, room: usize) -> Self {
        let (open, idle) = (Vec::new(), VecDeque::new());
        Self { identity: identity.into(), open, count: 0, room, idle, exhausted: None }
    }

    /// The identity with which the servers answer.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether no more connections can be taken now.
    pub(super) fn is_full(&self) -> bool {
        self.count >= self.room || self.exhausted.is_some()
    }

    /// When [`Self::close_idle`] has something to do.
    pub(super) fn next_idle(&self) -> Option<Instant> {
        self.exhausted.into_iter().chain(self.idle.front().map(|(when, _)| *when)).min()
    }

    /// Takes waiting connections and greets them.
    pub(super) fn accept(&mut self, listener: &Listener, epoll: &Epoll) {
        for _ in 0..ACCEPTS {
            if self.is_full() {
                return;
            }
            match listener.socket.accept4(SOCK_NONBLOCK | SOCK_CLOEXEC) {
                Ok((socket, client)) => {
                    if let Some(client) = client.as_socket() {
                        self.begin(socket, client, listener.http, epoll);
                    }
                }
                Err(e) => match e.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                        self.exhausted = Some(Instant::now() + RECOVERY);
                        return;
                    }
                    // The client has gone already; accept(2) says to treat network errors alike.
                    Some(Errno::ECONNABORTED | Errno::EINTR | Errno::EPROTO) => {}
                    _ => return,
                },
            }
        }
    }

    fn begin(&mut self, socket: Socket, client: SocketAddr, http: bool, epoll: &Epoll) {
        let (service, first) = if http {
            (Service::Http(Http::new(client)), Vec::new())
        } else {
            let mut greeting = greeting(&self.identity, client, "");
            greeting.push(b'\n');
            (Service::Echo(Echo::default()), greeting)
        };
        let (fd, active) = (socket.as_raw_fd(), Instant::now());
        let times = (active, active + IDLE);
        let Some(connection) = Connection::begin(socket, service, &first, fd as u64, epoll, times) else {
            return;
        };
        let index = fd as usize;
        if self.open.len() <= index {
            self.open.resize_with(index + 1, || None);
        }
        self.open[index] = Some(connection);
        self.count += 1;
        self.idle.push_back((active + IDLE, fd));
    }

    /// Reads from a connection, or writes to it; ends it when the client has.
    pub(super) fn serve(&mut self, fd: RawFd, epoll: &Epoll) {
        let Some(slot) = self.open.get_mut(fd as usize) else { return };
        if let Some(connection) = slot
            && !connection.serve(fd as u64, epoll, &self.identity)
        {
            *slot = None;
            self.count -= 1;
        }
    }

    /// Closes what has been idle for too long.
    pub(super) fn close_idle(&mut self, now: Instant) {
        if self.exhausted.is_some_and(|until| until <= now) {
            self.exhausted = None;
        }
        while let Some(&(when, fd)) = self.idle.front() {
            let slot = self.open.get_mut(fd as usize);
            if let Some(slot) = slot
                && let Some(connection) = slot
                && connection.due == when
            {
                if when > now {
                    return;
                }
                let patience = if connection.held { IDLE_HELD } else { IDLE };
                if connection.active + patience > now {
                    connection.due = now + IDLE;
                    self.idle.push_back((connection.due, fd));
                } else {
                    *slot = None;
                    self.count -= 1;
                }
            }
            self.idle.pop_front();
        }
    }
}

/// A greeting without a line end.
pub(super) fn greeting(identity: &str, client: SocketAddr, nonce: &str) -> Vec<u8> {
    // A dual-stack socket sees IPv4 clients as ::ffff:a.b.c.d.
    let client = SocketAddr::new(client.ip().to_canonical(), client.port());
    let greeting = Greeting { id: identity.into(), client: client.to_string(), nonce: nonce.into() };
    serde_json::to_vec(&greeting).expect("three strings are always JSON")
}
