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

/// Which servers of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// Those of its main container.
    Main,
    /// Those of its sidecar, which have the same identity.
    Sidecar,
}

impl Of {
    pub(crate) const ALL: [Self; 2] = [Self::Main, Self::Sidecar];
}

/// The address of the servers with this identity. In the network namespace of a node there may be several.
pub(crate) fn address(identity: &str, of: Of) -> io::Result<SocketAddr> {
    let prefix = match of {
        Of::Main => "verdikt-serve",
        Of::Sidecar => "verdikt-sidecar",
    };
    let mut name = format!("{prefix}/{identity}");
    if name.len() > LONGEST_NAME {
        // Agents and servers are one binary, so they hash alike.
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        name = format!("{prefix}/#{:016x}", hasher.finish());
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
        let name = |identity: &str| address(identity, Of::Main).unwrap().as_abstract_name().unwrap().to_vec();
        assert_eq!(name("x/a"), b"verdikt-serve/x/a");
        let long = "x".repeat(300);
        assert_ne!(name(&long), name(&(long.clone() + "y")));
        assert_eq!(name(&long), name(&long));
        let sidecar = address("x/a", Of::Sidecar).unwrap();
        assert_ne!(sidecar.as_abstract_name().unwrap(), name("x/a"));
    }
}
