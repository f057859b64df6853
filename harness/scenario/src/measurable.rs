//! Whether a step's checks have something to measure, and can measure it.

use std::collections::BTreeMap;

use verdikt_model::{
    Action, Cell, CellMatcher, Check, CheckExpect, CheckKind, CheckScope, EndpointId, EndpointKind,
    EndpointName, Expect, ExpectRule, Expectation, Family, Level, PodChange, Step, World, check_cells,
};
use verdikt_oracle::plan;

use crate::{
    crosscheck::{name, unmatched},
    decode::Findings,
    diagnostic::Finding,
    span::Span,
};

/// A step in its surroundings.
pub(crate) struct Moment<'a> {
    pub(crate) level: Level,
    pub(crate) step: &'a Step,
    /// The world before the step, and after it.
    pub(crate) before: &'a World,
    pub(crate) after: &'a World,
    /// What the step before expects; `None` where it is not known which that is.
    pub(crate) rules_before: Option<&'a [ExpectRule]>,
}

/// Reports checks that measure nothing, or cannot be measured. `spans`: the places of their patterns.
pub(crate) fn check(moment: &Moment<'_>, spans: &[Span], findings: &mut Findings) {
    for (check, span) in moment.step.checks.iter().zip(spans) {
        if let Some(finding) = moment.fault(check, *span) {
            findings.push(finding);
        }
    }
}

