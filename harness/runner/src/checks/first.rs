//! First moments of pods that a step starts: what they reach from their first instruction on, and what reaches them from
//! the moment on at which the API tells their addresses.

use std::collections::BTreeMap;

use tokio::time::{Duration, Instant, sleep};
use verdikt_cluster::{GroupReport, Watch};
use verdikt_model::{Action, Cell, CheckExpect, CheckKind, EndpointId, EndpointName, PodChange, Step};
use verdikt_protocol::{ProbeVerdict, Task, TaskReport, Work};

use super::{
    Checking,
    expectations::Expectations,
    read::{self, Reading},
};

/// How long nothing must have got through any more before the first moments are over.
const QUIET_US: u64 = 1_000_000;
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(50);
/// From one attempt to reach a new pod to the next, and how long each waits.
const INTERVAL: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_millis(200);

/// A cell, and the check that it belongs to (index in its step).
pub(crate) type Checked = (usize, Cell);

/// The cells of first moments of one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FirstCells {
    /// What it tries itself, in this order.
    pub(crate) own: Vec<Checked>,
    /// Who tries to reach it.
    pub(crate) toward: BTreeMap<EndpointId, Vec<Checked>>,
}

/// Attempts to reach a new pod, under way since its address was known.
pub(crate) struct Arrival {
    pub(crate) cells: Vec<Checked>,
    pub(crate) begun: Result<Watch, String>,
}

impl Checking<'_> {
    /// The cells of a step's first moments, by the pod that the step starts.
    pub(crate) fn first_cells(&self, step: &Step) -> BTreeMap<EndpointId, FirstCells> {
        let started = |action: &Action| match action {
            Action::Pod { namespace, pod, change: PodChange::Start } => {
                self.world.find(&EndpointName::pod(namespace, pod))
            }
            _ => None,
        };
        let started: Vec<EndpointId> = step.actions.iter().filter_map(started).collect();
        let mut all: BTreeMap<EndpointId, FirstCells> = BTreeMap::new();
        for (index, check) in
            step.checks.iter().enumerate().filter(|(_, check)| check.kind == CheckKind::First)
        {
            for cell in self.cells(check) {
                if started.contains(&cell.from) && started.contains(&cell.to) {
                    // Where the other one will be is not known when the first instruction is written.
                    continue;
                }
                if started.contains(&cell.from) {
                    all.entry(cell.from).or_default().own.push((index, cell));
                } else if started.contains(&cell.to) {
                    all.entry(cell.to).or_default().toward.entry(cell.from).or_default().push((index, cell));
                }
            }
        }
        all
    }

    /// Begins to try to reach a new pod; this world has its addresses.
    pub(crate) async fn arrive(&self, toward: &BTreeMap<EndpointId, Vec<Checked>>) -> Vec<Arrival> {
        let mut all = Vec::new();
        for (from, cells) in toward {
            let begun = async {
                let micros = |duration: Duration| u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
                let patience_ms = u32::try_from(PATIENCE.as_millis()).unwrap_or(u32::MAX);
                let work = Work::Sample { interval_us: micros(INTERVAL), patience_ms };
                let task =
                    |(n, (_, cell)): (u32, &Checked)| Ok(Task { probe: self.targets.probe(n, cell)?, work });
                let tasks = (0..).zip(cells).map(task).collect::<Result<Vec<Task>, String>>()?;
                self.agent(*from)?.begin(tasks).await
            };
            all.push(Arrival { cells: cells.clone(), begun: begun.await });
        }
        all
    }

    /// What got through in first moments.
    pub(super) async fn firsts(
        &self,
        step: &Step,
        arrivals: Vec<Arrival>,
        expectations: &Expectations,
    ) -> Vec<(usize, Cell, Reading)> {
        let mut all: Vec<Arrival> = arrivals;
        for (pod, FirstCells { own, .. }) in self.first_cells(step) {
            if !own.is_empty() {
                let begun = match self.agent(pod) {
                    Ok(agent) => agent.first().await,
                    Err(why) => Err(why),
                };
                all.push(Arrival { cells: own, begun });
            }
        }
        let mut seen = Vec::new();
        for Arrival { cells, begun } in all {
            let readings = match begun {
                Ok(watch) => self.until_quiet(watch, &cells, step, expectations).await,
                Err(why) => Err(why),
            };
            let readings =
                readings.unwrap_or_else(|why| cells.iter().map(|_| Reading::error(why.clone())).collect());
            let all = cells.into_iter().zip(readings);
            seen.extend(all.map(|((check, cell), reading)| (check, cell, reading)));
        }
        seen
    }

    /// Looks until nothing new is to be expected, and reads.
    async fn until_quiet(
        &self,
        watch: Watch,
        cells: &[Checked],
        step: &Step,
        expectations: &Expectations,
    ) -> Result<Vec<Reading>, String> {
        let opening = |(check, cell): &Checked| {
            self.expected(&step.checks[*check], cell, expectations) == CheckExpect::Allow
        };
        let is_over = |report: &GroupReport| {
            cells.iter().zip(&report.tasks).all(|(cell, task)| {
                let last = task.runs.iter().rev().find(|run| run.verdict == ProbeVerdict::Allowed);
                let is_open = task.runs.last().is_some_and(|run| run.verdict == ProbeVerdict::Allowed);
                let quiet = |since: u64| report.now_us().saturating_sub(since) >= QUIET_US;
                match last {
                    Some(_) if is_open && opening(cell) => true,
                    Some(run) => quiet(run.last_us),
                    None => !opening(cell) && quiet(task.began_us),
                }
            })
        };
        loop {
            let report = watch.look().await?;
            if is_over(&report) || Instant::now() >= self.limit {
                break;
            }
            sleep(LOOK).await;
        }
        let servers = self.servers();
        let of = |n: u32| cells.get(usize::try_from(n).ok()?).map(|(_, cell)| *cell);
        let signs = self.signs(&servers, &watch, of).await?;
        let report = watch.end().await?;
        if report.tasks.len() != cells.len() {
            return Err(format!("{} addresses were tried, not {}", report.tasks.len(), cells.len()));
        }
        let reading = |((_, cell), task): (&Checked, &TaskReport)| {
            let reading = read::first(task);
            if read::is_denied(task) { reading.unless(|seen| signs.doubt(cell, seen)) } else { reading }
        };
        Ok(cells.iter().zip(&report.tasks).map(reading).collect())
    }
}

