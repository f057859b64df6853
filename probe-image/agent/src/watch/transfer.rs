//! A transfer: bytes there and back on one connection, as lines of full length.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
};

use nix::{errno::Errno, sys::epoll::EpollFlags};
use socket2::Socket;
use verdikt_protocol::{Greeting, Probe, ProbeVerdict, Run};

use super::{
    Running,
    deadlines::is_late,
    hearing::{End, of_cause, of_identity},
    room::Seat,
    runs::Runs,
    tools::Tools,
};
use crate::{
    system::now_us,
    talk::{Cause, NOT_OURS, Peer, arrived, connection, pending},
};

/// Length of a line: the longest that a server sends back.
const LINE: usize = 4096;

/// Bytes that are written or read at once.
const BLOCK: usize = 16 * LINE;

/// Bytes on their way there and back.
const WINDOW: u64 = 256 << 10;

/// Reads before others get their turn.
const READS: usize = 8;

/// Most bytes of a greeting.
const LONGEST_GREETING: usize = 2048;

/// A transfer.
pub(super) struct Transfer {
    key: u64,
    peer: Peer,
    expect: Vec<String>,
    patience: u64,
    total: u64,
    /// Bytes that the socket has taken,
    sent: u64,
    /// and that came back.
    back: u64,
    /// The greeting so far, until it is whole.
    greeting: Option<Vec<u8>>,
    line: Option<(Socket, Seat)>,
    /// Whether the socket is waited for to take more.
    blocked: bool,
    /// When something last came.
    progress: u64,
    /// Whether its end was put off since then.
    again: bool,
    /// Who greeted.
    by: Option<String>,
    runs: Runs,
}

impl Transfer {
    /// Begins to connect.
    pub(super) fn begin(
        key: u64,
        probe: Probe,
        to: SocketAddr,
        bytes: u64,
        patience_ms: u32,
        tools: &mut Tools,
    ) -> Self {
        let now = now_us();
        let mut runs = Runs::default();
        runs.begin(now);
        let opened = open(key, &probe, to, tools);
        let mut this = Self {
            key,
            peer: (probe.transport, to),
            expect: probe.expect,
            patience: u64::from(patience_ms) * 1000,
            total: bytes,
            sent: 0,
            back: 0,
            greeting: Some(Vec::new()),
            line: None,
            blocked: false,
            progress: now,
            again: false,
            by: None,
            runs,
        };
        match opened {
            Ok(line) => this.line = Some(line),
            Err(end) => this.end(end),
        }
        this
    }

    fn end(&mut self, (verdict, detail): End) {
        self.line = None;
        self.runs.end_all(verdict, detail.as_deref());
        self.runs.over_at(now_us());
    }

    fn failed(&mut self, cause: Cause) {
        let stands = self.line.as_ref().is_some_and(|(socket, _)| socket.peer_addr().is_ok());
        match cause {
            Cause::Nothing => {}
            // An ICMP message about one packet of a connection that stands; TCP tries again.
            Cause::Rejected(_) if stands => {}
            cause => self.end(of_cause(cause)),
        }
    }

    /// Writes as much as window and socket take.
    fn write(&mut self, tools: &Tools) {
        let block = block();
        while self.greeting.is_none()
            && let Some((socket, _)) = &self.line
        {
            let room = (self.total - self.sent).min(WINDOW - (self.sent - self.back)) as usize;
            let at = (self.sent % BLOCK as u64) as usize;
            let count = room.min(BLOCK - at);
            // Whatever its length, the last byte ends a line.
            let last = self.sent + count as u64 == self.total;
            let piece = match (last, count) {
                (_, 0) => break,
                (true, 1) => b"\n",
                (true, _) => &block[at..at + count - 1],
                (false, _) => &block[at..at + count],
            };
            match (&mut &*socket).write(piece) {
                Ok(count) => self.sent += count as u64,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return self.wait_to_write(true, tools),
                // Gone already; reading tells how.
                Err(e) if e.raw_os_error() == Some(Errno::EPIPE as i32) => break,
                Err(e) => {
                    let cause = arrived(socket, self.peer, &e);
                    return self.failed(cause);
                }
            }
        }
        self.wait_to_write(false, tools);
    }

