//! The conversation on one socket: what is said, and what an answer proves.

use std::{
    io::{self, Read},
    net::SocketAddr,
    time::Instant,
};

use nix::sys::epoll::EpollFlags;
use socket2::Socket;
use verdikt_protocol::{Greeting, nonce_text, udp_request};

use super::{
    cause::{self, Cause},
    dns::{self, Answer, Question},
    slab::Key,
    socket,
};

/// Most bytes of a greeting line.
const LONGEST_GREETING: usize = 2048;

/// Datagrams that are read at once.
const DATAGRAMS: usize = 32;

/// An answer that is none of ours.
const NOT_OURS: &str = "answered by something that is no verdikt server";

/// One socket of one probe.
pub(super) struct Talk {
    /// The probe.
    pub(super) probe: Key,
    /// Where it goes.
    pub(super) to: SocketAddr,
    /// When its first packet was sent.
    pub(super) started: Instant,
    /// The socket.
    pub(super) socket: Socket,
    speech: Speech,
}

/// What is said on a socket.
pub(super) enum Speech {
    /// A stream on which the server speaks first. What has come of the greeting so far.
    Greeting(Vec<u8>),
    /// A datagram with this nonce.
    Nonce(u64),
    /// DNS questions.
    Dns(Dns),
}

/// DNS questions on a socket, and the answers so far.
pub(super) struct Dns {
    stream: bool,
    asked: bool,
    questions: Vec<Question>,
    answers: Vec<Option<Answer>>,
    buffer: Vec<u8>,
}

/// What was heard on a socket.
pub(super) enum Heard {
    /// Nothing that counts.
    Nothing,
    /// A greeting, on UDP with our nonce.
    Greeting(Greeting),
    /// Answers to all questions.
    Answers(Vec<Answer>),
    /// The connection stands and the questions have been sent on it.
    Asked,
    /// An answer that proves nothing, nor is it silence; another one may still come.
    Odd(String),
    /// The network or the peer has refused.
    Rejected(String),
    /// Nothing can be proved on this socket.
    Failed(String),
}

impl From<Cause> for Heard {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Rejected(why) => Self::Rejected(why),
            Cause::Failed(why) => Self::Failed(why),
            Cause::Nothing | Cause::GaveUp => Self::Nothing,
        }
    }
}

impl Speech {
    /// These questions.
    pub(super) fn dns(questions: Vec<Question>, stream: bool) -> Self {
        let answers = vec![None; questions.len()];
        Self::Dns(Dns { stream, asked: false, questions, answers, buffer: Vec::new() })
    }
}

impl Talk {
    /// A conversation on a socket that has begun to connect; on UDP, says the first word.
    pub(super) fn begin(
        probe: Key,
        to: SocketAddr,
        socket: Socket,
        started: Instant,
        speech: Speech,
    ) -> Result<Self, Cause> {
        let talk = Self { probe, to, started, socket, speech };
        match &talk.speech {
            Speech::Nonce(nonce) => socket::send(&talk.socket, &udp_request(*nonce))?,
            Speech::Dns(dns) if !dns.stream => {
                for question in &dns.questions {
                    socket::send(&talk.socket, &question.message)?;
                }
            }
            Speech::Greeting(_) | Speech::Dns(_) => {}
        }
        Ok(talk)
    }

    /// The events to wait for. A greeting comes by itself: nobody needs to know when the connection stands.
    pub(super) fn interest(&self) -> EpollFlags {
        match &self.speech {
            Speech::Dns(dns) if dns.stream && !dns.asked => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
            _ => EpollFlags::EPOLLIN,
        }
    }

    /// Says again what has not been answered; only on UDP.
    pub(super) fn again(&self) -> Heard {
        let sent = match &self.speech {
            Speech::Nonce(nonce) => socket::send(&self.socket, &udp_request(*nonce)),
            Speech::Dns(dns) if !dns.stream => {
                let mut open = dns.questions.iter().zip(&dns.answers).filter(|(_, answer)| answer.is_none());
                open.try_for_each(|(question, _)| socket::send(&self.socket, &question.message))
            }
            Speech::Greeting(_) | Speech::Dns(_) => Ok(()),
        };
        sent.map_or_else(Heard::from, |()| Heard::Nothing)
    }

    /// Whether this is a stream whose connection stands: then the path is open, whatever else happens.
    pub(super) fn is_connected(&self) -> bool {
        self.is_stream() && self.socket.peer_addr().is_ok()
    }

    /// The questions that are not answered, when others are.
    pub(super) fn half_answered(&self) -> Option<String> {
        let Speech::Dns(dns) = &self.speech else { return None };
        let open = || dns.questions.iter().zip(&dns.answers).filter(|(_, answer)| answer.is_none());
        (open().count() < dns.questions.len()).then(|| {
            let kinds: Vec<String> = open().map(|(question, _)| question.kind.to_string()).collect();
            format!("the question for {} was not answered, another one was", kinds.join(" and "))
        })
    }

