//! The connections that a node remembers, and how to make it forget those of one address.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt,
};

use crate::node::errors::doing;

/// `NFNL_SUBSYS_CTNETLINK << 8`, with `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 0x101;
const DELETE: u16 = 0x102;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `CTA_TUPLE_ORIG` and `CTA_TUPLE_REPLY`.
const TUPLES: [u16; 2] = [1, 2];
const CTA_TUPLE_IP: u16 = 1;
/// Bits of an attribute's type that are flags.
const FLAGS: u16 = 0xc000;
/// Header of a message, and of what follows for netfilter.
const HEADER: usize = 16;
const FAMILY: usize = 4;
const ENOENT: i32 = 2;

/// A socket to the connection tracking of one network namespace.
pub(crate) struct Conntrack {
    socket: OwnedFd,
}

impl Conntrack {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let open = || -> nix::Result<OwnedFd> {
            let socket = socket(
                AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkNetFilter,
            )?;
            setsockopt(&socket, sockopt::RcvBuf, &(1 << 20))?;
            Ok(socket)
        };
        let socket = open().map_err(|error| doing("open a socket to connection tracking", error.into()))?;
        Ok(Self { socket })
    }

    /// Forgets every connection from or to an address: what its next owner sends is new, and is judged.
    pub(crate) fn forget(&self, address: IpAddr) -> io::Result<()> {
        let family = if address.is_ipv6() { AF_INET6 } else { AF_INET };
        let mut found = vec![];
        self.talk(&message(GET, NLM_F_DUMP, family, &[]), |entry| found.extend(of(entry, address)))
            .map_err(|error| doing("list tracked connections", error))?;
        for tuple in found {
            match self.talk(&message(DELETE, NLM_F_ACK, family, &tuple), |_| {}) {
                // It has gone by itself meanwhile.
                Err(error) if error.raw_os_error() == Some(ENOENT) => {}
                other => other.map_err(|error| doing("forget a tracked connection", error))?,
            }
        }
        Ok(())
    }

    /// Sends a request and hands on the answers until the last one.
    fn talk(&self, request: &[u8], mut answer: impl FnMut(&[u8])) -> io::Result<()> {
        send(self.socket.as_raw_fd(), request, MsgFlags::empty())?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let got = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(nix::errno::Errno::EINTR) => continue,
                other => other?,
            };
            let mut rest = &buffer[..got];
            while let (Some(length), Some(kind)) = (number::<4>(rest, 0), number::<2>(rest, 4)) {
                let Some(whole) = rest.get(..length).filter(|_| length >= HEADER) else { break };
                match u16::try_from(kind) {
                    Ok(NLMSG_DONE) => return Ok(()),
                    Ok(NLMSG_ERROR) => {
                        let code = number::<4>(whole, HEADER).unwrap_or_default() as u32 as i32;
                        return if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) };
                    }
                    _ => answer(whole.get(HEADER + FAMILY..).unwrap_or_default()),
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

fn message(kind: u16, flags: u16, family: u8, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = ((HEADER + FAMILY + attributes.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0, 0, 0]);
    bytes.extend(attributes);
    bytes
}

/// The attribute that names an entry, when the entry is of an address: its first tuple, as it came.
fn of(entry: &[u8], address: IpAddr) -> Option<Vec<u8>> {
    let wanted = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let tuples = || attributes(entry).filter(|(kind, ..)| TUPLES.contains(kind));
    let known = tuples()
        .flat_map(|(_, value, _)| attributes(value))
        .filter(|(kind, ..)| *kind == CTA_TUPLE_IP)
        .flat_map(|(_, value, _)| attributes(value))
        .any(|(_, value, _)| value == wanted);
    known.then(|| tuples().find(|(kind, ..)| *kind == TUPLES[0]).map(|(.., whole)| whole.to_vec()))?
}

/// Attributes in a row: type, value, and the whole with its header.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
    const HEAD: usize = 4;
    std::iter::from_fn(move || {
        let length = number::<2>(rest, 0)?;
        let kind = u16::try_from(number::<2>(rest, 2)?).ok()? & !FLAGS;
        let whole = rest.get(..length)?;
        let value = whole.get(HEAD..)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value, whole))
    })
}

/// A number of so many bytes, in the machine's order.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    let mut wide = [0; 4];
    let found = bytes.get(at..at + N)?;
    if cfg!(target_endian = "big") {
        wide[4 - N..].copy_from_slice(found);
    } else {
        wide[..N].copy_from_slice(found);
    }
    Some(u32::from_ne_bytes(wide) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn an_entry_is_of_the_addresses_in_its_tuples() {
        let ip = |from: [u8; 4], to: [u8; 4]| {
            attribute(0x8000 | CTA_TUPLE_IP, &[attribute(1, &from), attribute(2, &to)].concat())
        };
        let protocol = attribute(0x8002, &attribute(1, &[6]));
        let first = attribute(0x8001, &[ip([10, 0, 0, 1], [10, 0, 0, 2]), protocol].concat());
        let second = attribute(0x8002, &ip([10, 0, 0, 3], [10, 0, 0, 1]));
        let entry = [first.clone(), second, attribute(3, &[10, 0, 0, 4])].concat();
        for (last, expected) in [(1, true), (2, true), (3, true), (4, false)] {
            let found = of(&entry, IpAddr::from([10, 0, 0, last]));
            assert_eq!(found, expected.then(|| first.clone()));
        }
        assert_eq!(of(&entry[..9], IpAddr::from([10, 0, 0, 1])), None);
    }
}
