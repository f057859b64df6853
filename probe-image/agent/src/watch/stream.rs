//! A held connection. The first question is the connection itself, which the greeting answers; then a line with its
//! number, which the server sends back.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    time::Instant,
};

use nix::{
    errno::Errno,
    sys::{
        epoll::EpollFlags,
        socket::{setsockopt, sockopt},
    },
};
use socket2::Socket;
use verdikt_protocol::{Greeting, Probe, ProbeVerdict, Run, Transport};

use super::{
    Running,
    hearing::{End, of_cause, of_identity},
    questions::Questions,
    room::Seat,
    tools::Tools,
};
use crate::{
    system::now_us,
    talk::{Again, Cause, NOT_OURS, Peer, arrived, association, association_stands, connection, pending},
};

/// Questions that may be unanswered on the connection; while there are so many, none is asked.
const MOST_OPEN: u64 = 128;

/// Most bytes of a line that is awaited.
const LONGEST_LINE: usize = 2048;

/// Reads before others get their turn.
const READS: usize = 16;

/// A connection that is held.
pub(super) struct Stream {
    key: u64,
    expect: Vec<String>,
    questions: Questions,
    line: Option<Line>,
    source_port: Option<u16>,
    /// Who greeted.
    by: Option<String>,
}

/// The connection, as long as it is there.
struct Line {
    socket: Socket,
    peer: Peer,
    _seat: Seat,
    greeted: bool,
    /// What has come of a line.
    input: Vec<u8>,
    /// What the socket has not taken yet.
    output: Vec<u8>,
    /// Whether the socket is waited for to take more.
    blocked: bool,
    asked: u64,
    echoed: u64,
}

impl Stream {
    /// Begins to connect.
    pub(super) fn begin(
        key: u64,
        probe: Probe,
        to: SocketAddr,
        interval_us: u32,
        patience_ms: u32,
        tools: &mut Tools,
    ) -> Self {
        let now = now_us();
        let mut questions = Questions::new(now, interval_us, patience_ms);
        questions.ask(now);
        let mut this = Self { key, questions, line: None, source_port: None, by: None, expect: probe.expect };
        match open(key, (probe.transport, to), probe.from, tools) {
            Ok(line) => this.line = Some(line),
            Err(end) => this.finish(end),
        }
        this
    }

    fn finish(&mut self, (verdict, detail): End) {
        self.line = None;
        self.questions.finish(now_us(), verdict, detail.as_deref());
    }

    fn ask(&mut self, tools: &Tools) {
        let now = now_us();
        let Some(line) =
            self.line.as_mut().filter(|line| line.greeted && line.asked - line.echoed < MOST_OPEN)
        else {
            self.questions.skip(now);
            return;
        };
        let number = self.questions.ask(now);
        line.asked += 1;
        line.output.extend_from_slice(format!("{number:016x}\n").as_bytes());
        if let Err(cause) = line.write(self.key, tools) {
            self.failed(cause);
        }
    }

    /// An error has come up on the socket.
    fn failed(&mut self, cause: Cause) {
        let stands = self.line.as_ref().is_some_and(Line::stands);
        match cause {
            Cause::Nothing => {}
            // The kernel has tried for long enough: the questions stay unanswered.
            Cause::GaveUp => {
                self.line = None;
                self.questions.stop();
            }
            // An ICMP message about one packet, which is sent again.
            Cause::Rejected(why) if stands => {
                if let Some(newest) = self.questions.newest() {
                    self.questions.end(newest, ProbeVerdict::Rejected, Some(why));
                }
            }
            cause => self.finish(of_cause(cause)),
        }
    }

    /// Takes the lines that have come.
    fn take(&mut self) {
        while let Some(line) = &mut self.line {
            let Some(end) = line.input.iter().position(|b| *b == b'\n') else {
                if line.input.len() > LONGEST_LINE
                    || !line.greeted && line.input.first().is_some_and(|b| *b != b'{')
                {
                    self.finish((ProbeVerdict::Error, Some(NOT_OURS.into())));
                }
                return;
            };
            let whole: Vec<u8> = line.input.drain(..=end).collect();
            let whole = &whole[..end];
            if line.greeted {
                let number =
                    std::str::from_utf8(whole).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
                let Some(number) = number else {
                    return self.finish((ProbeVerdict::Error, Some(NOT_OURS.into())));
                };
                line.echoed = line.asked.min(line.echoed + 1);
                self.questions.end(number, ProbeVerdict::Allowed, self.by.clone());
                continue;
            }
            let Ok(greeting) = serde_json::from_slice::<Greeting>(whole) else {
                return self.finish((ProbeVerdict::Error, Some(NOT_OURS.into())));
            };
            line.greeted = true;
            self.source_port = line.socket.local_addr().ok().and_then(|a| Some(a.as_socket()?.port()));
            match of_identity(&greeting.id, &self.expect) {
                (ProbeVerdict::Allowed, by) => {
                    self.by.clone_from(&by);
                    self.questions.end(0, ProbeVerdict::Allowed, by);
                }
                end => return self.finish(end),
            }
        }
    }
}

