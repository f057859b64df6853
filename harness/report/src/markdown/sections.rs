//! The sections of the page, each within its share of room.

use std::{cmp::Reverse, fmt::Write};

use verdikt_model::{DeviationState, Outcome, Record, ScenarioOutcome, ScenarioRecord};

use super::safe::{block, cell, html};
use crate::{
    checks,
    details::{plain_sentences, step_name},
    deviations::sentence,
    escape::{NAME, SENTENCE, cut, escape_lines},
    remarks::{self, remarks},
    repeat::target_flags,
    status,
    text::{count, thousands},
};

/// Bytes for each section; together they are less than what GitHub takes.
const TABLE: usize = 120_000;
const DETAILS: usize = 400_000;
const REMARKS: usize = 80_000;
const SKIPPED: usize = 100_000;
const RESERVATIONS: usize = 60_000;
const FIGURES: usize = 60_000;
const SLOWEST: usize = 30_000;
/// Bytes for what is wrong in one scenario.
const BLOCK: usize = 16_000;
/// How many of the slowest steps are told.
const SLOW: usize = 10;

/// A heading and items, as many as there is room for.
struct Section {
    text: String,
    room: usize,
    items: usize,
    left_out: usize,
}

impl Section {
    fn new(head: &str, room: usize) -> Self {
        Self { text: format!("{head}\n"), room, items: 0, left_out: 0 }
    }

    fn push(&mut self, item: &str) {
        if self.left_out == 0 && self.text.len() + item.len() <= self.room {
            self.text.push_str(item);
            self.items += 1;
        } else {
            // In order: what is shown is the beginning.
            self.left_out += 1;
        }
    }

    fn end(mut self) -> String {
        if self.items + self.left_out == 0 {
            return String::new();
        }
        if self.left_out > 0 {
            let more = thousands(self.left_out as u64);
            let _ = write!(
                self.text,
                "\n*And {more} more, left out: the page may not be longer. The record has them.*\n"
            );
        }
        self.text.push('\n');
        self.text
    }
}

pub(super) fn not_as_expected(record: &Record) -> String {
    let head = "### Not as expected\n\n| outcome | scenario | level | result |\n|---|---|---|---|";
    let mut section = Section::new(head, TABLE);
    for (word, scenario) in unclean(record) {
        let name = cell(&cut(&scenario.name, NAME));
        let said = cell(&status::outcome_text(scenario));
        section.push(&format!("| **{word}** | {name} | {} | {said} |\n", scenario.level));
    }
    section.end()
}

/// What is wrong in each scenario, folded.
pub(super) fn details(record: &Record) -> String {
    let target = target_flags(&record.run.command);
    let mut section = Section::new("### Details\n", DETAILS);
    for (word, scenario) in unclean(record) {
        let sentences = plain_sentences(scenario, &target);
        if sentences.is_empty() {
            continue;
        }
        let name = html(&cut(&scenario.name, NAME));
        let summary = html(&cut(&scenario.summary, SENTENCE));
        let about = if summary.is_empty() { summary } else { format!(" <code>{summary}</code>") };
        section.push(&format!(
            "<details><summary>{word}: <code>{name}</code>{about}</summary>\n\n{}\n</details>\n\n",
            block(&bounded(&escape_lines(&sentences)))
        ));
    }
    section.end()
}

/// Scenarios that passed, with something to say about it.
pub(super) fn reservations(record: &Record) -> String {
    let mut section =
        Section::new("### Passed, with a remark\n\n| scenario | remark |\n|---|---|", RESERVATIONS);
    for (scenario, reason) in remarks::reservations(record) {
        section.push(&format!("| {} | {} |\n", cell(&scenario), cell(&reason)));
    }
    section.end()
}

