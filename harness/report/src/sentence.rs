//! Wrong cells as sentences: `x/a -> y/b 80/tcp ipv4: expected deny, observed allowed (3 attempts)`.

use std::collections::HashMap;

use verdikt_model::{EndpointId, Expectation, Matrix, Outcome, Row, Verdict, Via};

use crate::{
    common,
    escape::{NAME, SENTENCE, cut},
    places::{self, Place},
    text,
};

/// Cells of one pair and path with the same expectation, observation and reason.
pub(crate) struct Sentence<'a> {
    /// Who to whom over what, what was expected and what was observed.
    pub(crate) text: String,
    /// Why, escaped.
    pub(crate) reason: Option<String>,
    /// One of the cells, to be repeated.
    pub(crate) example: &'a Row,
}

/// The sentences of one kind of cell in one step, and a word about those that are not shown.
pub(crate) struct Sentences<'a> {
    pub(crate) shown: Vec<Sentence<'a>>,
    /// `and 71 more like these (all 81: …)`
    pub(crate) more: Option<String>,
}

type Key<'a> = (EndpointId, EndpointId, Via, Expectation, Option<Verdict>, Option<&'a str>);

/// Puts the cells with one outcome into at most `limit` sentences.
pub(crate) fn sentences(matrix: &Matrix, outcome: Outcome, limit: usize) -> Sentences<'_> {
    let mut index: HashMap<Key<'_>, usize> = HashMap::new();
    let mut groups: Vec<(Vec<&Row>, Option<&str>)> = Vec::new();
    let (mut cells, mut covered) = (0, 0);
    for (row, reason) in matrix.iter().filter(|(row, _)| row.outcome == outcome) {
        cells += 1;
        let key = (row.cell.from, row.cell.to, row.cell.via, row.expected, row.observed, reason);
        match index.get(&key) {
            Some(group) => groups[*group].0.push(row),
            None if groups.len() < limit => {
                index.insert(key, groups.len());
                groups.push((vec![row], reason));
            }
            None => continue,
        }
        covered += 1;
    }
    let more = (cells > covered).then(|| {
        format!(
            "and {} more like these (all {}: {})",
            text::thousands(cells - covered),
            text::thousands(cells),
            in_common(matrix, outcome)
        )
    });
    let shown = groups.into_iter().filter_map(|(rows, reason)| {
        let example = *rows.first()?;
        Some(Sentence {
            text: sentence(matrix, &rows, example),
            reason: reason.map(|r| cut(r, SENTENCE).into()),
            example,
        })
    });
    Sentences { shown: shown.collect(), more }
}

/// One cell, whatever its outcome.
pub(crate) fn cell(matrix: &Matrix, row: &Row) -> String {
    sentence(matrix, &[row], row)
}

/// An endpoint's name, escaped.
pub(crate) fn name(matrix: &Matrix, id: EndpointId) -> String {
    cut(matrix.name(id), NAME).into()
}

fn sentence(matrix: &Matrix, rows: &[&Row], example: &Row) -> String {
    let (from, to) = (name(matrix, example.cell.from), name(matrix, example.cell.to));
    let places = places::describe(rows.iter().map(|row| Place::of(&row.cell)));
    format!("{from} -> {to} {places}: {}{}", comparison(example), attempts(rows))
}

/// `expected deny, observed allowed`
fn comparison(row: &Row) -> String {
    let expected = expected(row.expected);
    match (row.outcome, row.observed) {
        (Outcome::Skipped, _) => format!("expected {expected}, skipped"),
        (Outcome::Error, _) | (_, None | Some(Verdict::Error)) => {
            format!("expected {expected}, could not be measured")
        }
        (Outcome::Flaky, Some(seen)) => {
            format!("expected {expected}, did not hold; last observed {}", observed(seen))
        }
        (Outcome::Deviation, Some(seen)) => {
            format!("expected {expected}, observed {}: a known deviation", observed(seen))
        }
        (Outcome::Pass | Outcome::Fail, Some(seen)) => {
            format!("expected {expected}, observed {}", observed(seen))
        }
    }
}

const fn expected(expectation: Expectation) -> &'static str {
    match expectation {
        Expectation::Allow => "allow",
        Expectation::Deny => "deny",
        Expectation::Drop => "drop (silence)",
        Expectation::Reject => "reject (a refusal)",
        Expectation::Either => "either (left open)",
    }
}