#[cfg(test)]
mod tests {
    use verdikt_cluster::Names;
    use verdikt_model::{
        Check, Expect, Family, Level, NamespaceSpec, PodSpec, PortProtocol, Protocol, Serve, Topology, World,
    };

    use super::*;
    use crate::{
        live::{Gaps, Hosts},
        target::Targets,
    };

    /// Where a pod will be is not known before it is there: another that starts beside it would dial nobody, or itself.
    #[tokio::test]
    async fn pods_of_one_step_do_not_try_each_other() {
        let serve =
            Serve { ports: [PortProtocol { port: 80, protocol: Protocol::Tcp }].into(), ..Serve::default() };
        let pod = |late| PodSpec { serve: serve.clone(), late, ..PodSpec::default() };
        let pods = [("a", false), ("l", true), ("m", true)].map(|(name, late)| (name.to_owned(), pod(late)));
        let namespace = NamespaceSpec { pods: pods.into(), ..NamespaceSpec::default() };
        let topology = Topology { namespaces: [("x".to_owned(), namespace)].into(), ..Topology::default() };
        let start =
            |pod: &str| Action::Pod { namespace: "x".into(), pod: pod.into(), change: PodChange::Start };
        let step = Step {
            name: "one".into(),
            actions: vec![start("l"), start("m")],
            checks: vec![Check {
                kind: CheckKind::First,
                pattern: "x/* -> x/*".parse().unwrap(),
                expect: CheckExpect::Derived,
            }],
            expect: Expect { derived: true, rules: Vec::new() },
        };
        let mut world = World::synthetic(&topology);
        step.actions.iter().for_each(|action| world.apply(action).unwrap());
        let (names, hosts, gaps) = (Names::default(), Hosts::default(), Gaps::default());
        let checking = Checking {
            level: Level::Core,
            world: &world,
            agents: &[],
            targets: Targets::new(&world, &names, &hosts, "cluster.local"),
            families: &[Family::Ipv4],
            gaps: &gaps,
            only: &[],
            deadline: LOOK,
            limit: Instant::now(),
        };
        let [a, l, m] = ["a", "l", "m"].map(|pod| world.find(&EndpointName::pod("x", pod)).unwrap());
        let cells = checking.first_cells(&step);
        assert_eq!(cells.keys().copied().collect::<Vec<_>>(), [l, m]);
        for of in cells.values() {
            assert_eq!(of.own.iter().map(|(_, cell)| cell.to).collect::<Vec<_>>(), [a]);
            assert_eq!(of.toward.keys().copied().collect::<Vec<_>>(), [a]);
        }
    }
}
