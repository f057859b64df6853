//! Lines to stdout, without blocking and without a thread.

use std::{io, os::fd::AsFd};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::write,
};
use verdikt_protocol::Reply;

/// What a pipe takes without blocking once it is writable (PIPE_BUF). Stdout may be shared with others, so its
/// flags are left alone and it stays a blocking descriptor.
const CHUNK: usize = 4096;

/// What has not been written yet.
pub(super) struct Output {
    bytes: Vec<u8>,
    written: usize,
}

impl Output {
    /// Nothing to write.
    pub(super) const fn new() -> Self {
        Self { bytes: Vec::new(), written: 0 }
    }

    /// Bytes that wait.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether all is written.
    pub(super) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a line.
    pub(super) fn say(&mut self, reply: &Reply) {
        serde_json::to_writer(&mut self.bytes, reply).expect("replies are always JSON, and a Vec takes all");
        self.bytes.push(b'\n');
    }

    /// Writes what stdout takes now. Whether that is all.
    pub(super) fn write(&mut self) -> io::Result<bool> {
        let stdout = io::stdout();
        while !self.is_empty() {
            let mut ready = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut ready, PollTimeout::ZERO) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(e.into()),
            }
            let end = self.bytes.len().min(self.written + CHUNK);
            match write(&stdout, &self.bytes[self.written..end]) {
                Ok(count) => self.written += count,
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.bytes.clear();
        self.written = 0;
        Ok(true)
    }
}
