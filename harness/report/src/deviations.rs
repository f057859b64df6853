//! What became of known deviations, below the summary.

use std::fmt::Write;

use verdikt_model::{DeviationRecord, DeviationState};

use crate::{
    escape::{NAME, SENTENCE, cut},
    style::{self, Paint},
    text::count,
};

/// One line for each that wants something done; with `all`, one for every other, too.
pub(crate) fn deviations(found: &[DeviationRecord], all: bool, paint: Paint) -> String {
    let mut out = String::new();
    for of in found {
        let (verb, style) = match of.state {
            DeviationState::Fixed => ("FIXED", style::PASS),
            DeviationState::Expired => ("EXPIRED", style::FAIL),
            DeviationState::Happened if all => ("KNOWN", style::SKIP),
            DeviationState::NotReached if all => ("NOT MET", style::SKIP),
            DeviationState::Happened | DeviationState::NotReached => continue,
        };
        let _ = writeln!(out, "{} {}", paint.paint(style, format_args!("{verb:>12}")), sentence(of));
    }
    out
}

/// `cilium: ports/named-port-on-egress, step web: 8 cells as expected, …`
pub(crate) fn sentence(of: &DeviationRecord) -> String {
    let mut text = format!("{}: {}", cut(&of.file, NAME), cut(&of.scenario, NAME));
    if let Some(step) = &of.step {
        let _ = write!(text, ", step {}", cut(step, NAME));
    }
    if !of.covers.is_empty() {
        let _ = write!(text, " ({})", cut(&of.covers.join(", "), SENTENCE));
    }
    let cells = |n| count(n, "cell or check").replace("cell or checks", "cells or checks");
    let _ = match of.state {
        DeviationState::Fixed => write!(
            text,
            " does not happen any more, {} as expected; it can be taken out of the file",
            cells(of.as_expected)
        ),
        DeviationState::Expired => write!(
            text,
            " still happens in {}, and was known until {} only",
            cells(of.cells),
            cut(of.expires.as_deref().unwrap_or("some day"), NAME)
        ),
        DeviationState::Happened => write!(text, " happens in {}", cells(of.cells)),
        DeviationState::NotReached if of.unclear > 0 || of.as_expected > 0 => {
            write!(
                text,
                " did not happen, but not enough was measured: {} as expected, {} unclear",
                of.as_expected, of.unclear
            )
        }
        DeviationState::NotReached => write!(text, " was not reached"),
    };
    let _ = write!(text, ": {} ({})", cut(&of.reason, SENTENCE), cut(&of.link, SENTENCE));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn only_what_wants_something_done_is_told_unless_all_is_asked_for() {
        let paint = Paint { color: false };
        let found: Vec<_> = DeviationState::ALL.iter().map(|state| sample::deviation(*state)).collect();
        insta::assert_snapshot!(deviations(&found, true, paint));
        let told = deviations(&found, false, paint);
        assert_eq!(told.lines().count(), 2);
        assert!(told.contains("FIXED own: field/three-tier") && told.contains("EXPIRED own:"), "{told}");
    }

    #[test]
    fn hostile_texts_stay_on_their_line() {
        let hostile = "\u{1b}[2J\n  PASS";
        let mut of = sample::deviation(DeviationState::Fixed);
        of.reason = hostile.into();
        of.link = hostile.into();
        of.covers = vec![hostile.into()];
        of.scenario = hostile.into();
        let line = deviations(&[of], false, Paint { color: false });
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{1b}'));
    }
}
