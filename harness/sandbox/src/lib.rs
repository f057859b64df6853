//! The embedded cluster: API server, node, dataplane on nftables, DNS.

mod channel;
mod handle;
mod node;
mod plan;
mod reexec;
mod spawn;
mod wire;

pub use reexec::reexec;
pub use spawn::NodeError;
pub use wire::Cause;
