//! What is not as expected in a step, in sentences: each with its reason and the command that repeats it.

use verdikt_model::{CheckRecord, Outcome, ScenarioRecord, StepRecord};

use super::{words, writer::Html};
use crate::{
    checks,
    repeat::repeat_command,
    sentence::{Sentence, sentences},
};

/// Most sentences for one kind of cell in one step. Every cell is in the matrix.
const SENTENCES: usize = 20;
/// How many are seen at once.
const AT_ONCE: usize = 5;
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

/// One thing to say.
enum Finding<'a> {
    /// Cells, and the command that repeats one of them.
    Cells(Outcome, Sentence<'a>, Option<String>),
    /// How many more there are.
    More(String),
    Check(&'a CheckRecord),
}

/// The list; nothing where everything is as expected.
pub(super) fn findings(w: &mut Html, scenario: &ScenarioRecord, step: &StepRecord, target: &[String]) {
    if !is_notable(step) {
        return;
    }
    let mut all = Vec::new();
    for (outcome, limit) in KINDS {
        let found = sentences(&step.cells, outcome, limit);
        for sentence in found.shown {
            let command = (outcome != Outcome::Skipped)
                .then(|| repeat_command(scenario, &step.cells, sentence.example, target));
            all.push(Finding::Cells(outcome, sentence, command));
        }
        all.extend(found.more.map(Finding::More));
    }
    all.extend(step.checks.iter().filter(|check| check.outcome != Outcome::Pass).map(Finding::Check));
    // A fold for one or two would hide more than it saves.
    let first = if all.len() > AT_ONCE + 2 { AT_ONCE } else { all.len() };
    w.el("ul", &[("class", "findings")], |w| {
        all[..first].iter().for_each(|one| finding(w, one));
        if first < all.len() {
            w.el("li", &[("class", "rest")], |w| {
                w.el("details", &[], |w| {
                    w.tag("summary", &[], &format!("{} more", all.len() - first));
                    w.el("ul", &[], |w| all[first..].iter().for_each(|one| finding(w, one)));
                });
            });
        }
    });
}

fn finding(w: &mut Html, finding: &Finding<'_>) {
    let (outcome, text) = match finding {
        Finding::Cells(outcome, sentence, _) => (*outcome, sentence.text.clone()),
        Finding::Check(check) => (check.outcome, checks::sentence(check)),
        Finding::More(text) => return w.tag("li", &[("class", "more")], text),
    };
    let look = words::of_cell(outcome);
    w.el("li", &[("class", look.class)], |w| {
        badge(w, look);
        w.tag("span", &[("class", "what")], &text);
        let Finding::Cells(_, sentence, command) = finding else { return };
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
