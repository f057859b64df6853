//! The conversation on one socket: what is said, and what an answer proves.

use std::{
    io::{self, Read},
    net::SocketAddr,
    time::Instant,
};

use nix::sys::epoll::EpollFlags;
use socket2::Socket;
use verdikt_protocol::{Greeting, Probe, Transport, nonce_text, udp_request};

use super::{
    cause::{self, Cause, Peer},
    dns::{self, Answer, Question},
    echo,
    http::{Exchange, HttpAnswer},
    sctp::{self, Again},
    socket,
    source_ports::SourcePorts,
};
use crate::system::Random;

/// Most bytes of a greeting line.
const LONGEST_GREETING: usize = 2048;

/// Datagrams that are read at once.
const DATAGRAMS: usize = 32;

/// An answer that is none of ours.
pub(crate) const NOT_OURS: &str = "answered by something that is no verdikt server";

/// One socket of one probe.
pub(crate) struct Talk {
    /// Whose it is; chosen by who opens it.
    pub(crate) owner: u64,
    /// Where it goes.
    pub(crate) to: SocketAddr,
    transport: Transport,
    /// When its first packet was sent.
    pub(crate) started: Instant,
    /// The socket.
    pub(crate) socket: Socket,
    speech: Speech,
}

/// What is said on a socket.
pub(crate) enum Speech {
    /// A stream on which the server speaks first. What has come of the greeting so far.
    Greeting(Vec<u8>),
    /// A datagram with this nonce.
    Nonce(u64),
    /// An ICMP echo request with this nonce.
    Echo(u64),
    /// An HTTP request.
    Http(Exchange),
    /// DNS questions.
    Dns(Dns),
}

/// DNS questions on a socket, and the answers so far.
pub(crate) struct Dns {
    stream: bool,
    asked: bool,
    questions: Vec<Question>,
    answers: Vec<Option<Answer>>,
    buffer: Vec<u8>,
}

/// What was heard on a socket.
pub(crate) enum Heard {
    /// Nothing that counts.
    Nothing,
    /// A greeting, on UDP with our nonce.
    Greeting(Greeting),
    /// Our nonce, echoed.
    Echo,
    /// An answer in HTTP.
    Http(HttpAnswer),
    /// Answers to all questions.
    Answers(Vec<Answer>),
    /// The connection stands and the questions have been sent on it.
    Asked,
    /// An answer that proves nothing, nor is it silence; another one may still come.
    Odd(String),
    /// The network or the peer has refused.
    Rejected(String),
    /// A filter of this host has refused; alone it proves nothing.
    Filtered(String),
    /// Nothing can be proved on this socket.
    Failed(String),
}

impl From<Cause> for Heard {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Rejected(why) => Self::Rejected(why),
            Cause::Filtered(why) => Self::Filtered(why),
            Cause::Failed(why) => Self::Failed(why),
            Cause::Nothing | Cause::GaveUp => Self::Nothing,
        }
    }
}

impl Speech {
    /// These questions.
    pub(crate) fn dns(questions: Vec<Question>, stream: bool) -> Self {
        let answers = vec![None; questions.len()];
        Self::Dns(Dns { stream, asked: false, questions, answers, buffer: Vec::new() })
    }
}

impl Talk {
    /// Opens a socket for what a probe asks, and begins to talk on it.
    pub(crate) fn open(
        owner: u64,
        probe: &Probe,
        to: SocketAddr,
        ports: &mut SourcePorts,
        random: &mut Random,
        again: Again,
    ) -> Result<Self, Cause> {
        let started = Instant::now();
        let stream = matches!(probe.transport, Transport::Tcp | Transport::Sctp);
        let speech = match (&probe.query, &probe.http, probe.transport) {
            (Some(_), _, Transport::Icmp) => return Err(Cause::Failed("DNS is not asked over ICMP".into())),
            (Some(name), _, _) => Speech::dns(dns::both(name, random).map_err(Cause::Failed)?, stream),
            (_, Some(request), Transport::Tcp) => {
                Speech::Http(Exchange::new(request).map_err(Cause::Failed)?)
            }
            (_, Some(_), _) => return Err(Cause::Failed("HTTP is asked over TCP".into())),
            (_, _, Transport::Tcp | Transport::Sctp) => Speech::Greeting(Vec::new()),
            (_, _, Transport::Udp) => Speech::Nonce(random.next()),
            (_, _, Transport::Icmp) => Speech::Echo(random.next()),
        };
        let socket = match probe.transport {
            Transport::Tcp => socket::connection(to, probe.from)?,
            Transport::Sctp => sctp::association(to, probe.from, ports, started, again)?,
            Transport::Udp => socket::datagram(to, probe.from, ports, started)?,
            Transport::Icmp => socket::echo(to, probe.from)?,
        };
        Self::begin(owner, (probe.transport, to), socket, started, speech)
    }

    /// A conversation on a socket that has begun to connect; without a connection, says the first word.
    pub(crate) fn begin(
        owner: u64,
        (transport, to): Peer,
        socket: Socket,
        started: Instant,
        speech: Speech,
    ) -> Result<Self, Cause> {
        let talk = Self { owner, to, transport, started, socket, speech };
        talk.say()?;
        Ok(talk)
    }

