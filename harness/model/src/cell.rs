//! One cell of a matrix.

use crate::net::{Family, PortProtocol, Protocol, Via};

/// Index of an endpoint in its [`crate::World`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u16);

/// One (from, to, via, port, protocol, IP family). 12 bytes, because large topologies have many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// Who connects.
    pub from: EndpointId,
    /// Who is connected to: a pod, node, external host, or Service (for paths through one).
    pub to: EndpointId,
    /// How the destination is addressed.
    pub via: Via,
    /// IP family of the connection.
    pub family: Family,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The port that the source dials: the container's, or the Service's for paths through one.
    pub port: u16,
}

impl Cell {
    /// Port and protocol together.
    pub const fn port_protocol(&self) -> PortProtocol {
        PortProtocol { port: self.port, protocol: self.protocol }
    }
}
