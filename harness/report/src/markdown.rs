//! Markdown from a record: GitHub's job summary (`$GITHUB_STEP_SUMMARY`), a comment, a wiki.
//!
//! Foreign text stands in code spans and fenced blocks alone, where neither Markdown nor GitHub's own additions (mentions,
//! issue numbers, links) reach it. GitHub takes a summary of at most 1 MiB: each section has its share of room, and says
//! what it had to leave out.

pub(crate) mod safe;
mod sections;

use std::fmt::Write;

use verdikt_model::{CellCounts, Outcome, Record};

use self::safe::{code, line};
use crate::{
    escape::{NAME, cut},
    status,
    text::{seconds, thousands},
};

/// The page; the same for the same record.
pub fn markdown(record: &Record) -> String {
    let mut page = head(record);
    page.push_str(&sections::not_as_expected(record));
    page.push_str(&sections::details(record));
    page.push_str(&sections::reservations(record));
    page.push_str(&sections::remarked(record, Outcome::Flaky, "Changed while it had to hold"));
    page.push_str(&sections::remarked(
        record,
        Outcome::Deviation,
        "Cells and checks that are known deviations",
    ));
    page.push_str(&sections::deviations(record));
    page.push_str(&sections::skipped(record));
    page.push_str(&sections::figures(record));
    page.push_str(&sections::slowest(record));
    page
}

fn head(record: &Record) -> String {
    let (run, env) = (&record.run, &record.environment);
    let counts = record.summary.scenarios;
    let not_run = (run.planned as usize).saturating_sub(record.scenarios.len());
    let word = match (counts.failed, counts.flaky, counts.errored, not_run) {
        (1.., ..) => "not as expected",
        (_, 1.., ..) => "flaky",
        (_, _, 1.., _) => "inconclusive",
        (_, _, _, 1..) => "incomplete",
        _ if counts.passed == 0 => "nothing measured",
        _ => "as expected",
    };
    let mut out = format!("## verdikt: {word}\n\n");
    let _ =
        writeln!(out, "On {}, verdikt {}.", code(&line(&status::place(env))), code(&cut(&env.verdikt, NAME)));
    let _ = writeln!(
        out,
        "Run {} of {}, {}.\n",
        code(&cut(&run.id, NAME)),
        code(&cut(&run.started, NAME)),
        seconds(run.duration_ms)
    );
    if env.dataplane.emulated {
        out.push_str("**Emulated from documentation: no evidence about a product.**\n\n");
    }
    if let Some(partition) = &run.partition {
        let _ = writeln!(out, "Partition {} alone.\n", code(&cut(partition, NAME)));
    }
    out.push_str(
        "| scenarios | passed | failed | flaky | not measured | skipped | not run |\n|---|---|---|---|---|---|---|\n",
    );
    let _ = writeln!(
        out,
        "| {} | {} | {} | {} | {} | {} | {not_run} |\n",
        counts.total() as usize + not_run,
        counts.passed,
        counts.failed,
        counts.flaky,
        counts.errored,
        counts.skipped
    );
    out.push_str(
        "| of | as expected | wrong | known deviation | flaky | not measured | skipped |\n|---|---|---|---|---|---|---|\n",
    );
    for (what, counts) in [("cells", record.summary.cells), ("checks", record.summary.checks)] {
        if counts.total() > 0 {
            let CellCounts { pass, fail, deviation, flaky, error, skipped } = counts;
            let numbers = [pass, fail, deviation, flaky, error, skipped].map(thousands);
            let _ = writeln!(out, "| {what} | {} |", numbers.join(" | "));
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests;
