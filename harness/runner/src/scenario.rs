//! One scenario in a lane: positive control, then its steps.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use tokio::{
    sync::Semaphore,
    time::{Duration, Instant, sleep},
};
use verdikt_cluster::{ClusterError, First};
use verdikt_model::{
    Action, Anchor, Cell, CellMatcher, EndpointId, EndpointName, Known, Level, Matrix, Outcome, PodChange,
    Requirement, Row, Scenario, ScenarioOutcome, ScenarioRecord, Step, StepRecord, Topics, World, ending,
};
use verdikt_oracle::{Habits, plan};

use crate::{
    anchor::{Measured, is_telling},
    blocks::hold_to,
    changes::change,
    checks::{Checking, FirstCells},
    control::{NoControl, control},
    deadline::{deadline, of_control},
    lane::Lane,
    options::Options,
    outcome::{doubt, reasons, unasked, unprove, unprove_checks, unsettled},
    pods::{self, Beginning},
    settle::{Limits, Settling},
    stop::Stop,
    sweep::AgentProber,
    target::Targets,
    tell::{Teller, unmeasured},
    timed::Timed,
    vouch::{Servers, Vouched},
};

/// How long a scenario may still take to hand in what it has measured when the run is stopped.
pub(crate) const HAND_IN: Duration = Duration::from_millis(700);

/// What the scenarios of a run share.
pub(crate) struct Setting<'a> {
    pub(crate) options: &'a Options,
    pub(crate) in_flight: &'a Semaphore,
    pub(crate) tell: &'a Teller,
    pub(crate) known: &'a Known,
    pub(crate) stop: &'a Stop,
    pub(crate) measured: &'a Measured,
    /// What the dataplane is held to where the specification leaves it open.
    pub(crate) habits: Habits,
}

