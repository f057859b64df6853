//! What is not as expected in a step, in sentences: each with its reason and the command that repeats it.

use verdikt_model::{Outcome, ScenarioRecord, StepRecord};

use super::{words, writer::Html};
use crate::{
    checks,
    repeat::repeat_command,
    sentence::{Sentence, sentences},
};

/// Most sentences for one kind of cell in one step. Every cell is in the matrix.
const SENTENCES: usize = 20;
/// Most sentences for what is no finding.
const ASIDE: usize = 3;
/// The kinds of cell that are put into words, in this order.
const KINDS: [(Outcome, usize); 5] = [
    (Outcome::Fail, SENTENCES),
    (Outcome::Flaky, SENTENCES),
    (Outcome::Error, SENTENCES),
    (Outcome::Deviation, SENTENCES),
    (Outcome::Skipped, ASIDE),
];

/// Whether there is anything to say.
pub(super) fn is_notable(step: &StepRecord) -> bool {
    step.cells.rows.iter().any(|row| row.outcome != Outcome::Pass)
        || step.checks.iter().any(|check| check.outcome != Outcome::Pass)
}

/// The list; nothing where everything is as expected.
pub(super) fn findings(w: &mut Html, scenario: &ScenarioRecord, step: &StepRecord, target: &[String]) {
    if !is_notable(step) {
        return;
    }
    w.el("ul", &[("class", "findings")], |w| {
        for (outcome, limit) in KINDS {
            let found = sentences(&step.cells, outcome, limit);
            for sentence in &found.shown {
                let command = (outcome != Outcome::Skipped)
                    .then(|| repeat_command(scenario, &step.cells, sentence.example, target));
                finding(w, outcome, sentence, command.as_deref());
            }
            if let Some(more) = &found.more {
                w.tag("li", &[("class", "more")], more);
            }
        }
        for check in step.checks.iter().filter(|check| check.outcome != Outcome::Pass) {
            let look = words::of_cell(check.outcome);
            w.el("li", &[("class", look.class)], |w| {
                badge(w, look);
                w.tag("span", &[("class", "what")], &checks::sentence(check));
            });
        }
    });
}

fn finding(w: &mut Html, outcome: Outcome, sentence: &Sentence<'_>, command: Option<&str>) {
    let look = words::of_cell(outcome);
    w.el("li", &[("class", look.class)], |w| {
        badge(w, look);
        w.tag("span", &[("class", "what")], &sentence.text);
        if let Some(reason) = &sentence.reason {
            w.tag("p", &[("class", "reason")], reason);
        }
        if let Some(command) = command {
            w.el("div", &[("class", "command")], |w| w.tag("code", &[], command));
        }
    });
}

/// Sign and word of an outcome.
pub(super) fn badge(w: &mut Html, look: words::Look) {
    w.el("span", &[("class", "badge")], |w| {
        w.tag("span", &[("class", "sign"), ("aria-hidden", "true")], look.sign);
        w.text(" ");
        w.text(look.word);
    });
    w.text(" ");
}
