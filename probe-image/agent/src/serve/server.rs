//! The event loop of the servers.

use std::{
    os::fd::{AsRawFd, RawFd},
    time::Instant,
};

use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use socket2::Socket;

use super::{
    control::Control,
    datagram::Datagrams,
    streams::{Listener, Streams},
};
use crate::Failure;

/// Descriptors that are kept for everything that is no connection.
const RESERVED_DESCRIPTORS: usize = 64;

/// Events that are taken at once.
const EVENTS: usize = 256;

/// All servers of a process.
pub(super) struct Server {
    epoll: Epoll,
    listeners: Vec<Listener>,
    datagrams: Vec<Datagrams>,
    streams: Streams,
    control: Option<Control>,
    /// Whether the listeners are out of the epoll set, because no more connections fit.
    paused: bool,
}

impl Server {
    /// No servers yet. At most `descriptors` may be open in this process.
    pub(super) fn new(identity: &str, descriptors: usize) -> Result<Self, Failure> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|e| fatal("epoll_create1", e))?;
        let room = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(1);
        let streams = Streams::new(identity, room);
        let (listeners, datagrams) = (Vec::new(), Vec::new());
        Ok(Self { epoll, listeners, datagrams, streams, control: None, paused: false })
    }

    /// Serves a listening socket.
    pub(super) fn add_streams(&mut self, socket: Socket, http: bool) -> Result<(), Failure> {
        self.watch(&socket)?;
        self.listeners.push(Listener { socket, http });
        Ok(())
    }

    /// Obeys the agents of this pod.
    pub(super) fn add_control(&mut self, control: Control) -> Result<(), Failure> {
        control.wait_for(&self.epoll).map_err(|e| fatal("epoll_ctl", e))?;
        self.control = Some(control);
        Ok(())
    }

    /// Serves a UDP socket.
    pub(super) fn add_datagrams(&mut self, socket: Socket) -> Result<(), Failure> {
        self.watch(&socket)?;
        self.datagrams.push(Datagrams::new(self.streams.identity(), socket));
        Ok(())
    }

    /// Serves until a signal ends the process, or an agent asks for the end.
    pub(super) fn run(mut self) -> Result<u8, Failure> {
        let mut events = vec![EpollEvent::empty(); EVENTS];
        loop {
            let count = match self.epoll.wait(&mut events, self.patience()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(fatal("epoll_wait", e)),
            };
            for event in &events[..count] {
                self.serve(event.data() as RawFd);
            }
            if self.control.as_ref().is_some_and(Control::is_finished) {
                return Ok(0);
            }
            self.streams.close_idle(Instant::now());
            self.pause_or_resume()?;
        }
    }

    fn serve(&mut self, fd: RawFd) {
        if let Some(listener) = self.listeners.iter().find(|l| l.socket.as_raw_fd() == fd) {
            self.streams.accept(listener, &self.epoll);
        } else if let Some(datagrams) = self.datagrams.iter_mut().find(|d| d.fd() == fd) {
            datagrams.answer();
        } else if let Some(control) = self.control.as_mut().filter(|control| control.owns(fd)) {
            control.serve(fd, &self.epoll);
        } else {
            self.streams.serve(fd, &self.epoll);
        }
    }

    /// Leaves new connections to the kernel's queue while there is no room for them.
    fn pause_or_resume(&mut self) -> Result<(), Failure> {
        if self.paused == self.streams.is_full() {
            return Ok(());
        }
        self.paused = !self.paused;
        for listener in &self.listeners {
            if self.paused {
                self.epoll.delete(&listener.socket).map_err(|e| fatal("epoll_ctl", e))?;
            } else {
                self.watch(&listener.socket)?;
            }
        }
        Ok(())
    }

    fn patience(&self) -> EpollTimeout {
        let Some(until) = self.streams.next_idle() else { return EpollTimeout::NONE };
        let left = until.saturating_duration_since(Instant::now()).as_millis() + 1;
        EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
    }

    fn watch(&self, socket: &Socket) -> Result<(), Failure> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, socket.as_raw_fd() as u64);
        self.epoll.add(socket, event).map_err(|e| fatal("epoll_ctl", e))
    }
}

fn fatal(call: &str, error: Errno) -> Failure {
    Failure::Fatal(format!("{call}: {}", error.desc()))
}