    fn wait_to_write(&mut self, wait: bool, tools: &Tools) {
        if let Some((socket, _)) = &self.line
            && self.blocked != wait
        {
            let out = if wait { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
            tools.change(socket, EpollFlags::EPOLLIN | out, self.key);
            self.blocked = wait;
        }
    }

    fn read(&mut self) {
        let mut bytes = [0; BLOCK];
        for _ in 0..READS {
            let Some((socket, _)) = &self.line else { return };
            match (&mut &*socket).read(&mut bytes) {
                Ok(0) => {
                    let why = format!("the connection was closed after {} bytes had come back", self.back);
                    return self.end((ProbeVerdict::Error, Some(why)));
                }
                Ok(count) => {
                    (self.progress, self.again) = (now_us(), false);
                    if let Err(end) = self.take(&bytes[..count]) {
                        return self.end(end);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) => {
                    let cause = arrived(socket, self.peer, &e);
                    return self.failed(cause);
                }
            }
        }
    }

    /// Takes bytes that have come: the greeting, then the echo. The error ends the transfer, be it well or ill.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        let not_ours = || (ProbeVerdict::Error, Some(NOT_OURS.to_owned()));
        if let Some(greeting) = &mut self.greeting {
            let end = bytes.iter().position(|b| *b == b'\n');
            greeting.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            let Some(end) = end else {
                let right = greeting.first() == Some(&b'{') && greeting.len() < LONGEST_GREETING;
                return if right { Ok(()) } else { Err(not_ours()) };
            };
            let greeting: Greeting = serde_json::from_slice(greeting).map_err(|_| not_ours())?;
            match of_identity(&greeting.id, &self.expect) {
                (ProbeVerdict::Allowed, by) => (self.greeting, self.by) = (None, by),
                end => return Err(end),
            }
            bytes = &bytes[end + 1..];
        }
        let block = block();
        while !bytes.is_empty() {
            let at = (self.back % BLOCK as u64) as usize;
            let count = bytes.len().min(BLOCK - at);
            let (piece, rest) = bytes.split_at(count);
            let after = self.back + count as u64;
            let same = if after == self.total {
                piece[..count - 1] == block[at..at + count - 1] && piece[count - 1] == b'\n'
            } else {
                piece == &block[at..at + count]
            };
            if !same || after > self.sent {
                return Err((ProbeVerdict::Error, Some("other bytes came back than were sent".into())));
            }
            (self.back, bytes) = (after, rest);
        }
        if self.back == self.total { Err((ProbeVerdict::Allowed, self.by.clone())) } else { Ok(()) }
    }
}

impl Running for Transfer {
    fn due(&mut self) -> Option<u64> {
        self.line.as_ref().map(|_| self.progress + self.patience)
    }

    fn hear(&mut self, _: u64, events: EpollFlags, tools: &mut Tools) {
        if events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP) {
            self.read();
        } else if events.contains(EpollFlags::EPOLLERR)
            && let Some((socket, _)) = &self.line
        {
            let cause = pending(socket, self.peer);
            self.failed(cause);
        }
        self.write(tools);
    }

    fn keep_time(&mut self, looked: u64, _: &mut Tools) {
        let due = self.progress + self.patience;
        if self.line.is_none() || due > looked {
            return;
        }
        if !self.again && is_late(looked - due, self.patience) {
            (self.progress, self.again) = (looked, true);
        } else {
            let why = format!("stalled after {} of {} bytes had come back", self.back, self.total);
            self.end((ProbeVerdict::Dropped, Some(why)));
        }
    }

    fn runs(&self) -> &[Run] {
        self.runs.known()
    }

    fn bytes(&self) -> u64 {
        self.back
    }
}

fn open(key: u64, probe: &Probe, to: SocketAddr, tools: &Tools) -> Result<(Socket, Seat), End> {
    let seat = tools.room.take().map_err(|why| (ProbeVerdict::Error, Some(why)))?;
    let socket = connection(to, probe.from).map_err(of_cause)?;
    tools.wait_for(&socket, EpollFlags::EPOLLIN, key).map_err(of_cause)?;
    Ok((socket, seat))
}

/// Lines of full length, not all alike.
fn block() -> &'static [u8; BLOCK] {
    static LINES: [u8; BLOCK] = {
        let mut bytes = [b'.'; BLOCK];
        let mut line = 0;
        while line < BLOCK / LINE {
            bytes[line * LINE] = b'a' + line as u8;
            bytes[(line + 1) * LINE - 1] = b'\n';
            line += 1;
        }
        bytes
    };
    &LINES
}
