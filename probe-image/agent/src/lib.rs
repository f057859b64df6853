//! verdikt-probe: servers and probes in one small binary.
//!
//! ```text
//! serve    listeners ──► greeting with this pod's identity            (a probe pod's entry point)
//! agent    stdin: requests ──► session ──► engine ──► results: stdout  (exec'd once in each source pod)
//!                                      ├─► watch: tasks that go on
//!                                      └─► control ──► the pod's `serve`
//! connect  one probe by hand ──► engine ──► one sentence
//! query    one DNS query by hand ──► engine ──► one sentence
//! ```
//!
//! One thread a process that waits at one place: hundreds of agents share a machine with what they measure. Only
//! what a server tries from its first instruction on has a thread of its own.
//! There is no libc name resolution anywhere: in a static binary it would need NSS at run time.

mod arguments;
mod control;
mod engine;
mod hand;
mod resolv;
mod serve;
mod session;
mod system;
mod talk;
mod watch;

use std::{ffi::OsString, io::Write};

use arguments::Arguments;

/// What a verb ends with when it did not succeed.
pub(crate) enum Failure {
    /// The command line is wrong; exit code 2.
    Usage(String),
    /// The work could not be done; exit code 3.
    Fatal(String),
}

const USAGE: &str = "\
verdikt-probe: servers and probes of verdikt

usage:
  verdikt-probe serve [--tcp PORTS] [--udp PORTS] [--sctp PORTS] [--http PORTS] [--identity NAME]
                      [--first TARGETS] [--linger 20s] [--sidecar]
      answer on these ports (comma-separated) with this pod's identity;
      the identity is by default $VERDIKT_IDENTITY, else the host name
      --first: before anything else, begin to try these every millisecond, for at most a minute;
      a target is [IDENTITY=]10.0.0.1:80/tcp or [fd00::1]:80/udp, several are separated by commas
      --linger: go on for so long after SIGTERM, then end
      --sidecar: beside the pod's other servers, whose agents ask both
  verdikt-probe agent
      probe what requests on stdin ask for (JSON lines), results on stdout
  verdikt-probe connect HOST:PORT [--protocol tcp|udp|sctp|icmp] [--deadline 1s] [--expect NAME]
                        [-4|-6] [--from ADDRESS] [-o json]
      one probe; HOST is an address, [IPv6] in brackets, or a name; with icmp there is no :PORT
  verdikt-probe query NAME [--server ADDRESS[:PORT]] [--protocol udp|tcp] [--deadline 1s]
                      [--from ADDRESS] [-o json]
      ask a name server for the A and AAAA records of NAME
  verdikt-probe version

exit codes: 0 allowed, or done; 1 dropped or rejected; 2 usage; 3 error, nothing proved
";

/// Whether this machine's kernel has SCTP sockets; otherwise the reason why not.
///
/// # Errors
/// What the kernel answered.
pub fn sctp_available() -> Result<(), String> {
    engine::Engine::sctp()
}

/// Runs a verb. `args` are the arguments without the program's name. Returns the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let began = system::now_us();
    let mut args = args.into_iter();
    let verb = args.next();
    let arguments = Arguments::new(args);
    let done = match verb.as_deref().and_then(|v| v.to_str()) {
        Some("serve") => serve::run(arguments, began),
        Some("agent") => session::run(arguments),
        Some("connect") => hand::connect(arguments),
        Some("query") => hand::query(arguments),
        Some("version" | "--version" | "-V") => {
            say(&format!(
                "verdikt-probe {} (protocol {})\n",
                env!("CARGO_PKG_VERSION"),
                verdikt_protocol::VERSION
            ));
            Ok(0)
        }
        Some("help" | "--help" | "-h") => {
            say(USAGE);
            Ok(0)
        }
        Some(other) => Err(Failure::Usage(format!("there is no verb `{other}`"))),
        None => Err(Failure::Usage("a verb is missing".into())),
    };
    match done {
        Ok(code) => code,
        Err(Failure::Usage(why)) => {
            complain(&format!("{why}; `verdikt-probe help` tells what there is"));
            2
        }
        Err(Failure::Fatal(why)) => {
            complain(&why);
            3
        }
    }
}

/// Writes to stdout. A reader that has gone away misses it; the exit code tells the same (`println!` would panic).
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to stderr, likewise.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "verdikt-probe: {text}");
}
