//! What is said below a scenario's line: matrices, sentences, commands.

use std::fmt::Write;

use verdikt_model::{Outcome, Row, ScenarioOutcome, ScenarioRecord, StepRecord};

use crate::{
    checks,
    escape::{NAME, SENTENCE, cut},
    grid::{Glyph, grids},
    matrix::{self, Canvas},
    places, remarks,
    repeat::repeat_command,
    sentence::{self, sentences},
    style::{self, Paint},
    text,
};

/// Most sentences for one kind of cell in one step.
const SENTENCES: usize = 10;
/// Most matrices for one step, and rows in one, unless everything was asked for.
const MATRICES: usize = 4;
const ROWS: usize = 40;
/// Up to this many cells of a step are listed one by one when everything is asked for.
const LISTED: usize = 16;
/// The kinds of cell that are put into words, in this order.
const KINDS: [Outcome; 3] = [Outcome::Fail, Outcome::Flaky, Outcome::Error];

/// How details are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Details<'a> {
    /// Every step and matrix, with times.
    pub(crate) wide: bool,
    /// Columns of the terminal.
    pub(crate) width: usize,
    /// Colours.
    pub(crate) paint: Paint,
    /// Flags of the repeat command.
    pub(crate) target: &'a [String],
}

/// Everything below a scenario's line; empty when there is nothing to say.
pub(crate) fn details(scenario: &ScenarioRecord, show: Details<'_>) -> String {
    let mut out = String::new();
    let unclean = matches!(
        scenario.outcome,
        ScenarioOutcome::Failed | ScenarioOutcome::Flaky | ScenarioOutcome::Errored
    );
    if let Some(reason) = &scenario.reason
        && scenario.outcome == ScenarioOutcome::Failed
    {
        let _ = writeln!(out, "    {}", cut(reason, SENTENCE));
    }
    for figure in checks::figures(scenario) {
        let _ = writeln!(out, "    {figure}");
    }
    for step in &scenario.steps {
        let notable = is_notable(step);
        if show.wide || (notable && unclean) {
            step_details(&mut out, scenario, step, show);
        }
    }
    out
}

/// The sentences of a scenario without matrices or colours, for reports that are no terminal.
pub(crate) fn plain_sentences(scenario: &ScenarioRecord, target: &[String]) -> String {
    let mut out = String::new();
    for step in &scenario.steps {
        if is_notable(step) {
            let _ = writeln!(out, "step {}", step_name(step));
            words(&mut out, scenario, step, "  ", target, Paint { color: false });
        }
    }
    out
}

/// The first sentences about what is wrong in a scenario, each with its step.
pub(crate) fn first_sentences(scenario: &ScenarioRecord, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    for step in &scenario.steps {
        let left = limit - found.len();
        let cells = KINDS.into_iter().flat_map(|outcome| sentences(&step.cells, outcome, left).shown);
        let cells = cells.map(|sentence| sentence.text);
        let checks = step.checks.iter().filter(|check| checks::is_finding(check)).map(checks::sentence);
        found.extend(cells.chain(checks).take(left).map(|text| format!("{}: {text}", step_name(step))));
        if found.len() == limit {
            break;
        }
    }
    found
}

fn is_notable(step: &StepRecord) -> bool {
    step.cells.rows.iter().any(|row| KINDS.contains(&row.outcome))
        || step.checks.iter().any(checks::is_finding)
}

/// A step's name, with the pass where it is not the first.
pub(crate) fn step_name(step: &StepRecord) -> String {
    let pass = if step.pass > 1 { format!(" (pass {})", step.pass) } else { String::new() };
    format!("{}{pass}", cut(&step.name, NAME))
}

