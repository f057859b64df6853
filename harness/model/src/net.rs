//! Protocols, IP families and access paths, with the words that scenarios and records use for them.

use std::{fmt, net::IpAddr, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A word that is none of the allowed ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no {what}; expected one of {expected}")]
pub struct ParseWordError {
    /// What was read.
    pub word: String,
    /// What it should have been.
    pub what: &'static str,
    /// The allowed words.
    pub expected: &'static str,
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal, $expected:literal, $($(#[$vmeta:meta])* $variant:ident = $word:literal),+) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// All values, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it in files and records.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.as_str()) }
        }

        impl FromStr for $name {
            type Err = ParseWordError;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(ParseWordError { word: word.to_owned(), what: $what, expected: $expected }),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// A transport protocol.
    Protocol, "protocol", "tcp, udp, sctp, icmp",
    /// TCP
    Tcp = "tcp",
    /// UDP
    Udp = "udp",
    /// SCTP
    Sctp = "sctp",
    /// ICMP echo, of which the specification says nothing (statement N31); its port is 0.
    Icmp = "icmp"
}

impl Protocol {
    /// Those that policies speak of.
    pub const OF_POLICIES: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The spelling of the Kubernetes API.
    pub const fn kubernetes(self) -> &'static str {
        match self {
            Self::Icmp => "ICMP",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// From the Kubernetes API's spelling; a missing protocol is TCP (statement N24).
    pub fn from_kubernetes(word: Option<&str>) -> Option<Self> {
        match word {
            None | Some("TCP") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }
}

words! {
    /// An IP family.
    Family, "IP family", "ipv4, ipv6",
    /// IPv4
    Ipv4 = "ipv4",
    /// IPv6
    Ipv6 = "ipv6"
}

impl Family {
    /// The family of an address.
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

words! {
    /// How the source addresses the destination.
    Via, "path", "pod-ip, cluster-ip, dns, headless, node-port, other-node-port",
    /// The pod's, node's or external host's own address.
    PodIp = "pod-ip",
    /// A Service's cluster IP.
    ClusterIp = "cluster-ip",
    /// The Service's DNS name, resolved in the source pod, then its cluster IP.
    Dns = "dns",
    /// A headless Service's DNS name, resolved in the source pod to pod addresses.
    Headless = "headless",
    /// The Service's node port, on the node of the first pod behind it.
    NodePort = "node-port",
    /// The Service's node port, on a node without a pod behind it.
    OtherNodePort = "other-node-port"
}

/// A port and its protocol, written `80/tcp`; ICMP echo has port 0 and is written `icmp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortProtocol {
    /// Port number, 1–65535.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

impl PortProtocol {
    /// ICMP echo.
    pub const ICMP: Self = Self { port: 0, protocol: Protocol::Icmp };
}

impl fmt::Display for PortProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Icmp => f.write_str(Protocol::Icmp.as_str()),
            _ => write!(f, "{}/{}", self.port, self.protocol),
        }
    }
}

impl FromStr for PortProtocol {
    type Err = ParseWordError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseWordError {
            word: text.to_owned(),
            what: "port",
            expected: "PORT or PORT/PROTOCOL with PORT in 1–65535",
        };
        if text == Protocol::Icmp.as_str() {
            return Ok(Self::ICMP);
        }
        let (port, protocol) = match text.split_once('/') {
            Some((port, protocol)) => (port, protocol.parse().map_err(|_| bad())?),
            None => (text, Protocol::Tcp),
        };
        let port: u16 = port.parse().map_err(|_| bad())?;
        if port == 0 || protocol == Protocol::Icmp {
            return Err(bad());
        }
        Ok(Self { port, protocol })
    }
}
