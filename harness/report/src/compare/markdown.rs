//! Comparisons as Markdown, for a job summary or a pull request.

use std::{borrow::Cow, fmt::Write};

use super::{Comparison, Pattern, human::headline, words};
use crate::{markdown::safe, text};

/// How many cells of a pattern are listed.
const EXAMPLES: usize = 20;

/// One comparison: sides, a table of patterns, each pattern's cells folded away.
pub fn compare_markdown(comparison: &Comparison) -> String {
    let [one, two] = [&comparison.reference, &comparison.other].map(words::name);
    let mut out = format!("## {} against {}\n\n", inline(&two), inline(&one));
    let _ = writeln!(out, "- reference: {}", inline(&words::side(&comparison.reference)));
    let _ = writeln!(out, "- other: {}\n", inline(&words::side(&comparison.other)));
    if let Some(nothing) = words::unenforced(comparison) {
        let _ = writeln!(out, "**{}**\n", inline(&nothing));
    }
    let _ = writeln!(out, "**{}**", inline(&headline(comparison)));
    if !comparison.patterns.is_empty() {
        let _ =
            writeln!(out, "\n| | what differs | how much | how | what it would mean |\n|-:|---|---|---|---|");
        for (number, pattern) in (1..).zip(&comparison.patterns) {
            let _ = writeln!(
                out,
                "| {number} | {} | {} | {} | {} |",
                inline(&pattern.title),
                inline(&words::counts(&pattern.counts)),
                inline(&words::verdicts(pattern, comparison)),
                inline(pattern.effect),
            );
        }
        for (number, pattern) in (1..).zip(&comparison.patterns) {
            details(&mut out, number, pattern, comparison);
        }
    }
    if !comparison.shifts.is_empty() {
        let _ = writeln!(
            out,
            "\n| time, median and 99th percentile | {} | {} |\n|---|---|---|",
            inline(&one),
            inline(&two)
        );
        for shift in &comparison.shifts {
            let spread =
                |s: &super::Spread| format!("{}, {}", text::micros(s.median_us), text::micros(s.p99_us));
            let _ =
                writeln!(out, "| {} | {} | {} |", shift.what, spread(&shift.reference), spread(&shift.other));
        }
    }
    let missing = words::missing(comparison);
    if !missing.is_empty() {
        let _ = writeln!(out, "\n<details><summary>Not compared</summary>\n");
        for line in missing {
            let _ = writeln!(out, "- {}", inline(&line));
        }
        let _ = writeln!(out, "\n</details>");
    }
    if comparison.unstable > 0 {
        let results = text::count(comparison.unstable, "result");
        let _ =
            writeln!(out, "\n{results} did not hold still on a side: no difference was concluded from that.");
    }
    out
}

fn details(out: &mut String, number: usize, pattern: &Pattern, comparison: &Comparison) {
    let _ = writeln!(out, "\n<details><summary>{number}. {}</summary>\n", safe::html(&pattern.title));
    for (text, link) in words::evidence(pattern, comparison) {
        let link = link.filter(|link| is_plain_link(link)).map(|link| format!(" (<{link}>)"));
        let _ = writeln!(out, "- {}{}", inline(&text), link.unwrap_or_default());
    }
    for difference in pattern.differences.iter().take(EXAMPLES) {
        let _ = writeln!(
            out,
            "- {}: {}, {}",
            inline(&words::example(difference)),
            inline(&crate::escape::cut(&difference.reference.seen, 40)),
            inline(&crate::escape::cut(&difference.other.seen, 40))
        );
    }
    if pattern.differences.len() > EXAMPLES {
        let _ = writeln!(out, "- and {} more", pattern.differences.len() - EXAMPLES);
    }
    let _ = writeln!(out, "\n</details>");
}

/// A link that is nothing but one.
fn is_plain_link(link: &str) -> bool {
    link.starts_with("https://") && link.chars().all(|c| c.is_ascii_graphic() && !"<>\\`|".contains(c))
}

/// Text that no renderer takes for anything else, on one line and in a cell of a table: as it is where it holds nothing
/// but words, else as code, which mentions, issue numbers and links leave alone.
fn inline(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || " .,;:()/+%-".contains(c);
    let links = ["://", "www.", "GH-"].iter().any(|start| text.contains(start));
    if text.chars().all(plain) && !links && !text.trim().is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(safe::cell(text))
}
