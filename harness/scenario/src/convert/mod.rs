//! From the files' structs to the model, with the checks that need no oracle.
//!
//! ```text
//! RawTopology ─► topology ─┐
//! RawStep ─► steps ─► object ─► policy ─┴─► Scenario + places of its patterns
//! ```

mod checks;
mod definition;
mod known;
mod late;
mod names;
mod object;
mod placement;
mod policy;
mod presence;
mod scenario;
mod selector;
mod service;
mod steps;
mod topology;

pub(crate) use known::known;
pub(crate) use names::{Name, check_labels};
pub(crate) use scenario::{Converted, scenario};
pub(crate) use topology::topology;
