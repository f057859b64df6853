//! Network namespaces as descriptors: no names, nothing under `/run/netns`, gone with the process.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::sched::{CloneFlags, setns, unshare};

use super::errors::{doing, doing_namespaces};

/// A network namespace, kept alive by this descriptor.
#[derive(Debug)]
pub(crate) struct NetNs(OwnedFd);

impl NetNs {
    /// The calling thread's namespace.
    pub(crate) fn current() -> io::Result<Self> {
        let file =
            File::open("/proc/thread-self/ns/net").map_err(|e| doing("open a network namespace", e))?;
        Ok(Self(file.into()))
    }

    /// Makes a namespace and moves the calling thread into it.
    pub(crate) fn make() -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|errno| doing_namespaces("make a network namespace", errno))?;
        Self::current()
    }

    /// Moves the calling thread into it. Only for threads whose business this is.
    pub(crate) fn enter(&self) -> io::Result<()> {
        setns(&self.0, CloneFlags::CLONE_NEWNET).map_err(|e| doing("enter a network namespace", e.into()))
    }

    /// Runs `work` in a thread inside of it.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, || {
                self.enter()?;
                work()
            })?;
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked; see the node's log")))
        })
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
