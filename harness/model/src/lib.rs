//! Pure types of verdikt: scenario, topology, cell, verdict, matrix, record, events.
//!
//! No I/O, no async runtime, no Kubernetes client. Every other crate speaks in these words:
//!
//! ```text
//! scenario (YAML) ──► Scenario ──► World + Cells ──► oracle: Expectation
//!                                     │
//!                                     └──► runner: Verdict ──► Matrix ──► record, events ──► reports
//! ```

mod cell;
mod check;
mod check_scope;
pub mod cidr;
mod ending;
mod endpoint;
mod event;
mod exit;
mod harmful;
mod known;
mod matrix;
mod net;
mod pattern;
pub mod policy_kind;
mod record;
mod scenario;
mod selector;
mod space;
mod topic;
mod topology;
mod vars;
mod verdict;
mod world;

pub use cell::{Cell, EndpointId};
pub use check::{Check, CheckExpect, CheckKind, CheckRecord, CheckWord, Seen};
pub use check_scope::CheckScope;
pub use ending::ending;
pub use endpoint::{EndpointName, ParseEndpointError};
pub use event::Event;
pub use exit::ExitCode;
pub use harmful::is_harmful;
pub use known::{
    DeviationRecord, DeviationState, FRESH_LANE, Known, KnownDeviation, KnownDeviations,
    ParseVersionRangeError, Sightings, VersionRange, apply, join,
};
pub use matrix::{Matrix, Row};
pub use net::{Family, ParseWordError, PortProtocol, Protocol, Via};
pub use pattern::{CellMatcher, CellPattern, ParsePatternError};
pub use record::{
    Anchor, CellCounts, CellRecord, ChangeRecord, Dataplane, Enforced, Enforcement, Environment, PodBlocks,
    Record, RunInfo, SCHEMA, ScenarioCounts, ScenarioRecord, StepRecord, Summary, Try, WrongStep,
};
pub use scenario::{
    Action, Differs, Expect, ExpectRule, Level, ObjectRef, PodChange, PolicyObject, Requirement, Scenario,
    Step,
};
pub use selector::{is_empty_selector, selector_matches};
pub use space::{cells, check_cells};
pub use topic::{EVIDENCE, Evidence, Topic, Topics, evidence};
pub use topology::{
    ExtraEndpoint, METADATA_NAME, NamespaceSpec, Placement, PodSpec, Serve, ServiceKind, ServicePortSpec,
    ServiceSpec, TargetPort, Topology,
};
pub use vars::{VariableError, substitute, substitute_value};
pub use verdict::{AnchoredBy, BlocksFindPods, Expectation, Outcome, ScenarioOutcome, SeenAs, Verdict};
pub use world::{
    Endpoint, EndpointKind, NamedPort, PodFacts, PodPhase, ServiceFacts, ServicePortFacts, World,
};
