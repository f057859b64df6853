//! What the session asks of the servers of its pod, over [`crate::control`].

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use verdikt_protocol::{FIRST_GROUP, Reply, Request};

use crate::{control, serve, system::now_us};

/// The servers, once they have been asked something.
pub(super) struct Servers {
    stream: UnixStream,
    input: Vec<u8>,
    /// Requests that they have not answered yet.
    open: VecDeque<Open>,
}

struct Open {
    request: Request,
    /// When it is said that they do not answer.
    until: Option<Instant>,
    /// Whether that has been said: an answer that comes now is one to nobody.
    expired: bool,
}

impl Servers {
    /// Connects to them; an error says why that is not possible.
    pub(super) fn connect(of: control::Of) -> Result<Self, String> {
        let identity = serve::own_identity();
        let connect = || {
            let stream = UnixStream::connect_addr(&control::address(&identity, of)?)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let stream = connect().map_err(|e: std::io::Error| match e.kind() {
            ErrorKind::ConnectionRefused => {
                format!("no servers of {identity} run in this network namespace")
            }
            _ => format!("the servers of {identity} cannot be reached: {e}"),
        })?;
        if !control::is_trusted(&stream) {
            return Err(format!("the servers of {identity} run as another user"));
        }
        Ok(Self { stream, input: Vec::new(), open: VecDeque::new() })
    }

    /// Whether nobody waits for an answer.
    pub(super) fn is_idle(&self) -> bool {
        self.open.iter().all(|open| open.expired)
    }

    /// When [`Self::expire`] has something to say.
    pub(super) fn due(&self) -> Option<Instant> {
        self.open.iter().filter(|open| !open.expired).filter_map(|open| open.until).min()
    }

    /// What to say of requests that had not been answered in time when their answers were last looked for, at `looked`.
    pub(super) fn expire(&mut self, looked: Instant) -> Vec<Reply> {
        let late = |open: &&mut Open| !open.expired && open.until.is_some_and(|until| until <= looked);
        let say = |open: &mut Open| {
            open.expired = true;
            failure(&open.request, "the servers do not answer".into())
        };
        self.open.iter_mut().filter(late).map(say).collect()
    }

    /// Asks.
    pub(super) fn ask(&mut self, request: Request) -> Result<(), String> {
        let mut line = serde_json::to_vec(&request).expect("requests are always JSON");
        line.push(b'\n');
        // A few dozen bytes: they fit, unless hundreds of requests are unanswered.
        (&self.stream).write_all(&line).map_err(|e| format!("the servers cannot be asked: {e}"))?;
        let until = match request {
            Request::Alive { patience_ms, .. } => {
                Some(Instant::now() + Duration::from_millis(patience_ms.into()))
            }
            _ => None,
        };
        self.open.push_back(Open { request, until, expired: false });
        Ok(())
    }

    /// Reads what they have answered. `false` when they have gone.
    pub(super) fn read(&mut self, replies: &mut Vec<Reply>) -> bool {
        let mut bytes = [0; 64 * 1024];
        loop {
            match (&self.stream).read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => self.input.extend_from_slice(&bytes[..count]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
            while let Some(end) = self.input.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                let Some(Open { request, until, expired }) = self.open.pop_front() else { return false };
                if expired {
                    continue;
                }
                // Nobody knows whether they were late, or this process.
                if until.is_some_and(|until| until < Instant::now()) {
                    replies.push(failure(&request, "they answered too late".into()));
                    continue;
                }
                let reply = serde_json::from_slice(&line);
                replies.push(
                    reply.unwrap_or_else(|e| failure(&request, format!("the servers answered oddly: {e}"))),
                );
            }
        }
        true
    }

    /// What to say about the requests that will not be answered any more.
    pub(super) fn failures(self) -> impl Iterator<Item = Reply> {
        let waiting = self.open.into_iter().filter(|open| !open.expired);
        waiting.map(|open| failure(&open.request, "the servers ended before they answered".into()))
    }
}

impl AsFd for Servers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The answer to a request that the servers cannot be asked.
pub(super) fn failure(request: &Request, why: String) -> Reply {
    match request {
        Request::Finish => Reply::Finishing { done: Err(why) },
        Request::Alive { question, .. } => Reply::Alive { question: *question, servers: Err(why) },
        _ => Reply::Report { group: FIRST_GROUP, now_us: now_us(), tasks: Err(why) },
    }
}
