//! One step: what was changed, how long it took, what is not as expected, and the place for its matrix.

use verdikt_model::{CellCounts, CheckWord, ScenarioRecord, StepRecord};

use super::{
    cells::{self, findings},
    objects::{Place, yaml},
    words,
    writer::Html,
};
use crate::{
    escape::{NAME, SENTENCE},
    remarks, text,
};

/// Id of the element that shows an object; `at` is record and scenario.
pub(super) fn object_id(at: (usize, usize), place: Place) -> String {
    format!("o{}-{}-{}-{}", at.0, at.1, place.0, place.1)
}

/// A step; `at` is record, scenario and step.
pub(super) fn step(
    w: &mut Html,
    at: (usize, usize, usize),
    scenario: &ScenarioRecord,
    step: &StepRecord,
    target: &[String],
) {
    let class = if cells::is_notable(step) { "step notable" } else { "step" };
    w.el("section", &[("class", class)], |w| {
        w.el("h4", &[], |w| {
            w.tag("span", &[("class", "label")], &format!("Step {}", at.2 + 1));
            w.text(" ");
            w.text(&crate::escape::cut(&step.name, NAME));
            if step.pass > 1 {
                w.tag("span", &[("class", "quiet")], &format!(" pass {}", step.pass));
            }
            w.tag("span", &[("class", "quiet facts")], &facts(step));
        });
        if step.name.chars().count() > NAME {
            w.el("div", &[], |w| w.long(&step.name, NAME));
        }
        changes(w, (at.0, at.1), at.2, step);
        if !step.cells.rows.is_empty() {
            let [record, scenario, step] = [at.0, at.1, at.2].map(|n| n.to_string());
            let place = [
                ("class", "matrix"),
                ("data-record", &*record),
                ("data-scenario", &*scenario),
                ("data-step", &*step),
            ];
            w.el("div", &place, |_| {});
        }
        findings(w, scenario, step, target);
        passed_checks(w, step);
    });
}

/// `settled in 34 ms · 81 cells · 9 different · 12 checks`
fn facts(step: &StepRecord) -> String {
    let mut facts = vec![match step.settle_ms {
        Some(ms) => format!("settled in {}", text::micros(ms.saturating_mul(1000))),
        None => "did not settle".to_owned(),
    }];
    facts.extend(remarks::anchor(step));
    facts.push(text::count(step.cells.rows.len() as u64, "cell"));
    let mut counts = CellCounts::default();
    step.cells.rows.iter().for_each(|row| counts.add(row.outcome));
    let odd = words::by_outcome(&counts).into_iter().filter(|(look, n)| *n > 0 && look.class != "pass");
    facts.extend(odd.map(|(look, n)| format!("{} {}", text::thousands(n), look.word)));
    if !step.checks.is_empty() {
        facts.push(text::count(step.checks.len() as u64, "check"));
    }
    facts.join(" · ")
}

fn changes(w: &mut Html, at: (usize, usize), step_index: usize, step: &StepRecord) {
    if step.changes.is_empty() {
        return;
    }
    w.el("ul", &[("class", "changes")], |w| {
        for (index, change) in step.changes.iter().enumerate() {
            let Some(object) = &change.object else {
                w.el("li", &[], |w| w.long(&change.what, SENTENCE));
                continue;
            };
            w.el("li", &[], |w| {
                let id = object_id(at, (step_index, index));
                w.el("details", &[("class", "object"), ("id", &id)], |w| {
                    w.tag("summary", &[], &crate::escape::cut(&change.what, SENTENCE));
                    w.el("pre", &[("tabindex", "0")], |w| w.lines(&yaml(object)));
                });
            });
        }
    });
}

/// What checks show that are as expected, kind by kind.
fn passed_checks(w: &mut Html, step: &StepRecord) {
    for kind in CheckWord::ALL {
        let of_kind = || {
            step.checks
                .iter()
                .filter(|check| check.kind == *kind && check.outcome == verdikt_model::Outcome::Pass)
        };
        let n = of_kind().count() as u64;
        if n == 0 {
            continue;
        }
        w.el("details", &[("class", "checks")], |w| {
            w.tag(
                "summary",
                &[],
                &format!("{} as expected: {}", text::count(n, "check"), words::of_check(*kind)),
            );
            w.el("ul", &[], |w| {
                of_kind().for_each(|check| w.tag("li", &[], &crate::checks::sentence(check)))
            });
        });
    }
}
