//! The servers' side of [`crate::control`].

use std::{
    io::{ErrorKind, Read},
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::net::{UnixListener, UnixStream},
    },
};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use verdikt_protocol::{FIRST_GROUP, Reply, Request, Serving};

use super::{first::First, output::Output};
use crate::{control, system::now_us};

/// Most agents at a time.
const MOST_AGENTS: usize = 16;

/// Longest request that servers know.
const LONGEST_REQUEST: usize = 4096;

/// The socket, and the agents that have connected.
pub(super) struct Control {
    listener: UnixListener,
    agents: Vec<Agent>,
    first: Option<First>,
    serving: Serving,
    finished: bool,
}

struct Agent {
    stream: UnixStream,
    input: Vec<u8>,
    output: Output,
    /// Whether it is waited for to take more, instead of to say more.
    blocked: bool,
}

impl Control {
    /// Listens for agents; `first` and `serving` are what they may ask for.
    pub(super) fn new(
        identity: &str,
        of: control::Of,
        first: Option<First>,
        serving: Serving,
    ) -> Result<Self, String> {
        let listen = || {
            let listener = UnixListener::bind_addr(&control::address(identity, of)?)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = listen().map_err(|e: std::io::Error| match e.kind() {
            ErrorKind::AddrInUse => format!("other servers of {identity} run in this network namespace"),
            _ => format!("cannot listen for agents: {e}"),
        })?;
        Ok(Self { listener, agents: Vec::new(), first, serving, finished: false })
    }

    /// Has the listener waited for.
    pub(super) fn wait_for(&self, epoll: &Epoll) -> nix::Result<()> {
        epoll.add(&self.listener, event(self.listener.as_raw_fd(), EpollFlags::EPOLLIN))
    }

    /// Whether an agent has asked for the end.
    pub(super) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether a descriptor is one of these.
    pub(super) fn owns(&self, fd: RawFd) -> bool {
        self.listener.as_raw_fd() == fd || self.agents.iter().any(|agent| agent.stream.as_raw_fd() == fd)
    }

    /// Takes a new agent, or does what one asks for.
    pub(super) fn serve(&mut self, fd: RawFd, epoll: &Epoll) {
        if fd == self.listener.as_raw_fd() {
            self.accept(epoll);
        } else if let Some(at) = self.agents.iter().position(|agent| agent.stream.as_raw_fd() == fd) {
            let mut agent = self.agents.swap_remove(at);
            if self.obey(&mut agent, epoll) {
                self.agents.push(agent);
            }
        }
    }

    fn accept(&mut self, epoll: &Epoll) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        let ready = control::is_trusted(&stream)
            && self.agents.len() < MOST_AGENTS
            && stream.set_nonblocking(true).is_ok()
            && epoll.add(&stream, event(stream.as_raw_fd(), EpollFlags::EPOLLIN)).is_ok();
        if ready {
            self.agents.push(Agent { stream, input: Vec::new(), output: Output::default(), blocked: false });
        }
    }

    /// `false` when the agent has gone, or talks nonsense.
    fn obey(&mut self, agent: &mut Agent, epoll: &Epoll) -> bool {
        if !agent.blocked {
            let mut bytes = [0; LONGEST_REQUEST];
            match (&agent.stream).read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => agent.input.extend_from_slice(&bytes[..count]),
                Err(e) => return matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
            }
            while let Some(end) = agent.input.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = agent.input.drain(..=end).collect();
                let mut reply = serde_json::to_vec(&self.reply(&line)).expect("replies are always JSON");
                reply.push(b'\n');
                agent.output.add(&reply);
            }
            if agent.input.len() > LONGEST_REQUEST {
                return false;
            }
        }
        agent.write(epoll)
    }

    fn reply(&mut self, line: &[u8]) -> Reply {
        match serde_json::from_slice(line) {
            Ok(Request::Look { group: FIRST_GROUP }) => self.report(First::look),
            Ok(Request::End { group: FIRST_GROUP }) => self.report(First::end),
            Ok(Request::Finish) => {
                self.finished = true;
                Reply::Finishing { done: Ok(()) }
            }
            // The loop that says so is the one that answers probes: whatever came before has been answered, or is next.
            Ok(Request::Alive { question, .. }) => {
                Reply::Alive { question, servers: Ok(self.serving.clone()) }
            }
            Ok(_) => Reply::Refused { why: "servers only know look, end, finish and alive".into() },
            Err(e) => Reply::Refused { why: format!("no request: {e}") },
        }
    }

    fn report(&self, ask: impl Fn(&First) -> Reply) -> Reply {
        self.first.as_ref().map_or_else(
            || {
                let why = "the servers of this pod were started without --first";
                Reply::Report { group: FIRST_GROUP, now_us: now_us(), tasks: Err(why.into()) }
            },
            ask,
        )
    }
}

impl Agent {
    fn write(&mut self, epoll: &Epoll) -> bool {
        if !self.output.write(&self.stream) {
            return false;
        }
        let blocked = !self.output.is_empty();
        if blocked == self.blocked {
            return true;
        }
        self.blocked = blocked;
        let events = if blocked { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        epoll.modify(self.stream.as_fd(), &mut event(self.stream.as_raw_fd(), events)).is_ok()
    }
}

fn event(fd: RawFd, events: EpollFlags) -> EpollEvent {
    EpollEvent::new(events, fd as u64)
}
