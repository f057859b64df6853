//! What containers say: standard output goes through here into the container's log, and a line that begins with
//! `ready` tells that the container is. Standard error goes into the log directly. One thread for all. Logs lie in the
//! node's working directory.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::{Arc, Mutex, PoisonError},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::errors::note;
use crate::wire::log_name;

/// What a line must begin with.
const READY: &[u8] = b"ready";
/// A longer beginning of a line is not looked at.
const LINE: usize = 64;

/// A container's standard output.
struct Stream {
    uid: String,
    container: String,
    pipe: File,
    log: File,
    /// The beginning of the current line; `None` once it is ready.
    line: Option<Vec<u8>>,
}

/// The reader of all streams.
pub(crate) struct Outputs {
    epoll: Epoll,
    streams: Mutex<HashMap<RawFd, Stream>>,
}

impl Outputs {
    /// Starts the thread. `ready` is called with the pod's uid and the name of a container that has become ready.
    pub(crate) fn start(ready: impl Fn(&str, &str) + Send + 'static) -> io::Result<Arc<Self>> {
        let outputs =
            Arc::new(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, streams: Mutex::default() });
        let reader = Arc::clone(&outputs);
        std::thread::Builder::new().name("output".into()).spawn(move || {
            let mut events = [EpollEvent::empty(); 64];
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = reader.epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
                for event in &events[..count] {
                    reader.read(event.data() as RawFd, &mut buffer, &ready);
                }
            }
        })?;
        Ok(outputs)
    }

    /// Opens a container's log for appending.
    pub(crate) fn log(&self, uid: &str, container: &str) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(log_name(uid, container))
    }

    /// The last lines of a container's log, for messages.
    pub(crate) fn tail(&self, uid: &str, container: &str) -> String {
        let text = std::fs::read(log_name(uid, container)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(1000)..]).trim().to_owned();
        if text.is_empty() { "it said nothing".into() } else { text }
    }

    /// Makes a container's standard output and error.
    pub(crate) fn add(&self, uid: &str, container: &str) -> io::Result<[OwnedFd; 2]> {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let log = self.log(uid, container)?;
        let errors = log.try_clone()?;
        let key = read.as_raw_fd();
        let (uid, container) = (uid.to_owned(), container.to_owned());
        let stream = Stream { uid, container, pipe: read.into(), log, line: Some(vec![]) };
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        self.epoll.add(stream.pipe.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, key as u64))?;
        streams.insert(key, stream);
        Ok([write, errors.into()])
    }

    fn read(&self, key: RawFd, buffer: &mut [u8], ready: &impl Fn(&str, &str)) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stream) = streams.get_mut(&key) else { return };
        match stream.pipe.read(buffer) {
            Ok(0) => {
                // Closing takes it out of epoll.
                streams.remove(&key);
            }
            Ok(got) => {
                if let Err(error) = stream.log.write_all(&buffer[..got]) {
                    note(format_args!("the log of pod {} loses {got} bytes: {error}", stream.uid));
                }
                let is_ready = stream.line.as_mut().is_some_and(|line| begins(line, &buffer[..got]));
                if is_ready {
                    stream.line = None;
                    let (uid, container) = (stream.uid.clone(), stream.container.clone());
                    drop(streams);
                    ready(&uid, &container);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                note(format_args!("the output of pod {} cannot be read: {error}", stream.uid));
                streams.remove(&key);
            }
        }
    }
}

/// Adds bytes to the current line; whether a line begins as it should.
fn begins(line: &mut Vec<u8>, bytes: &[u8]) -> bool {
    for byte in bytes {
        if *byte == b'\n' {
            line.clear();
        } else if line.len() < LINE {
            line.push(*byte);
            if line == READY {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_line_counts() {
        let mut line = vec![];
        assert!(!begins(&mut line, b"not ready\nrea"));
        assert!(begins(&mut line, b"dy on 80"));
    }
}
