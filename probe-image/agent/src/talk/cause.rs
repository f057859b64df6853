//! What an error on a socket means: a rejection by the network, a failure here, or nothing.
//!
//! The same errno can be either: EHOSTUNREACH is "no route" when `connect` returns it, and an ICMP message when
//! it arrives later. The socket's error queue (IP_RECVERR) tells them apart and names type, code and sender.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
};

use nix::{
    cmsg_space,
    errno::Errno,
    libc::{SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6, sock_extended_err, sockaddr_in6},
    sys::socket::{ControlMessageOwned, MsgFlags, recvmsg},
};
use socket2::Socket;
use verdikt_protocol::Transport;

use super::sctp;

/// With whom a socket talks, and how.
pub(crate) type Peer = (Transport, SocketAddr);

/// Nobody has refused: there is nobody.
pub(super) const NO_NEIGHBOUR: &str = "no such neighbour (nothing answers for the address)";

/// What an error proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The network has refused: with these words.
    Rejected(String),
    /// The sender's own kernel did not let a packet out (EPERM). Policies are enforced so, but a full table of
    /// connection tracking and a queue without a reader look the same: a second socket has to be told so, too.
    Filtered(String),
    /// Something failed that says nothing about policies.
    Failed(String),
    /// Nothing: wait on.
    Nothing,
    /// The kernel has given up; this socket hears nothing any more.
    GaveUp,
}

/// An ICMP or ICMPv6 error, from a socket's error queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Icmp {
    v6: bool,
    kind: u8,
    code: u8,
    sender: Option<IpAddr>,
}

/// What an error means that `connect` or a first packet met: filters at the sender's own socket answer with EPERM, which
/// are netfilter's OUTPUT, or a cgroup program (Cilium).
pub(crate) fn leaving(doing: &str, error: &io::Error) -> Cause {
    match errno(error) {
        Errno::EPERM => Cause::Filtered("operation not permitted (local filter)".into()),
        _ => local(doing, error),
    }
}

/// What an error means that a system call returned with which nothing is sent.
pub(crate) fn local(doing: &str, error: &io::Error) -> Cause {
    match errno(error) {
        // The answer came before the call returned.
        Errno::ECONNREFUSED => Cause::Rejected("connection refused (RST)".into()),
        Errno::ENETUNREACH | Errno::EHOSTUNREACH => {
            Cause::Failed(format!("no route from here: {doing}: {error}"))
        }
        Errno::EACCES => {
            Cause::Failed(format!("prohibited by a route or rule of this host: {doing}: {error}"))
        }
        Errno::EAFNOSUPPORT => Cause::Failed(format!("no such address family here: {doing}: {error}")),
        Errno::EPROTONOSUPPORT => Cause::Failed("no SCTP in this kernel (errno 93)".into()),
        Errno::EMFILE | Errno::ENFILE => Cause::Failed(format!("out of descriptors: {doing}: {error}")),
        Errno::EADDRNOTAVAIL => {
            Cause::Failed(format!("no such source address or no free source port: {doing}: {error}"))
        }
        _ => Cause::Failed(format!("{doing}: {error}")),
    }
}

/// What an error means that arrived on a socket after sending.
pub(crate) fn arrived(socket: &Socket, (transport, to): Peer, error: &io::Error) -> Cause {
    if let Some(cause) = queued(socket) {
        return cause;
    }
    if transport == Transport::Sctp
        && let Some(cause) = sctp::arrived(socket, to, errno(error))
    {
        return cause;
    }
    match errno(error) {
        Errno::EAGAIN | Errno::EINTR => Cause::Nothing,
        // Only ICMP brings errors on datagrams.
        Errno::ECONNREFUSED if transport != Transport::Tcp => Cause::Rejected("ICMP port unreachable".into()),
        Errno::ECONNREFUSED => Cause::Rejected("connection refused (RST)".into()),
        Errno::ECONNRESET => Cause::Rejected("reset after connect (RST)".into()),
        Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EACCES => Cause::Rejected(format!("ICMP: {error}")),
        Errno::ETIMEDOUT => Cause::GaveUp,
        _ => local("waiting for an answer", error),
    }
}

/// What an error on a connection means that epoll has told of: from the queue of ICMP messages, or on the socket.
pub(crate) fn pending(socket: &Socket, peer: Peer) -> Cause {
    queued(socket).unwrap_or_else(|| match socket.take_error() {
        Ok(Some(e)) => arrived(socket, peer, &e),
        _ => Cause::Nothing,
    })
}