impl Setting<'_> {
    /// Runs a scenario in a lane that stands as its topology says, and leaves its objects in place.
    pub(crate) async fn run(&self, lane: &mut Lane, scenario: &Scenario) -> ScenarioRecord {
        let started = Instant::now();
        let mut record = unmeasured(scenario, ScenarioOutcome::Passed, String::new());
        record.reason = None;
        if let Some(why) = unmet(lane, scenario).await {
            (record.outcome, record.reason) = (ScenarioOutcome::Skipped, Some(why));
        } else {
            let too_late = async {
                self.stop.stopped().await;
                sleep(HAND_IN).await;
            };
            let ended = tokio::select! {
                biased;
                ended = self.steps(lane, scenario, &mut record.steps) => ended,
                () = too_late => Err(End::Interrupted),
            };
            match ended {
                Ok(()) => (record.outcome, record.reason) = ending(scenario.level, &record.steps),
                Err(End::Refused(why)) => {
                    (record.outcome, record.reason) = (ScenarioOutcome::Skipped, Some(why))
                }
                Err(End::Different(why)) => {
                    (record.outcome, record.reason) = (ScenarioOutcome::Failed, Some(why))
                }
                Err(End::Interrupted) => {
                    let (so_far, _) = ending(scenario.level, &record.steps);
                    let failed = so_far == ScenarioOutcome::Failed;
                    record.outcome = if failed { so_far } else { ScenarioOutcome::Errored };
                    record.reason = Some(interrupted(&record.steps));
                    record.interrupted = true;
                }
                Err(End::Broken(why)) => {
                    // What the steps before it proved stays proved.
                    let (so_far, _) = ending(scenario.level, &record.steps);
                    let failed = so_far == ScenarioOutcome::Failed;
                    record.outcome = if failed { so_far } else { ScenarioOutcome::Errored };
                    record.reason = Some(why);
                }
            }
        }
        record.nodes = lane.pod_nodes();
        record.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        record
    }

    async fn steps(
        &self,
        lane: &mut Lane,
        scenario: &Scenario,
        records: &mut Vec<StepRecord>,
    ) -> Result<(), End> {
        let mut world = lane.world.clone();
        let names =
            Arc::new(world.endpoints.iter().map(|endpoint| endpoint.name.to_string()).collect::<Vec<_>>());
        let mut cells = self.relevant(scenario, &lane.world, &lane.cells);
        let control = {
            let can_be_measured = |cell: &Cell| lane.gaps.reason(&world, cell).is_none();
            let measurable: Cow<'_, [Cell]> = if cells.iter().all(can_be_measured) {
                Cow::Borrowed(&cells)
            } else {
                cells.iter().copied().filter(can_be_measured).collect()
            };
            self.tell.progress(&scenario.name, format!("positive control: {} cells", measurable.len()));
            let prober = self.prober(lane, &scenario.name, &world);
            let deadlines = of_control(self.options.deadline);
            let control = control(&prober, &world, &measurable, self.options.positive_control, deadlines);
            self.stop.unless(control).await.ok_or(End::Interrupted)?
        };
        let control = match control {
            // A pod that has died is refused, too: its node answers in its place, or whoever has its address now.
            Err(NoControl::Refused(why)) => Err(match lane.lost().await.into_iter().next() {
                Some((id, loss)) => NoControl::Broken(format!("{} {loss}; it was {why}", world.name(id))),
                None => NoControl::Refused(why),
            }),
            other => other,
        };
        let mut control = control.inspect_err(|_| lane.give_up())?;
        let deadline = deadline(self.options.deadline, &mut control.rtts_us);
        let passes: Vec<(u16, &Step)> =
            (1..=scenario.repeat).flat_map(|pass| std::iter::repeat(pass).zip(&scenario.steps)).collect();
        for (pass, step) in passes {
            if self.stop.is_stopped() {
                return Err(End::Interrupted);
            }
            // What has failed would fail again, each time until its limit.
            if records.last().is_some_and(|last| last.pass < pass)
                && ending(scenario.level, records).0 == ScenarioOutcome::Failed
            {
                break;
            }
            let begun = self.checking(lane, scenario, &world, deadline).begin(step).await;
            let firsts = self.firsts(lane, scenario, step, &world, deadline);
            let mut accepted = Instant::now();
            let before = world.clone();
            for action in &step.actions {
                let first = firsts.as_ref().map(|firsts| of_pod(firsts, action, &world));
                let acted = match first {
                    Ok(first) => lane.act(action, &mut world, first).await,
                    Err(why) => Err(ClusterError::Object(why.clone())),
                };
                if let Err(error) = acted {
                    // Perhaps it was done all the same, or will be: too late for this scenario, and amid the next.
                    lane.give_up();
                    let why = format!("step {}: {error}", step.name);
                    // What is open may be refused, too.
                    let open = scenario.level == Level::ImplementationDefined;
                    let refused = open && matches!(error, ClusterError::Refused { code: 422, .. });
                    return Err(if refused { End::Refused(why) } else { End::Broken(why) });
                }
                accepted = Instant::now();
                world.apply(action).map_err(|e| format!("step {}: {e}", step.name))?;
            }
            // Where somebody is, and who is behind a Service, decides which cells there are.
            let matters = |action: &Action| matches!(action, Action::Pod { .. } | Action::LabelPod { .. });
            if step.actions.iter().any(matters) {
                let there = verdikt_model::cells(&world, &lane.facts.families);
                cells = self.relevant(scenario, &world, &there.into());
            }
            let (mut record, settled) = self
                .step(
                    lane,
                    scenario,
                    step,
                    records.last(),
                    (&before, &world),
                    &names,
                    &cells,
                    &control.resolved,
                    deadline,
                    accepted,
                )
                .await;
            record.pass = pass;
            if !settled {
                records.push(record);
                return Err(End::Interrupted);
            }
            let mut cut = false;
            if !step.checks.is_empty() {
                self.tell
                    .progress(&scenario.name, format!("step {}: {} checks", step.name, step.checks.len()));
                let arrivals = std::mem::take(&mut lane.arrivals);
                let checking = self.checking(lane, scenario, &world, deadline);
                let checked = checking.finish(step, begun, arrivals, accepted, Instant::now());
                // Without its checks a step still has its cells.
                let checked = self.stop.unless(checked).await;
                cut = checked.is_none();
                record.checks = checked.unwrap_or_default();
            }
            let lost = lane.lost().await;
            unprove(&mut record.cells, &world, &lost);
            unprove_checks(&mut record.checks, &world, &lost);
            self.known.judge_step(&scenario.name, &mut record);
            records.push(record);
            if cut {
                return Err(End::Interrupted);
            }
            if let Some((id, loss)) = lost.iter().next() {
                lane.give_up();
                return Err(format!("step {}: {} {loss}", step.name, world.name(*id)).into());
            }
        }
        Ok(())
    }

    /// Has a step settle; `false` when the run was stopped before it had.
    #[expect(clippy::too_many_arguments, reason = "all of it is a step's own state, used once")]
    async fn step(
        &self,
        lane: &Lane,
        scenario: &Scenario,
        step: &Step,
        last: Option<&StepRecord>,
        (before, world): (&World, &World),
        names: &Arc<Vec<String>>,
        cells: &[Cell],
        resolved: &[Cell],
        deadline: Duration,
        accepted: Instant,
    ) -> (StepRecord, bool) {
        let mut planned = plan(scenario.level, &step.expect, world, cells);
        let held = hold_to(self.habits, scenario.level, world, &mut planned);
        if let Some(contradiction) = planned.contradictions.first() {
            self.tell.warn(format!(
                "{}, step {}: {} hand-written cells differ from the specification in this cluster, such as {}: {}",
                scenario.name,
                step.name,
                planned.contradictions.len(),
                crate::control::describe(world, &contradiction.cell),
                contradiction.reasons.join("; "),
            ));
        }
        let mut matrix = Matrix { names: Arc::clone(names), ..Matrix::default() };
        let mut step_cells = Vec::with_capacity(planned.rows.len());
        matrix.rows.reserve_exact(planned.rows.len());
        for (cell, expected) in planned.rows {
            step_cells.push(cell);
            let gap = lane.gaps.reason(world, &cell);
            let outcome = if gap.is_some() { Outcome::Skipped } else { Outcome::Error };
            if let Some(why) = gap {
                matrix.reasons.insert(matrix.rows.len() as u32, why);
            }
            matrix.rows.push(Row {
                cell,
                expected,
                observed: None,
                outcome,
                attempts: 0,
                rtt_us: 0,
                seen_as: None,
                topics: Topics::NONE,
            });
        }
        for (row, topics) in matrix.rows.iter_mut().zip(verdikt_oracle::topics(world, &step_cells)) {
            row.topics = topics;
        }
        let count = matrix.rows.len();
        self.tell.progress(&scenario.name, format!("step {}: {count} cells", step.name));
        let telling = step.actions.is_empty() || is_telling(before, last, &matrix.rows);
        let patience = self.measured.patience(step, self.options.settle);
        let known = self.known.wrong_verdicts(&scenario.name, &step.name, &matrix);
        let settled = {
            let prober = self.prober(lane, &scenario.name, world);
            let settling = Settling {
                prober: &prober,
                cells: &step_cells,
                rows: &mut matrix.rows,
                // A pod that came later has asked nothing before the first policy, but others have.
                resolved_before: &|cell| {
                    resolved.binary_search(cell).is_ok()
                        || lane.came_later(cell.from)
                            && resolved.iter().any(|have| (have.to, have.via) == (cell.to, cell.via))
                },
                known: &known,
                limits: Limits {
                    deadline,
                    settle: self.options.settle,
                    quiet: patience.quiet,
                    unanchored: patience.unanchored,
                    telling,
                },
            };
            let progress = |wrong| {
                let what = format!("step {}: {count} cells, {wrong} not yet as expected", step.name);
                self.tell.progress(&scenario.name, what);
            };
            self.stop.unless(settling.run(accepted, progress)).await
        };
        let Some(settled) = settled else {
            unsettled(&mut matrix);
            return (record(step, None, None, matrix), false);
        };
        if let Some(took) = settled.turned.filter(|_| telling && !step.actions.is_empty()) {
            self.measured.note(step, took);
        }
        let anchor = settled.held.and_then(|held| patience.anchor(step, settled.anchored, held));
        let mut notes = settled.notes;
        doubt(&mut matrix, &mut notes, world);
        reasons(&mut matrix, &notes, world, &planned.written, &held);
        let servers = Servers { world, agents: &lane.agents };
        unasked(&mut matrix, |cell| servers.unasked(cell));
        let settle_ms = settled.after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        (record(step, settle_ms, anchor, matrix), true)
    }

    fn checking<'a>(
        &'a self,
        lane: &'a Lane,
        scenario: &Scenario,
        world: &'a World,
        deadline: Duration,
    ) -> Checking<'a> {
        Checking {
            level: scenario.level,
            world,
            agents: &lane.agents,
            targets: Targets::new(world, &lane.deployment.names, &lane.hosts, &self.options.cluster_domain),
            families: &lane.facts.families,
            gaps: &lane.gaps,
            only: &self.options.cells,
            deadline,
            limit: Instant::now() + self.options.settle,
        }
    }

    /// What the pods that a step starts try with their first instruction, and who tries to reach them.
    fn firsts(
        &self,
        lane: &Lane,
        scenario: &Scenario,
        step: &Step,
        world: &World,
        deadline: Duration,
    ) -> Result<BTreeMap<EndpointId, Beginning>, String> {
        let foreseen = pods::foreseen(world, &step.actions, &lane.facts.families);
        let checking = self.checking(lane, scenario, &foreseen, deadline);
        let of_pod = |(pod, cells): (EndpointId, FirstCells)| {
            let first = |(_, cell): &(usize, Cell)| pods::first(cell, checking.targets.probe(0, cell)?);
            let own = cells.own.iter().map(first).collect::<Result<Vec<First>, String>>()?;
            Ok((pod, Beginning { own, toward: cells.toward }))
        };
        checking.first_cells(step).into_iter().map(of_pod).collect()
    }

    fn prober<'a>(
        &'a self,
        lane: &'a Lane,
        name: &'a str,
        world: &'a World,
    ) -> Timed<'a, Vouched<AgentProber<'a>, Servers<'a>>> {
        let prober = AgentProber {
            agents: &lane.agents,
            targets: Targets::new(world, &lane.deployment.names, &lane.hosts, &self.options.cluster_domain),
            in_flight: self.in_flight,
        };
        let witness = Servers { world, agents: &lane.agents };
        Timed { prober: Vouched { prober, witness }, tell: self.tell, name }
    }

    /// The cells that the scenario's steps or the user's patterns ask for.
    fn relevant(&self, scenario: &Scenario, world: &World, cells: &Arc<[Cell]>) -> Arc<[Cell]> {
        let all_steps = scenario.steps.iter().any(|step| step.expect.derived);
        if all_steps && self.options.cells.is_empty() {
            return Arc::clone(cells);
        }
        let named: Vec<CellMatcher<'_>> = if all_steps {
            Vec::new()
        } else {
            let rules = scenario.steps.iter().flat_map(|step| &step.expect.rules);
            rules.map(|rule| CellMatcher::new(&rule.pattern, world)).collect()
        };
        let chosen: Vec<CellMatcher<'_>> =
            self.options.cells.iter().map(|pattern| CellMatcher::new(pattern, world)).collect();
        cells
            .iter()
            .filter(|cell| all_steps || named.iter().any(|filter| filter.matches(cell)))
            .filter(|cell| chosen.is_empty() || chosen.iter().any(|filter| filter.matches(cell)))
            .copied()
            .collect()
    }
}

