//! Comparisons for a terminal.

use std::fmt::Write;

use super::{Change, Comparison, Pattern, Shift, words};
use crate::{
    style::{self, Paint},
    text,
};

/// How many cells of a pattern are named.
const EXAMPLES: usize = 2;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct CompareOptions {
    /// Colours.
    pub color: bool,
}

/// One comparison: sides, patterns, times, what was not compared.
pub fn compare_human(comparison: &Comparison, options: CompareOptions) -> String {
    let paint = Paint { color: options.color };
    let mut out = String::new();
    let _ = writeln!(out, "reference  {}", words::side(&comparison.reference));
    let _ = writeln!(out, "other      {}", words::side(&comparison.other));
    if let Some(nothing) = words::unenforced(comparison) {
        let _ = writeln!(out, "\n{}", paint.paint(style::FAIL, nothing));
    }
    let _ = writeln!(out, "\n{}", paint.paint(style::HEAD, headline(comparison)));
    for (number, pattern) in (1..).zip(&comparison.patterns) {
        write_pattern(&mut out, number, pattern, comparison, paint);
    }
    if !comparison.shifts.is_empty() {
        let names = [&comparison.reference, &comparison.other].map(words::name);
        let _ = writeln!(out, "\n{}", paint.paint(style::HEAD, "Times, median and 99th percentile"));
        for shift in &comparison.shifts {
            let _ = writeln!(out, "  {}", times(shift, &names));
        }
    }
    let missing = words::missing(comparison);
    if !missing.is_empty() {
        let _ = writeln!(out, "\n{}", paint.paint(style::HEAD, "Not compared"));
        for line in missing {
            let _ = writeln!(out, "  {line}");
        }
    }
    if comparison.unstable > 0 {
        let results = text::count(comparison.unstable, "result");
        let _ = writeln!(
            out,
            "\n{results} did not hold still on a side, and no difference was concluded from that."
        );
    }
    if !comparison.changed.is_empty() {
        let scenarios = text::count(comparison.changed.len() as u64, "scenario");
        let _ = writeln!(out, "\n{scenarios} changed between the two; only the cells of both were compared.");
    }
    out
}

/// `412 of 22,686 cells and 6 of 240 checks differ: 3 new, 0 fixed, 415 changed`
pub(crate) fn headline(comparison: &Comparison) -> String {
    let (differing, compared) = (comparison.differing(), comparison.compared);
    let scenarios = text::count(compared.scenarios, "scenario");
    if comparison.patterns.is_empty() {
        let cells = text::count(compared.cells, "cell");
        return format!(
            "No difference in {cells} and {} of {scenarios}",
            text::count(compared.checks, "check")
        );
    }
    let of = |part, whole, noun: &str| format!("{} of {}", text::thousands(part), text::count(whole, noun));
    let mut amounts = of(differing.cells, compared.cells, "cell");
    if compared.checks > 0 {
        amounts.push_str(&format!(" and {}", of(differing.checks, compared.checks, "check")));
    }
    let [new, fixed, changed] =
        [Change::New, Change::Fixed, Change::Changed].map(|change| text::thousands(comparison.count(change)));
    format!(
        "{amounts} in {scenarios} differ: {new} new against the specification, {fixed} fixed, {changed} otherwise"
    )
}

fn write_pattern(out: &mut String, number: usize, pattern: &Pattern, comparison: &Comparison, paint: Paint) {
    let style = match pattern.change {
        Change::New => style::FAIL,
        Change::Fixed => style::PASS,
        Change::Changed => style::SKIP,
    };
    let mark = match pattern.change {
        Change::New => " (new)",
        Change::Fixed => " (fixed)",
        Change::Changed => "",
    };
    let title = crate::escape::cut(&pattern.title, crate::escape::NAME);
    let _ = writeln!(
        out,
        "\n{number:3}  {}: {}",
        paint.paint(style, format!("{title}{mark}")),
        words::counts(&pattern.counts)
    );
    let _ = writeln!(out, "     {}", words::verdicts(pattern, comparison));
    let _ = writeln!(out, "     {}", pattern.effect);
    for (text, link) in words::evidence(pattern, comparison) {
        let link = link.map(|link| format!(" ({link})")).unwrap_or_default();
        let _ = writeln!(out, "     {text}{link}");
    }
    for difference in pattern.differences.iter().take(EXAMPLES) {
        let _ = writeln!(out, "     {}", paint.paint(style::DIM, words::example(difference)));
    }
}

fn times(shift: &Shift, names: &[String; 2]) -> String {
    let side = |name: &String, spread: &super::Spread| {
        format!("{name} {}, {}", text::micros(spread.median_us), text::micros(spread.p99_us))
    };
    format!("{:36} {}; {}", shift.what, side(&names[0], &shift.reference), side(&names[1], &shift.other))
}