    /// The questions, to ask them again elsewhere.
    pub(super) fn into_questions(self) -> Vec<Question> {
        match self.speech {
            Speech::Dns(dns) => dns.questions,
            Speech::Greeting(_) | Speech::Nonce(_) => Vec::new(),
        }
    }

    /// Whether this is no UDP socket.
    pub(super) fn is_stream(&self) -> bool {
        match &self.speech {
            Speech::Greeting(_) => true,
            Speech::Nonce(_) => false,
            Speech::Dns(dns) => dns.stream,
        }
    }

    /// Looks at what has come.
    pub(super) fn listen(&mut self, events: EpollFlags) -> Heard {
        if !self.is_stream() {
            return self.listen_datagrams();
        }
        if let Speech::Dns(dns) = &mut self.speech
            && !dns.asked
            && events.contains(EpollFlags::EPOLLOUT)
            && !events.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP)
        {
            let questions: Vec<u8> = dns.questions.iter().flat_map(|q| dns::prefixed(&q.message)).collect();
            dns.asked = true;
            return socket::send(&self.socket, &questions).map_or_else(Heard::from, |()| Heard::Asked);
        }
        if events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP) {
            return self.listen_stream();
        }
        // Only an error: in the queue of ICMP messages, or on the socket.
        cause::queued(&self.socket).map_or_else(
            || match self.socket.take_error() {
                Ok(Some(e)) => cause::arrived(&self.socket, &e, false).into(),
                _ => Heard::Nothing,
            },
            Heard::from,
        )
    }

    fn listen_stream(&mut self) -> Heard {
        let mut bytes = [0; LONGEST_GREETING];
        let count = match (&self.socket).read(&mut bytes) {
            Ok(0) => return Heard::Failed("the connection was closed without an answer".into()),
            Ok(count) => count,
            Err(e) => return cause::arrived(&self.socket, &e, false).into(),
        };
        match &mut self.speech {
            Speech::Greeting(so_far) => {
                so_far.extend_from_slice(&bytes[..count]);
                let line = so_far.iter().position(|b| *b == b'\n').map(|end| &so_far[..end]);
                match line.map(serde_json::from_slice) {
                    Some(Ok(greeting)) => Heard::Greeting(greeting),
                    // The beginning of a greeting may come alone.
                    None if so_far[0] == b'{' && so_far.len() < LONGEST_GREETING => Heard::Nothing,
                    _ => Heard::Failed(NOT_OURS.into()),
                }
            }
            Speech::Dns(dns) => {
                dns.buffer.extend_from_slice(&bytes[..count]);
                let mut heard = Heard::Nothing;
                while let Some(message) = dns::take_prefixed(&mut dns.buffer) {
                    heard = dns.take(&message);
                }
                heard
            }
            Speech::Nonce(_) => Heard::Nothing,
        }
    }

    /// Reads all datagrams that are there. An error comes first, but an answer behind it outweighs it.
    fn listen_datagrams(&mut self) -> Heard {
        let mut bytes = [0; 4096];
        let mut heard = Heard::Nothing;
        // Each round takes a datagram or an error off the socket; others get their turn after some.
        for _ in 0..DATAGRAMS {
            match (&self.socket).read(&mut bytes) {
                Ok(count) => match self.take_datagram(&bytes[..count]) {
                    Heard::Nothing => {}
                    Heard::Odd(why) => {
                        if matches!(heard, Heard::Nothing) {
                            heard = Heard::Odd(why);
                        }
                    }
                    proof => return proof,
                },
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => match cause::arrived(&self.socket, &e, true).into() {
                    Heard::Nothing => {}
                    refusal => heard = refusal,
                },
            }
        }
        // An ICMP message that is no error for the socket stays in its queue and would wake us for ever.
        if let (Heard::Nothing, Some(cause)) = (&heard, cause::queued(&self.socket)) {
            heard = cause.into();
        }
        heard
    }

    fn take_datagram(&mut self, message: &[u8]) -> Heard {
        match &mut self.speech {
            Speech::Nonce(nonce) => match serde_json::from_slice::<Greeting>(message) {
                Ok(greeting) if greeting.nonce == nonce_text(*nonce) => Heard::Greeting(greeting),
                Ok(_) => Heard::Odd("an answer came, but to another request (wrong nonce)".into()),
                Err(_) => Heard::Odd(NOT_OURS.into()),
            },
            Speech::Dns(dns) => dns.take(message),
            Speech::Greeting(_) => Heard::Nothing,
        }
    }
}

impl Dns {
    fn take(&mut self, message: &[u8]) -> Heard {
        let found = self.questions.iter().zip(&mut self.answers).find_map(|(question, slot)| {
            let answer = question.answer(message)?;
            *slot = Some(answer);
            Some(())
        });
        if found.is_none() {
            return Heard::Odd("an answer came, but not to this question".into());
        }
        self.answers.iter().cloned().collect::<Option<Vec<_>>>().map_or(Heard::Nothing, Heard::Answers)
    }
}
