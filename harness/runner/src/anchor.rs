//! What shows that a step is in force when its matrix is taken.
//!
//! Best its own cells do: some had to be otherwise before, and have turned. Where none has to, a matrix is right before the
//! dataplane has even seen the step, and all that helps is time: twice as long as any step of its kind has taken on this
//! cluster in this run, whichever lane measured it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use verdikt_model::{
    Action, Anchor, AnchoredBy, Cell, EndpointId, Expectation, Outcome, Row, Step, StepRecord, World,
};
use verdikt_oracle::Oracle;

/// Part of the settle limit for which a matrix must hold whose being right proves nothing, however quick the dataplane is.
const QUIET: u32 = 6;

/// What a step changes: each takes a way of its own through a dataplane, and a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Policies,
    Labels,
    Pods,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Labels => "labels",
            Self::Pods => "pods",
        }
    }
}

/// The longest times that steps took until their cells had turned, by what they changed. All lanes of a run share it.
#[derive(Debug, Default)]
pub(crate) struct Measured(Mutex<BTreeMap<Kind, Duration>>);

impl Measured {
    /// Takes notice of a step whose cells have turned. Of one that changes several things nobody knows which took so long,
    /// or did not.
    pub(crate) fn note(&self, step: &Step, took: Duration) {
        let kinds = kinds(step);
        if let (Some(kind), 1) = (kinds.first(), kinds.len()) {
            let mut longest = self.0.lock().expect("no holder of the lock panics");
            longest.entry(*kind).and_modify(|have| *have = took.max(*have)).or_insert(took);
        }
    }

    /// How long a step must hold whose own cells do not show whether it is in force.
    pub(crate) fn patience(&self, step: &Step, settle: Duration) -> Patience {
        let quiet = settle / QUIET;
        let longest = self.0.lock().expect("no holder of the lock panics");
        let of = |kind: Kind| match kind {
            // What it does for a new pod it does with its policies.
            Kind::Pods => longest.get(&Kind::Pods).max(longest.get(&Kind::Policies)).copied().ok_or(kind),
            Kind::Policies | Kind::Labels => longest.get(&kind).copied().ok_or(kind),
        };
        let known: Result<Vec<Duration>, Kind> = kinds(step).into_iter().map(of).collect();
        let (unanchored, measured) = match known {
            Ok(known) => {
                let longest = known.into_iter().max().unwrap_or_default();
                ((longest * 2).max(quiet).min(settle), Ok(longest))
            }
            Err(kind) => (settle, Err(kind)),
        };
        Patience { quiet, unanchored, measured }
    }
}

fn kinds(step: &Step) -> BTreeSet<Kind> {
    let kind = |action: &Action| match action {
        Action::Apply(_) | Action::Delete(_) => Kind::Policies,
        Action::LabelPod { .. } | Action::LabelNamespace { .. } => Kind::Labels,
        Action::Pod { .. } => Kind::Pods,
    };
    step.actions.iter().map(kind).collect()
}

/// For how long a matrix must hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// At most, once its own cells have shown that the step is in force.
    pub(crate) quiet: Duration,
    /// Where they cannot.
    pub(crate) unanchored: Duration,
    /// From what that is: the longest time that was measured, or what has not been measured yet.
    measured: Result<Duration, Kind>,
}

