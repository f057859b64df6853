//! Lines from stdin, read without a thread: a read after epoll has said "readable" does not block.

use std::io;

use nix::{errno::Errno, unistd::read};

/// Longest line that is taken: several times the largest batch.
pub(super) const LONGEST_LINE: usize = 4 << 20;

/// What has been read and not yet been taken.
pub(super) struct Input {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Bytes from `start` in which there is no line end.
    searched: usize,
    /// Whether the rest of a line that is too long is being thrown away.
    skipping: bool,
    always_ready: bool,
}

/// A line without its end.
pub(super) enum Line {
    /// All of it.
    Whole(Vec<u8>),
    /// One of more than [`LONGEST_LINE`] bytes; they are lost.
    TooLong,
}

impl Input {
    /// Nothing read.
    pub(super) const fn new() -> Self {
        Self { bytes: Vec::new(), start: 0, searched: 0, skipping: false, always_ready: false }
    }

    /// Whether stdin is a regular file.
    pub(super) const fn is_always_ready(&self) -> bool {
        self.always_ready
    }

    /// Stdin is a regular file.
    pub(super) const fn set_always_ready(&mut self) {
        self.always_ready = true;
    }

    /// Reads once. `false` at the end; a last line without an end then counts as a line.
    pub(super) fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 64 * 1024];
        match read(io::stdin(), &mut buffer) {
            Ok(0) => {
                self.bytes.push(b'\n');
                Ok(false)
            }
            Ok(count) => {
                self.bytes.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }

    /// The next line, if all of it has come.
    pub(super) fn line(&mut self) -> Option<Line> {
        loop {
            let open = &self.bytes[self.start..];
            let Some(end) =
                open[self.searched..].iter().position(|b| *b == b'\n').map(|at| at + self.searched)
            else {
                let too_long = open.len() > LONGEST_LINE;
                if too_long || self.skipping {
                    let first = !self.skipping;
                    (self.skipping, self.searched, self.start) = (true, 0, 0);
                    self.bytes.clear();
                    return first.then_some(Line::TooLong);
                }
                self.bytes.drain(..self.start);
                (self.start, self.searched) = (0, self.bytes.len());
                return None;
            };
            let line = open[..end].to_vec();
            self.start += end + 1;
            self.searched = 0;
            if !std::mem::take(&mut self.skipping) {
                return Some(Line::Whole(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &mut Input, more: &[u8]) -> Vec<Option<usize>> {
        input.bytes.extend_from_slice(more);
        let length = |line| match line {
            Line::Whole(line) => Some(line.len()),
            Line::TooLong => None,
        };
        std::iter::from_fn(|| input.line()).map(length).collect()
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let mut input = Input::new();
        assert_eq!(lines(&mut input, b"ab"), []);
        assert_eq!(lines(&mut input, b"c\n\nde"), [Some(3), Some(0)]);
        assert_eq!(lines(&mut input, b"\n"), [Some(2)]);
    }

    #[test]
    fn a_line_that_is_too_long_is_lost_and_the_next_one_is_not() {
        let mut input = Input::new();
        assert_eq!(lines(&mut input, &vec![b'x'; LONGEST_LINE + 1]), [None]);
        assert_eq!(lines(&mut input, b"xxx"), []);
        assert_eq!(lines(&mut input, b"xxx\nabc\n"), [Some(3)]);
    }
}
