//! One connection: what comes is taken by the service of its port, and what that says is written as fast as the
//! client reads. Nothing is read while something waits to be written.

use std::{
    io::{ErrorKind, Read},
    net::Shutdown,
    time::Instant,
};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use socket2::Socket;

use super::{echo::Echo, http::Http, output::Output};

/// Bytes that are read at once.
const READ: usize = 16 << 10;

/// What is served on a connection.
pub(super) enum Service {
    /// Lines come back.
    Echo(Echo),
    /// Requests are answered.
    Http(Http),
}

/// An open connection.
pub(super) struct Connection {
    socket: Socket,
    service: Service,
    output: Output,
    /// Whether it is waited for to take more, instead of to say more.
    blocked: bool,
    /// Whether all is said. What still comes is not looked at: closing at once could destroy the last words.
    closing: bool,
    /// Whether the client holds it: it has said something, and is echoed.
    pub(super) held: bool,
    /// When something last happened on it.
    pub(super) active: Instant,
    /// When it is next looked at for being idle.
    pub(super) due: Instant,
}

impl Connection {
    /// A connection on which so much is said first. `None` when it has ended already.
    pub(super) fn begin(
        socket: Socket,
        service: Service,
        first: &[u8],
        key: u64,
        epoll: &Epoll,
        (active, due): (Instant, Instant),
    ) -> Option<Self> {
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, key)).ok()?;
        let (output, blocked, closing, held) = (Output::default(), false, false, false);
        let mut this = Self { socket, service, output, blocked, closing, held, active, due };
        this.output.add(first);
        this.write(key, epoll).then_some(this)
    }

    /// Gets on. `false` when it has ended.
    pub(super) fn serve(&mut self, key: u64, epoll: &Epoll, identity: &str) -> bool {
        self.active = Instant::now();
        if self.blocked {
            return self.write(key, epoll);
        }
        let mut buffer = [0; READ];
        match (&self.socket).read(&mut buffer) {
            Ok(0) => false,
            Ok(_) if self.closing => true,
            Ok(count) => {
                let (bytes, output) = (&buffer[..count], &mut self.output);
                match &mut self.service {
                    Service::Echo(echo) => {
                        self.held = true;
                        if !echo.take(bytes, output) {
                            return false;
                        }
                    }
                    Service::Http(http) => self.closing = !http.take(bytes, identity, output),
                }
                self.write(key, epoll)
            }
            Err(e) => matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    fn write(&mut self, key: u64, epoll: &Epoll) -> bool {
        if !self.output.write(&self.socket) {
            return false;
        }
        let blocked = !self.output.is_empty();
        if self.closing && !blocked && self.socket.shutdown(Shutdown::Write).is_err() {
            return false;
        }
        if blocked == self.blocked {
            return true;
        }
        self.blocked = blocked;
        let events = if blocked { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        epoll.modify(&self.socket, &mut EpollEvent::new(events, key)).is_ok()
    }
}
