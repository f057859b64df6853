//! Into namespaces of our own, and out of the world with the parent.
//!
//! ```text
//! verdikt ──► outer (user, mount, … namespaces; waits) ──► PID 1 of a PID namespace: the node ──► pods
//!         dies                                  dies                                        killed by the kernel
//! ```
//!
//! Each level asks the kernel for SIGKILL when its parent ends, and then makes sure that it has not ended already.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    process,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    mount::{MsFlags, mount},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
    sys::{
        prctl::set_dumpable,
        signal::Signal,
        stat::Mode,
        wait::{WaitStatus, waitpid},
    },
    unistd::{
        ForkResult, Gid, Pid, Uid, fork, getegid, geteuid, getppid, pipe2, setgroups, setresgid, setresuid,
    },
};

use super::errors::Obstacle;

/// Number of the user and the group that own nothing.
const NOBODY: u32 = 65534;

/// Which of the two processes came out of [`enter`].
pub(crate) enum Role {
    /// Waited for the node; this is its exit code.
    Outer(u8),
    /// The node.
    Node,
}

/// Enters new namespaces and forks into the new PID namespace. The process must have a single thread. `parent` is who
/// started it; `release` is called in the outer process, to close what is the node's alone. The working directory must
/// be the node's folder: it may belong to another user afterwards.
pub(crate) fn enter(parent: Pid, release: impl FnOnce()) -> Result<Role, Obstacle> {
    die_with_parent();
    if getppid() != parent {
        process::exit(0);
    }
    user_namespace()?;
    // A change of credentials clears the wish.
    die_with_parent();

    let spaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(spaces).map_err(|errno| match errno {
        Errno::EPERM => Obstacle::user_namespaces("network, mount and PID namespaces are refused", errno),
        other => {
            Obstacle::new(&super::errors::doing_namespaces("make network, mount and PID namespaces", other))
        }
    })?;

    let alive = pipe2(OFlag::O_CLOEXEC).map_err(|errno| Obstacle::new(&errno.into()))?;
    // SAFETY: there is one thread, so the child may do anything.
    match unsafe { fork() } {
        Err(errno) => Err(Obstacle::new(&super::errors::doing("fork", errno.into()))),
        Ok(ForkResult::Parent { child }) => {
            release();
            drop(alive.0);
            let code = loop {
                match waitpid(child, None) {
                    Ok(WaitStatus::Exited(_, code)) => break code as u8,
                    Ok(WaitStatus::Signaled(_, signal, _)) => break 128 + signal as u8,
                    Err(errno) if errno != Errno::EINTR => break 70,
                    _ => {}
                }
            };
            // Held open until now: its end tells the child that we are gone.
            drop(alive.1);
            Ok(Role::Outer(code))
        }
        Ok(ForkResult::Child) => {
            drop(alive.1);
            die_with_parent();
            if has_ended(&alive.0) {
                process::exit(0);
            }
            mounts();
            Ok(Role::Node)
        }
    }
}

fn die_with_parent() {
    // Cannot fail with a valid signal.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
}

/// Whether the other end of a pipe is closed. The parent's pid says nothing here: it is outside of our namespace.
fn has_ended(pipe: &OwnedFd) -> bool {
    let mut look = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    poll(&mut look, PollTimeout::ZERO).is_ok_and(|n| n > 0)
}

/// Makes us root in a new user namespace. Who is root outside is nobody there from then on, where that is possible: the
/// node needs nothing that belongs to root. Real root goes on without a namespace where they are refused.
fn user_namespace() -> Result<(), Obstacle> {
    let (uid, gid) = (geteuid(), getegid());
    let helper = can_be_nobody().then(Helper::start).and_then(Result::ok);
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWUSER) {
        return if uid.is_root() {
            Ok(())
        } else {
            Err(Obstacle::user_namespaces("user namespaces are refused", errno))
        };
    }
    if helper.is_some_and(Helper::has_mapped) {
        return become_nobody().map_err(|errno| {
            let what = "the node cannot give up the rights of root";
            Obstacle::new(&super::errors::doing(what, errno.into()))
        });
    }
    let write = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text).map_err(|error| {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
            Obstacle::user_namespaces(
                &format!("the user namespace gives no rights (/proc/self/{file})"),
                errno,
            )
        })
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}

/// Whether this is root with all the rights that it takes to become another user, and to read and remove what that
/// one has written; and whether this program is such that others may start it.
fn can_be_nobody() -> bool {
    const CHOWN: u64 = 1 << 0;
    const DAC_OVERRIDE: u64 = 1 << 1;
    const SETGID: u64 = 1 << 6;
    const SETUID: u64 = 1 << 7;
    const ALL: u64 = CHOWN | DAC_OVERRIDE | SETGID | SETUID;
    const OTHERS_MAY_START: u32 = 0o005;
    let rights = fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    });
    let program = fs::metadata("/proc/self/exe").map_or(0, |meta| meta.permissions().mode());
    geteuid().is_root()
        && rights.is_some_and(|rights| rights & ALL == ALL)
        && program & OTHERS_MAY_START == OTHERS_MAY_START
}

/// A process that stays outside of the new user namespace, where alone it can be said who is its root.
struct Helper {
    pid: Pid,
    /// Gets a byte when the namespace is there; closed without one, there is nothing to be done.
    begin: OwnedFd,
    /// Gets a byte when all is done.
    done: OwnedFd,
}

impl Helper {
    /// Starts it. The process must have a single thread, and the node's folder be its working directory.
    fn start() -> nix::Result<Self> {
        let (wait, begin) = pipe2(OFlag::O_CLOEXEC)?;
        let (done, tell) = pipe2(OFlag::O_CLOEXEC)?;
        // Opened here: a number need not mean the same in the view that is mounted under /proc.
        let starter = open("/proc/self", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        // SAFETY: there is one thread, so the child may do anything.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { pid: child, begin, done }),
            ForkResult::Child => {
                drop((begin, done));
                let mapped = nix::unistd::read(&wait, &mut [0]) == Ok(1) && map_nobody(&starter).is_ok();
                if mapped {
                    let _ = nix::unistd::write(&tell, &[1]);
                }
                process::exit(0);
            }
        }
    }

    /// Lets it do its work; whether it did.
    fn has_mapped(self) -> bool {
        let Self { pid, begin, done } = self;
        // It can only have ended already, which the other end tells.
        let _ = nix::unistd::write(&begin, &[1]);
        drop(begin);
        // It holds the other end, too, but ends in any case. Our copy of that has gone with `start`.
        let mapped = nix::unistd::read(&done, &mut [0]) == Ok(1);
        let _ = waitpid(pid, None);
        mapped
    }
}

/// Gives the node's folder to nobody, and makes nobody the root of a process's user namespace.
fn map_nobody(starter: &OwnedFd) -> nix::Result<()> {
    nix::unistd::chown(".", Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY)))?;
    for file in ["gid_map", "uid_map"] {
        let file = openat(starter, file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        nix::unistd::write(&file, format!("0 {NOBODY} 1").as_bytes())?;
    }
    Ok(())
}

/// Becomes the root of the user namespace, who is nobody outside.
fn become_nobody() -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    // Cleared with the change: without it, what is under /proc/self would be the real root's.
    set_dumpable(true)
}

/// Cuts mounts off from the rest of the system and shows our own processes under `/proc`. Where a container forbids
/// that, the old view stays, which is good enough: `/proc/self` works in it.
fn mounts() {
    let none = None::<&str>;
    let _: io::Result<()> = (|| {
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("proc"), "/proc", Some("proc"), flags, none)?;
        Ok(())
    })();
}
