//! What the process asks of the system: descriptors, signals, randomness.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

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

/// How long after SIGTERM the process ends, in microseconds.
static LINGER_US: AtomicU64 = AtomicU64::new(0);

/// Makes SIGTERM end the process with code 0, at once or after `linger`, and SIGINT at once; lets children of PID 1
/// vanish without being waited for, and ignores SIGPIPE. A container's PID 1 ignores every signal without a handler,
/// so that deleting the pod would otherwise take the whole grace period.
pub(crate) fn end_on_signals(linger: Option<Duration>) {
    LINGER_US.store(linger.map_or(0, |linger| linger.as_micros() as u64), Ordering::Relaxed);
    let action = |handler| SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    let now = action(SigHandler::Handler(end));
    let term = if linger.is_some() { action(SigHandler::Handler(end_later)) } else { now };
    for (signal, action) in [
        (Signal::SIGTERM, term),
        (Signal::SIGINT, now),
        (Signal::SIGALRM, now),
        (Signal::SIGCHLD, action(SigHandler::SigIgn)),
        (Signal::SIGPIPE, action(SigHandler::SigIgn)),
    ] {
        // SAFETY: the handlers call nothing that is not async-signal-safe. It cannot fail for these signals.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

extern "C" fn end(_: libc::c_int) {
    // SAFETY: async-signal-safe and without preconditions.
    unsafe { libc::_exit(0) }
}

/// Has SIGALRM end the process; another SIGTERM does not put it off.
extern "C" fn end_later(_: libc::c_int) {
    let linger = LINGER_US.swap(0, Ordering::Relaxed);
    if linger > 0 {
        let at = libc::timeval {
            tv_sec: (linger / 1_000_000) as libc::time_t,
            tv_usec: (linger % 1_000_000) as libc::suseconds_t,
        };
        let once = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: at };
        // SAFETY: async-signal-safe (a bare system call); the pointer is to a value of ours.
        unsafe { libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const once, 0) };
    }
}

/// `CLOCK_MONOTONIC` in microseconds: the same clock for all processes of a pod.
pub(crate) fn now_us() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours. The call cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
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
