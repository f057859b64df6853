//! Held connections and samples: under way before the step's changes, read after them.

use tokio::time::{Duration, Instant, sleep, sleep_until};
use verdikt_cluster::{Clock, GroupReport, Watch};
use verdikt_model::{Cell, Check, CheckExpect, CheckKind, Expectation, Protocol, Seen, World};
use verdikt_protocol::{MAX_TASKS, ProbeVerdict, Task, TaskReport, Work};

use super::{
    Checking,
    expectations::Expectations,
    read::{self, Meant, Reading},
};

/// From one question on a held connection to the next.
const QUESTION: Duration = Duration::from_millis(10);
/// From one attempt of a sample to the next, for few cells; each further cell of a pod takes as long again as half of it.
const ATTEMPT: Duration = Duration::from_millis(1);
/// The same where each attempt takes a source port that is not used again: they last for some twenty thousand.
const ATTEMPT_OWN_PORT: Duration = Duration::from_millis(2);
/// How long an attempt waits: a sample wants to know when, and the matrix tells whether.
const PATIENCE: Duration = Duration::from_millis(200);
/// Looks by which the clocks are compared.
const LOOKS: usize = 5;
/// Longest wait for attempts that are not decided.
const UNDECIDED: Duration = Duration::from_millis(2500);
/// Longest wait until held connections are answered for the first time.
const OPENING: Duration = Duration::from_secs(5);

/// What was begun for one check in one pod, or why it could not be.
pub(crate) struct Watched {
    pub(super) check: usize,
    cells: Vec<Cell>,
    /// Who may answer each cell as it was begun.
    meant: Vec<Vec<String>>,
    begun: Result<Going, String>,
}

struct Going {
    watch: Watch,
    /// By which the pod's clock is known.
    early: Vec<GroupReport>,
}

impl Checking<'_> {
    /// Begins a check, pod by pod. `later` is the world as the step will leave it, but for new addresses.
    pub(super) async fn watch(
        &self,
        index: usize,
        check: &Check,
        cells: Vec<Cell>,
        later: &World,
    ) -> Vec<Watched> {
        let (sources, gaps) = self.by_source(cells);
        let mut all = Vec::new();
        let meant = |cell: &Cell| self.targets.servers(cell).unwrap_or_default();
        for (from, cells) in sources {
            for cells in cells.chunks(MAX_TASKS) {
                let begun = async {
                    let tasks = self.tasks(check, cells, later)?;
                    let watch = self.agent(from)?.begin(tasks).await?;
                    let early = opened(&watch, &check.kind).await?;
                    Ok(Going { watch, early })
                };
                all.push(Watched {
                    check: index,
                    cells: cells.to_vec(),
                    meant: cells.iter().map(meant).collect(),
                    begun: begun.await,
                });
            }
        }
        if !gaps.is_empty() {
            let cells = gaps.into_iter().map(|(cell, _)| cell).collect();
            all.push(Watched { check: index, cells, meant: Vec::new(), begun: Err(String::new()) });
        }
        all
    }

    fn tasks(&self, check: &Check, cells: &[Cell], later: &World) -> Result<Vec<Task>, String> {
        let patience = match check.kind {
            CheckKind::Hold { .. } => self.deadline,
            _ => PATIENCE,
        };
        let patience_ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        let micros = |duration: Duration| u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        let many = ATTEMPT / 2 * u32::try_from(cells.len()).unwrap_or(u32::MAX);
        let work = |cell: &Cell| match check.kind {
            CheckKind::Hold { .. } => Work::Hold { interval_us: micros(QUESTION), patience_ms },
            _ => {
                let own_port = matches!(cell.protocol, Protocol::Udp | Protocol::Sctp);
                let attempt = if own_port { ATTEMPT_OWN_PORT } else { ATTEMPT };
                Work::Sample { interval_us: micros(attempt.max(many)), patience_ms }
            }
        };
        let task = |(n, cell): (u32, &Cell)| {
            let mut probe = self.targets.probe(n, cell)?;
            match check.kind {
                // Whoever answers is told, and judged when it is read.
                CheckKind::Hold { .. } => probe.expect.clear(),
                _ => probe.expect.extend(self.targets.of(later).servers(cell).unwrap_or_default()),
            }
            Ok(Task { probe, work: work(cell) })
        };
        (0..).zip(cells).map(task).collect()
    }

    /// Ends a check in a pod and reads it.
    pub(super) async fn end(
        &self,
        watched: Watched,
        check: &Check,
        expectations: &Expectations,
        accepted: Instant,
        settled: Instant,
    ) -> Vec<(usize, Cell, Reading, Option<u64>)> {
        let Watched { check: index, cells, meant, begun } = watched;
        let going = match begun {
            Ok(going) => going,
            Err(why) => {
                return cells
                    .into_iter()
                    .map(|cell| (index, cell, Reading::error(why.clone()), None))
                    .collect();
            }
        };
        match check.kind {
            CheckKind::Hold { for_ms } => {
                sleep_until(settled + Duration::from_millis(for_ms.into())).await;
            }
            // Every attempt that was begun until then counts, whatever the last ones show.
            _ if check.expect == CheckExpect::Closed => sleep(PATIENCE).await,
            _ => self.decided(&going.watch, &cells, expectations).await,
        }
        let Going { watch, mut early } = going;
        let servers = self.servers();
        let of = |n: u32| cells.get(usize::try_from(n).ok()?).copied();
        let ended = async {
            let signs = self.signs(&servers, &watch, of).await?;
            Ok::<_, String>((signs, watch.end().await?))
        };
        let (signs, last) = match ended.await {
            Ok(ended) => ended,
            Err(why) => {
                return cells
                    .into_iter()
                    .map(|cell| (index, cell, Reading::error(why.clone()), None))
                    .collect();
            }
        };
        early.push(last.clone());
        let clock = Clock::of(&early);
        let mut all = Vec::new();
        let name = |identity: &str| self.targets.who(identity);
        for ((n, cell), before) in (0..).zip(cells).zip(meant) {
            let report = last.tasks.iter().find(|task| task.n == n);
            let (Some(report), Some(clock)) = (report, clock) else {
                all.push((index, cell, Reading::error("the agent does not report on it"), None));
                continue;
            };
            let at = |us: u64| clock.since(accepted, us);
            let reading = match check.kind {
                CheckKind::Hold { .. } => {
                    let after = self.targets.servers(&cell).unwrap_or_default();
                    let meant = Meant { before: &before, after: &after, name: &name };
                    read::moved(read::hold(report, last.now_us(), at), report, &meant, at)
                }
                _ if check.expect == CheckExpect::Closed => read::closed(report, at),
                _ => match expectations.of(&cell) {
                    Expectation::Either => Reading {
                        detail: Some("the specification leaves open what becomes of it".into()),
                        ..Reading::default()
                    },
                    expected => read::sample(report, !expected.is_denial(), at),
                },
            };
            // What got through in between is proof, whatever its end rests on.
            let reading = if read::is_denied(report) && reading.seen != Some(Seen::Window) {
                reading.unless(|seen| signs.doubt(&cell, seen))
            } else {
                reading
            };
            let error = u64::try_from(clock.error.as_micros()).unwrap_or(u64::MAX);
            let within = reading.us.filter(|_| reading.seen != Some(Seen::Window)).map(|_| error);
            all.push((index, cell, reading, within));
        }
        all
    }
}