impl Running for Stream {
    fn due(&mut self) -> Option<u64> {
        self.questions.due()
    }

    fn hear(&mut self, _: u64, events: EpollFlags, tools: &mut Tools) {
        let Some(line) = &mut self.line else { return };
        let mut failure = None;
        if events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP) {
            failure = line.read();
        } else if events.contains(EpollFlags::EPOLLERR) {
            failure = Some(Ok(pending(&line.socket, line.peer)));
        }
        if failure.is_none()
            && events.contains(EpollFlags::EPOLLOUT)
            && let Err(cause) = line.write(self.key, tools)
        {
            failure = Some(Ok(cause));
        }
        // What came before the end counts.
        self.take();
        match failure {
            Some(Ok(cause)) if self.line.is_some() => self.failed(cause),
            Some(Err(end)) if self.line.is_some() => self.finish(end),
            _ => {}
        }
    }

    fn keep_time(&mut self, looked: u64, tools: &mut Tools) {
        self.questions.expire(looked);
        if self.questions.is_due(looked) {
            self.ask(tools);
        }
    }

    fn runs(&self) -> &[Run] {
        self.questions.known()
    }

    fn source_port(&self) -> Option<u16> {
        self.source_port
    }
}

impl Line {
    /// Whether the connection stands. An SCTP socket has a peer even after it was aborted.
    fn stands(&self) -> bool {
        let (transport, to) = self.peer;
        self.socket.peer_addr().is_ok()
            && (transport != Transport::Sctp || association_stands(&self.socket, to))
    }

    /// Reads what is there. An error, or the end that the peer has made.
    fn read(&mut self) -> Option<Result<Cause, End>> {
        let mut bytes = [0; 4096];
        for _ in 0..READS {
            match (&self.socket).read(&mut bytes) {
                Ok(0) => {
                    return Some(Err((ProbeVerdict::Rejected, Some("the connection was closed".into()))));
                }
                Ok(count) => self.input.extend_from_slice(&bytes[..count]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return None,
                Err(e) => return Some(Ok(arrived(&self.socket, self.peer, &e))),
            }
        }
        None
    }

    /// Writes what the socket takes, and has it waited for when that is not all.
    fn write(&mut self, key: u64, tools: &Tools) -> Result<(), Cause> {
        let result = loop {
            if self.output.is_empty() {
                break Ok(());
            }
            match (&self.socket).write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break Ok(()),
                // Gone already; reading tells how.
                Err(e) if e.raw_os_error() == Some(Errno::EPIPE as i32) => break Ok(()),
                Err(e) => break Err(arrived(&self.socket, self.peer, &e)),
            }
        };
        if self.blocked == self.output.is_empty() {
            self.blocked = !self.blocked;
            let out = if self.blocked { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
            tools.change(&self.socket, EpollFlags::EPOLLIN | out, key);
        }
        result
    }
}

fn open(key: u64, peer: Peer, from: Option<std::net::IpAddr>, tools: &mut Tools) -> Result<Line, End> {
    let seat = tools.room.take().map_err(|why| (ProbeVerdict::Error, Some(why)))?;
    let (transport, to) = peer;
    let socket = if transport == Transport::Sctp {
        association(to, from, &mut tools.ports, Instant::now(), Again::Soon)
    } else {
        connection(to, from)
    };
    let socket = socket.map_err(of_cause)?;
    if transport == Transport::Tcp {
        // A question that waits for the answer to the one before would measure nothing of its own.
        let _ = setsockopt(&socket, sockopt::TcpNoDelay, &true);
    }
    tools.wait_for(&socket, EpollFlags::EPOLLIN, key).map_err(of_cause)?;
    let (input, output) = (Vec::new(), Vec::new());
    Ok(Line { socket, peer, _seat: seat, greeted: false, input, output, blocked: false, asked: 0, echoed: 0 })
}
