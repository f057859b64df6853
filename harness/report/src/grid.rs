//! Cells as grids, sources by destinations: one for each path, protocol, port and family; equal ones are folded.

use std::collections::{BTreeMap, BTreeSet};

use verdikt_model::{Cell, EndpointId, Expectation, Outcome, Row};

use crate::places::Place;

/// How a glyph stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// Not at all.
    None,
    /// A known deviation.
    Known,
    /// Changed while it had to hold.
    Flaky,
    /// Proved different from what was expected.
    Wrong,
}

impl Mark {
    /// The sign beside the glyph, so that colour is not the only one.
    pub(crate) const fn sign(self) -> char {
        match self {
            Self::None => ' ',
            Self::Known => '=',
            Self::Flaky => '%',
            Self::Wrong => '!',
        }
    }
}

/// What a grid shows for one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glyph {
    pub(crate) sign: char,
    pub(crate) mark: Mark,
}

impl Glyph {
    /// What was observed.
    pub(crate) fn observed(row: &Row) -> Self {
        let mark = match row.outcome {
            Outcome::Fail => Mark::Wrong,
            Outcome::Flaky => Mark::Flaky,
            Outcome::Deviation => Mark::Known,
            Outcome::Pass | Outcome::Error | Outcome::Skipped => Mark::None,
        };
        let sign = match (row.outcome, row.observed) {
            (Outcome::Error, _) => '?',
            (_, Some(verdict)) => verdict.glyph(),
            (_, None) => '-',
        };
        Self { sign, mark }
    }

    /// What is expected.
    pub(crate) const fn expected(expectation: Expectation) -> Self {
        Self { sign: expectation.glyph(), mark: Mark::None }
    }

    /// Whether the reader must look here.
    pub(crate) const fn is_notable(self) -> bool {
        !matches!(self.mark, Mark::None) || self.sign == '?'
    }
}

/// One grid, and the places that it stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) places: Vec<Place>,
    pub(crate) froms: Vec<EndpointId>,
    pub(crate) tos: Vec<EndpointId>,
    /// Row by row; `None` where there is no such cell.
    pub(crate) glyphs: Vec<Option<Glyph>>,
}

impl Grid {
    pub(crate) fn glyph(&self, from: usize, to: usize) -> Option<Glyph> {
        self.glyphs[from * self.tos.len() + to]
    }

    /// Whether any cell must be looked at.
    pub(crate) fn is_notable(&self) -> bool {
        self.glyphs.iter().flatten().any(|glyph| glyph.is_notable())
    }
}

/// Groups cells into grids, in the order of their first place.
pub(crate) fn grids(cells: impl IntoIterator<Item = (Cell, Glyph)>) -> Vec<Grid> {
    let mut places: BTreeMap<Place, Vec<(EndpointId, EndpointId, Glyph)>> = BTreeMap::new();
    for (cell, glyph) in cells {
        places.entry(Place::of(&cell)).or_default().push((cell.from, cell.to, glyph));
    }
    let mut grids: Vec<Grid> = Vec::new();
    for (place, cells) in places {
        let grid = grid(place, &cells);
        match grids.iter_mut().find(|g| g.froms == grid.froms && g.tos == grid.tos && g.glyphs == grid.glyphs)
        {
            Some(equal) => equal.places.push(place),
            None => grids.push(grid),
        }
    }
    grids
}

fn grid(place: Place, cells: &[(EndpointId, EndpointId, Glyph)]) -> Grid {
    let distinct = |ids: BTreeSet<EndpointId>| ids.into_iter().collect::<Vec<_>>();
    let froms = distinct(cells.iter().map(|c| c.0).collect());
    let tos = distinct(cells.iter().map(|c| c.1).collect());
    let mut glyphs = vec![None; froms.len() * tos.len()];
    for (from, to, glyph) in cells {
        if let (Ok(f), Ok(t)) = (froms.binary_search(from), tos.binary_search(to)) {
            glyphs[f * tos.len() + t] = Some(*glyph);
        }
    }
    Grid { places: vec![place], froms, tos, glyphs }
}

#[cfg(test)]
mod tests {
    use verdikt_model::{Family, Protocol, Verdict};

    use super::*;
    use crate::{places, sample};

    #[test]
    fn equal_grids_are_folded_and_different_ones_are_not() {
        let ports = [(80, Protocol::Tcp), (81, Protocol::Tcp), (80, Protocol::Udp)];
        let matrix =
            sample::matrix(&["x"], &["a", "b"], &ports, |_, _, cell| match (cell.protocol, cell.family) {
                (Protocol::Udp, Family::Ipv6) => (Expectation::Deny, Verdict::Allowed),
                _ => (Expectation::Deny, Verdict::Dropped),
            });
        let grids = grids(matrix.rows.iter().map(|row| (row.cell, Glyph::observed(row))));
        let titles: Vec<_> =
            grids.iter().map(|g| (places::describe(g.places.clone()), g.is_notable())).collect();
        assert_eq!(
            titles,
            [("80/tcp, 81/tcp ipv4, ipv6; 80/udp ipv4".to_owned(), false), ("80/udp ipv6".to_owned(), true)]
        );
    }

    #[test]
    fn an_error_is_shown_as_such_whatever_was_observed_before() {
        let matrix = sample::matrix(&["x"], &["a"], &[(80, Protocol::Tcp)], |_, _, _| {
            (Expectation::Deny, Verdict::Error)
        });
        assert_eq!(Glyph::observed(&matrix.rows[0]), Glyph { sign: '?', mark: Mark::None });
        assert!(Glyph::observed(&matrix.rows[0]).is_notable());
    }
}