impl Moment<'_> {
    fn fault(&self, check: &Check, span: Span) -> Option<Finding> {
        let of_kind = check_cells(self.after, Family::ALL, &check.kind);
        let matcher = CellMatcher::new(&check.pattern, self.after);
        let cells: Vec<Cell> = of_kind.iter().copied().filter(|cell| matcher.matches(cell)).collect();
        if cells.is_empty() {
            return Some(match check.kind {
                CheckKind::Http { .. } => Finding::error(
                    "scenario/pattern-without-cells",
                    span,
                    format!("`{}` matches no port that speaks HTTP", check.pattern),
                )
                .help("add `serve: {http: [PORT]}` to its destination"),
                _ => unmatched(&check.pattern, span, self.after, &of_kind),
            });
        }
        if check.kind == CheckKind::First {
            // Where the other pod will be is not known when the first instruction is written.
            let both = |cell: &Cell| self.comes(cell.from) && self.comes(cell.to);
            let known: Vec<Cell> = cells.iter().copied().filter(|cell| !both(cell)).collect();
            if known.is_empty() {
                return Some(
                    Finding::error(
                        "scenario/unmeasurable-check",
                        span,
                        format!(
                            "both ends of {} start in this step, so its address is not known beforehand",
                            name(&cells[0], self.after)
                        ),
                    )
                    .help("start the pod that is to be reached in an earlier step"),
                );
            }
            return known.iter().find_map(|cell| self.out_of_scope(check, cell, span));
        }
        cells
            .iter()
            .find_map(|cell| self.out_of_scope(check, cell, span))
            .or_else(|| self.too_early(check, &cells, span))
            .or_else(|| self.open_at_an_end(check, &cells, span))
            .or_else(|| self.unchanged(check, &cells, span))
    }

    /// A cell that no check of this kind can be about.
    fn out_of_scope(&self, check: &Check, cell: &Cell, span: Span) -> Option<Finding> {
        let word = check.kind.word();
        if check.kind == CheckKind::First && !self.comes(cell.from) && !self.comes(cell.to) {
            return Some(
                Finding::error(
                    "scenario/invalid-check",
                    span,
                    format!("neither end of {} is a pod that this step starts", name(cell, self.after)),
                )
                .help("a first check is about pods under `start` of its own step; make the pattern narrower"),
            );
        }
        let scope = CheckScope::of(word, self.comes(cell.from));
        let why = scope.fault(self.after, cell)?;
        let way = if scope.way.is_empty() { String::new() } else { format!(" {}", scope.way) };
        Some(
            Finding::error(
                "scenario/unmeasurable-check",
                span,
                format!("{} cannot be measured by a {word} check{way}: {why}", name(cell, self.after)),
            )
            .help("name what it can be about: a port with its protocol (`:80/tcp`), another path (`via`), another destination"),
        )
    }

    /// What is begun before the step's changes needs both ends before them, and a connection that is held is opened then.
    fn too_early(&self, check: &Check, cells: &[Cell], span: Span) -> Option<Finding> {
        let is_hold = matches!(check.kind, CheckKind::Hold { .. });
        if !is_hold && check.kind != CheckKind::Sample {
            return None;
        }
        let word = check.kind.word();
        let finding = |cell: &Cell, why: &str| {
            let message = format!(
                "a {word} check begins before the step's changes, and {} {why}",
                name(cell, self.after)
            );
            Finding::error("scenario/unmeasurable-check", span, message)
        };
        let there: Vec<Cell> =
            cells.iter().copied().filter(|cell| self.is_there_before(cell, is_hold)).collect();
        if there.is_empty() {
            return Some(
                finding(&cells[0], "is not there yet")
                    .help("put it into a later step; what a new pod meets is measured by a `first` check"),
            );
        }
        if !is_hold || self.before.foreign {
            return None;
        }
        let before = expectations(self.level, self.rules_before?, self.before, &there);
        let closed = there.iter().find(|cell| before.get(cell).is_some_and(|word| word.is_denial()))?;
        Some(
            finding(closed, "is denied then, so no connection can be opened")
                .help("hold it in a step before which it is allowed; `sample` measures when it opens"),
        )
    }

    /// Whether a cell has both ends before the step; through a Service, and where somebody must answer, with a pod behind it.
    fn is_there_before(&self, cell: &Cell, answering: bool) -> bool {
        let has = |end| self.before.ip(end, cell.family).is_some();
        let answers = match &self.before.endpoint(cell.to).kind {
            EndpointKind::Service(service) => !answering || !self.before.backends(service).is_empty(),
            _ => true,
        };
        has(cell.from) && has(cell.to) && answers
    }

    /// What must be closed at every moment of a step is denied before it and after it.
    fn open_at_an_end(&self, check: &Check, cells: &[Cell], span: Span) -> Option<Finding> {
        if check.kind != CheckKind::Sample || check.expect != CheckExpect::Closed || self.before.foreign {
            return None;
        }
        let before = self.rules_before.map(|rules| expectations(self.level, rules, self.before, cells));
        let after = expectations(self.level, &self.step.expect.rules, self.after, cells);
        for (words, when) in [(before.as_ref(), "before"), (Some(&after), "after")] {
            let open = |cell: &Cell| words?.get(cell).copied().filter(|word| !word.is_denial());
            if let Some((cell, word)) = cells.iter().find_map(|cell| Some((cell, open(cell)?))) {
                let message = format!(
                    "{} must be closed at every moment of the step, but {when} it {word} is expected",
                    name(cell, self.after)
                );
                return Some(
                    Finding::error("scenario/unmeasurable-check", span, message)
                        .help("apply what denies it in an earlier step, or make the pattern narrower"),
                );
            }
        }
        None
    }

    /// A sample times the change of a cell to what is expected of it.
    fn unchanged(&self, check: &Check, cells: &[Cell], span: Span) -> Option<Finding> {
        if check.kind != CheckKind::Sample || check.expect == CheckExpect::Closed || self.before.foreign {
            return None;
        }
        let now = expectations(self.level, &self.step.expect.rules, self.after, cells);
        let before = expectations(self.level, self.rules_before?, self.before, cells);
        let word = |cell: &Cell| now.get(cell).copied().unwrap_or(Expectation::Either);
        let changes = |cell: &Cell| match (before.get(cell), word(cell)) {
            (_, Expectation::Either) => false,
            (None | Some(Expectation::Either), _) => true,
            (Some(before), now) => before.is_denial() != now.is_denial(),
        };
        if cells.iter().any(changes) {
            return None;
        }
        let (cell, example) = (word(&cells[0]), name(&cells[0], self.after));
        let why = match cell {
            Expectation::Either => format!("what is expected of {example} is open"),
            cell => format!("{example} is {cell} before it, too"),
        };
        Some(
            Finding::error(
                "scenario/unmeasurable-check",
                span,
                format!("a sample check times a change, and this step changes none of its cells: {why}"),
            )
            .help("sample cells that the step opens or closes"),
        )
    }

    /// Whether an endpoint is a pod that the step starts.
    fn comes(&self, end: EndpointId) -> bool {
        let name = self.after.name(end);
        self.step.actions.iter().any(|action| match action {
            Action::Pod { namespace, pod, change: PodChange::Start } => {
                *name == EndpointName::pod(namespace, pod)
            }
            _ => false,
        })
    }
}

/// What is expected of cells.
fn expectations(
    level: Level,
    rules: &[ExpectRule],
    world: &World,
    cells: &[Cell],
) -> BTreeMap<Cell, Expectation> {
    let expect = Expect { derived: true, rules: rules.to_vec() };
    plan(level, &expect, world, cells).rows.into_iter().collect()
}