/// The record of a step without its checks.
fn record(step: &Step, settle_ms: Option<u64>, anchor: Option<Anchor>, cells: Matrix) -> StepRecord {
    StepRecord {
        name: step.name.clone(),
        changes: step.actions.iter().map(change).collect(),
        settle_ms,
        anchor,
        cells,
        pass: 1,
        checks: Vec::new(),
    }
}

/// What the pod of an action tries first.
fn of_pod(firsts: &BTreeMap<EndpointId, Beginning>, action: &Action, world: &World) -> Beginning {
    match action {
        Action::Pod { namespace, pod, change: PodChange::Start } => {
            let id = world.find(&EndpointName::pod(namespace, pod));
            id.and_then(|id| firsts.get(&id)).cloned().unwrap_or_default()
        }
        _ => Beginning::default(),
    }
}

/// Why a scenario did not go to its end.
enum End {
    /// Something could not be done or measured.
    Broken(String),
    /// The API server does not take an object, which the specification leaves open.
    Refused(String),
    /// A difference was proved before the first step.
    Different(String),
    /// The run was stopped.
    Interrupted,
}

impl From<NoControl> for End {
    fn from(why: NoControl) -> Self {
        match why {
            NoControl::Broken(why) => Self::Broken(why),
            NoControl::Refused(why) => Self::Different(why),
        }
    }
}

/// Where a scenario was interrupted.
fn interrupted(steps: &[StepRecord]) -> String {
    match steps.last() {
        Some(step) => {
            format!("interrupted in or after step {}; what was measured until then stands", step.name)
        }
        None => "interrupted before its first step was measured".to_owned(),
    }
}

impl From<String> for End {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

/// Why a scenario is skipped in this lane; what can be known without one is checked before.
async fn unmet(lane: &Lane, scenario: &Scenario) -> Option<String> {
    for requirement in &scenario.requires {
        match requirement {
            Requirement::Sctp => {
                if let Some(why) = lane.gaps.no_sctp.values().next() {
                    return Some(format!("needs SCTP: {why}"));
                }
            }
            Requirement::Dns(address) => {
                let answers = lane.asks_dns(*address).await;
                if let Err(why) = answers {
                    return Some(format!("needs a DNS server at {address}: {why}"));
                }
            }
            // Looked at before there was a lane.
            Requirement::Crd(_)
            | Requirement::Dataplane(_)
            | Requirement::DualStack
            | Requirement::Nodes(_)
            | Requirement::External => {}
        }
    }
    None
}
