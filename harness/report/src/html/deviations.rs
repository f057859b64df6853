//! The known deviations of a run, and what became of them.

use verdikt_model::{DeviationRecord, DeviationState};

use super::{cells::badge, words, writer::Html};
use crate::{
    escape::{NAME, SENTENCE, cut},
    text,
};

/// The list, folded; nothing where none were known.
pub(super) fn deviations(w: &mut Html, all: &[DeviationRecord]) {
    if all.is_empty() {
        return;
    }
    w.el("details", &[("class", "deviations")], |w| {
        w.tag("summary", &[], &format!("Known deviations: {}", states(all)));
        w.el("table", &[("class", "differences")], |w| {
            w.tag("caption", &[], "What is known of this dataplane, and whether it happened");
            w.el("thead", &[], |w| {
                w.el("tr", &[], |w| {
                    for head in ["What became of it", "Where", "Why"] {
                        w.tag("th", &[("scope", "col")], head);
                    }
                });
            });
            w.el("tbody", &[], |w| all.iter().for_each(|one| row(w, one)));
        });
    });
}

/// `2 happened, 1 fixed`
fn states(all: &[DeviationRecord]) -> String {
    let counts = DeviationState::ALL.iter().map(|state| {
        let n = all.iter().filter(|one| one.state == *state).count();
        (n, words::of_deviation(*state).word)
    });
    counts.filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
}

fn row(w: &mut Html, one: &DeviationRecord) {
    let look = words::of_deviation(one.state);
    w.el("tr", &[], |w| {
        w.el("td", &[("class", look.class)], |w| {
            badge(w, look);
            if one.cells > 0 {
                w.text(&text::count(one.cells, "time"));
            }
            if let Some(last) = &one.expires {
                w.text(&format!(" until {}", cut(last, NAME)));
            }
        });
        let mut place = vec![one.scenario.clone()];
        place.extend(one.step.as_ref().map(|step| format!("step {step}")));
        place.extend(one.covers.iter().cloned());
        w.tag("th", &[("scope", "row")], &cut(&place.join(", "), SENTENCE));
        w.el("td", &[], |w| {
            w.text(&cut(&one.reason, SENTENCE));
            w.text(" ");
            w.link(&one.link);
        });
    });
}
