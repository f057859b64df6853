//! The probe image, made without Docker: a static agent in an OCI image, as an archive or pushed to a registry.
//!
//! ```text
//! agent (embedded, given, beside the executable) ──► Image ──► archive: a tar for docker, ctr, kind, podman
//!                                                          └─► push: the OCI distribution protocol
//! ```
//!
//! The same agents make the same bytes, on every machine and at every time: nothing but the agents, the version
//! and the image's name goes into them.

mod agent;
mod archive;
mod at_hand;
mod credentials;
mod image;
mod layer;
mod push;
mod refusal;

pub use agent::{Agent, Architecture, NotAnAgent};
pub use at_hand::{AgentError, at_hand};
pub use credentials::{Credentials, CredentialsError};
pub use image::Image;
/// A reference to an image: `registry/repository:tag`, completed as Docker does.
pub use oci_client::Reference;
pub use push::{Registry, Transport};
pub use refusal::PushError;

/// Name of the agent's binary in the image.
pub const BINARY: &str = "verdikt-probe";
