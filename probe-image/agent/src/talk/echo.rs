//! ICMP and ICMPv6 echo on unprivileged ping sockets.
//!
//! The kernel fills in identifier and checksum, hands a socket only the replies that carry its identifier, and
//! rejects every other type on v6, so that no filter is needed.

use std::io;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use verdikt_protocol::nonce_text;

use super::cause::{self, Cause};

/// Types of an echo request and its reply: (ICMP, ICMPv6).
const REQUEST: (u8, u8) = (8, 128);
const REPLY: (u8, u8) = (0, 129);

/// Length of type, code, checksum, identifier and sequence number.
const HEADER: usize = 8;

/// First bytes of the payload.
const MAGIC: &[u8] = b"verdikt-probe/1\n";

/// A ping socket of this family, not connected.
pub(super) fn socket(domain: Domain) -> Result<Socket, Cause> {
    let protocol = if domain == Domain::IPV6 { Protocol::ICMPV6 } else { Protocol::ICMPV4 };
    Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(protocol)).map_err(|e| refusal(&e))
}

/// Whether this process may make ping sockets; otherwise why not, and what would help.
pub(crate) fn available() -> Result<(), String> {
    match socket(Domain::IPV4) {
        Ok(_) => Ok(()),
        Err(Cause::Failed(why) | Cause::Filtered(why) | Cause::Rejected(why)) => Err(why),
        Err(Cause::Nothing | Cause::GaveUp) => Err("no ping sockets here".into()),
    }
}

fn refusal(error: &io::Error) -> Cause {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES | Errno::EPERM) => Cause::Failed(format!(
            "group {} may not send ICMP echo requests here: set the sysctl net.ipv4.ping_group_range to a range that \
             has it, such as \"0 2147483647\"",
            nix::unistd::getegid()
        )),
        _ => cause::local("ICMP socket", error),
    }
}

/// An echo request that carries a nonce.
pub(crate) fn request(v6: bool, nonce: u64) -> Vec<u8> {
    let kind = if v6 { REQUEST.1 } else { REQUEST.0 };
    [&[kind, 0, 0, 0, 0, 0, 0, 1][..], MAGIC, nonce_text(nonce).as_bytes()].concat()
}

/// The nonce of a reply; `None` when it is none of ours.
pub(crate) fn nonce(v6: bool, message: &[u8]) -> Option<&str> {
    let kind = if v6 { REPLY.1 } else { REPLY.0 };
    let payload = message.get(HEADER..)?.strip_prefix(MAGIC)?;
    (message[0] == kind).then(|| std::str::from_utf8(payload).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_carries_the_nonce_and_a_request_is_none() {
        for (v6, kind) in [(false, 0), (true, 129)] {
            let mut message = request(v6, 0xabc);
            assert_eq!(nonce(v6, &message), None, "a request");
            message[0] = kind;
            assert_eq!(nonce(v6, &message), Some("0000000000000abc"));
            assert_eq!(nonce(!v6, &message), None, "the other family's");
            assert_eq!(nonce(v6, &message[..12]), None, "cut off");
        }
        assert_eq!(nonce(false, &[]), None);
    }
}
