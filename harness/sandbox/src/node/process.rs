//! Processes: the one command that exists in the sandbox, and PID 1's duty to reap.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};

use super::errors::{doing, explained};
use crate::reexec::PROBE;

/// What pods have for `/etc/resolv.conf`: a file in the node's working directory, which is theirs, too.
pub(crate) const RESOLV_CONF: &str = "resolv.conf";

/// What a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Job {
    /// A container's own command, by the container's name.
    Container(String),
    /// A command beside them, by the sender's number.
    Exec(u64),
}

/// A process of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: String,
    pub(crate) job: Job,
}

/// All processes that belong to pods.
pub(crate) struct Processes {
    /// Path by which this program can be executed, even if its file has been replaced or deleted.
    program: PathBuf,
    /// Keeps `program` open.
    _file: File,
    /// Held for reading from before a process exists until it is registered; the reaper takes it for writing once
    /// before it asks whose a process is.
    births: RwLock<()>,
    living: Mutex<Living>,
    changed: Condvar,
}

#[derive(Default)]
struct Living {
    processes: HashMap<Pid, Owner>,
    /// Execs that were to be killed before they had started.
    stillborn: HashSet<u64>,
}

impl Processes {
    /// Opens this program.
    pub(crate) fn new() -> io::Result<Self> {
        let file = File::open("/proc/self/exe").map_err(|error| doing("open this program", error))?;
        Ok(Self {
            program: format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
            _file: file,
            births: RwLock::default(),
            living: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Living> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a command in the calling thread's network namespace and this process's working directory. Of a
    /// container's environment it gets what it reads, and nothing else: its loader and its C library are those of the
    /// host, and would obey variables that load code, open files or write them.
    pub(crate) fn start(
        &self,
        owner: Owner,
        argv: &[String],
        env: &BTreeMap<String, String>,
        stdio: [OwnedFd; 3],
    ) -> Result<(), String> {
        let name = argv.first().map_or("", String::as_str);
        if Path::new(name).file_name().is_none_or(|file| file != PROBE) {
            return Err(format!(
                "exec: {name:?}: executable file not found in the sandbox: its pods contain only {PROBE}"
            ));
        }
        let [stdin, stdout, stderr] = stdio;
        let mut command = Command::new(&self.program);
        command
            .arg0(name)
            .args(&argv[1..])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env(verdikt_protocol::RESOLV_CONF_VARIABLE, RESOLV_CONF)
            .envs(env.get_key_value(verdikt_protocol::IDENTITY_VARIABLE))
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(stderr));
        let _birth = self.births.read().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn().map_err(|error| format!("exec: {name:?}: {}", explained(&error)))?;
        let pid = Pid::from_raw(child.id() as i32);
        let mut living = self.lock();
        if let Job::Exec(id) = owner.job
            && living.stillborn.remove(&id)
        {
            let _ = kill(pid, Signal::SIGKILL);
        }
        living.processes.insert(pid, owner);
        self.changed.notify_all();
        Ok(())
    }

    /// Kills the processes of a pod.
    pub(crate) fn kill_pod(&self, uid: &str) {
        // Under the lock nobody is reaped, so no pid can have become another process's.
        for (pid, _) in self.lock().processes.iter().filter(|(_, owner)| owner.uid == uid) {
            let _ = kill(*pid, Signal::SIGKILL);
        }
    }

    /// Asks a process to end.
    pub(crate) fn terminate(&self, whose: &Owner) {
        // Under the lock, as above.
        for (pid, _) in self.lock().processes.iter().filter(|(_, owner)| *owner == whose) {
            let _ = kill(*pid, Signal::SIGTERM);
        }
    }

    /// Kills an exec, even if it is only about to start.
    pub(crate) fn kill_exec(&self, id: u64) {
        let mut living = self.lock();
        match living.processes.iter().find(|(_, owner)| owner.job == Job::Exec(id)) {
            Some((pid, _)) => {
                let _ = kill(*pid, Signal::SIGKILL);
            }
            None => {
                living.stillborn.insert(id);
            }
        }
    }

    /// Waits until a pod has no process any more. False when it still has after `limit`.
    pub(crate) fn wait_gone(&self, uid: &str, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut living = self.lock();
        while living.processes.values().any(|owner| owner.uid == uid) {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return false };
            living = self.changed.wait_timeout(living, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Reaps for ever, and tells `ended` whose process ended and how: its exit code, or 128 + signal.
    pub(crate) fn reap(&self, ended: impl Fn(Owner, i32)) {
        loop {
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(status) => {
                    let Some(pid) = status.pid() else { continue };
                    drop(self.births.write().unwrap_or_else(PoisonError::into_inner));
                    let mut living = self.lock();
                    let code = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
                        Ok(WaitStatus::Exited(_, code)) => code,
                        Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32,
                        // Reaped by whoever started it in vain.
                        _ => continue,
                    };
                    // Told under the lock: who waits for it to go finds that its end is known.
                    if let Some(owner) = living.processes.remove(&pid) {
                        ended(owner, code);
                    }
                    self.changed.notify_all();
                    drop(living);
                }
                Err(Errno::ECHILD) => {
                    let living = self.lock();
                    if living.processes.is_empty() {
                        // Until there is a child again.
                        drop(self.changed.wait(living).unwrap_or_else(PoisonError::into_inner));
                    }
                }
                Err(_) => {}
            }
        }
    }
}
