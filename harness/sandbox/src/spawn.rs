//! Starts the node process: this very program again, with the hidden argument [`ARGUMENT`].
//!
//! ```text
//! verdikt ── thread "verdikt-node" ──► verdikt __sandbox-node PID     (new user, mount, PID, … namespaces)
//!    └── Unix socket = its stdin ───────────────► PID 1 of the namespaces: pods, dataplane, DNS
//! ```
//!
//! The child is started by a thread that lives as long as the child does, because the kernel sends a parent-death
//! signal when the *thread* that forked ends, and threads of an async runtime come and go.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use tokio::sync::{oneshot, watch};

pub(crate) use crate::handle::NodeHandle;
use crate::{
    channel,
    node::{explained, explained_file},
    scratch,
    wire::{Cause, FromNode},
};

/// Hidden argument that makes a program the node, see [`crate::reexec()`].
pub(crate) const ARGUMENT: &str = "__sandbox-node";

/// Name of the node's log in the scratch directory.
pub(crate) const LOG: &str = "node.log";

/// Name of the node's own folder in the scratch directory: its working directory, with what it and its pods write.
pub(crate) const PODS: &str = "pods";

/// How long a node may take until it is ready.
const READY: Duration = Duration::from_secs(20);

/// Why there is no node. Each says what to do about it; all of them are faults of the set-up (exit code 3).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The program could not be started again.
    #[error("the sandbox's node cannot be started from {}: {}", exe.display(), explained(source))]
    Start {
        /// The program.
        exe: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its files could not be made.
    #[error("the sandbox's files cannot be made in {}: {}", folder.display(), explained_file(source))]
    Files {
        /// The sandbox's folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Namespaces, links or the dataplane could not be set up.
    #[error("the sandbox cannot be set up: {why}; {mend}")]
    Setup {
        /// Class of the obstacle.
        cause: Cause,
        /// What failed and why.
        why: String,
        /// What to do about it.
        mend: String,
    },
    /// The node ended, or said nothing, before it was ready.
    #[error("the sandbox's node did not become ready: {why}")]
    Silent {
        /// How it ended, and its last words.
        why: String,
    },
}

/// The node as a process of this system.
pub(crate) struct Process {
    /// Held while the child is reaped, so that no other process is ever killed.
    pid: Arc<Mutex<Option<Pid>>>,
    status: watch::Receiver<Option<String>>,
    log: PathBuf,
}

impl Process {
    /// Waits until the process has ended and says how, and what its last words were.
    pub(crate) async fn epitaph(&self) -> String {
        let mut status = self.status.clone();
        let how = match status.wait_for(Option::is_some).await {
            Ok(how) => how.clone().unwrap_or_default(),
            Err(_) => "it ended".into(),
        };
        match last_words(&self.log) {
            words if words.is_empty() => how,
            words => format!("{how}; its last words: {words}"),
        }
    }

    /// Kills it, and by that everything in its namespaces.
    pub(crate) fn kill(&self) {
        if let Some(pid) = *self.pid.lock().unwrap_or_else(PoisonError::into_inner) {
            // It can only have ended already.
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// The end of a log, on one line.
fn last_words(log: &Path) -> String {
    /// In bytes.
    const MOST: usize = 600;
    let text = std::fs::read(log).unwrap_or_default();
    let end = String::from_utf8_lossy(&text[text.len().saturating_sub(MOST)..]);
    end.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Starts a node. `exe` is this program (`/proc/self/exe` will do); `scratch` is an existing directory that gets
/// `node.log` and the folder `pods`. Needs a tokio runtime.
pub(crate) async fn spawn_node(exe: &Path, scratch: &Path) -> Result<NodeHandle, NodeError> {
    let start = |source| NodeError::Start { exe: exe.to_owned(), source };
    let files = |source| NodeError::Files { folder: scratch.to_owned(), source };
    let log = scratch.join(LOG);
    let pods = scratch.join(PODS);
    scratch::new_folder(&pods).map_err(files)?;
    let log_file = scratch::new_file(&log).map_err(files)?;
    let (ours, theirs) = channel::pair().map_err(start)?;
    let (mut receiver, sender) = channel::split(ours).map_err(start)?;
    let process = Arc::new(start_process(exe, &pods, theirs, log_file, log).await.map_err(start)?);

    let silent = |why: String| NodeError::Silent { why };
    match tokio::time::timeout(READY, receiver.receive::<FromNode>()).await {
        Ok(Ok(Some((FromNode::Ready { kernel, ipv6 }, _)))) => {
            Ok(NodeHandle::new((kernel, ipv6), receiver, sender, process))
        }
        Ok(Ok(Some((FromNode::Broken { cause, why, mend }, _)))) => {
            Err(NodeError::Setup { cause, why, mend })
        }
        Ok(Ok(Some((other, _)))) => {
            process.kill();
            Err(silent(format!("it began with {other:?}")))
        }
        Ok(Ok(None)) => Err(silent(process.epitaph().await)),
        Ok(Err(error)) => {
            process.kill();
            Err(silent(format!("its messages cannot be read: {error}")))
        }
        Err(_) => {
            process.kill();
            Err(silent(format!("nothing for {} s", READY.as_secs())))
        }
    }
}

/// Starts the process from a thread of its own, which then waits for its end.
async fn start_process(
    exe: &Path,
    pods: &Path,
    socket: OwnedFd,
    log: std::fs::File,
    log_path: PathBuf,
) -> io::Result<Process> {
    let mut command = Command::new(exe);
    command
        .arg0(std::env::args_os().next().unwrap_or_else(|| exe.into()))
        .arg(ARGUMENT)
        .arg(std::process::id().to_string())
        .arg(pods)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        // Its own group: a Ctrl-C on the terminal is for verdikt, which then cleans up in order.
        .process_group(0);
    let (started, wait) = oneshot::channel();
    let (ended, status) = watch::channel(None);
    std::thread::Builder::new().name("verdikt-node".into()).spawn(move || {
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        // Our copy of the node's end must go, or we would never see its end.
        drop(command);
        let pid = Pid::from_raw(child.id() as i32);
        let process = Arc::new(Mutex::new(Some(pid)));
        let _ = started.send(Ok(Arc::clone(&process)));
        // Look first, then reap under the lock: the pid cannot become another's while somebody may kill it.
        while let Err(nix::errno::Errno::EINTR) =
            waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
        {}
        let how = {
            let mut held = process.lock().unwrap_or_else(PoisonError::into_inner);
            *held = None;
            child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
        };
        let _ = ended.send(Some(how));
    })?;
    let pid = wait.await.map_err(io::Error::other)??;
    Ok(Process { pid, status, log: log_path })
}
