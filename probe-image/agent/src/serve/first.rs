//! What a pod may do from its first instant on: attempts that begin with the process, before anything else.
//!
//! They have a thread of their own. Binding ports may take long (SCTP loads a kernel module), and so may writing to
//! a stdout that nobody reads yet.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use verdikt_protocol::{FIRST_GROUP, Probe, Reply, Target, Task, Transport, Work};

use crate::{Failure, arguments::usage, watch::Watch};

/// An attempt each millisecond,
const INTERVAL_US: u32 = 1000;

/// which waits for so long,
const PATIENCE_MS: u32 = 200;

/// for a minute at most.
const LONGEST_US: u64 = 60_000_000;

/// The attempts.
pub(super) struct First {
    watch: Arc<Mutex<Watch>>,
}

impl First {
    /// Begins; `None` without tasks. At most `sockets` are open at a time.
    pub(super) fn begin(tasks: Vec<Task>, began: u64, sockets: usize) -> Result<Option<Self>, Failure> {
        if tasks.is_empty() {
            return Ok(None);
        }
        let start = || -> io::Result<Result<Self, String>> {
            let mut watch = Watch::new(sockets)?;
            let begun = watch.begin_since(FIRST_GROUP, tasks, began, Some(began + LONGEST_US));
            let ready = watch.as_fd().try_clone_to_owned()?;
            let watch = Arc::new(Mutex::new(watch));
            let same = watch.clone();
            thread::Builder::new().name("first".into()).spawn(move || work(&same, &ready))?;
            Ok(begun.map(|()| Self { watch }))
        };
        match start() {
            Ok(Ok(first)) => Ok(Some(first)),
            Ok(Err(why)) => Err(usage(format!("--first: {why}"))),
            Err(e) => Err(Failure::Fatal(format!("--first: {e}"))),
        }
    }

    /// How they stand.
    pub(super) fn look(&self) -> Reply {
        locked(&self.watch).look(FIRST_GROUP)
    }

    /// Ends them.
    pub(super) fn end(&self) -> Reply {
        locked(&self.watch).end(FIRST_GROUP)
    }
}

fn work(watch: &Mutex<Watch>, ready: &OwnedFd) {
    loop {
        let mut fds = [PollFd::new(ready.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(e) => return crate::complain(&format!("--first: {}", io::Error::from(e))),
        }
        let mut watch = locked(watch);
        watch.turn();
        if watch.is_over() {
            return;
        }
    }
}

fn locked(watch: &Mutex<Watch>) -> MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds the targets of a list such as `10.0.0.1:80/tcp,y/b=[fd00::1]:80/udp`.
pub(super) fn add_targets(tasks: &mut Vec<Task>, list: &str) -> Result<(), Failure> {
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let probe = target(word, tasks.len() as u32).ok_or_else(|| {
            usage(format!("--first: `{word}` is no target; write 10.0.0.1:80/tcp or x/a=[fd00::1]:80/udp"))
        })?;
        let work = Work::Sample { interval_us: INTERVAL_US, patience_ms: PATIENCE_MS };
        tasks.push(Task { probe, work });
    }
    Ok(())
}

fn target(word: &str, n: u32) -> Option<Probe> {
    let (identity, rest) = word.rsplit_once('=').map_or((None, word), |(id, rest)| (Some(id), rest));
    let (address, transport) = rest.rsplit_once('/')?;
    let address: SocketAddr = address.parse().ok().filter(|address: &SocketAddr| address.port() > 0)?;
    let transport = match transport {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        "sctp" => Transport::Sctp,
        _ => return None,
    };
    Some(Probe {
        n,
        to: Target::Ip(address.ip()),
        port: address.port(),
        transport,
        from: None,
        expect: identity.map(str::to_owned).into_iter().filter(|id| !id.is_empty()).collect(),
        query: None,
        http: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_numbered() {
        let mut tasks = Vec::new();
        assert!(add_targets(&mut tasks, "10.0.0.1:80/tcp, y/b=[fd00::1]:81/udp").is_ok());
        assert!(add_targets(&mut tasks, "10.0.0.2:82/sctp").is_ok());
        let brief: Vec<_> = tasks
            .iter()
            .map(|task| (task.probe.n, task.probe.port, task.probe.transport, task.probe.expect.join(",")))
            .collect();
        let expected = [
            (0, 80, Transport::Tcp, String::new()),
            (1, 81, Transport::Udp, "y/b".to_owned()),
            (2, 82, Transport::Sctp, String::new()),
        ];
        assert_eq!(brief, expected);
        for bad in ["10.0.0.1:80", "10.0.0.1/tcp", "10.0.0.1:0/tcp", "web:80/tcp", "10.0.0.1:80/icmp"] {
            assert!(add_targets(&mut Vec::new(), bad).is_err(), "{bad}");
        }
    }
}
