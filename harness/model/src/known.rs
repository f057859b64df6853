//! Known deviations: what a dataplane is known to do otherwise, with a reason and a link.
//!
//! ```text
//! files ─► Known (those that fit the dataplane) ─► judge: a wrong cell that is known is a deviation
//!                                               └► Sightings ─► DeviationRecord: happened, fixed, expired
//! ```
//!
//! A deviation covers what was measured and is wrong, never an error, a flaky cell or a skipped one.

mod file;
mod judge;
mod sightings;
mod versions;

pub use file::{KnownDeviation, KnownDeviations};
pub use judge::{FRESH_LANE, Known, apply};
pub use sightings::{DeviationRecord, DeviationState, Sightings, join};
pub use versions::{ParseVersionRangeError, VersionRange};