impl Checking<'_> {
    /// Waits until samples tell of the change: the attempt at its moment may be undecided for a second, when its
    /// handshake went through and nothing more, and holds up those after it.
    async fn decided(&self, watch: &Watch, cells: &[Cell], expectations: &Expectations) {
        let until = Instant::now() + UNDECIDED;
        sleep(PATIENCE).await;
        while Instant::now() < until {
            let Ok(report) = watch.look().await else { return };
            let told = |task: &TaskReport| {
                let cell = usize::try_from(task.n).ok().and_then(|n| cells.get(n));
                cell.is_none_or(|cell| match expectations.of(cell) {
                    Expectation::Either => true,
                    expected => read::sample(task, !expected.is_denial(), |_| 0).seen == Some(Seen::Changed),
                })
            };
            if report.tasks.iter().all(told) {
                return;
            }
            sleep(PATIENCE / 4).await;
        }
    }
}

/// Waits until every held connection has been answered, and compares clocks on the way.
async fn opened(watch: &Watch, kind: &CheckKind) -> Result<Vec<GroupReport>, String> {
    let until = Instant::now() + OPENING;
    let mut reports = Vec::new();
    loop {
        let report = watch.look().await?;
        let hold = matches!(kind, CheckKind::Hold { .. });
        let answered = |task: &TaskReport| task.runs.iter().any(|run| run.verdict == ProbeVerdict::Allowed);
        let open = !hold || report.tasks.iter().all(answered);
        let tried = report.tasks.iter().all(|task| !task.runs.is_empty());
        reports.push(report);
        if open && reports.len() >= LOOKS && (hold || tried) || Instant::now() >= until {
            reports.sort_by_key(GroupReport::round_trip);
            reports.truncate(LOOKS);
            return Ok(reports);
        }
        sleep(Duration::from_millis(10)).await;
    }
}
