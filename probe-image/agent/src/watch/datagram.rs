//! A held socket without a connection: questions with nonces, all from one source port. An ICMP error rejects the
//! question that was asked last; the socket goes on.

use std::{io::Read, net::SocketAddr};

use nix::sys::epoll::EpollFlags;
use socket2::Socket;
use verdikt_protocol::{Greeting, Probe, ProbeVerdict, Run, Transport, udp_request};

use super::{
    Running,
    hearing::{End, of_cause, of_identity},
    questions::Questions,
    room::Seat,
    tools::Tools,
};
use crate::{
    system::now_us,
    talk::{Cause, NOT_OURS, Peer, arrived, datagram, echo_nonce, echo_request, echo_socket, queued, send},
};

/// Reads before others get their turn.
const READS: usize = 64;

/// A socket that is held.
pub(super) struct Datagram {
    expect: Vec<String>,
    questions: Questions,
    socket: Option<(Socket, Seat)>,
    peer: Peer,
    /// Whether a filter of this host did not let the last question out.
    filtered: bool,
    /// Nonce of the first question; the others count on from it.
    nonce: u64,
    source_port: Option<u16>,
}

impl Datagram {
    /// Opens the socket and asks the first question.
    pub(super) fn begin(
        key: u64,
        probe: Probe,
        to: SocketAddr,
        interval_us: u32,
        patience_ms: u32,
        tools: &mut Tools,
    ) -> Self {
        let now = now_us();
        let peer = (probe.transport, to);
        let mut this = Self {
            questions: Questions::new(now, interval_us, patience_ms),
            socket: None,
            peer,
            filtered: false,
            nonce: tools.random.next(),
            source_port: None,
            expect: Vec::new(),
        };
        match this.open(key, &probe, to, tools) {
            Ok((socket, seat)) => {
                let port = socket.local_addr().ok().and_then(|a| Some(a.as_socket()?.port()));
                this.source_port = port.filter(|_| !this.is_icmp());
                this.socket = Some((socket, seat));
            }
            Err((verdict, detail)) => this.questions.finish(now, verdict, detail.as_deref()),
        }
        this.expect = probe.expect;
        this
    }

    fn open(
        &self,
        key: u64,
        probe: &Probe,
        to: SocketAddr,
        tools: &mut Tools,
    ) -> Result<(Socket, Seat), End> {
        let seat = tools.room.take().map_err(|why| (ProbeVerdict::Error, Some(why)))?;
        let socket = if self.is_icmp() {
            echo_socket(to, probe.from)
        } else {
            datagram(to, probe.from, &mut tools.ports, std::time::Instant::now())
        };
        let socket = socket.map_err(of_cause)?;
        tools.wait_for(&socket, EpollFlags::EPOLLIN, key).map_err(of_cause)?;
        Ok((socket, seat))
    }

    fn is_icmp(&self) -> bool {
        self.peer.0 == Transport::Icmp
    }

    fn ask(&mut self) {
        // An error that waits on the socket belongs to an earlier question, and would keep this one from being sent.
        self.listen();
        let Some((socket, _)) = &self.socket else { return };
        let number = self.questions.ask(now_us());
        let nonce = self.nonce.wrapping_add(number);
        let sent = if self.is_icmp() {
            send(socket, &echo_request(self.peer.1.is_ipv6(), nonce))
        } else {
            send(socket, &udp_request(nonce))
        };
        // Once alone proves nothing, as with probes: until the next question meets the same, it is a question without an answer.
        let before = std::mem::replace(&mut self.filtered, matches!(sent, Err(Cause::Filtered(_))));
        let alone = self.filtered && !before;
        if let Err(cause) = sent {
            let (verdict, detail) = of_cause(cause);
            self.questions.end(number, if alone { ProbeVerdict::Dropped } else { verdict }, detail);
        }
    }

    fn listen(&mut self) {
        let mut bytes = [0; 4096];
        for _ in 0..READS {
            let Some((socket, _)) = &self.socket else { return };
            let cause = match (&mut &*socket).read(&mut bytes) {
                Ok(count) => {
                    self.take(&bytes[..count]);
                    continue;
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    // A message that is no error for the socket would wake us for ever.
                    let Some(cause) = queued(socket) else { return };
                    cause
                }
                Err(e) => arrived(socket, self.peer, &e),
            };
            let (verdict, detail) = match cause {
                Cause::Nothing | Cause::GaveUp => continue,
                cause => of_cause(cause),
            };
            self.end_newest(verdict, detail);
        }
    }

    fn take(&mut self, message: &[u8]) {
        let (nonce, id) = if self.is_icmp() {
            (echo_nonce(self.peer.1.is_ipv6(), message).map(str::to_owned), None)
        } else {
            match serde_json::from_slice::<Greeting>(message) {
                Ok(greeting) => (Some(greeting.nonce), Some(greeting.id)),
                Err(_) => (None, None),
            }
        };
        let Some(nonce) = nonce.and_then(|text| u64::from_str_radix(&text, 16).ok()) else {
            return self.end_newest(ProbeVerdict::Error, Some(NOT_OURS.into()));
        };
        let (verdict, detail) = id.map_or((ProbeVerdict::Allowed, None), |id| of_identity(&id, &self.expect));
        // One that is no question of ours, or no longer waits, is not found.
        self.questions.end(nonce.wrapping_sub(self.nonce), verdict, detail);
    }

    fn end_newest(&mut self, verdict: ProbeVerdict, detail: Option<String>) {
        if let Some(newest) = self.questions.newest() {
            self.questions.end(newest, verdict, detail);
        }
    }
}

impl Running for Datagram {
    fn due(&mut self) -> Option<u64> {
        self.questions.due()
    }

    fn hear(&mut self, _: u64, _: EpollFlags, _: &mut Tools) {
        self.listen();
    }

    fn keep_time(&mut self, looked: u64, _: &mut Tools) {
        self.questions.expire(looked);
        if self.questions.is_due(looked) {
            self.ask();
        }
    }

    fn runs(&self) -> &[Run] {
        self.questions.known()
    }

    fn source_port(&self) -> Option<u16> {
        self.source_port
    }
}
