//! One scenario of the list: a line that opens into everything that is known of it.

use verdikt_model::{CellCounts, Outcome, ScenarioOutcome, ScenarioRecord, StepRecord};

use super::{cells, step::step, words, writer::Html};
use crate::{
    checks,
    escape::{NAME, SENTENCE, cut},
    status, text,
};

/// A scenario; `at` is record and scenario.
pub(super) fn scenario(w: &mut Html, at: (usize, usize), scenario: &ScenarioRecord, target: &[String]) {
    let look = words::of_scenario(scenario.outcome);
    let id = format!("s{}-{}", at.0, at.1);
    let class = if words::differs(scenario) { "scenario differs" } else { "scenario" };
    w.el("li", &[("id", &id), ("class", class)], |w| {
        w.el("details", &[], |w| {
            w.el("summary", &[("class", look.class)], |w| line(w, look, scenario));
            w.el("div", &[("class", "body")], |w| body(w, at, scenario, target));
        });
    });
}

fn line(w: &mut Html, look: words::Look, scenario: &ScenarioRecord) {
    cells::badge(w, look);
    w.el("span", &[("class", "name")], |w| name(w, &scenario.name));
    w.text(" ");
    w.tag("span", &[("class", "said")], &said(scenario));
    w.text(" ");
    w.tag("span", &[("class", "level")], &scenario.level.to_string());
    w.text(" ");
    let time = match scenario.outcome {
        ScenarioOutcome::Skipped => String::new(),
        // Of several attempts all count.
        _ => {
            let tries = scenario.tries.iter().map(|of| of.duration_ms).sum();
            text::micros(scenario.duration_ms.max(tries).saturating_mul(1000))
        }
    };
    w.tag("span", &[("class", "time")], &time);
}

/// `selectors/` quiet, `and-versus-or` not.
fn name(w: &mut Html, name: &str) {
    let shown = cut(name, NAME);
    match shown.split_once('/') {
        Some((area, rest)) => {
            w.el("span", &[("class", "area")], |w| {
                w.text(area);
                w.text("/");
            });
            w.text(rest);
        }
        None => w.text(&shown),
    }
}

/// What a line says after the name.
fn said(scenario: &ScenarioRecord) -> String {
    match scenario.outcome {
        // The body has the reason in full.
        ScenarioOutcome::Skipped | ScenarioOutcome::Errored => {
            cut(&status::outcome_text(scenario), NAME).into()
        }
        _ => status::outcome_text(scenario),
    }
}

fn body(w: &mut Html, at: (usize, usize), scenario: &ScenarioRecord, target: &[String]) {
    if scenario.name.chars().count() > NAME {
        w.el("div", &[("class", "name")], |w| w.long(&scenario.name, NAME));
    }
    if !scenario.summary.is_empty() {
        w.el("div", &[("class", "summary")], |w| w.long(&scenario.summary, SENTENCE));
    }
    if let Some(reason) = &scenario.reason {
        w.el("div", &[("class", "reason")], |w| w.long(reason, SENTENCE));
    }
    tries(w, scenario);
    let figures = checks::figures(scenario);
    if !figures.is_empty() {
        w.el("ul", &[("class", "figures")], |w| figures.iter().for_each(|figure| w.tag("li", &[], figure)));
    }
    let steps = || scenario.steps.iter().enumerate();
    let at_step = |index: usize| (at.0, at.1, index);
    // Of a scenario that repeats its steps, the first pass and what is not as expected say it all.
    let folded = |record: &StepRecord| record.pass > 1 && !cells::is_notable(record);
    for (index, record) in steps().filter(|(_, record)| !folded(record)) {
        step(w, at_step(index), scenario, record, target);
    }
    let rest = steps().filter(|(_, record)| folded(record)).count() as u64;
    if rest > 0 {
        w.el("details", &[("class", "passes")], |w| {
            w.tag("summary", &[], &format!("{} of later passes, all as expected", text::count(rest, "step")));
            for (index, record) in steps().filter(|(_, record)| folded(record)) {
                step(w, at_step(index), scenario, record, target);
            }
        });
    }
    about(w, scenario);
}

