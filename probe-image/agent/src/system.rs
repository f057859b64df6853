//! What the process asks of the system: descriptors, signals, randomness.

use std::hash::{BuildHasher, RandomState};

use nix::{
    libc,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    },
};

/// Most descriptors that are used, however many the system would grant: tables are sized by it.
const ENOUGH_DESCRIPTORS: u64 = 65_536;

/// Raises the soft limit of open descriptors to the hard one. Returns how many may be open.
pub(crate) fn raise_descriptor_limit() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let wanted = hard.min(ENOUGH_DESCRIPTORS);
    let limit =
        if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() { wanted } else { soft };
    limit.min(ENOUGH_DESCRIPTORS) as usize
}

/// Makes SIGTERM and SIGINT end the process at once with code 0, lets children of PID 1 vanish without being
/// waited for, and ignores SIGPIPE. A container's PID 1 ignores every signal without a handler, so that deleting
/// the pod would otherwise take the whole grace period.
pub(crate) fn exit_on_sigterm() {
    let end = SigAction::new(SigHandler::Handler(end), SaFlags::SA_RESTART, SigSet::empty());
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for (signal, action) in [
        (Signal::SIGTERM, &end),
        (Signal::SIGINT, &end),
        (Signal::SIGCHLD, &ignore),
        (Signal::SIGPIPE, &ignore),
    ] {
        // SAFETY: the handler only calls `_exit`, which is async-signal-safe. It cannot fail for these signals.
        let _ = unsafe { sigaction(signal, action) };
    }
}

extern "C" fn end(_: libc::c_int) {
    // SAFETY: async-signal-safe and without preconditions.
    unsafe { libc::_exit(0) }
}

/// A small random generator (splitmix64), seeded by the system: for nonces, DNS ids and the first source port.
/// None of them needs to withstand an attacker on the path; they must not repeat by accident.
pub(crate) struct Random(u64);

impl Random {
    /// Seeded from the system's randomness, the time and the process id.
    pub(crate) fn new() -> Self {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(RandomState::new().hash_one((time.as_nanos(), std::process::id())))
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
