//! Two records held against each other: what differs, why, what the specification says, what it would mean.
//!
//! ```text
//! Record, Record ─► pair (cell by cell) ─► group (by topic) ─► Comparison ─► human, json, markdown, HTML
//!                                       └► shift (times) ────┘
//! ```

mod comparison;
mod group;
mod human;
mod json;
mod markdown;
mod pair;
mod shift;
#[cfg(test)]
mod tests;
pub(crate) mod words;

pub use comparison::{
    Change, Comparison, Counts, Difference, Known, Missing, Pattern, Ruling, Shift, Shown, Side, Spread,
    WhichSide,
};
pub(crate) use human::headline;
pub use human::{CompareOptions, compare_human};
pub use json::compare_json;
pub use markdown::compare_markdown;
use verdikt_model::Record;

/// Longest name of a side in a sentence, in bytes.
const NAME: usize = 40;

/// Holds a record against a reference; each comes with the name of its source.
pub fn compare(reference: (&str, &Record), other: (&str, &Record)) -> Comparison {
    let mut sides = [Side::of(reference.0, reference.1), Side::of(other.0, other.1)];
    tell_apart(&mut sides);
    let [one, two] = sides;
    let unenforced = one.enforces_nothing.is_some() != two.enforces_nothing.is_some();
    let paired = pair::pair(reference.1, other.1);
    Comparison {
        patterns: group::group(paired.found, &paired.alike, unenforced, &one, &two),
        compared: paired.compared,
        unstable: paired.unstable,
        missing: paired.missing,
        changed: paired.changed,
        shifts: shift::shifts(reference.1, other.1),
        reference: one,
        other: two,
    }
}

/// Sides of one dataplane are called by what tells them apart: that one is emulated, version, mode or source.
fn tell_apart(sides: &mut [Side; 2]) {
    let names: [fn(&Side) -> String; 5] = [
        |side| side.dataplane.clone(),
        |side| if side.emulated { format!("{} (emulated)", side.dataplane) } else { side.dataplane.clone() },
        |side| format!("{} {}", side.dataplane, side.version).trim_end().to_owned(),
        |side| format!("{} ({})", side.dataplane, side.mode),
        |side| side.source.clone(),
    ];
    let short = |name: &fn(&Side) -> String| sides.iter().all(|side| name(side).len() <= NAME);
    let apart = |name: &&fn(&Side) -> String| name(&sides[0]) != name(&sides[1]) && short(name);
    let [one, two] = match names.iter().find(apart) {
        Some(name) => [name(&sides[0]), name(&sides[1])],
        None => ["the reference", "the other"].map(str::to_owned),
    };
    sides[0].name = one;
    sides[1].name = two;
}
