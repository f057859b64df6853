//! What stands in the way of a node, and what to do about it.

use std::{
    fmt, fs,
    io::{self, Write},
};

use nix::errno::Errno;

use crate::wire::Cause;

/// An error with a system error code and a sentence of its own.
#[derive(Debug)]
struct Coded {
    code: i32,
    what: String,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Coded {}

/// An I/O error that says `what` and still knows its code, see [`code_of`].
pub(crate) fn with_code(code: i32, what: String) -> io::Error {
    io::Error::new(io::Error::from_raw_os_error(code).kind(), Coded { code, what })
}

/// Adds what was being done to an error, and keeps its code.
pub(crate) fn doing(what: impl fmt::Display, error: io::Error) -> io::Error {
    match code_of(&error) {
        Some(code) => with_code(code, format!("{what}: {error}")),
        None => io::Error::new(error.kind(), format!("{what}: {error}")),
    }
}

/// The same for namespaces: what the kernel says of their limit is meant for disks.
pub(crate) fn doing_namespaces(what: &str, errno: Errno) -> io::Error {
    match errno {
        Errno::ENOSPC | Errno::EUSERS => {
            with_code(errno as i32, format!("{what}: there are as many as this user may have"))
        }
        other => doing(what, other.into()),
    }
}

/// The system's error code behind an error.
pub(crate) fn code_of(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| error.get_ref()?.downcast_ref::<Coded>().map(|coded| coded.code))
}

/// What to do about an error that is one of the system's limits.
fn mend_of_limit(error: &io::Error) -> Option<&'static str> {
    match code_of(error).map(Errno::from_raw)? {
        Errno::EMFILE | Errno::ENFILE => {
            Some("raise the limit of open files (`ulimit -n 65536`, or fs.file-max), or use fewer pods")
        }
        Errno::EAGAIN => Some(
            "raise the limit of processes and threads (`ulimit -u`, or the pids limit of the container), or use fewer pods",
        ),
        Errno::EUSERS => Some(NAMESPACES),
        Errno::ENOMEM | Errno::ENOBUFS => Some("the machine is short of memory: free some"),
        _ => None,
    }
}

const NAMESPACES: &str = "raise the limit of namespaces (user.max_net_namespaces, user.max_pid_namespaces, \
                          user.max_mnt_namespaces) by sysctl, or end other sandboxes";

/// What to do about a file of the sandbox that cannot be written.
pub(crate) const FILES: &str = "set TMPDIR to a folder that is writable and has room";

/// Writes a line into the node's log. The disk may be full: that must end nothing.
pub(crate) fn note(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// An error in words, and what to do about it where it is one of the system's limits.
pub(crate) fn explained(error: &io::Error) -> String {
    match mend_of_limit(error) {
        Some(mend) => format!("{error}; {mend}"),
        None => error.to_string(),
    }
}

/// The same for an error about a file.
pub(crate) fn explained_file(error: &io::Error) -> String {
    match code_of(error).map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS) => format!("{error}; {FILES}"),
        _ => explained(error),
    }
}

/// Why a node cannot be set up; travels as [`crate::wire::FromNode::Broken`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) cause: Cause,
    pub(crate) why: String,
    pub(crate) mend: String,
}

impl Obstacle {
    /// From a step that failed for a reason that may be one of the system's limits.
    pub(crate) fn new(error: &io::Error) -> Self {
        let (cause, mend) = match code_of(error).map(Errno::from_raw) {
            Some(Errno::ENOSPC) => (Cause::Limits, NAMESPACES),
            Some(Errno::EPERM | Errno::EACCES | Errno::EROFS) => (
                Cause::UserNamespaces,
                "this environment forbids it even inside a user namespace, as containers do: start the container \
                 with `--privileged`, or run verdikt outside of it",
            ),
            _ => match mend_of_limit(error) {
                Some(mend) => (Cause::Limits, mend),
                None => (Cause::Other, "`verdikt doctor` shows what this machine offers"),
            },
        };
        Self { cause, why: error.to_string(), mend: mend.into() }
    }

