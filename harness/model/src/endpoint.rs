//! Names of endpoints: `x/a`, `node/1`, `external`, `external/2`, `dns`.

use std::{fmt, str::FromStr};

/// The logical name of an endpoint. `x/a` names a pod, or a Service where the cell's path is a Service path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointName {
    /// A pod, written `NAMESPACE/POD`.
    Pod {
        /// Logical namespace.
        namespace: String,
        /// Logical pod name.
        name: String,
    },
    /// A Service, written `NAMESPACE/SERVICE`.
    Service {
        /// Logical namespace.
        namespace: String,
        /// Service name.
        name: String,
    },
    /// A node's own network, counted from 1, written `node/1`.
    Node(u16),
    /// A host outside the cluster, counted from 1; written `external` for the first, then `external/2`.
    External(u16),
    /// The cluster's DNS service.
    Dns,
}

/// Words that cannot name a namespace in a scenario, because endpoints use them.
pub(crate) const RESERVED_NAMESPACES: [&str; 3] = ["node", "external", "dns"];

impl EndpointName {
    /// A pod's name.
    pub fn pod(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Pod { namespace: namespace.into(), name: name.into() }
    }

    /// A Service's name.
    pub fn service(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Service { namespace: namespace.into(), name: name.into() }
    }

    /// Whether a namespace of a scenario may not have this name.
    pub fn is_reserved_namespace(name: &str) -> bool {
        RESERVED_NAMESPACES.contains(&name)
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { namespace, name } | Self::Service { namespace, name } => {
                write!(f, "{namespace}/{name}")
            }
            Self::Node(n) => write!(f, "node/{n}"),
            Self::External(1) => f.write_str("external"),
            Self::External(n) => write!(f, "external/{n}"),
            Self::Dns => f.write_str("dns"),
        }
    }
}

/// A text that names no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no endpoint; expected NAMESPACE/POD, node/N, external, external/N or dns")]
pub struct ParseEndpointError(pub String);

impl FromStr for EndpointName {
    type Err = ParseEndpointError;

    /// `NAMESPACE/NAME` reads as a pod; the caller turns it into a Service where the path says so.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseEndpointError(text.to_owned());
        let number = |n: &str| n.parse().ok().filter(|n| *n > 0).ok_or_else(bad);
        match text.split_once('/') {
            None if text == "external" => Ok(Self::External(1)),
            None if text == "dns" => Ok(Self::Dns),
            Some(("node", n)) => Ok(Self::Node(number(n)?)),
            Some(("external", n)) => Ok(Self::External(number(n)?)),
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self::pod(namespace, name))
            }
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for text in ["x/a", "node/1", "external", "external/2", "dns"] {
            assert_eq!(text.parse::<EndpointName>().unwrap().to_string(), text);
        }
        for text in ["", "x", "x/", "/a", "x/a/b", "node/0", "node/x"] {
            assert!(text.parse::<EndpointName>().is_err(), "{text}");
        }
    }
}
