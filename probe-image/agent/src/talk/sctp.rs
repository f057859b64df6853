//! SCTP associations, as like TCP connections as they can be: one address at this end, a source port of their own, and
//! nothing left when they are closed.
//!
//! The kernel queues no ICMP errors on them, so that errno and the association itself must tell what has happened: an
//! ABORT ends the association, an ICMP error does not.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc::{self, c_int, c_void, socklen_t},
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use verdikt_protocol::Transport;

use super::{
    cause::{self, Cause},
    neighbour,
    socket::{bind, bind_unused, connect, report_icmp},
    source_ports::SourcePorts,
};

/// When what was not answered is sent again: after three seconds for an INIT, and one for data, where the kernel chooses.
const AGAIN_MS: u32 = 100;

/// Whether an INIT that was not answered is sent again soon. An ICMP error that arrives while `connect` still holds the
/// socket, as it does between network namespaces of one host, is only a soft error, and there is no queue that keeps it:
/// the next INIT brings another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// After [`AGAIN_MS`].
    Soon,
    /// After seconds: what comes of this socket shall tell of the moment at which it was opened.
    Late,
}

/// An SCTP socket that has begun to connect.
pub(crate) fn association(
    to: SocketAddr,
    from: Option<IpAddr>,
    ports: &mut SourcePorts,
    now: Instant,
    again: Again,
) -> Result<Socket, Cause> {
    let from = source(to, from)?;
    let socket =
        Socket::new(Domain::for_address(to), Type::STREAM.nonblocking().cloexec(), Some(Protocol::SCTP))
            .map_err(|e| cause::local("socket", &e))?;
    // ABORT instead of SHUTDOWN on close, which takes a round trip and more packets.
    socket.set_linger(Some(Duration::ZERO)).map_err(|e| cause::local("SO_LINGER", &e))?;
    report_icmp(&socket, to)?;
    // What is said again and again is sent at once, as it is on TCP.
    set(&socket, SCTP_NODELAY, &1_i32).map_err(|e| cause::local("SCTP_NODELAY", &e))?;
    if again == Again::Soon {
        send_again_soon(&socket).map_err(|e| cause::local("SCTP_RTOINFO", &e))?;
    }
    if to.is_ipv6() {
        // Otherwise the peer is told of this host's IPv4 addresses, too, and may answer there.
        socket.set_only_v6(true).map_err(|e| cause::local("IPV6_V6ONLY", &e))?;
    }
    // To one address: an association has all of those to which its socket is bound.
    bind_unused(&socket, (Transport::Sctp, to), from, ports, now)?;
    connect(&socket, to)?;
    Ok(socket)
}

/// Has a socket, and those that come of it, send again what was lost about as soon as TCP does.
pub(crate) fn send_again_soon(socket: &Socket) -> io::Result<()> {
    set(socket, SCTP_RTOINFO, &RtoInfo { association: 0, initial: AGAIN_MS, max: 0, min: AGAIN_MS })
}

/// The address from which a packet to there leaves. No packet does: it is the kernel's answer for UDP. SCTP itself says
/// nothing when there is no route, and is silent.
fn source(to: SocketAddr, from: Option<IpAddr>) -> Result<IpAddr, Cause> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM.cloexec(), Some(Protocol::UDP))
        .map_err(|e| cause::local("socket", &e))?;
    if let Some(from) = from {
        bind(&socket, to, from, 0)?;
    }
    connect(&socket, to)?;
    let own = socket.local_addr().map_err(|e| cause::local("getsockname", &e))?;
    Ok(own.as_socket().map_or(
        match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        },
        |own| own.ip(),
    ))
}

/// What an error means that arrived on an association with there.
pub(super) fn arrived(socket: &Socket, to: SocketAddr, error: Errno) -> Option<Cause> {
    let rejected = |why: &str| Some(Cause::Rejected(why.into()));
    match error {
        Errno::ECONNREFUSED if stands(socket, to) => rejected("ICMP port unreachable"),
        Errno::ECONNREFUSED => rejected("connection refused (ABORT)"),
        Errno::ECONNRESET => rejected("reset after connect (ABORT)"),
        Errno::ENOPROTOOPT => rejected("ICMP protocol unreachable"),
        Errno::ENETUNREACH => rejected("ICMP network unreachable"),
        Errno::EACCES => rejected("ICMP admin prohibited"),
        // Also what the kernel says to itself when no neighbour has answered for the address: nobody has refused then.
        Errno::EHOSTUNREACH => Some(match neighbour::is_missing(to.ip()) {
            Ok(false) => Cause::Rejected("ICMP host unreachable or admin prohibited".into()),
            Ok(true) => Cause::Failed(cause::NO_NEIGHBOUR.into()),
            Err(e) => Cause::Failed(format!(
                "host unreachable, and whether a neighbour is missing or somebody has refused cannot be told: {e}"
            )),
        }),
        _ => None,
    }
}

/// Whether the socket's association with there is still there, connected or about to.
pub(crate) fn stands(socket: &Socket, to: SocketAddr) -> bool {
    let mut info = PeerInfo { association: 0, address: [0; 128], rest: [0; 5] };
    let address = SockAddr::from(to);
    // SAFETY: an address is shorter than a sockaddr_storage, which is what the field is.
    unsafe {
        std::ptr::copy_nonoverlapping(
            address.as_ptr().cast::<u8>(),
            info.address.as_mut_ptr(),
            address.len() as usize,
        );
    }
    let mut length = size_of::<PeerInfo>() as socklen_t;
    // SAFETY: the pointers are to a value of ours and to its length.
    let code = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_SCTP,
            SCTP_GET_PEER_ADDR_INFO,
            (&raw mut info).cast::<c_void>(),
            &raw mut length,
        )
    };
    code == 0
}

/// Options of level `IPPROTO_SCTP`, and what they take (linux/sctp.h).
const SCTP_RTOINFO: c_int = 0;
const SCTP_NODELAY: c_int = 3;
const SCTP_GET_PEER_ADDR_INFO: c_int = 15;

/// `struct sctp_rtoinfo`, in milliseconds; 0 changes nothing.
#[repr(C)]
struct RtoInfo {
    association: i32,
    initial: u32,
    max: u32,
    min: u32,
}

/// `struct sctp_paddrinfo`.
#[repr(C)]
struct PeerInfo {
    association: i32,
    address: [u8; 128],
    rest: [u32; 5],
}

fn set<T>(socket: &Socket, option: c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer is to a value of ours, and the length is its.
    let code = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_SCTP,
            option,
            std::ptr::from_ref(value).cast::<c_void>(),
            size_of::<T>() as socklen_t,
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