/// What is no plain result, with its reasons.
pub(super) fn remarked(record: &Record, outcome: Outcome, title: &str) -> String {
    let head = format!(
        "### {title}\n\n| scenario | step | how many | first of them | reason |\n|---|---|---|---|---|"
    );
    let mut section = Section::new(&head, REMARKS);
    for remark in remarks(record, outcome) {
        section.push(&format!(
            "| {} | {} | {} | {} | {} |\n",
            cell(&remark.scenario),
            cell(&remark.step),
            thousands(remark.count),
            cell(&remark.example),
            cell(&remark.reason)
        ));
    }
    section.end()
}

/// What became of known deviations: first those that want something done.
pub(super) fn deviations(record: &Record) -> String {
    let mut found: Vec<_> = record.deviations.iter().collect();
    found.sort_by_key(|of| !matches!(of.state, DeviationState::Fixed | DeviationState::Expired));
    let mut section = Section::new("### Known deviations\n\n| state | deviation |\n|---|---|", REMARKS);
    for of in found {
        section.push(&format!("| {} | {} |\n", of.state, cell(&sentence(of))));
    }
    section.end()
}

/// Scenarios that were skipped; then cells, by reason.
pub(super) fn skipped(record: &Record) -> String {
    let mut section = Section::new("### Skipped\n\n| what | reason |\n|---|---|", SKIPPED);
    for scenario in record.scenarios.iter().filter(|s| s.outcome == ScenarioOutcome::Skipped) {
        let name = cell(&cut(&scenario.name, NAME));
        section.push(&format!("| {name} | {} |\n", cell(&status::outcome_text(scenario))));
    }
    let mut reasons: Vec<(String, u64)> = Vec::new();
    for remark in remarks(record, Outcome::Skipped) {
        match reasons.iter_mut().find(|(reason, _)| *reason == remark.reason) {
            Some((_, n)) => *n += remark.count,
            None => reasons.push((remark.reason, remark.count)),
        }
    }
    for (reason, n) in reasons {
        section.push(&format!("| {} | {} |\n", count(n, "cell"), cell(&reason)));
    }
    section.end()
}

/// Times that were measured on purpose.
pub(super) fn figures(record: &Record) -> String {
    let mut section = Section::new("### Figures\n\n| scenario | figure |\n|---|---|", FIGURES);
    for scenario in &record.scenarios {
        for figure in checks::figures(scenario) {
            section.push(&format!("| {} | {} |\n", cell(&cut(&scenario.name, NAME)), cell(&figure)));
        }
    }
    section.end()
}

pub(super) fn slowest(record: &Record) -> String {
    let mut steps: Vec<_> = record
        .scenarios
        .iter()
        .flat_map(|scenario| scenario.steps.iter().map(move |step| (scenario, step)))
        .filter_map(|(scenario, step)| Some((step.settle_ms?, scenario, step)))
        .collect();
    steps.sort_by_key(|(ms, ..)| Reverse(*ms));
    let mut section =
        Section::new("### Slowest to settle\n\n| ms | scenario | step |\n|---|---|---|", SLOWEST);
    for (ms, scenario, step) in steps.into_iter().take(SLOW) {
        let (name, step) = (cell(&cut(&scenario.name, NAME)), cell(&step_name(step)));
        section.push(&format!("| {} | {name} | {step} |\n", thousands(ms)));
    }
    section.end()
}

/// Failed scenarios, then flaky ones, then those that could not be measured.
fn unclean(record: &Record) -> impl Iterator<Item = (&'static str, &ScenarioRecord)> {
    let kinds = [
        ("failed", ScenarioOutcome::Failed),
        ("flaky", ScenarioOutcome::Flaky),
        ("not measured", ScenarioOutcome::Errored),
    ];
    kinds.into_iter().flat_map(|(word, outcome)| {
        record.scenarios.iter().filter(move |s| s.outcome == outcome).map(move |scenario| (word, scenario))
    })
}

/// Whole lines, as many as there is room for.
fn bounded(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    for line in lines.by_ref() {
        if out.len() + line.len() > BLOCK {
            let _ = writeln!(out, "and {} more, left out", count(1 + lines.count() as u64, "line"));
            break;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}