    /// From a file that could not be written.
    pub(crate) fn file(error: &io::Error) -> Self {
        match mend_of_limit(error) {
            Some(_) => Self::new(error),
            None => Self { cause: Cause::Other, why: error.to_string(), mend: FILES.into() },
        }
    }

    /// From the first dataplane that could not be loaded.
    pub(crate) fn nftables(error: &io::Error) -> Self {
        match code_of(error).map(Errno::from_raw) {
            Some(Errno::ENOMEM | Errno::ENOBUFS | Errno::EMFILE | Errno::EPERM) => Self::new(error),
            _ => Self {
                cause: Cause::Nftables,
                why: error.to_string(),
                mend: "the kernel needs nf_tables with NAT and connection tracking (CONFIG_NF_TABLES, NF_TABLES_INET, \
                       NFT_CT, NFT_NAT, NFT_NUMGEN, NFT_REJECT): `sudo modprobe -a nf_tables nft_chain_nat nft_ct \
                       nft_nat nft_numgen nft_reject_inet` where they are modules"
                    .into(),
            },
        }
    }

    /// From a user namespace that was refused, or that gives no rights, judged by the system's own switches.
    pub(crate) fn user_namespaces(what: &str, errno: Errno) -> Self {
        let on = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).ok().map(|v| v.trim() != "0");
        let mend = if on("kernel/unprivileged_userns_clone") == Some(false) {
            "unprivileged user namespaces are switched off: `sudo sysctl -w kernel.unprivileged_userns_clone=1`, \
             or run verdikt as root"
        } else if on("user/max_user_namespaces") == Some(false) {
            "user namespaces are switched off: `sudo sysctl -w user.max_user_namespaces=10000`"
        } else if on("kernel/apparmor_restrict_unprivileged_userns") == Some(true) {
            "AppArmor takes the rights out of unprivileged user namespaces: `sudo sysctl -w \
             kernel.apparmor_restrict_unprivileged_userns=0`, or give verdikt an AppArmor profile with `userns,`, \
             or run it as root"
        } else if matches!(errno, Errno::ENOSPC | Errno::EUSERS) {
            "there are too many user namespaces, or they are nested too deep: raise user.max_user_namespaces, or \
             end other sandboxes"
        } else {
            "a seccomp filter forbids it, as container runtimes set one: start the container with `--privileged` \
             (or `--security-opt seccomp=unconfined --cap-add SYS_ADMIN --cap-add NET_ADMIN`), or run verdikt \
             outside of it"
        };
        Self { cause: Cause::UserNamespaces, why: format!("{what}: {}", errno.desc()), mend: mend.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_survives_being_explained_twice() {
        let error = doing("b", doing("a", io::Error::from_raw_os_error(Errno::ENOSPC as i32)));
        assert_eq!(code_of(&error), Some(Errno::ENOSPC as i32));
        let obstacle = Obstacle::new(&error);
        assert_eq!(obstacle.cause, Cause::Limits);
        assert!(obstacle.why.starts_with("b: a: "), "{}", obstacle.why);
    }

    #[test]
    fn a_full_disk_is_not_taken_for_too_many_namespaces() {
        let full = io::Error::from_raw_os_error(Errno::ENOSPC as i32);
        assert!(Obstacle::new(&full).mend.contains("max_net_namespaces"));
        assert!(Obstacle::file(&full).mend.contains("TMPDIR") && explained_file(&full).contains("TMPDIR"));
        let namespaces = doing_namespaces("make one", Errno::ENOSPC);
        assert_eq!(namespaces.to_string(), "make one: there are as many as this user may have");
        assert_eq!(Obstacle::new(&namespaces).cause, Cause::Limits);
        let files = io::Error::from_raw_os_error(Errno::EMFILE as i32);
        assert!(Obstacle::file(&files).mend.contains("ulimit -n") && explained(&files).contains("ulimit -n"));
    }
}