const fn observed(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "allowed",
        Verdict::Dropped => "dropped (silence)",
        Verdict::Rejected => "rejected (a refusal)",
        Verdict::Error => "error",
    }
}

fn attempts(rows: &[&Row]) -> String {
    let (min, max) =
        rows.iter().fold((u16::MAX, 0), |(min, max), r| (min.min(r.attempts), max.max(r.attempts)));
    match (min, max) {
        (_, 0) => String::new(),
        (min, max) if min == max => format!(" ({})", text::count(max.into(), "attempt")),
        (min, max) => format!(" ({min}–{max} attempts)"),
    }
}

/// What all cells with one outcome share: a pattern, then expectation and observation where they are the same.
fn in_common(matrix: &Matrix, outcome: Outcome) -> String {
    let rows = || matrix.rows.iter().filter(|row| row.outcome == outcome);
    let Some((pattern, one_path)) = common::pattern(matrix, rows()) else { return String::new() };
    let mut words = vec![cut(&pattern.to_string(), 2 * NAME).into_owned()];
    if !one_path {
        words.push("over several paths".to_owned());
    }
    if let Some(first) = rows().next() {
        if rows().all(|row| row.expected == first.expected) {
            words.push(format!("expected {}", expected(first.expected)));
        }
        if let Some(seen) = first.observed.filter(|seen| *seen != Verdict::Error && outcome != Outcome::Error)
            && rows().all(|row| row.observed == first.observed)
        {
            words.push(format!("observed {}", observed(seen)));
        }
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use verdikt_model::Protocol;

    use super::*;
    use crate::sample;

    fn texts(matrix: &Matrix, outcome: Outcome, limit: usize) -> Vec<String> {
        let found = sentences(matrix, outcome, limit);
        found.shown.into_iter().map(|s| s.text).chain(found.more).collect()
    }

    #[test]
    fn ports_and_families_of_a_pair_share_a_sentence() {
        let ports = [(80, Protocol::Tcp), (81, Protocol::Tcp)];
        let matrix = sample::matrix(&["x"], &["a", "b"], &ports, |from, _, _| match from {
            "x/a" => (Expectation::Deny, Verdict::Allowed),
            _ => (Expectation::Deny, Verdict::Dropped),
        });
        assert_eq!(
            texts(&matrix, Outcome::Fail, 10),
            [
                "x/a -> x/a 80/tcp, 81/tcp ipv4, ipv6: expected deny, observed allowed (3 attempts)",
                "x/a -> x/b 80/tcp, 81/tcp ipv4, ipv6: expected deny, observed allowed (3 attempts)"
            ]
        );
    }

    #[test]
    fn many_are_summed_up() {
        let namespaces = ["x", "z"];
        let matrix = sample::matrix(&namespaces, &["a", "b", "c"], &[(80, Protocol::Udp)], |from, to, _| {
            match (from.starts_with("z/"), to.starts_with("x/")) {
                (true, true) => (Expectation::Deny, Verdict::Allowed),
                _ => (Expectation::Allow, Verdict::Allowed),
            }
        });
        let texts = texts(&matrix, Outcome::Fail, 2);
        assert_eq!(texts.len(), 3);
        assert_eq!(
            texts[2],
            "and 14 more like these (all 18: z/* -> x/*:80/udp, expected deny, observed allowed)"
        );
    }

    #[test]
    fn silence_and_refusal_are_told_apart_and_an_error_is_neither() {
        let one = |expected: Expectation, seen: Verdict| {
            let matrix = sample::matrix(&["x"], &["a"], &[(80, Protocol::Tcp)], |_, _, _| (expected, seen));
            cell(&matrix, &matrix.rows[0])
        };
        let head = "x/a -> x/a 80/tcp ipv4: ";
        assert_eq!(
            one(Expectation::Drop, Verdict::Rejected),
            format!("{head}expected drop (silence), observed rejected (a refusal) (3 attempts)")
        );
        assert_eq!(
            one(Expectation::Allow, Verdict::Dropped),
            format!("{head}expected allow, observed dropped (silence) (3 attempts)")
        );
        assert_eq!(
            one(Expectation::Deny, Verdict::Error),
            format!("{head}expected deny, could not be measured (3 attempts)")
        );
    }
}
