//! The embedded cluster: API server, node, dataplane on nftables, DNS.

mod api;
mod channel;
mod handle;
mod node;
mod plan;
mod profile;
mod reexec;
mod sandbox;
mod scratch;
mod spawn;
mod wire;

pub use profile::{ParseProfileError, Profile};
pub use reexec::reexec;
pub use sandbox::{CONTEXT, Config, ConnectLoop, ConnectLoopError, Sandbox, SandboxError};
pub use spawn::NodeError;
pub use wire::Cause;
