//! Definitions of custom resources, and what is wrong with an object by its definition.
//!
//! What an API server checks when it is asked for strict validation: the structural schema, unknown fields, scope and
//! served versions. Rules in CEL (`x-kubernetes-validations`) and webhooks are left to a real one.

#[cfg(test)]
mod agreement;
mod combine;
mod defaults;
mod definitions;
mod files;
mod metadata;
mod scalar;
mod schema;
mod walk;

pub use definitions::Definitions;
pub(crate) use definitions::{Definition, Version};
pub use files::DefinitionsError;
pub(crate) use walk::{Fault, Segment};
