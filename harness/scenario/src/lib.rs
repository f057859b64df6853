//! Scenario files and files of known deviations: YAML to model, diagnostics that point at the line, lint, JSON Schema, the
//! built-in catalogue.
//!
//! ```text
//! text ─ yaml ─► nodes with places ─ decode ─► raw structs ─ convert ─► Scenario ─ crosscheck ─► diagnostics
//!                                               │                         ▲            │
//!                                               └─► schema                └─ emit      └─ oracle, cells
//! ```
//!
//! Every stage goes on after a mistake, so a file's mistakes are reported together; a document that has errors in
//! one stage does not reach the next.

mod catalogue;
mod clean;
mod convert;
mod crd;
mod crosscheck;
mod decode;
mod diagnostic;
mod document;
mod emit;
mod foreign;
mod known;
mod load;
mod measurable;
mod raw;
mod render;
mod schema;
mod select;
mod source;
mod span;
mod suggest;
mod topologies;
mod vacuous;
mod yaml;

pub use catalogue::{catalogue, catalogue_against};
pub use crd::{Definitions, DefinitionsError};
pub use diagnostic::{Diagnostic, Related, Severity};
pub use document::{LARGEST_FILE, parse};
pub use emit::to_yaml;
pub use known::known_deviations;
pub use load::{LoadError, Loaded, load, load_against};
pub use render::render;
pub use schema::{known_deviations_schema, scenario_schema};
pub use select::{
    LabelRequirement, LabelSelector, LabelTest, ParseLabelSelectorError, ParsePartitionError, Partition,
    Selection,
};
pub use source::Source;
pub use topologies::Topologies;
