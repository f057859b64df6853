//! What the session asks of the servers of its pod, over [`crate::control`].

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use verdikt_protocol::{FIRST_GROUP, Reply, Request};

use crate::{control, serve, system::now_us};

/// The servers, once they have been asked something.
pub(super) struct Servers {
    stream: UnixStream,
    input: Vec<u8>,
    /// Requests that are not answered yet.
    open: VecDeque<Request>,
}

impl Servers {
    /// Connects to them; an error says why that is not possible.
    pub(super) fn connect() -> Result<Self, String> {
        let identity = serve::own_identity();
        let connect = || {
            let stream = UnixStream::connect_addr(&control::address(&identity)?)?;
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

    /// Whether nothing is unanswered.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Asks.
    pub(super) fn ask(&mut self, request: Request) -> Result<(), String> {
        let mut line = serde_json::to_vec(&request).expect("requests are always JSON");
        line.push(b'\n');
        // A few dozen bytes: they fit, unless hundreds of requests are unanswered.
        (&self.stream).write_all(&line).map_err(|e| format!("the servers cannot be asked: {e}"))?;
        self.open.push_back(request);
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
                let Some(request) = self.open.pop_front() else { return false };
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
        self.open
            .into_iter()
            .map(|request| failure(&request, "the servers ended before they answered".into()))
    }
}

impl AsFd for Servers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The answer to a request that the servers cannot be asked.
pub(super) fn failure(request: &Request, why: String) -> Reply {
    if matches!(request, Request::Finish) {
        Reply::Finishing { done: Err(why) }
    } else {
        Reply::Report { group: FIRST_GROUP, now_us: now_us(), tasks: Err(why) }
    }
}
