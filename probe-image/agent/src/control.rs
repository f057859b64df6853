//! How agents reach the servers of their pod: an abstract Unix socket, which every process in the pod's network
//! namespace sees and no other.
//!
//! The protocol is that of sessions, of which servers know `look` and `end` for the first group, `finish` and `alive`.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixStream},
    },
};

use nix::{
    sys::socket::{getsockopt, sockopt},
    unistd::geteuid,
};

/// Longest name of an abstract socket.
const LONGEST_NAME: usize = 107;

/// The address of the servers with this identity. In the network namespace of a node there may be several.
pub(crate) fn address(identity: &str) -> io::Result<SocketAddr> {
    let mut name = format!("verdikt-serve/{identity}");
    if name.len() > LONGEST_NAME {
        // Agents and servers are one binary, so they hash alike.
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        name = format!("verdikt-serve/#{:016x}", hasher.finish());
    }
    SocketAddr::from_abstract_name(name)
}

/// Whether the other end is root or the same user: in a node's namespace anybody could take the name, or ask.
pub(crate) fn is_trusted(stream: &UnixStream) -> bool {
    getsockopt(stream, sockopt::PeerCredentials)
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identity_has_an_address_of_its_own() {
        let name = |identity: &str| address(identity).unwrap().as_abstract_name().unwrap().to_vec();
        assert_eq!(name("x/a"), b"verdikt-serve/x/a");
        let long = "x".repeat(300);
        assert_ne!(name(&long), name(&(long.clone() + "y")));
        assert_eq!(name(&long), name(&long));
    }
}
