//! Records held against the first: what differs, grouped by what it turns on.

use super::{words, writer::Html};
use crate::{
    compare::{Change, Comparison, Difference, Pattern, headline, words as said},
    escape::{NAME, SENTENCE, cut},
    text,
};

/// Most differences of one pattern that are listed.
const LISTED: usize = 200;

/// The section about one comparison.
pub(super) fn comparison(w: &mut Html, comparison: &Comparison) {
    w.el("section", &[("class", "comparison")], |w| {
        let [one, two] = [&comparison.reference, &comparison.other].map(said::name);
        w.tag("h2", &[], &format!("{two} against {one}"));
        if let Some(nothing) = said::unenforced(comparison) {
            w.el("div", &[("class", "notice"), ("role", "note")], |w| w.tag("strong", &[], &nothing));
        }
        w.tag("p", &[("class", "verdict")], &headline(comparison));
        w.el("dl", &[("class", "sides")], |w| {
            for (term, side) in [("Reference", &comparison.reference), ("Other", &comparison.other)] {
                w.tag("dt", &[], term);
                w.tag("dd", &[], &said::side(side));
            }
        });
        if comparison.reference.emulated || comparison.other.emulated {
            w.el("div", &[("class", "notice"), ("role", "note")], |w| {
                w.tag("strong", &[], "Emulated from documentation.");
                w.text(" At least one side is the sandbox: this is no evidence about any product.");
            });
        }
        if !comparison.patterns.is_empty() {
            w.el("ol", &[("class", "scenarios patterns")], |w| {
                for pattern in &comparison.patterns {
                    w.el("li", &[("class", "scenario differs")], |w| self::pattern(w, pattern, comparison));
                }
            });
        }
        shifts(w, comparison);
        gaps(w, comparison);
    });
}

fn pattern(w: &mut Html, pattern: &Pattern, comparison: &Comparison) {
    let (class, word) = match pattern.change {
        Change::New => ("fail", "✗ new"),
        Change::Fixed => ("pass", "✓ fixed"),
        Change::Changed => ("deviation", "≠ differs"),
    };
    w.el("details", &[], |w| {
        w.el("summary", &[("class", class)], |w| {
            w.tag("span", &[("class", "badge")], word);
            w.text(" ");
            w.tag("span", &[("class", "title")], &cut(&pattern.title, SENTENCE));
            w.text(" ");
            w.tag("span", &[("class", "said")], &said::verdicts(pattern, comparison));
            w.text(" ");
            w.tag("span", &[("class", "much")], &said::counts(&pattern.counts));
        });
        w.el("div", &[("class", "body")], |w| {
            w.tag("p", &[], pattern.effect);
            for (text, link) in said::evidence(pattern, comparison) {
                w.el("p", &[], |w| {
                    w.text(&text);
                    w.text(" ");
                    link.iter().for_each(|link| w.link(link));
                });
            }
            differences(w, pattern, comparison);
        });
    });
}

fn differences(w: &mut Html, pattern: &Pattern, comparison: &Comparison) {
    let [one, two] = [&comparison.reference, &comparison.other].map(said::name);
    w.el("table", &[("class", "differences")], |w| {
        w.tag("caption", &[], "Cells and checks that differ");
        w.el("thead", &[], |w| {
            w.el("tr", &[], |w| {
                for head in ["Scenario, step", "Cell", "Expected", &one, &two] {
                    w.tag("th", &[("scope", "col")], head);
                }
            });
        });
        w.el("tbody", &[], |w| {
            for difference in pattern.differences.iter().take(LISTED) {
                row(w, difference);
            }
        });
    });
    if let Some(more) = pattern.differences.len().checked_sub(LISTED).filter(|more| *more > 0) {
        w.tag("p", &[("class", "quiet")], &format!("and {} more", text::thousands(more as u64)));
    }
}

fn row(w: &mut Html, difference: &Difference) {
    w.el("tr", &[], |w| {
        let step = format!("{}, {}", cut(&difference.scenario, NAME), cut(&difference.step, NAME));
        w.tag("td", &[], &step);
        w.tag("th", &[("scope", "row")], &said::cell(difference));
        w.tag("td", &[], &cut(&difference.expected, NAME));
        for shown in [&difference.reference, &difference.other] {
            let look = words::of_cell(shown.outcome);
            w.el("td", &[("class", look.class)], |w| {
                w.tag("span", &[("class", "sign"), ("title", look.word)], look.sign);
                w.text(" ");
                w.text(&cut(&shown.seen, NAME));
            });
        }
    });
}

fn shifts(w: &mut Html, comparison: &Comparison) {
    if comparison.shifts.is_empty() {
        return;
    }
    w.el("table", &[("class", "differences times")], |w| {
        w.tag("caption", &[], "Times");
        w.el("thead", &[], |w| {
            w.el("tr", &[], |w| {
                w.tag("th", &[("scope", "col")], "Median, and 99th percentile");
                for side in [&comparison.reference, &comparison.other] {
                    w.tag("th", &[("scope", "col")], &said::name(side));
                }
            });
        });
        w.el("tbody", &[], |w| {
            for shift in &comparison.shifts {
                w.el("tr", &[], |w| {
                    w.tag("th", &[("scope", "row")], shift.what);
                    for spread in [&shift.reference, &shift.other] {
                        let times = [spread.median_us, spread.p99_us].map(text::micros).join(", ");
                        let samples = text::count(spread.samples, "sample");
                        w.el("td", &[], |w| {
                            w.text(&times);
                            w.tag("span", &[("class", "quiet")], &format!(" {samples}"));
                        });
                    }
                });
            }
        });
    });
}

/// What no conclusion was drawn from.
fn gaps(w: &mut Html, comparison: &Comparison) {
    let missing = said::missing(comparison);
    if !missing.is_empty() {
        w.el("details", &[("class", "noted")], |w| {
            w.tag("summary", &[], &format!("Not compared: {}", missing.len()));
            w.el("ul", &[], |w| missing.iter().for_each(|line| w.tag("li", &[], line)));
        });
    }
    if comparison.unstable > 0 {
        let cells = text::count(comparison.unstable, "cell");
        let text = format!("{cells} did not hold still on a side: no difference was concluded from that.");
        w.tag("p", &[("class", "quiet")], &text);
    }
}
