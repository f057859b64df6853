//! One expectation per cell, from hand-written rules and the oracle; each checks the other.

use std::collections::{BTreeMap, BTreeSet};

use verdikt_model::{Cell, CellMatcher, Expect, Expectation, Level, World};

use crate::oracle::Oracle;

/// What a step expects, cell by cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The cells to probe, in the order given, each with what should be.
    pub rows: Vec<(Cell, Expectation)>,
    /// Cells of a core scenario where a rule says another thing than the oracle. The rule's word is in `rows`.
    pub contradictions: Vec<Contradiction>,
    /// Pairs of rules that give one cell different expectations, each with the first such cell. The earlier
    /// rule's word is in `rows`.
    pub conflicts: Vec<Conflict>,
    /// Cells of an implementation-defined scenario for which a rule says what the specification leaves open, or says
    /// otherwise, or which a policy of another kind may concern: their expectation in `rows` is `either`, and this is
    /// what was written. Indices into `rows`.
    pub written: BTreeMap<u32, Expectation>,
    /// Rules (indices into [`Expect::rules`]) whose pattern matches no cell.
    pub unmatched: Vec<usize>,
}

/// A hand-written expectation against the oracle's.
#[derive(Debug, Clone, PartialEq)]
pub struct Contradiction {
    /// The cell.
    pub cell: Cell,
    /// Index of the rule in [`Expect::rules`].
    pub rule: usize,
    /// What the rule says.
    pub written: Expectation,
    /// What the oracle says: allow, deny or either.
    pub oracle: Expectation,
    /// Why the oracle says so.
    pub reasons: Vec<String>,
}

/// Two hand-written expectations against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The first cell that both match.
    pub cell: Cell,
    /// Index of the earlier rule in [`Expect::rules`].
    pub first: usize,
    /// Index of the later one.
    pub second: usize,
}

/// Combines hand-written rules with the oracle.
///
/// A rule's word wins over the oracle's. Cells that no rule names get the oracle's word when `expect.derived`,
/// and are left out otherwise. On [`Level::Core`] a rule must agree with the oracle: equal, or `drop` or `reject`
/// where the oracle says deny; anything else, `either` included, is a contradiction. On [`Level::Extended`] the rule is
/// the authority. On [`Level::ImplementationDefined`] it decides nothing: a cell is judged only where the specification
/// decides it and the rule agrees; any other is `either`, and the rule's word is in [`Plan::written`]. There the
/// specification decides nothing once a policy of another kind was in force ([`World::foreign`]).
///
/// # Panics
/// If a cell is not of this world.
pub fn plan(level: Level, expect: &Expect, world: &World, cells: &[Cell]) -> Plan {
    let rules: Vec<CellMatcher<'_>> =
        expect.rules.iter().map(|rule| CellMatcher::new(&rule.pattern, world)).collect();
    let oracle =
        (expect.derived || level != Level::Extended && !rules.is_empty()).then(|| Oracle::new(world));
    let open = level == Level::ImplementationDefined && world.foreign;
    let mut plan = Plan::default();
    let mut used = vec![false; rules.len()];
    let mut conflicting = BTreeSet::new();
    for cell in cells {
        let mut matching = (0..rules.len()).filter(|rule| rules[*rule].matches(cell));
        let Some(first) = matching.next() else {
            if expect.derived
                && let Some(oracle) = &oracle
            {
                plan.rows.push((*cell, if open { Expectation::Either } else { oracle.expect(cell) }));
            }
            continue;
        };
        let written = expect.rules[first].expectation;
        used[first] = true;
        for second in matching {
            used[second] = true;
            if expect.rules[second].expectation != written && conflicting.insert((first, second)) {
                plan.conflicts.push(Conflict { cell: *cell, first, second });
            }
        }
        if level == Level::Core
            && let Some(oracle) = &oracle
        {
            let derived = oracle.expect(cell);
            if !refines(written, derived) {
                let reasons = oracle.explain(cell).reasons;
                plan.contradictions.push(Contradiction {
                    cell: *cell,
                    rule: first,
                    written,
                    oracle: derived,
                    reasons,
                });
            }
        }
        let mut expected = written;
        if level == Level::ImplementationDefined
            && let Some(oracle) = &oracle
        {
            let derived = oracle.expect(cell);
            if open || derived == Expectation::Either || !refines(written, derived) {
                plan.written.insert(plan.rows.len() as u32, written);
                expected = Expectation::Either;
            }
        }
        plan.rows.push((*cell, expected));
    }
    plan.unmatched = (0..rules.len()).filter(|rule| !used[*rule]).collect();
    plan
}

/// Whether a written expectation says the oracle's word, or says it more exactly.
const fn refines(written: Expectation, oracle: Expectation) -> bool {
    matches!(
        (written, oracle),
        (Expectation::Allow, Expectation::Allow)
            | (Expectation::Deny | Expectation::Drop | Expectation::Reject, Expectation::Deny)
            | (Expectation::Either, Expectation::Either)
    )
}
