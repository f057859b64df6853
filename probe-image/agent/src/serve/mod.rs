//! `verdikt-probe serve`: answers with this pod's identity.
//!
//! ```text
//! --first ──► first: samples in a thread, before anything else
//! ports ──► listen: sockets, dual stack ──► `ready` on stdout ──► server: one epoll loop
//!                                                  ├─ streams ──► connection ──► echo: greet on accept, echo lines
//!                                                  │                         └─► http: answer requests
//!                                                  ├─ datagram: greet who sends a nonce
//!                                                  └─ control: obey the agents of this pod
//! ```

mod connection;
mod control;
mod datagram;
mod echo;
mod first;
mod http;
mod listen;
mod output;
mod server;
mod streams;

use std::{io::Write, time::Duration};

use verdikt_protocol::{IDENTITY_VARIABLE, Serving, Task, Transport};

use self::{control::Control, first::First};
use crate::{
    Failure,
    arguments::{Arguments, duration, ports, unknown, usage},
    complain,
    control::Of,
    system,
};

/// What the command line asks for.
#[derive(Default)]
struct Options {
    tcp: Vec<u16>,
    udp: Vec<u16>,
    sctp: Vec<u16>,
    http: Vec<u16>,
    identity: Option<String>,
    first: Vec<Task>,
    linger: Option<Duration>,
    sidecar: bool,
}

/// Runs the verb in a process that began at `began`.
pub(crate) fn run(args: Arguments, began: u64) -> Result<u8, Failure> {
    let mut wanted = options(args)?;
    let descriptors = system::raise_descriptor_limit();
    let first = First::begin(std::mem::take(&mut wanted.first), began, descriptors / 2)?;
    let identity = wanted.identity.take().unwrap_or_else(own_identity);
    if identity.is_empty() {
        return Err(usage("the identity is empty"));
    }
    // A pod without ports is a source only: it stays, so that it can be exec'd into.
    system::end_on_signals(wanted.linger);
    let room = if first.is_some() { descriptors / 2 } else { descriptors };
    let mut server = server::Server::new(&identity, room)?;
    for &port in &wanted.tcp {
        server.add_streams(listen::streams(Transport::Tcp, port)?, false)?;
    }
    for &port in &wanted.http {
        server.add_streams(listen::streams(Transport::Tcp, port)?, true)?;
    }
    for &port in &wanted.udp {
        server.add_datagrams(listen::datagrams(port)?)?;
    }
    wanted.sctp.retain(|&port| match listen::streams(Transport::Sctp, port) {
        Ok(socket) => server.add_streams(socket, false).is_ok(),
        Err(Failure::Usage(why) | Failure::Fatal(why)) => {
            complain(&format!("warning: {why}; SCTP is not served"));
            false
        }
    });
    let serving = Serving {
        tcp: wanted.tcp.iter().chain(&wanted.http).copied().collect(),
        udp: wanted.udp.clone(),
        sctp: wanted.sctp.clone(),
    };
    let of = if wanted.sidecar { Of::Sidecar } else { Of::Main };
    match Control::new(&identity, of, first, serving) {
        Ok(control) => server.add_control(control)?,
        Err(why) => complain(&format!("warning: {why}; agents cannot ask these servers for anything")),
    }
    announce(&identity, &wanted)?;
    server.run()
}

fn options(mut args: Arguments) -> Result<Options, Failure> {
    let mut wanted = Options::default();
    while let Some(arg) = args.next()? {
        match arg.as_str() {
            "--tcp" => wanted.tcp = ports("--tcp", &args.value("--tcp")?)?,
            "--udp" => wanted.udp = ports("--udp", &args.value("--udp")?)?,
            "--sctp" => wanted.sctp = ports("--sctp", &args.value("--sctp")?)?,
            "--http" => wanted.http = ports("--http", &args.value("--http")?)?,
            "--identity" => wanted.identity = Some(args.value("--identity")?),
            "--first" => first::add_targets(&mut wanted.first, &args.value("--first")?)?,
            "--sidecar" => wanted.sidecar = true,
            "--linger" => wanted.linger = Some(duration("--linger", &args.value("--linger")?)?),
            other => return Err(unknown("serve", other)),
        }
    }
    Ok(wanted)
}

/// The environment's identity, else the host name.
pub(crate) fn own_identity() -> String {
    std::env::var(IDENTITY_VARIABLE).ok().filter(|id| !id.is_empty()).unwrap_or_else(|| {
        nix::unistd::gethostname()
            .map_or_else(|_| "unknown".into(), |name| name.to_string_lossy().into_owned())
    })
}

/// Says that every listener is bound: who started this process waits for a line that begins with `ready`.
fn announce(identity: &str, wanted: &Options) -> Result<(), Failure> {
    let mut line = format!("ready: identity {identity}");
    for (name, ports) in
        [("tcp", &wanted.tcp), ("udp", &wanted.udp), ("sctp", &wanted.sctp), ("http", &wanted.http)]
    {
        if !ports.is_empty() {
            let list: Vec<String> = ports.iter().map(u16::to_string).collect();
            line += &format!(" {name} {}", list.join(","));
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| Failure::Fatal(format!("stdout: {e}")))
}
