//! Runs scenarios on a cluster: lanes, steps, settling, diffing; emits one event enum.
//!
//! ```text
//! scenarios ──► prepare ──► Queue ──► lanes ──► Event ──► reports
//!               (skips)    (grouped   (each: deploy once; then for each scenario
//!                           by topology)      positive control ──► step: apply, settle, hold ──► … ──► reset)
//!
//! step:  Cell ──► Targets: Probe ──► Prober: agents ──► Vouched: signs of life ──► Observation ──► Settling ──► Row ──► outcome, reasons
//! ```
//!
//! Nothing here knows what kind of cluster it talks to, and nothing sleeps where it can look.

mod anchor;
mod blocks;
mod changes;
mod checks;
mod control;
mod crew;
mod deadline;
mod enforcement;
mod facts;
mod lane;
mod live;
mod options;
mod outcome;
mod pods;
mod prepare;
mod queue;
mod resume;
mod run;
mod scenario;
mod settle;
mod stop;
mod sweep;
mod target;
mod tell;
mod timed;
mod tries;
mod vouch;

pub use options::{Deadline, ExternalHost, Keep, Options, StatedDataplane};
pub use resume::Resumed;
pub use run::{Finished, RunError, run};
pub use stop::Stop;