    /// The events to wait for. A greeting comes by itself: nobody needs to know when the connection stands.
    pub(crate) fn interest(&self) -> EpollFlags {
        match &self.speech {
            Speech::Dns(Dns { stream: true, asked: false, .. })
            | Speech::Http(Exchange { asked: false, .. }) => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
            _ => EpollFlags::EPOLLIN,
        }
    }

    /// Says again what has not been answered; not on a stream.
    pub(crate) fn again(&self) -> Heard {
        self.say().map_or_else(Heard::from, |()| Heard::Nothing)
    }

    /// Says, without a connection, what has not been answered.
    fn say(&self) -> Result<(), Cause> {
        match &self.speech {
            Speech::Nonce(nonce) => socket::send(&self.socket, &udp_request(*nonce)),
            Speech::Echo(nonce) => socket::send(&self.socket, &echo::request(self.to.is_ipv6(), *nonce)),
            Speech::Dns(dns) if !dns.stream => {
                let mut open = dns.questions.iter().zip(&dns.answers).filter(|(_, answer)| answer.is_none());
                open.try_for_each(|(question, _)| socket::send(&self.socket, &question.message))
            }
            Speech::Greeting(_) | Speech::Http(_) | Speech::Dns(_) => Ok(()),
        }
    }

    /// Whether this is a stream whose connection stands: then the path is open, whatever else happens.
    pub(crate) fn is_connected(&self) -> bool {
        self.is_stream() && self.socket.peer_addr().is_ok()
    }

    /// The questions that are not answered, when others are.
    pub(crate) fn half_answered(&self) -> Option<String> {
        let Speech::Dns(dns) = &self.speech else { return None };
        let open = || dns.questions.iter().zip(&dns.answers).filter(|(_, answer)| answer.is_none());
        (open().count() < dns.questions.len()).then(|| {
            let kinds: Vec<String> = open().map(|(question, _)| question.kind.to_string()).collect();
            format!("the question for {} was not answered, another one was", kinds.join(" and "))
        })
    }

    /// The questions, to ask them again elsewhere.
    pub(crate) fn into_questions(self) -> Vec<Question> {
        match self.speech {
            Speech::Dns(dns) => dns.questions,
            _ => Vec::new(),
        }
    }

    /// Whether this is a connection.
    pub(crate) fn is_stream(&self) -> bool {
        match &self.speech {
            Speech::Greeting(_) | Speech::Http(_) => true,
            Speech::Nonce(_) | Speech::Echo(_) => false,
            Speech::Dns(dns) => dns.stream,
        }
    }

    const fn peer(&self) -> Peer {
        (self.transport, self.to)
    }

    /// Looks at what has come.
    pub(crate) fn listen(&mut self, events: EpollFlags) -> Heard {
        if !self.is_stream() {
            return self.listen_datagrams();
        }
        if events.contains(EpollFlags::EPOLLOUT)
            && !events.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP)
            && let Some(asked) = self.ask()
        {
            return asked.map_or_else(Heard::from, |()| Heard::Asked);
        }
        if events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP) {
            return self.listen_stream();
        }
        // Only an error.
        cause::pending(&self.socket, self.peer()).into()
    }

    /// Says what is to be said on a connection that stands; `None` when there is nothing.
    fn ask(&mut self) -> Option<Result<(), Cause>> {
        match &mut self.speech {
            Speech::Dns(dns) if dns.stream && !dns.asked => {
                dns.asked = true;
                let questions: Vec<u8> =
                    dns.questions.iter().flat_map(|q| dns::prefixed(&q.message)).collect();
                Some(socket::send(&self.socket, &questions))
            }
            Speech::Http(http) if !http.asked => {
                http.asked = true;
                Some(socket::send(&self.socket, &http.request))
            }
            _ => None,
        }
    }

    fn listen_stream(&mut self) -> Heard {
        let mut bytes = [0; LONGEST_GREETING];
        let count = match (&self.socket).read(&mut bytes) {
            Ok(0) => return Heard::Failed("the connection was closed without an answer".into()),
            Ok(count) => count,
            Err(e) => return cause::arrived(&self.socket, self.peer(), &e).into(),
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
            Speech::Http(http) => match http.take(&bytes[..count]) {
                None => Heard::Nothing,
                Some(Ok(answer)) => Heard::Http(answer),
                Some(Err(why)) => Heard::Failed(why),
            },
            Speech::Nonce(_) | Speech::Echo(_) => Heard::Nothing,
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
                Err(e) => match cause::arrived(&self.socket, self.peer(), &e).into() {
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
            Speech::Echo(nonce) => match echo::nonce(self.to.is_ipv6(), message) {
                Some(echoed) if echoed == nonce_text(*nonce) => Heard::Echo,
                _ => Heard::Odd("an echo reply came, but not to our request".into()),
            },
            Speech::Dns(dns) => dns.take(message),
            Speech::Greeting(_) | Speech::Http(_) => Heard::Nothing,
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
