//! The HTML report: one file that needs nothing else and asks nobody.
//!
//! ```text
//!  Record ──► page ──┬─► overview, scenarios, findings   readable without JavaScript
//!                    └─► data: every cell, as JSON       drawn by reports/html/*.js on demand
//! ```
//!
//! All markup is written by [`writer::Html`]: tags and attributes are constants of the program, and foreign text can
//! only become text.

mod assets;
mod bar;
mod cells;
mod compare;
mod data;
mod deviations;
mod features;
mod objects;
mod order;
mod overview;
mod page;
mod scenario;
mod step;
mod words;
mod writer;

use verdikt_model::Record;

/// One self-contained page about the records, each with the name under which it is shown (a file, say); the same
/// bytes for the same records.
pub fn html(records: &[(String, Record)]) -> String {
    page::page(records)
}

#[cfg(test)]
mod tests;