/// Its attempts, where there were several.
fn tries(w: &mut Html, scenario: &ScenarioRecord) {
    if scenario.tries.len() < 2 {
        return;
    }
    w.el("ol", &[("class", "tries"), ("aria-label", "Attempts")], |w| {
        for (number, of) in (1..).zip(&scenario.tries) {
            let look = words::of_scenario(of.outcome);
            w.el("li", &[("class", look.class)], |w| {
                w.text(&format!("Attempt {number}: "));
                cells::badge(w, look);
                w.text(&text::micros(of.duration_ms.saturating_mul(1000)));
                if let Some(reason) = &of.reason {
                    w.text(", ");
                    w.text(&cut(reason, SENTENCE));
                }
            });
        }
    });
}

/// Where the scenario comes from: labels, statements, documented differences, links.
fn about(w: &mut Html, scenario: &ScenarioRecord) {
    w.el("dl", &[("class", "about")], |w| {
        let fact = |w: &mut Html, term: &str, write: &dyn Fn(&mut Html)| {
            w.el("div", &[], |w| {
                w.tag("dt", &[], term);
                w.el("dd", &[], |w| write(w));
            });
        };
        fact(w, "Level", &|w| w.text(&scenario.level.to_string()));
        for (key, value) in scenario.labels.iter().filter(|(key, _)| *key != "level") {
            fact(w, &cut(key, NAME), &|w| w.long(value, NAME));
        }
        if !scenario.clauses.is_empty() {
            fact(w, "Statements", &|w| w.long(&scenario.clauses.join(", "), SENTENCE));
        }
        let counts = scenario.counts();
        if counts.total() > 0 {
            fact(w, "Cells", &|w| w.text(&by_outcome(&counts)));
        }
        let counts = scenario.check_counts();
        if counts.total() > 0 {
            fact(w, "Checks", &|w| w.text(&by_outcome(&counts)));
        }
        for differs in &scenario.differs {
            let term = format!("Documented of {}", differs.dataplane);
            fact(w, &cut(&term, NAME), &|w| {
                w.long(&differs.how, SENTENCE);
                if let Some(reference) = &differs.reference {
                    w.text(" ");
                    w.link(reference);
                }
            });
        }
        for reference in &scenario.references {
            fact(w, "Reference", &|w| w.link(reference));
        }
    });
    let noted = noted(scenario);
    if !noted.is_empty() {
        w.el("details", &[("class", "noted")], |w| {
            w.tag("summary", &[], "Noted of cells that are as expected");
            w.el("ul", &[], |w| {
                for (reason, n) in noted {
                    w.tag("li", &[], &format!("{}: {}", text::count(n, "cell"), cut(reason, SENTENCE)));
                }
            });
        });
    }
}

/// `4 different, 158 as expected`
fn by_outcome(counts: &CellCounts) -> String {
    let some = words::by_outcome(counts).into_iter().filter(|(_, n)| *n > 0);
    some.map(|(look, n)| format!("{} {}", text::thousands(n), look.word)).collect::<Vec<_>>().join(", ")
}

/// Reasons of cells that pass, with the number of cells; a few.
fn noted(scenario: &ScenarioRecord) -> Vec<(&str, u64)> {
    const MOST: usize = 10;
    let mut counts: Vec<(&str, u64)> = Vec::new();
    let cells = scenario.steps.iter().flat_map(|step| step.cells.iter());
    for reason in cells.filter(|(row, _)| row.outcome == Outcome::Pass).filter_map(|(_, reason)| reason) {
        if let Some((_, n)) = counts.iter_mut().find(|(seen, _)| *seen == reason) {
            *n += 1;
        } else if counts.len() < MOST {
            counts.push((reason, 1));
        }
    }
    counts
}
