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
    os::fd::{AsFd, OwnedFd},
    process,
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
    sys::{
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, getegid, geteuid, getppid, pipe2},
};

use super::errors::Obstacle;

/// Which of the two processes came out of [`enter`].
pub(crate) enum Role {
    /// Waited for the node; this is its exit code.
    Outer(u8),
    /// The node.
    Node,
}

/// Enters new namespaces and forks into the new PID namespace. The process must have a single thread. `parent` is who
/// started it; `release` is called in the outer process, to close what is the node's alone.
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
        other => Obstacle::new(&super::errors::doing("make namespaces", other.into())),
    })?;

    let alive = pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|errno| Obstacle::new(&errno.into()))?;
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

/// Makes us root in a new user namespace. Real root goes on without one where they are refused.
fn user_namespace() -> Result<(), Obstacle> {
    let (uid, gid) = (geteuid(), getegid());
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWUSER) {
        return if uid.is_root() {
            Ok(())
        } else {
            Err(Obstacle::user_namespaces("user namespaces are refused", errno))
        };
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
