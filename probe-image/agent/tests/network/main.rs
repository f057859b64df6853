//! The real binary against a real kernel, each test in network namespaces of its own.
//!
//! ```text
//! client namespace (the test's thread)            router namespace
//!   lo 127.0.0.1, ::1                               10.0.0.1, fd00::1, forwards
//!   c0 10.0.0.2, fd00::2 ─────── veth ───────────   10.9.1.0/24, fd00:9:1::/48   blackhole
//!   default route ──►                               10.9.2.0/24, fd00:9:2::/48   prohibit
//!                                                   10.9.3.0/24, fd00:9:3::/48   unreachable
//! ```

mod by_hand;
mod dns;
mod first;
mod http;
mod icmp;
mod lab;
mod netlink;
mod peers;
mod probe;
mod sctp;
mod serve;
mod session;
mod verdicts;
mod watch;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A test and its name.
type Test = (&'static str, fn(&lab::Lab));

/// Lists functions as tests.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => { &[$((concat!(module_path!(), "::", stringify!($name)), $name)),+] };
}
pub(crate) use tests;

fn main() {
    let arguments = Arguments::from_args();
    let entered = lab::enter();
    let trials = [
        verdicts::TESTS,
        serve::TESTS,
        session::TESTS,
        dns::TESTS,
        by_hand::TESTS,
        http::TESTS,
        icmp::TESTS,
        watch::TESTS,
        first::TESTS,
        sctp::TESTS,
    ]
    .concat();
    let no_sctp = sctp::missing();
    let trial = |(name, test): Test| {
        let name = name.trim_start_matches("network::");
        let missing =
            entered.clone().err().or_else(|| no_sctp.clone().filter(|_| name.starts_with("sctp::")));
        Trial::ignorable_test(name, move || match missing {
            Some(why) => Ok(Completion::ignored_with(why)),
            None => {
                let lab = lab::Lab::new().map_err(|e| Failed::from(format!("the lab: {e}")))?;
                test(&lab);
                Ok(Completion::Completed)
            }
        })
    };
    libtest_mimic::run(&arguments, trials.into_iter().map(trial).collect()).exit();
}
