//! Bytes that a connection has not taken yet.

use std::io::{ErrorKind, Write};

/// What waits to be written.
#[derive(Default)]
pub(super) struct Output(Vec<u8>);

impl Output {
    /// Whether nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Writes what the socket takes. `false` when the connection has ended.
    pub(super) fn write(&mut self, mut socket: impl Write) -> bool {
        let mut written = 0;
        let alive = loop {
            if written == self.0.len() {
                break true;
            }
            match socket.write(&self.0[written..]) {
                Ok(count) => written += count,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => break e.kind() == ErrorKind::WouldBlock,
            }
        };
        self.0.drain(..written);
        alive
    }
}
