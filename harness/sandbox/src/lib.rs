//! The embedded cluster: API server, node, dataplane on nftables, DNS.
//!
//! ```text
//! kube-rs, kubectl ──HTTP──► api (this process) ──Unix socket, descriptors──► node (own namespaces)
//!                             objects, watches,                                pods, links, nftables,
//!                             controllers, exec                                DNS, commands
//! ```
//!
//! [`Sandbox`] starts and stops both; [`reexec()`] makes a program able to be the node.

mod api;
mod base;
mod channel;
mod handle;
mod node;
mod plan;
mod profile;
mod reexec;
mod sandbox;
mod scratch;
mod spawn;
mod traits;
mod wire;

pub use base::Base;
pub use profile::{ParseProfileError, Profile};
pub use reexec::reexec;
pub use sandbox::{CONTEXT, Config, ConnectLoop, ConnectLoopError, Sandbox, SandboxError};
pub use spawn::NodeError;
pub use traits::{Trait, Traits};
pub use wire::Cause;
