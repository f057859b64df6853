//! What a step measures besides cells.
//!
//! ```text
//! hold, sample   begun before the step's changes ──► changes, settling ──► ended and read
//! first          begun by the pod, or toward it, as it comes ───────────► looked at until quiet, read
//! transfer, http                                     settled ──► asked ──► read
//! ```

mod after;
mod expectations;
mod first;
mod read;
mod watched;

use std::sync::Arc;

use tokio::time::{Duration, Instant, sleep};
use verdikt_cluster::{Agent, Watch};
use verdikt_model::{
    Action, Cell, CellMatcher, CellPattern, Check, CheckExpect, CheckKind, CheckRecord, CheckWord,
    EndpointId, EndpointKind, EndpointName, Family, Level, Outcome, PodChange, Seen, Step, World,
    check_cells,
};

use self::{
    expectations::Expectations,
    read::{Reading, judge},
};
pub(crate) use self::{
    first::{Arrival, FirstCells},
    watched::Watched,
};
use crate::{
    live::Gaps,
    pods::later,
    target::Targets,
    vouch::{Servers, Signs},
};

/// How long tasks hear on after a sign of life: longer than an answer takes.
const ANSWERS: Duration = Duration::from_millis(200);

/// Cells by their source.
type BySource = Vec<(EndpointId, Vec<Cell>)>;

/// What checks need of a lane at one moment.
pub(crate) struct Checking<'a> {
    pub(crate) level: Level,
    pub(crate) world: &'a World,
    pub(crate) agents: &'a [Option<Arc<Agent>>],
    pub(crate) targets: Targets<'a>,
    pub(crate) families: &'a [Family],
    pub(crate) gaps: &'a Gaps,
    /// Only cells that match one of these; empty for all.
    pub(crate) only: &'a [CellPattern],
    /// After which silence means dropped.
    pub(crate) deadline: Duration,
    /// Until when what is not as expected is asked again.
    pub(crate) limit: Instant,
}

impl<'a> Checking<'a> {
    /// The cells of a check.
    pub(crate) fn cells(&self, check: &Check) -> Vec<Cell> {
        let matcher = CellMatcher::new(&check.pattern, self.world);
        let only: Vec<CellMatcher<'_>> =
            self.only.iter().map(|pattern| CellMatcher::new(pattern, self.world)).collect();
        let mut cells = check_cells(self.world, self.families, &check.kind);
        cells.retain(|cell| {
            matcher.matches(cell) && (only.is_empty() || only.iter().any(|only| only.matches(cell)))
        });
        cells
    }

    /// Begins what must be under way before the step's changes. A pod that the step ends takes what it has begun along.
    pub(crate) async fn begin(&self, step: &Step) -> Vec<Watched> {
        let ends: Vec<EndpointId> = step
            .actions
            .iter()
            .filter_map(|action| match action {
                Action::Pod { namespace, pod, change: PodChange::Remove | PodChange::Complete } => {
                    self.world.find(&EndpointName::pod(namespace, pod))
                }
                _ => None,
            })
            .collect();
        let mut begun = Vec::new();
        if step.checks.is_empty() {
            return begun;
        }
        let later = later(self.world, &step.actions);
        for (index, check) in step.checks.iter().enumerate() {
            if matches!(check.kind, CheckKind::Hold { .. } | CheckKind::Sample) {
                let mut cells = self.cells(check);
                cells.retain(|cell| !ends.contains(&cell.from) && !ends.contains(&cell.to));
                begun.extend(self.watch(index, check, cells, &later).await);
            }
        }
        begun
    }

    /// Ends what was begun, does the rest, and reads everything. `accepted`: the API's answer to the last change.
    pub(crate) async fn finish(
        &self,
        step: &Step,
        begun: Vec<Watched>,
        arrivals: Vec<Arrival>,
        accepted: Instant,
        settled: Instant,
    ) -> Vec<CheckRecord> {
        let mut cells: Vec<Cell> = step
            .checks
            .iter()
            // HTTP has no cells of which anything could be expected.
            .filter(|check| check.kind.word() != CheckWord::Http)
            .flat_map(|check| self.cells(check))
            .collect();
        cells.sort_unstable();
        cells.dedup();
        let expectations = Expectations::new(self.level, step, self.world, &cells);
        let mut read: Vec<(usize, Cell, Reading, Option<u64>)> = Vec::new();
        for watched in begun {
            let check = &step.checks[watched.check];
            read.extend(self.end(watched, check, &expectations, accepted, settled).await);
        }
        let firsts = self.firsts(step, arrivals, &expectations).await;
        read.extend(firsts.into_iter().map(|(check, cell, reading)| (check, cell, reading, None)));
        for (index, check) in step.checks.iter().enumerate() {
            let seen = match check.kind {
                CheckKind::Hold { .. } | CheckKind::Sample | CheckKind::First => Vec::new(),
                CheckKind::Transfer { bytes } => self.transfer(check, bytes).await,
                CheckKind::Http { .. } => self.http(check, &expectations).await,
            };
            read.extend(seen.into_iter().map(|(cell, reading)| (index, cell, reading, None)));
        }
        read.sort_by_key(|(index, cell, ..)| (*index, *cell));
        read.into_iter()
            .map(|(index, cell, reading, within_us)| {
                let check = &step.checks[index];
                CheckRecord {
                    within_us,
                    ..self.record(check, &cell, self.expected(check, &cell, &expectations), reading)
                }
            })
            .collect()
    }