fn step_details(out: &mut String, scenario: &ScenarioRecord, step: &StepRecord, show: Details<'_>) {
    let _ = write!(out, "    {}", show.paint.paint(style::HEAD, format_args!("step {}", step_name(step))));
    match step.settle_ms {
        Some(ms) if show.wide => {
            let _ = write!(out, ": settled in {ms} ms");
        }
        None if show.wide => out.push_str(": did not settle"),
        _ => {}
    }
    if show.wide {
        if let Some(anchor) = remarks::anchor(step) {
            let _ = write!(out, ", {anchor}");
        }
        let _ = write!(out, "{}", measurements(&step.cells.rows));
    }
    out.push('\n');

    let all = grids(step.cells.rows.iter().map(|row| (row.cell, Glyph::observed(row))));
    let chosen: Vec<_> = all.iter().filter(|grid| show.wide || grid.is_notable()).collect();
    let limit = if show.wide { usize::MAX } else { MATRICES };
    for grid in chosen.iter().take(limit) {
        let _ = writeln!(
            out,
            "      observed, {} (rows connect to columns)",
            places::describe(grid.places.clone())
        );
        let rows = if show.wide { usize::MAX } else { ROWS };
        let canvas = Canvas { indent: 8, width: show.width, rows, paint: show.paint };
        out.push_str(&matrix::draw(grid, &step.cells.names, canvas));
    }
    if chosen.len() > limit {
        let _ = writeln!(out, "      and {} more matrices (-o wide)", chosen.len() - limit);
    }
    if !chosen.is_empty() {
        let legend = matrix::legend(chosen.iter().copied(), false);
        let _ = writeln!(out, "        {}", show.paint.paint(style::DIM, legend));
    }
    if show.wide && step.cells.rows.len() <= LISTED {
        for (row, _) in step.cells.iter().filter(|(row, _)| !KINDS.contains(&row.outcome)) {
            let rtt = if row.rtt_us > 0 { format!(", {}", text::micros(row.rtt_us)) } else { String::new() };
            let _ = writeln!(out, "      {}{rtt}", sentence::cell(&step.cells, row));
        }
    }
    words(out, scenario, step, "      ", show.target, show.paint);
    if show.wide {
        for check in step.checks.iter().filter(|check| !checks::is_finding(check)) {
            let _ = writeln!(out, "      {}", checks::sentence(check));
        }
        for (outcome, what) in
            [(Outcome::Deviation, "known deviation"), (Outcome::Skipped, "skipped"), (Outcome::Pass, "noted")]
        {
            reasons(out, step, outcome, what);
        }
    }
}

/// Wrong cells as sentences, each with its reason and the command that repeats it.
fn words(
    out: &mut String,
    scenario: &ScenarioRecord,
    step: &StepRecord,
    indent: &str,
    target: &[String],
    paint: Paint,
) {
    for outcome in KINDS {
        let found = sentences(&step.cells, outcome, SENTENCES);
        for sentence in found.shown {
            let _ = writeln!(out, "{indent}{}", sentence.text);
            if let Some(reason) = sentence.reason {
                let _ = writeln!(out, "{indent}    {reason}");
            }
            let command = repeat_command(scenario, &step.cells, sentence.example, target);
            let _ = writeln!(out, "{indent}    {} {command}", paint.paint(style::DIM, "repeat:"));
        }
        if let Some(more) = found.more {
            let _ = writeln!(out, "{indent}{more}");
        }
    }
    checks::findings(out, step, indent);
}

/// The distinct reasons of cells with an outcome that is no finding, with the number of cells.
fn reasons(out: &mut String, step: &StepRecord, outcome: Outcome, what: &str) {
    let mut counts: Vec<(&str, u64)> = Vec::new();
    for (_, reason) in step.cells.iter().filter(|(row, _)| row.outcome == outcome) {
        // A plain pass needs no reason, anything else does.
        let Some(reason) = reason.or((outcome != Outcome::Pass).then_some("no reason given")) else {
            continue;
        };
        if let Some((_, n)) = counts.iter_mut().find(|(seen, _)| *seen == reason) {
            *n += 1;
        } else if counts.len() < SENTENCES {
            counts.push((reason, 1));
        }
    }
    for (reason, n) in counts {
        let _ = writeln!(out, "      {what}, {}: {}", text::count(n, "cell"), cut(reason, SENTENCE));
    }
}

/// `; 81 cells, 1–3 attempts, round trip 40 / 85 / 310 µs`
fn measurements(rows: &[Row]) -> String {
    let mut text = format!("; {}", text::count(rows.len() as u64, "cell"));
    let attempts = rows.iter().map(|r| r.attempts).filter(|n| *n > 0);
    if let (Some(min), Some(max)) = (attempts.clone().min(), attempts.max()) {
        let range = if min == max { String::new() } else { format!("{min}–") };
        let _ = write!(text, ", {range}{}", text::count(max.into(), "attempt"));
    }
    let mut rtts: Vec<u32> = rows.iter().map(|r| r.rtt_us).filter(|rtt| *rtt > 0).collect();
    rtts.sort_unstable();
    if let (Some(min), Some(median), Some(max)) = (rtts.first(), rtts.get(rtts.len() / 2), rtts.last()) {
        let [min, median, max] = [min, median, max].map(|us| text::micros(*us));
        let _ = write!(text, ", round trip {min} to {max}, median {median}");
    }
    text
}
