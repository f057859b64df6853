//! What all tasks use.

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use socket2::Socket;

use super::room::Room;
use crate::{
    system::Random,
    talk::{Cause, SourcePorts, TASKS, local},
};

/// The common tools.
pub(super) struct Tools {
    /// In which all sockets are waited for.
    pub(super) epoll: Epoll,
    /// How many there may be.
    pub(super) room: Room,
    /// For UDP and SCTP.
    pub(super) ports: SourcePorts,
    /// For nonces and ids.
    pub(super) random: Random,
}

impl Tools {
    /// Unused ones.
    pub(super) fn new(epoll: Epoll, room: Room) -> Self {
        let mut random = Random::new();
        Self { epoll, room, ports: SourcePorts::new(TASKS, random.next()), random }
    }

    /// Has a new socket waited for.
    pub(super) fn wait_for(&self, socket: &Socket, events: EpollFlags, key: u64) -> Result<(), Cause> {
        self.epoll.add(socket, EpollEvent::new(events, key)).map_err(|e| local("epoll_ctl", &e.into()))
    }

    /// Has other events of a socket waited for.
    pub(super) fn change(&self, socket: &Socket, events: EpollFlags, key: u64) {
        // Cannot fail for a descriptor that is in the set; if it did, silence would decide.
        let _ = self.epoll.modify(socket, &mut EpollEvent::new(events, key));
    }
}