/// What the socket's error queue holds; `None` when it is empty.
pub(crate) fn queued(socket: &Socket) -> Option<Cause> {
    let mut cause = None;
    // A later message does not take back an earlier rejection.
    while let Some(icmp) = next_queued(socket) {
        let this = icmp.map_or(Cause::Nothing, |icmp| icmp.cause(own_address(socket)));
        if !matches!(cause, Some(Cause::Rejected(_) | Cause::Filtered(_) | Cause::Failed(_))) {
            cause = Some(this);
        }
    }
    cause
}

fn own_address(socket: &Socket) -> Option<IpAddr> {
    Some(socket.local_addr().ok()?.as_socket()?.ip())
}

/// The next entry: `None` when there is none, `Some(None)` for one that is no ICMP error.
fn next_queued(socket: &Socket) -> Option<Option<Icmp>> {
    let (mut payload, mut control) = ([0; 64], cmsg_space!(sock_extended_err, sockaddr_in6));
    let mut parts = [IoSliceMut::new(&mut payload)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
    let Ok(mut messages) = message.cmsgs() else { return Some(None) };
    Some(messages.find_map(|message| match message {
        ControlMessageOwned::Ipv4RecvErr(error, sender) => {
            Icmp::new(error, sender.map(|s| IpAddr::from(s.sin_addr.s_addr.to_ne_bytes())))
        }
        ControlMessageOwned::Ipv6RecvErr(error, sender) => {
            Icmp::new(error, sender.map(|s| IpAddr::from(s.sin6_addr.s6_addr)))
        }
        _ => None,
    }))
}

impl Icmp {
    fn new(error: sock_extended_err, sender: Option<IpAddr>) -> Option<Self> {
        let v6 = error.ee_origin == SO_EE_ORIGIN_ICMP6;
        let sender = sender.map(|ip| ip.to_canonical()).filter(|ip| !ip.is_unspecified());
        (v6 || error.ee_origin == SO_EE_ORIGIN_ICMP).then_some(Self {
            v6,
            kind: error.ee_type,
            code: error.ee_code,
            sender,
        })
    }

    /// What it proves to a socket with this address.
    fn cause(self, own: Option<IpAddr>) -> Cause {
        let sender = self.sender.map(|ip| format!(" from {ip}")).unwrap_or_default();
        let rejected = |what: &str| Cause::Rejected(format!("ICMP {what}{sender}"));
        let failed = |what: &str| Cause::Failed(format!("ICMP {what}{sender}"));
        let unreachable = || {
            // From ourselves it means that no neighbour has answered for the address: nobody has refused.
            if self.sender.is_some() && self.sender == own {
                Cause::Failed(NO_NEIGHBOUR.into())
            } else {
                rejected("host unreachable")
            }
        };
        match (self.v6, self.kind, self.code) {
            (false, 3, 0) | (true, 1, 0) => rejected("network unreachable"),
            (false, 3, 1) | (true, 1, 3) => unreachable(),
            (false, 3, 2) => rejected("protocol unreachable"),
            (false, 3, 3) | (true, 1, 4) => rejected("port unreachable"),
            (false, 3, 9 | 10 | 13) | (true, 1, 1) => rejected("admin prohibited"),
            (true, 1, 5) => rejected("source address failed policy"),
            (true, 1, 6) => rejected("reject route"),
            // Fragmentation needed, source quench: the path is open.
            (false, 3, 4) | (false, 4, _) | (true, 2, _) => Cause::Nothing,
            (false, 3, code) | (true, 1, code) => rejected(&format!("unreachable (code {code})")),
            (false, 11, _) | (true, 3, _) => failed("time exceeded"),
            (_, kind, code) => failed(&format!("error type {kind} code {code}")),
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn icmp(v6: bool, kind: u8, code: u8) -> Cause {
        let sender = Some("10.0.0.1".parse().unwrap());
        Icmp { v6, kind, code, sender }.cause(Some("10.0.0.9".parse().unwrap()))
    }

    #[test]
    fn a_refusal_names_type_and_sender() {
        let rejected = |text: &str| Cause::Rejected(format!("ICMP {text} from 10.0.0.1"));
        assert_eq!(icmp(false, 3, 3), rejected("port unreachable"));
        assert_eq!(icmp(false, 3, 13), rejected("admin prohibited"));
        assert_eq!(icmp(true, 1, 1), rejected("admin prohibited"));
        assert_eq!(icmp(true, 1, 4), rejected("port unreachable"));
    }

    #[test]
    fn what_is_no_refusal_is_none() {
        assert_eq!(icmp(false, 3, 4), Cause::Nothing);
        assert_eq!(icmp(true, 2, 0), Cause::Nothing);
        assert!(matches!(icmp(false, 11, 0), Cause::Failed(_)));
        let own = Some("10.0.0.1".parse().unwrap());
        let neighbour = Icmp { v6: false, kind: 3, code: 1, sender: own };
        assert!(matches!(neighbour.cause(own), Cause::Failed(_)));
    }
}
