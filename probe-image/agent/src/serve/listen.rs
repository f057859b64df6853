//! Sockets that listen, dual stack where the system has IPv6.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt},
};
use socket2::{Domain, Protocol, Socket, Type};
use verdikt_protocol::Transport;

use crate::{Failure, talk};

/// Connections that may wait to be accepted. A whole cluster connects at the same moment, and a full queue
/// would look like a policy that drops. The kernel lowers it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Receive buffer asked for on UDP, for the same reason. The kernel lowers it to net.core.rmem_max.
const DATAGRAM_BUFFER: usize = 4 << 20;

/// A listening TCP or SCTP socket on a port of all addresses.
pub(super) fn streams(transport: Transport, port: u16) -> Result<Socket, Failure> {
    bound(transport, port, |socket| {
        socket.set_reuse_address(true)?;
        if transport == Transport::Sctp {
            // A greeting that was lost should still come before a probe gives up.
            talk::send_again_soon(socket)?;
        }
        Ok(())
    })
    .and_then(|socket| {
        socket.listen(BACKLOG).map_err(|e| failure(transport, port, &e))?;
        Ok(socket)
    })
}

/// A UDP socket on a port of all addresses, which tells to which address each datagram was sent.
pub(super) fn datagrams(port: u16) -> Result<Socket, Failure> {
    bound(Transport::Udp, port, |socket| {
        // Best effort: the default works too, with less room for bursts.
        let _ = socket.set_recv_buffer_size(DATAGRAM_BUFFER);
        if socket.domain()? == Domain::IPV6 {
            setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        Ok(())
    })
}

/// Tries `[::]` for both families, then `0.0.0.0` where IPv6 is off.
fn bound(
    transport: Transport,
    port: u16,
    prepare: impl Fn(&Socket) -> io::Result<()>,
) -> Result<Socket, Failure> {
    let open = |address: SocketAddr| {
        let (kind, protocol) = match transport {
            Transport::Tcp => (Type::STREAM, Protocol::TCP),
            Transport::Udp => (Type::DGRAM, Protocol::UDP),
            Transport::Sctp => (Type::STREAM, Protocol::SCTP),
            Transport::Icmp => unreachable!("nobody listens on ICMP"),
        };
        let socket = Socket::new(Domain::for_address(address), kind.nonblocking().cloexec(), Some(protocol))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        prepare(&socket)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    let no_ipv6 = |e: &io::Error| {
        matches!(
            e.raw_os_error().map(Errno::from_raw),
            Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL | Errno::EPROTONOSUPPORT)
        )
    };
    match open((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(e) if no_ipv6(&e) => open((Ipv4Addr::UNSPECIFIED, port).into()),
        other => other,
    }
    .map_err(|e| failure(transport, port, &e))
}

fn failure(transport: Transport, port: u16, error: &io::Error) -> Failure {
    let name = match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
        Transport::Sctp => "SCTP",
        Transport::Icmp => "ICMP",
    };
    let why = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRINUSE) => "it is in use by another process".to_owned(),
        Some(Errno::EACCES | Errno::EPERM) => {
            "ports this low need the sysctl net.ipv4.ip_unprivileged_port_start=0 or the capability \
             NET_BIND_SERVICE"
                .to_owned()
        }
        Some(Errno::EPROTONOSUPPORT) => "no SCTP in this kernel (errno 93)".to_owned(),
        _ => error.to_string(),
    };
    Failure::Fatal(format!("cannot listen on {name} port {port}: {why}"))
}
