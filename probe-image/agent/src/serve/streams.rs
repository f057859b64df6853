//! TCP and SCTP connections: a greeting on accept, then every line comes back until the client closes.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc::{SOCK_CLOEXEC, SOCK_NONBLOCK},
    sys::epoll::{Epoll, EpollEvent, EpollFlags},
};
use socket2::Socket;
use verdikt_protocol::Greeting;

/// A connection on which nothing comes for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// Longest line that is echoed.
const LONGEST_LINE: usize = 4096;

/// Connections that are accepted before others get their turn.
const ACCEPTS: usize = 128;

/// How long nothing is accepted after the system had no descriptor or memory left.
const RECOVERY: Duration = Duration::from_millis(20);

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

struct Connection {
    socket: Socket,
    active: Instant,
    due: Instant,
    /// Start of a line whose end has not come yet.
    line: Vec<u8>,
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
    pub(super) fn accept(&mut self, listener: &Socket, epoll: &Epoll) {
        for _ in 0..ACCEPTS {
            if self.is_full() {
                return;
            }
            match listener.accept4(SOCK_NONBLOCK | SOCK_CLOEXEC) {
                Ok((socket, client)) => {
                    if let Some(client) = client.as_socket() {
                        self.greet(socket, client, epoll);
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

    fn greet(&mut self, socket: Socket, client: SocketAddr, epoll: &Epoll) {
        let mut greeting = greeting(&self.identity, client, "");
        greeting.push(b'\n');
        let fd = socket.as_raw_fd();
        let event = EpollEvent::new(EpollFlags::EPOLLIN, fd as u64);
        // A new connection's buffer takes a greeting whole; a client that is gone already needs none.
        if (&socket).write(&greeting).is_err() || epoll.add(&socket, event).is_err() {
            return;
        }
        let index = fd as usize;
        if self.open.len() <= index {
            self.open.resize_with(index + 1, || None);
        }
        let active = Instant::now();
        self.open[index] = Some(Connection { socket, active, due: active + IDLE, line: Vec::new() });
        self.count += 1;
        self.idle.push_back((active + IDLE, fd));
    }

    /// Reads from a connection; ends it when the client has.
    pub(super) fn serve(&mut self, fd: RawFd) {
        let Some(slot) = self.open.get_mut(fd as usize) else { return };
        if let Some(connection) = slot
            && !connection.echo()
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
                connection.due = connection.active + IDLE;
                if connection.due > now {
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

impl Connection {
    /// Sends back the lines that have come. `false` when the connection has ended.
    fn echo(&mut self) -> bool {
        let mut buffer = [0; LONGEST_LINE];
        match (&self.socket).read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.active = Instant::now();
                self.line.extend_from_slice(&buffer[..count]);
                let Some(end) = self.line.iter().rposition(|b| *b == b'\n') else {
                    return self.line.len() <= LONGEST_LINE;
                };
                // A client that does not read its echo is not waited for.
                let whole = (&self.socket).write(&self.line[..=end]).is_ok_and(|sent| sent == end + 1);
                self.line.drain(..=end);
                whole
            }
            Err(e) => matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted),
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
