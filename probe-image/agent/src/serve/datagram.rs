//! The UDP server: answers a nonce, from the address that was asked, and never with more bytes than came.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, RawFd},
};

use nix::{
    cmsg_space,
    libc::{in_pktinfo, in6_pktinfo},
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg},
};
use socket2::Socket;
use verdikt_protocol::udp_nonce;

use super::streams::greeting;

/// Datagrams that are answered before others get their turn.
const DATAGRAMS: usize = 128;

/// One UDP server.
pub(super) struct Datagrams {
    identity: String,
    socket: Socket,
    control: Vec<u8>,
}

/// The address to which a request was sent, as the kernel gives and takes it.
enum Asked {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl Datagrams {
    /// Serves a bound socket.
    pub(super) fn new(identity: &str, socket: Socket) -> Self {
        Self { identity: identity.into(), socket, control: cmsg_space!(in6_pktinfo, in_pktinfo) }
    }

    /// The server's descriptor.
    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Answers what has come.
    pub(super) fn answer(&mut self) {
        for _ in 0..DATAGRAMS {
            // An error is EAGAIN, or an ICMP error that an earlier answer has caused: nothing to be done.
            if self.answer_one().is_err() {
                return;
            }
        }
    }

    fn answer_one(&mut self) -> nix::Result<()> {
        let mut buffer = [0; 2048];
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let fd = self.socket.as_raw_fd();
        let received =
            recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut self.control), MsgFlags::MSG_DONTWAIT)?;
        let (length, client) = (received.bytes, received.address);
        let asked = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Asked::V4(info)),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(Asked::V6(info)),
            _ => None,
        });
        let Some((storage, client)) = client.and_then(|c| Some((c, address(&c)?))) else { return Ok(()) };
        let request = &buffer[..length.min(buffer.len())];
        let Some(nonce) = udp_nonce(request) else { return Ok(()) };
        let reply = greeting(&self.identity, client, nonce);
        if reply.len() > length {
            return Ok(());
        }
        let parts = [IoSlice::new(&reply)];
        let send = |control: &[ControlMessage<'_>]| {
            sendmsg(fd, &parts, control, MsgFlags::MSG_DONTWAIT, Some(&storage))
        };
        // On a host with several addresses the kernel would choose the source by its routes, and the client,
        // or the DNAT in between, would not know the answer as one.
        // A full buffer or a vanished route loses the answer; the client asks again.
        let _ = match asked {
            Some(Asked::V4(mut info)) => {
                info.ipi_ifindex = 0;
                send(&[ControlMessage::Ipv4PacketInfo(&info)])
            }
            Some(Asked::V6(mut info)) => {
                let address = IpAddr::from(info.ipi6_addr.s6_addr);
                if !matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
                    info.ipi6_ifindex = 0;
                }
                send(&[ControlMessage::Ipv6PacketInfo(&info)])
            }
            None => send(&[]),
        };
        Ok(())
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddr::from((v4.ip(), v4.port()))),
        (_, Some(v6)) => Some(SocketAddr::from((v6.ip(), v6.port()))),
        _ => None,
    }
}