    /// What a check expects of a cell.
    fn expected(&self, check: &Check, cell: &Cell, expectations: &Expectations) -> CheckExpect {
        // HTTP has no cells of which the oracle could know.
        let word = check.kind.word();
        if self.level == Level::ImplementationDefined && check.expect != CheckExpect::Derived {
            return CheckExpect::Either;
        }
        if check.expect != CheckExpect::Derived || word == CheckWord::Http {
            return check.expect;
        }
        check.expect.resolve(word, expectations.of(cell))
    }

    fn record(&self, check: &Check, cell: &Cell, expected: CheckExpect, reading: Reading) -> CheckRecord {
        let mut outcome = judge(expected, &reading);
        let mut reason = reading.detail.clone();
        // What was measured counts, even if it could not be any more.
        let unmeasured = matches!(reading.seen, None | Some(Seen::Error));
        if let Some(gap) = self.gaps.reason(self.world, cell).filter(|_| unmeasured) {
            (outcome, reason) = (Outcome::Skipped, Some(gap));
        }
        let written = check.expect;
        let recorded = self.level == Level::ImplementationDefined
            && !matches!(written, CheckExpect::Derived | CheckExpect::Either);
        if recorded && judge(written, &reading) == Outcome::Fail {
            let note =
                format!("recorded, not judged: this is implementation-defined; written down was {written}");
            reason = Some(reason.map_or(note.clone(), |reason| format!("{note}; {reason}")));
        }
        let what = match &check.kind {
            CheckKind::Http { method, path } => Some(format!("{method} {path}")),
            CheckKind::Transfer { bytes } => Some(format!("{bytes} bytes")),
            CheckKind::Hold { .. } | CheckKind::First | CheckKind::Sample => None,
        };
        let is_service = matches!(self.world.endpoint(cell.to).kind, EndpointKind::Service(_));
        // Where nobody else could have answered, it goes without saying.
        let tell = outcome != Outcome::Skipped && (is_service || reading.answered_by.len() > 1);
        let answered_by = reading.answered_by.iter().filter(|_| tell).map(|id| self.targets.who(id));
        CheckRecord {
            kind: check.kind.word(),
            from: self.world.name(cell.from).to_string(),
            to: self.world.name(cell.to).to_string(),
            via: cell.via,
            port: cell.port,
            protocol: cell.protocol,
            family: cell.family,
            what,
            expected: expected.to_string(),
            seen: reading.seen.filter(|_| outcome != Outcome::Skipped),
            outcome,
            time_us: reading.us,
            within_us: None,
            status: reading.status,
            answered_by: answered_by.collect(),
            reason,
        }
    }

    /// Whom to ask for signs of life.
    const fn servers(&self) -> Servers<'a> {
        Servers { world: self.world, agents: self.agents }
    }

    /// These readings; those that rest on silence or a refusal count only with a sign of life of the servers.
    async fn vouched(&self, cells: &[Cell], readings: Vec<Reading>) -> Vec<Reading> {
        let servers = self.servers();
        let denied = cells.iter().zip(&readings).filter(|(_, reading)| reading.is_denial());
        let signs = Signs::of(&servers, denied.map(|(cell, _)| cell), self.deadline).await;
        let unless = |(cell, reading): (&Cell, Reading)| {
            if reading.is_denial() { reading.unless(|seen| signs.doubt(cell, seen)) } else { reading }
        };
        cells.iter().zip(readings).map(unless).collect()
    }

    /// Asks for signs of life of servers on whose silence something is about to rest: those of the cells of tasks that were
    /// denied last. It is asked while the tasks go on, and they have time to hear what servers that live then answer.
    async fn signs<'s>(
        &self,
        servers: &'s Servers<'a>,
        watch: &Watch,
        cells: impl Fn(u32) -> Option<Cell>,
    ) -> Result<Signs<'s, Servers<'a>>, String> {
        let tasks = watch.look().await?.tasks;
        let denied: Vec<Cell> =
            tasks.iter().filter(|task| read::is_denied(task)).filter_map(|task| cells(task.n)).collect();
        let signs = Signs::of(servers, &denied, self.deadline).await;
        if !denied.is_empty() {
            sleep(ANSWERS.min(self.deadline)).await;
        }
        Ok(signs)
    }

    fn agent(&self, id: EndpointId) -> Result<&Arc<Agent>, String> {
        let agent = self.agents.get(usize::from(id.0)).and_then(Option::as_ref);
        agent.ok_or_else(|| format!("{} has no agent", self.world.name(id)))
    }

    /// Cells by source, without those that cannot be measured here; and the readings of those.
    fn by_source(&self, all: Vec<Cell>) -> (BySource, Vec<(Cell, Reading)>) {
        let (mut sources, mut gaps): (BySource, _) = (Vec::new(), Vec::new());
        for cell in all {
            if self.gaps.reason(self.world, &cell).is_some() {
                gaps.push((cell, Reading::default()));
                continue;
            }
            match sources.last_mut() {
                Some((from, cells)) if *from == cell.from => cells.push(cell),
                _ => sources.push((cell.from, vec![cell])),
            }
        }
        (sources, gaps)
    }
}
