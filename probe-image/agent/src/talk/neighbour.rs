//! Whether nobody answers for the address of the next hop: asked of the kernel over rtnetlink, which needs no rights.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket},
};

/// States of a neighbour that is asked for, or was in vain (NUD_INCOMPLETE, NUD_FAILED).
const MISSING: u16 = 0x01 | 0x20;

/// Length of the header of every message, and of those that routes and neighbours begin with.
const HEADER: usize = 16;
const OBJECT: usize = 12;

/// Attributes of a route, and the one of a neighbour that is needed (linux/rtnetlink.h, linux/neighbour.h).
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_VIA: u16 = 18;
const NDA_DST: u16 = 1;

/// Whether the kernel has asked the link for the next hop towards an address, and nobody has answered.
pub(super) fn is_missing(to: IpAddr) -> io::Result<bool> {
    let kernel =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    let (family, bytes) = parts(to);
    let bits = bytes.len() as u8 * 8;
    let wanted = [family, bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let route = ask(&kernel, libc::RTM_GETROUTE, wanted, RTA_DST, &bytes)?;
    let link = find(&route, RTA_OIF).ok_or_else(|| io::Error::other("its route has no link"))?;
    let (family, next) = match (find(&route, RTA_GATEWAY), find(&route, RTA_VIA)) {
        (Some(gateway), _) => (family, gateway),
        (_, Some([family, _, gateway @ ..])) => (*family, gateway),
        _ => (family, &bytes[..]),
    };
    let mut wanted = [family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    wanted[4..8].copy_from_slice(&link[..4]);
    match ask(&kernel, libc::RTM_GETNEIGH, wanted, NDA_DST, next) {
        Ok(neighbour) => Ok(u16::from_ne_bytes([neighbour[8], neighbour[9]]) & MISSING != 0),
        // On links that have no neighbours.
        Err(e) if e.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(false),
        Err(e) => Err(e),
    }
}

fn parts(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (libc::AF_INET as u8, ip.octets().into()),
        IpAddr::V6(ip) => (libc::AF_INET6 as u8, ip.octets().into()),
    }
}

/// Asks for one object; the answer begins with its own header and is no shorter than that.
fn ask(
    kernel: &OwnedFd,
    kind: u16,
    object: [u8; OBJECT],
    attribute: u16,
    value: &[u8],
) -> io::Result<Vec<u8>> {
    let length = HEADER + OBJECT + 4 + value.len();
    let mut message = Vec::with_capacity(length);
    message.extend_from_slice(&(length as u32).to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&object);
    message.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
    message.extend_from_slice(&attribute.to_ne_bytes());
    message.extend_from_slice(value);
    send(kernel.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut answer = vec![0; 4096];
    let count = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(count);
    if count < HEADER + OBJECT {
        return Err(io::Error::other("the kernel's answer is too short"));
    }
    if u16::from_ne_bytes([answer[4], answer[5]]) == libc::NLMSG_ERROR as u16 {
        let code = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
        return Err(io::Error::from_raw_os_error(-code));
    }
    answer.drain(..HEADER);
    Ok(answer)
}

/// The value of an attribute of an object.
fn find(object: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = object.get(OBJECT..)?;
    while let [a, b, c, d, ..] = *rest {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        if u16::from_ne_bytes([c, d]) == wanted {
            return rest.get(4..length);
        }
        rest = rest.get(length.next_multiple_of(4).max(4)..)?;
    }
    None
}