impl Patience {
    /// What the record says. `turned`: whether the step's own cells have shown it; `held`: for how long they held at least.
    pub(crate) fn anchor(&self, step: &Step, turned: bool, held: Duration) -> Option<Anchor> {
        if step.actions.is_empty() {
            return None;
        }
        let (by, measured, why) = match self.measured {
            _ if turned => (AnchoredBy::Cells, None, None),
            Ok(longest) => (AnchoredBy::SettleTime, Some(longest), None),
            Err(kind) => {
                let why = format!(
                    "none of its cells had to turn, and nothing has shown yet how long {} take here: it held until --settle \
                     had passed",
                    kind.word()
                );
                (AnchoredBy::None, None, Some(why))
            }
        };
        Some(Anchor { by, measured_ms: measured.map(millis), held_ms: millis(held), why })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether being as expected proves that a step is in force: some cell had to be otherwise before. `last`: the step before
/// it, whose expectations are those of its author, too.
pub(crate) fn is_telling(before: &World, last: Option<&StepRecord>, rows: &[Row]) -> bool {
    let oracle = Oracle::new(before);
    let last: BTreeMap<Cell, Expectation> =
        last.iter().flat_map(|step| &step.cells.rows).map(|row| (row.cell, row.expected)).collect();
    let was = |cell: &Cell| match last.get(cell) {
        Some(expected) => *expected,
        // What policies of another kind do, only their author knows.
        None if before.foreign => Expectation::Either,
        None => oracle.expect(cell),
    };
    let is_new = |id: EndpointId| before.pod(id).is_some_and(|pod| !pod.is_there());
    // A new pod's cells had no verdict before. It is open until the dataplane knows it, or closed: who has cells of both
    // kinds had to wait for it in either case. What it says to itself nobody polices.
    let (mut opened, mut closed) = (false, false);
    let policed = |row: &&Row| row.outcome != Outcome::Skipped && row.cell.from != row.cell.to;
    for row in rows.iter().filter(policed) {
        let Some(now) = definite(row.expected) else { continue };
        if is_new(row.cell.from) || is_new(row.cell.to) {
            if now { opened = true } else { closed = true }
        } else if definite(was(&row.cell)) == Some(!now) {
            return true;
        }
    }
    opened && closed
}

/// Whether traffic must get through; `None` where that is open.
fn definite(expected: Expectation) -> Option<bool> {
    match expected {
        Expectation::Allow => Some(true),
        Expectation::Deny | Expectation::Drop | Expectation::Reject => Some(false),
        Expectation::Either => None,
    }
}

#[cfg(test)]
mod tests {
    use verdikt_model::{
        Check, Expect, Family, Matrix, NamespaceSpec, ObjectRef, PodChange, PodSpec, Protocol, Topics,
        Topology, Via,
    };

    use super::*;

    const SETTLE: Duration = Duration::from_secs(15);

    fn step(actions: &[Action]) -> Step {
        let checks: Vec<Check> = Vec::new();
        Step { name: "s".into(), actions: actions.to_vec(), checks, expect: Expect::default() }
    }

    fn policy() -> Action {
        Action::Delete(ObjectRef {
            api_version: "networking.k8s.io/v1".into(),
            kind: "NetworkPolicy".into(),
            namespace: Some("x".into()),
            name: "p".into(),
        })
    }

    fn label() -> Action {
        Action::LabelPod { namespace: "x".into(), pod: "a".into(), labels: BTreeMap::new() }
    }

    fn start() -> Action {
        Action::Pod { namespace: "x".into(), pod: "b".into(), change: PodChange::Start }
    }

    #[test]
    fn an_unanchored_step_is_given_twice_the_longest_time_of_its_kind() {
        let measured = Measured::default();
        let wait = |step: &Step| measured.patience(step, SETTLE).unanchored.as_millis();
        // Nothing is known: all that there is.
        assert_eq!(wait(&step(&[policy()])), 15_000);
        measured.note(&step(&[policy()]), Duration::from_millis(20));
        assert_eq!(wait(&step(&[policy()])), 2_500, "a sixth at least");
        measured.note(&step(&[policy()]), Duration::from_millis(4_000));
        measured.note(&step(&[policy()]), Duration::from_millis(30));
        assert_eq!(wait(&step(&[policy()])), 8_000);
        // Labels take a way of their own, and what was changed together says nothing of either.
        assert_eq!(wait(&step(&[label()])), 15_000);
        measured.note(&step(&[label(), policy()]), Duration::from_millis(30));
        assert_eq!(wait(&step(&[label()])), 15_000);
        measured.note(&step(&[label()]), Duration::from_millis(9_000));
        assert_eq!(wait(&step(&[label(), policy()])), 15_000, "no longer than the limit");
        assert_eq!(wait(&step(&[policy()])), 8_000);
        // A new pod gets its policies at least as late as others do.
        assert_eq!(wait(&step(&[start()])), 8_000);
        measured.note(&step(&[start()]), Duration::from_millis(5_000));
        assert_eq!((wait(&step(&[start()])), wait(&step(&[policy()]))), (10_000, 8_000));
    }

    #[test]
    fn the_record_says_what_a_step_is_anchored_by() {
        let measured = Measured::default();
        let anchor = |turned| {
            let step = step(&[policy()]);
            measured.patience(&step, SETTLE).anchor(&step, turned, Duration::from_millis(700)).unwrap()
        };
        let none = anchor(false);
        assert_eq!((none.by, none.measured_ms), (AnchoredBy::None, None));
        assert!(none.why.unwrap().contains("how long policies take here"));
        assert_eq!(
            anchor(true),
            Anchor { by: AnchoredBy::Cells, measured_ms: None, held_ms: 700, why: None }
        );
        measured.note(&step(&[policy()]), Duration::from_millis(40));
        let time = anchor(false);
        assert_eq!((time.by, time.measured_ms, time.why), (AnchoredBy::SettleTime, Some(40), None));
        let idle = step(&[]);
        assert_eq!(measured.patience(&idle, SETTLE).anchor(&idle, true, SETTLE), None);
    }

    /// A world of `x/a` and `x/b`, of which the second comes late.
    fn world() -> World {
        let pods = [("a", false), ("b", true)];
        let pods = pods.map(|(name, late)| (name.to_owned(), PodSpec { late, ..PodSpec::default() })).into();
        let namespace = NamespaceSpec { pods, ..NamespaceSpec::default() };
        World::synthetic(&Topology {
            namespaces: [("x".to_owned(), namespace)].into(),
            ..Topology::default()
        })
    }

    fn row(to: u16, expected: Expectation) -> Row {
        let cell = Cell {
            from: EndpointId(0),
            to: EndpointId(to),
            via: Via::PodIp,
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            port: 80,
        };
        Row {
            cell,
            expected,
            observed: None,
            outcome: Outcome::Error,
            attempts: 0,
            rtt_us: 0,
            seen_as: None,
            topics: Topics::default(),
        }
    }

    #[test]
    fn a_cell_that_must_turn_tells() {
        use Expectation::{Allow, Deny, Either};
        let mut world = world();
        // What the new pod's cells show came with it, unless it cannot have come open nor closed.
        assert!(!is_telling(&world, None, &[row(1, Deny)]));
        assert!(!is_telling(&world, None, &[row(1, Allow), row(1, Either)]));
        assert!(is_telling(&world, None, &[row(1, Allow), row(1, Deny)]));
        let mut to_itself = row(1, Allow);
        to_itself.cell.from = to_itself.cell.to;
        assert!(!is_telling(&world, None, &[to_itself, row(1, Deny)]));
        world.apply(&start()).unwrap();
        assert!(is_telling(&world, None, &[row(1, Deny)]) && !is_telling(&world, None, &[row(1, Allow)]));
        // The oracle knows nothing of other kinds; who wrote the step before does.
        world.foreign = true;
        assert!(!is_telling(&world, None, &[row(1, Deny)]));
        let last = |expected| StepRecord {
            name: "s".into(),
            changes: Vec::new(),
            settle_ms: None,
            anchor: None,
            cells: Matrix { rows: vec![row(1, expected)], ..Matrix::default() },
            pass: 1,
            checks: Vec::new(),
        };
        assert!(is_telling(&world, Some(&last(Allow)), &[row(1, Deny)]));
        assert!(is_telling(&world, Some(&last(Deny)), &[row(1, Allow)]));
        assert!(!is_telling(&world, Some(&last(Deny)), &[row(1, Deny)]));
        assert!(!is_telling(&world, Some(&last(Either)), &[row(1, Deny)]));
    }
}
