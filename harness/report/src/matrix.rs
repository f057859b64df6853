//! Draws a grid for a terminal of a given width.
//!
//! Columns bear names while these fit, else numbers with a key. A grid that is still too wide or too tall loses the
//! rows and columns without anything notable first, then the last ones, and says so.

use std::fmt::Write;

use crate::{
    escape::cut,
    grid::{Glyph, Grid, Mark},
    style::{self, Paint},
    text,
};

/// Widest label beside a row or over a column.
const LABEL: usize = 28;

/// How to draw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canvas {
    /// Spaces before every line.
    pub(crate) indent: usize,
    /// Columns of the terminal.
    pub(crate) width: usize,
    /// Most rows that are drawn.
    pub(crate) rows: usize,
    /// Colours.
    pub(crate) paint: Paint,
}

/// Draws one grid; `name` gives the name of an endpoint by its index.
pub(crate) fn draw(grid: &Grid, names: &[String], canvas: Canvas) -> String {
    let label = |id: verdikt_model::EndpointId| {
        cut(names.get(usize::from(id.0)).map_or("?", String::as_str), LABEL).into_owned()
    };
    let from_labels: Vec<String> = grid.froms.iter().map(|id| label(*id)).collect();
    let to_labels: Vec<String> = grid.tos.iter().map(|id| label(*id)).collect();
    let side = from_labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let room = canvas.width.saturating_sub(canvas.indent + side).max(8);

    let rows = pick(grid.froms.len(), canvas.rows, |f| {
        (0..grid.tos.len()).any(|t| grid.glyph(f, t).is_some_and(Glyph::is_notable))
    });
    let named: usize = to_labels.iter().map(|l| 1 + l.chars().count().max(2)).sum();
    let by_name = named <= room;
    let digits = grid.tos.len().to_string().len().max(2);
    let fitting = if by_name { grid.tos.len() } else { room / (digits + 1) };
    let columns = pick(grid.tos.len(), fitting, |t| {
        rows.iter().any(|f| grid.glyph(*f, t).is_some_and(Glyph::is_notable))
    });

    let heads: Vec<String> =
        columns.iter().map(|t| if by_name { to_labels[*t].clone() } else { (t + 1).to_string() }).collect();
    let widths: Vec<usize> =
        heads.iter().map(|h| if by_name { h.chars().count().max(2) } else { digits }).collect();

    let mut out = String::new();
    let margin = canvas.indent;
    let mut line = format!("{:margin$}{:side$}", "", "");
    for (head, width) in heads.iter().zip(&widths) {
        let _ = write!(line, " {head:>width$}");
    }
    let _ = writeln!(out, "{}", line.trim_end());
    for f in &rows {
        let mut line = format!("{:margin$}{:>side$}", "", from_labels[*f]);
        let mut blank = String::new();
        for (t, width) in columns.iter().zip(&widths) {
            // The glyph stands under the last but one letter of its head, its mark under the last.
            let before = width - 1;
            let Some(glyph) = grid.glyph(*f, *t) else {
                let _ = write!(blank, "{:w$}", "", w = width + 1);
                continue;
            };
            line.push_str(&blank);
            blank.clear();
            let _ = write!(line, "{:before$}", "");
            match glyph.mark {
                // The space after an ordinary glyph is kept back, so that no line ends in one.
                Mark::None => {
                    line.push_str(&plain(glyph, canvas.paint));
                    blank.push(' ');
                }
                mark => {
                    let style = if mark == Mark::Wrong { style::WRONG } else { style::UNSURE };
                    line.push_str(&canvas.paint.paint(style, format_args!("{}{}", glyph.sign, mark.sign())));
                }
            }
        }
        let _ = writeln!(out, "{line}");
    }
    if !by_name {
        let key = columns.iter().map(|t| format!("{} {}", t + 1, to_labels[*t]));
        out.push_str(&text::wrap(key, canvas.indent, canvas.width));
    }
    if rows.len() < grid.froms.len() || columns.len() < grid.tos.len() {
        let _ = writeln!(
            out,
            "{:margin$}shown: {} of {} and {} of {}; every cell is in the record (-o json, --record FILE)",
            "",
            rows.len(),
            text::count(grid.froms.len() as u64, "row"),
            columns.len(),
            text::count(grid.tos.len() as u64, "column"),
        );
    }
    out
}

