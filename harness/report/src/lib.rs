//! Events and record to what people and machines read: terminal, JSON, JUnit, libtest, Markdown, CSV, ConformanceReport.
//!
//! ```text
//!              ┌─► ProgressReporter  bars, warnings, (lines)  ──► stderr
//!              ├─► TerminalReporter  human, wide              ──► stdout
//!  Event ──────┼─► JsonlReporter, JsonReporter, LibtestReporter ► stdout
//!              ├─► RecordFile        the record so far        ──► a file that is valid at every moment
//!              └─► RecordBuilder ──► Record
//!
//!  Record ─────► junit(), html(), markdown(), csv(), annotations(), conformance(), write_record() ──► a file or stdout
//! ```
//!
//! Text that comes from scenarios, clusters or records is escaped before a terminal sees it ([`escape()`]). A reader
//! that closes the pipe ends the output and is no error.

mod annotations;
mod catalogue_page;
mod checks;
mod common;
mod compare;
mod conformance;
mod coverage;
mod csv;
mod details;
mod deviations;
mod escape;
mod expect;
mod format;
mod grid;
mod html;
mod json;
mod json_text;
mod jsonl;
mod junit;
mod known;
mod layout;
mod libtest;
mod list;
mod markdown;
mod matrix;
mod merge;
mod output;
mod place;
mod places;
mod progress;
mod record_builder;
mod record_writer;
mod remarks;
mod repeat;
mod replace;
mod reporter;
mod schema;
mod sentence;
mod status;
mod style;
mod terminal;
mod text;
mod trend;

#[cfg(test)]
mod mutated;
#[cfg(test)]
mod sample;

pub use annotations::annotations;
pub use catalogue_page::list_markdown;
pub use compare::{
    Change, CompareOptions, Comparison, Counts, Difference, Known, Missing, Pattern, Ruling, Shift, Shown,
    Side, Spread, WhichSide, compare, compare_human, compare_json, compare_markdown,
};
pub use conformance::{Claim, ConformanceError, conformance};
pub use coverage::{CoverageEntry, coverage_human, coverage_json};
pub use csv::csv;
pub use escape::{cut, escape, escape_lines};
pub use expect::{ExpectScenario, ExpectStep, expect_human, expect_json};
pub use format::{Format, ParseFormatError};
pub use html::html;
pub use json::JsonReporter;
pub use json_text::json_text;
pub use jsonl::JsonlReporter;
pub use junit::junit;
pub use known::{known_human, known_json};
pub use layout::write_record;
pub use libtest::LibtestReporter;
pub use list::{KnownDifference, ListEntry, list_human, list_json};
pub use markdown::markdown;
pub use merge::{MergeError, Merged, merge};
pub use place::Place;
pub use progress::{ProgressOptions, ProgressReporter};
pub use record_builder::RecordBuilder;
pub use record_writer::RecordFile;
pub use repeat::{is_path, repeat_command, target_flags};
pub use reporter::Reporter;
pub use schema::record_schema;
pub use terminal::{TerminalOptions, TerminalReporter};
pub use trend::{RunTrend, ScenarioTrend, Trend, trend, trend_human, trend_json, trend_markdown};
