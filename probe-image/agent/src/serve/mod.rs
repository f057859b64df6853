//! `verdikt-probe serve`: answers with this pod's identity.
//!
//! ```text
//! ports ──► listen: sockets, dual stack ──► `ready` on stdout ──► server: one epoll loop
//!                                                                  ├─ streams: greet on accept, echo lines
//!                                                                  └─ datagram: greet who sends a nonce
//! ```

mod datagram;
mod listen;
mod server;
mod streams;

use std::io::Write;

use verdikt_protocol::{IDENTITY_VARIABLE, Transport};

use crate::{
    Failure,
    arguments::{Arguments, ports, unknown, usage},
    complain, system,
};

/// Ports by transport.
#[derive(Default)]
struct Ports {
    tcp: Vec<u16>,
    udp: Vec<u16>,
    sctp: Vec<u16>,
}

/// Runs the verb.
pub(crate) fn run(mut args: Arguments) -> Result<u8, Failure> {
    let (mut wanted, mut identity) = (Ports::default(), None);
    while let Some(arg) = args.next()? {
        match arg.as_str() {
            "--tcp" => wanted.tcp = ports("--tcp", &args.value("--tcp")?)?,
            "--udp" => wanted.udp = ports("--udp", &args.value("--udp")?)?,
            "--sctp" => wanted.sctp = ports("--sctp", &args.value("--sctp")?)?,
            "--identity" => identity = Some(args.value("--identity")?),
            other => return Err(unknown("serve", other)),
        }
    }
    let identity = identity.unwrap_or_else(own_identity);
    if identity.is_empty() {
        return Err(usage("the identity is empty"));
    }
    // A pod without ports is a source only: it stays, so that it can be exec'd into.
    system::exit_on_sigterm();
    let descriptors = system::raise_descriptor_limit();
    let mut server = server::Server::new(&identity, descriptors)?;
    for &port in &wanted.tcp {
        server.add_streams(listen::streams(Transport::Tcp, port)?)?;
    }
    for &port in &wanted.udp {
        server.add_datagrams(listen::datagrams(port)?)?;
    }
    wanted.sctp.retain(|&port| match listen::streams(Transport::Sctp, port) {
        Ok(socket) => server.add_streams(socket).is_ok(),
        Err(Failure::Usage(why) | Failure::Fatal(why)) => {
            complain(&format!("warning: {why}; SCTP is not served"));
            false
        }
    });
    announce(&identity, &wanted)?;
    server.run()
}

/// The environment's identity, else the host name.
pub(crate) fn own_identity() -> String {
    std::env::var(IDENTITY_VARIABLE).ok().filter(|id| !id.is_empty()).unwrap_or_else(|| {
        nix::unistd::gethostname()
            .map_or_else(|_| "unknown".into(), |name| name.to_string_lossy().into_owned())
    })
}

/// Says that every listener is bound: who started this process waits for a line that begins with `ready`.
fn announce(identity: &str, ports: &Ports) -> Result<(), Failure> {
    let mut line = format!("ready: identity {identity}");
    for (name, ports) in [("tcp", &ports.tcp), ("udp", &ports.udp), ("sctp", &ports.sctp)] {
        if !ports.is_empty() {
            let list: Vec<String> = ports.iter().map(u16::to_string).collect();
            line += &format!(" {name} {}", list.join(","));
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| Failure::Fatal(format!("stdout: {e}")))
}
