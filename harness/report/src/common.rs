//! What many cells have in common, as a cell pattern.

use verdikt_model::{CellPattern, Matrix, Row, Via};

/// The narrowest pattern over the given cells, and whether they take one path. `None` without cells.
pub(crate) fn pattern<'a>(
    matrix: &Matrix,
    rows: impl IntoIterator<Item = &'a Row>,
) -> Option<(CellPattern, bool)> {
    let mut rows = rows.into_iter();
    let first = rows.next()?.cell;
    let (mut port, mut protocol, mut family) = (Some(first.port), Some(first.protocol), Some(first.family));
    let (mut from, mut to) = (Names::new(matrix.name(first.from)), Names::new(matrix.name(first.to)));
    let mut one_path = true;
    let (mut last_from, mut last_to) = (first.from, first.to);
    for Row { cell, .. } in rows {
        port = port.filter(|p| *p == cell.port);
        protocol = protocol.filter(|p| *p == cell.protocol);
        family = family.filter(|f| *f == cell.family);
        one_path &= cell.via == first.via;
        // Neighbours mostly share their ends.
        if cell.from != last_from {
            from.add(matrix.name(cell.from));
            last_from = cell.from;
        }
        if cell.to != last_to {
            to.add(matrix.name(cell.to));
            last_to = cell.to;
        }
    }
    let via = if one_path { first.via } else { Via::PodIp };
    Some((CellPattern { from: from.glob(), to: to.glob(), port, protocol, via, family }, one_path))
}

/// The glob over names of endpoints.
struct Names<'a> {
    first: &'a str,
    same: bool,
    same_namespace: bool,
    same_name: bool,
}

impl<'a> Names<'a> {
    fn new(first: &'a str) -> Self {
        let pair = first.contains('/');
        Self { first, same: true, same_namespace: pair, same_name: pair }
    }

    fn add(&mut self, name: &str) {
        if name == self.first {
            return;
        }
        self.same = false;
        let (a, b) = (self.first.split_once('/'), name.split_once('/'));
        self.same_namespace &= a.zip(b).is_some_and(|(a, b)| a.0 == b.0);
        self.same_name &= a.zip(b).is_some_and(|(a, b)| a.1 == b.1);
    }

    fn glob(&self) -> String {
        let (namespace, name) = self.first.split_once('/').unwrap_or_default();
        if self.same {
            self.first.to_owned()
        } else if self.same_namespace {
            format!("{namespace}/*")
        } else if self.same_name {
            format!("*/{name}")
        } else {
            "*".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use verdikt_model::{Expectation, Family, Protocol, Verdict};

    use super::*;
    use crate::sample;

    #[test]
    fn the_pattern_is_as_narrow_as_the_cells_allow() {
        let matrix = sample::matrix(
            &["x", "y"],
            &["a", "b"],
            &[(80, Protocol::Tcp), (80, Protocol::Udp)],
            |_, _, _| (Expectation::Deny, Verdict::Allowed),
        );
        let of = |keep: &dyn Fn(&Row) -> bool| {
            pattern(&matrix, matrix.rows.iter().filter(|r| keep(r))).unwrap().0.to_string()
        };
        assert_eq!(of(&|_| true), "* -> *:80/*");
        assert_eq!(
            of(&|r| r.cell.protocol == Protocol::Udp && r.cell.family == Family::Ipv6),
            "* -> *:80/udp over ipv6"
        );
        assert_eq!(
            of(&|r| matrix.name(r.cell.from).starts_with("x/") && matrix.name(r.cell.to).ends_with("/a")),
            "x/* -> */a:80/*"
        );
        assert_eq!(
            of(&|r| matrix.name(r.cell.from) == "x/a" && matrix.name(r.cell.to) == "y/b"),
            "x/a -> y/b:80/*"
        );
        assert!(pattern(&matrix, []).is_none());
    }
}
