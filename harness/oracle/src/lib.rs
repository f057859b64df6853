//! What the NetworkPolicy specification says about one cell, and why.
//!
//! Pure: no I/O, no clock, no randomness. The statements N1–N43 that it implements are listed, with links and
//! with how each is treated, in `docs/spec-statements.md`.
//!
//! ```text
//! World ──► compile: selectors matched once per policy and pod, CIDRs parsed
//!             │
//! Cell ───────┴─► path: which connections the cell can mean ──► side: egress of the source, ingress of the
//!                 (pod IP, each backend, DNS first)             destination, as Yes | Open(statement) | No
//!                                                                  │
//!                                                                  ├─► Oracle::expect: allow, deny, either
//!                                                                  ├─► Oracle::explain: the same, with reasons
//! hand-written rules ──────────────────────────────────────────────┴─► plan: one expectation per cell
//! ```
//!
//! The sandbox's dataplane is written from the policies as well, not from this crate: two independent
//! readings of the specification that check each other.

mod block;
mod compile;
mod dns;
mod ends;
mod finds;
mod oracle;
mod path;
mod plan;
mod reasons;
mod selector_words;
mod service;
mod side;
mod statements;
mod topics;
mod trace;
mod truth;

pub use finds::{Finds, RuleFinds};
pub use oracle::{Answer, Habits, Oracle};
pub use plan::{Conflict, Contradiction, Plan, plan};
pub use statements::{STATEMENTS, Statement};
pub use topics::topics;
