//! Sockets from which probes are sent. All are non-blocking; none is ever used for two probes.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt},
};
use socket2::{Domain, Protocol, Socket, Type};
use verdikt_protocol::Transport;

use super::{
    cause::{self, Cause, Peer},
    echo,
    source_ports::SourcePorts,
};

/// A TCP socket that has begun to connect.
pub(crate) fn connection(to: SocketAddr, from: Option<IpAddr>) -> Result<Socket, Cause> {
    let socket =
        Socket::new(Domain::for_address(to), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))
            .map_err(|e| cause::local("socket", &e))?;
    // RST instead of FIN on close: neither end keeps the connection in TIME_WAIT, so that tens of thousands of
    // probes exhaust neither ports nor connection tracking, whose entries for reset connections go in seconds.
    socket.set_linger(Some(Duration::ZERO)).map_err(|e| cause::local("SO_LINGER", &e))?;
    report_icmp(&socket, to)?;
    if let Some(from) = from {
        // The port is chosen by connect, for this destination, not by bind, for all of them.
        let _ = setsockopt(&socket, sockopt::IpBindAddressNoPort, &true);
        bind(&socket, to, from, 0)?;
    }
    connect(&socket, to)?;
    Ok(socket)
}

/// A UDP socket that is connected and has a source port of its own.
pub(crate) fn datagram(
    to: SocketAddr,
    from: Option<IpAddr>,
    ports: &mut SourcePorts,
    now: Instant,
) -> Result<Socket, Cause> {
    let socket =
        Socket::new(Domain::for_address(to), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))
            .map_err(|e| cause::local("socket", &e))?;
    report_icmp(&socket, to)?;
    let from = from.unwrap_or(match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    });
    bind_unused(&socket, (Transport::Udp, to), from, ports, now)?;
    connect(&socket, to)?;
    Ok(socket)
}

/// A ping socket that is connected; the kernel gives it an identifier of its own.
pub(crate) fn echo(to: SocketAddr, from: Option<IpAddr>) -> Result<Socket, Cause> {
    let socket = echo::socket(Domain::for_address(to))?;
    report_icmp(&socket, to)?;
    if let Some(from) = from {
        bind(&socket, to, from, 0)?;
    }
    connect(&socket, to)?;
    Ok(socket)
}

/// Begins to connect.
pub(super) fn connect(socket: &Socket, to: SocketAddr) -> Result<(), Cause> {
    match socket.connect(&to.into()) {
        Ok(()) => Ok(()),
        Err(e) if e.raw_os_error() == Some(Errno::EINPROGRESS as i32) => Ok(()),
        Err(e) => Err(cause::leaving(&format!("connect to {to}"), &e)),
    }
}

/// Sends one message: a datagram, or bytes that fit an empty buffer. An ICMP error that an earlier datagram has
/// brought about shows here, too.
pub(crate) fn send(socket: &Socket, bytes: &[u8]) -> Result<(), Cause> {
    match (&mut &*socket).write(bytes) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) => Err(Cause::Failed("the send buffer took only a part of the request".into())),
        Err(e) => match cause::queued(socket) {
            Some(Cause::Nothing) => Ok(()),
            Some(cause) => Err(cause),
            None => Err(cause::leaving("send", &e)),
        },
    }
}

/// Why a socket could not be bound.
pub(super) enum BindError {
    InUse,
    Other(Cause),
}

impl From<BindError> for Cause {
    fn from(error: BindError) -> Self {
        match error {
            BindError::InUse => Self::Failed("bind: the address is in use".into()),
            BindError::Other(cause) => cause,
        }
    }
}

/// Binds to a port that has not been used towards this peer lately.
pub(super) fn bind_unused(
    socket: &Socket,
    peer: Peer,
    from: IpAddr,
    ports: &mut SourcePorts,
    now: Instant,
) -> Result<(), Cause> {
    loop {
        let port = ports.take(peer, now).ok_or_else(|| {
            Cause::Failed("every source port has been used towards this destination within 10 minutes".into())
        })?;
        match bind(socket, peer.1, from, port) {
            Ok(()) => return Ok(()),
            Err(BindError::InUse) => {}
            Err(BindError::Other(cause)) => return Err(cause),
        }
    }
}

/// Binds to an address and a port; 0 for any.
pub(super) fn bind(socket: &Socket, to: SocketAddr, from: IpAddr, port: u16) -> Result<(), BindError> {
    if from.is_ipv4() != to.is_ipv4() {
        return Err(BindError::Other(Cause::Failed(format!("{from} and {to} are of different IP families"))));
    }
    socket.bind(&SocketAddr::new(from, port).into()).map_err(|e: io::Error| {
        if e.raw_os_error() == Some(Errno::EADDRINUSE as i32) {
            BindError::InUse
        } else {
            BindError::Other(cause::local(&format!("bind to {from}"), &e))
        }
    })
}

/// Has the kernel queue ICMP errors. On TCP this is more than a nicety: an error that arrives while `connect`
/// still holds the socket, as it does between network namespaces of one host, is otherwise remembered only as a
/// soft error and comes to light with the next SYN, a second later, when the probe has ended as "dropped".
pub(super) fn report_icmp(socket: &Socket, to: SocketAddr) -> Result<(), Cause> {
    let set = match to {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true),
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true),
    };
    set.map_err(|e| cause::local("IP_RECVERR", &e.into()))
}