/// The legend for the glyphs and marks that occur in the grids; one line.
pub(crate) fn legend<'a>(grids: impl IntoIterator<Item = &'a Grid>, expected: bool) -> String {
    const SIGNS: [(char, &str); 6] = [
        ('.', "allowed"),
        ('X', "dropped"),
        ('R', "rejected"),
        ('?', "not measured"),
        ('-', "skipped"),
        ('~', "either"),
    ];
    const EXPECTED: [(char, &str); 4] =
        [('.', "allow"), ('X', "deny"), ('R', "reject"), ('~', "either (left open)")];
    const MARKS: [(Mark, &str); 3] = [
        (Mark::Wrong, "differs from what is expected"),
        (Mark::Flaky, "changed while it had to hold"),
        (Mark::Known, "known deviation"),
    ];
    let (mut signs, mut marks) = (Vec::new(), Vec::new());
    for glyph in grids.into_iter().flat_map(|grid| grid.glyphs.iter().flatten()) {
        if !signs.contains(&glyph.sign) {
            signs.push(glyph.sign);
        }
        if !marks.contains(&glyph.mark) {
            marks.push(glyph.mark);
        }
    }
    let table: &[(char, &str)] = if expected { &EXPECTED } else { &SIGNS };
    let signs =
        table.iter().filter(|(sign, _)| signs.contains(sign)).map(|(sign, word)| format!("{sign} {word}"));
    let marks = MARKS
        .iter()
        .filter(|(mark, _)| marks.contains(mark))
        .map(|(mark, word)| format!("{} {word}", mark.sign()));
    signs.chain(marks).collect::<Vec<_>>().join("  ")
}

fn plain(glyph: Glyph, paint: Paint) -> String {
    match glyph.sign {
        '?' => paint.paint(style::UNSURE, '?'),
        '.' | '-' => paint.paint(style::DIM, glyph.sign),
        sign => sign.to_string(),
    }
}

/// At most `limit` of `0..len`, in order, those that matter first.
fn pick(len: usize, limit: usize, matters: impl Fn(usize) -> bool) -> Vec<usize> {
    if len <= limit {
        return (0..len).collect();
    }
    let (mut chosen, rest): (Vec<usize>, Vec<usize>) = (0..len).partition(|i| matters(*i));
    chosen.truncate(limit);
    let missing = limit - chosen.len();
    chosen.extend(rest.into_iter().take(missing));
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use verdikt_model::{Expectation, Matrix, Protocol, Verdict};

    use super::*;
    use crate::{grid::grids, sample};

    fn drawn(matrix: &Matrix, width: usize, color: bool) -> String {
        let canvas = Canvas { indent: 2, width, rows: 40, paint: Paint { color } };
        let grids = grids(matrix.rows.iter().map(|row| (row.cell, Glyph::observed(row))));
        let mut text: String = grids.iter().map(|grid| draw(grid, &matrix.names, canvas)).collect();
        text.push_str(&legend(&grids, false));
        text
    }

    fn nine(expected: Expectation) -> Matrix {
        sample::matrix(&["x", "y", "z"], &["a", "b", "c"], &[(80, Protocol::Tcp)], |from, to, _| {
            match (from.starts_with("z/"), to.starts_with("x/")) {
                (true, true) => (expected, Verdict::Allowed),
                (true, false) => (Expectation::Deny, Verdict::Rejected),
                (false, true) => (Expectation::Allow, Verdict::Allowed),
                (false, false) => (Expectation::Deny, Verdict::Dropped),
            }
        })
    }

    #[test]
    fn names_head_the_columns_while_they_fit() {
        insta::assert_snapshot!(drawn(&nine(Expectation::Deny), 80, false));
    }

    #[test]
    fn wrong_cells_are_inverted_and_marked() {
        insta::assert_snapshot!(sample::visible(&drawn(&nine(Expectation::Deny), 80, true)));
    }

    #[test]
    fn numbers_head_the_columns_of_a_narrow_terminal() {
        insta::assert_snapshot!(drawn(&nine(Expectation::Deny), 36, false));
    }

    #[test]
    fn nothing_is_wider_than_the_terminal_and_what_is_wrong_is_kept() {
        let pods: Vec<String> = (0..60).map(|i| format!("pod-{i}")).collect();
        let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
        let matrix = sample::matrix(&["x"], &pods, &[(80, Protocol::Tcp)], |from, to, _| match (from, to) {
            ("x/pod-55", "x/pod-57") => (Expectation::Deny, Verdict::Allowed),
            _ => (Expectation::Allow, Verdict::Allowed),
        });
        for width in [20, 40, 80, 132] {
            let text = drawn(&matrix, width, false);
            let (body, _) = text.rsplit_once('\n').unwrap();
            let grid_lines = body.lines().filter(|l| !l.contains("shown: "));
            assert!(grid_lines.clone().all(|l| l.chars().count() <= width.max(24)), "{text}");
            assert!(
                text.contains(".!") && text.contains("x/pod-55") && text.contains("58 x/pod-57"),
                "{text}"
            );
            assert!(body.lines().count() < 60, "{text}");
        }
    }

    #[test]
    fn missing_cells_are_blank() {
        let mut matrix = nine(Expectation::Allow);
        matrix.rows.retain(|row| row.cell.from != row.cell.to);
        insta::assert_snapshot!(drawn(&matrix, 80, false));
    }
}
