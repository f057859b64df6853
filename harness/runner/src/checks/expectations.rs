//! What a step expects of the cells that its checks are about: its hand-written words where they decide, otherwise what the
//! specification says. The same as of the cells themselves.

use std::collections::BTreeMap;

use verdikt_model::{Cell, Expect, Expectation, Level, Step, World};
use verdikt_oracle::plan;

/// By cell.
pub(super) struct Expectations(BTreeMap<Cell, Expectation>);

impl Expectations {
    /// Of cells of a world in which the step is in force.
    pub(super) fn new(level: Level, step: &Step, world: &World, cells: &[Cell]) -> Self {
        let expect = Expect { derived: true, rules: step.expect.rules.clone() };
        Self(plan(level, &expect, world, cells).rows.into_iter().collect())
    }

    /// Of one of these cells.
    pub(super) fn of(&self, cell: &Cell) -> Expectation {
        self.0.get(cell).copied().unwrap_or(Expectation::Either)
    }
}

#[cfg(test)]
mod tests {
    use verdikt_model::{
        ExpectRule, Family, NamespaceSpec, PodSpec, PortProtocol, Protocol, Serve, Topology, cells,
    };

    use super::*;

    /// A policy of another kind, of which the oracle knows nothing, denies what is written down.
    #[test]
    fn a_word_written_by_hand_counts_for_checks_as_for_cells() {
        let serve =
            Serve { ports: [PortProtocol { port: 80, protocol: Protocol::Tcp }].into(), ..Serve::default() };
        let pod = PodSpec { serve, ..PodSpec::default() };
        let pods = ["a", "b"].map(|name| (name.to_owned(), pod.clone())).into();
        let namespace = NamespaceSpec { pods, ..NamespaceSpec::default() };
        let topology = Topology { namespaces: [("x".to_owned(), namespace)].into(), ..Topology::default() };
        let world = World::synthetic(&topology);
        let all = cells(&world, &[Family::Ipv4]);
        let rule =
            |pattern: &str| ExpectRule { pattern: pattern.parse().unwrap(), expectation: Expectation::Deny };
        let step = Step {
            name: "one".into(),
            actions: Vec::new(),
            checks: Vec::new(),
            expect: Expect { derived: false, rules: vec![rule("x/a -> x/b")] },
        };
        let denied = |level| {
            let expectations = Expectations::new(level, &step, &world, &all);
            all.iter().filter(|cell| expectations.of(cell) == Expectation::Deny).count()
        };
        assert_eq!(denied(Level::Extended), 1);
        assert_eq!(denied(Level::ImplementationDefined), 0, "there the specification decides alone");
    }
}
