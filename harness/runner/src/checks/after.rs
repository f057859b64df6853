//! Transfers and HTTP: asked once the step is in force.

use std::collections::BTreeMap;

use tokio::time::{Duration, Instant, sleep};
use verdikt_model::{Cell, Check, CheckKind, EndpointId, Outcome, Seen};
use verdikt_protocol::{HttpRequest, Probe, ProbeResult, ProbeVerdict, Task, Work};

use super::{
    Checking,
    expectations::Expectations,
    read::{self, Reading, judge},
};

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(50);
/// A transfer without progress for so long has stalled, and longest time for one.
const STALLED: Duration = Duration::from_secs(3);
const TRANSFER: Duration = Duration::from_secs(60);

type Seens = Vec<(Cell, Reading)>;

impl Checking<'_> {
    /// Bytes there and back.
    pub(super) async fn transfer(&self, check: &Check, bytes: u64) -> Seens {
        let (sources, mut seen) = self.by_source(self.cells(check));
        for (from, cells) in sources {
            match self.transfer_of(from, &cells, bytes).await {
                Ok(readings) => seen.extend(cells.into_iter().zip(readings)),
                Err(why) => seen.extend(failed(cells, &why)),
            }
        }
        seen
    }

    async fn transfer_of(
        &self,
        from: EndpointId,
        cells: &[Cell],
        bytes: u64,
    ) -> Result<Vec<Reading>, String> {
        let patience_ms = u32::try_from(STALLED.max(self.deadline).as_millis()).unwrap_or(u32::MAX);
        let task = |(n, cell): (u32, &Cell)| {
            Ok(Task { probe: self.targets.probe(n, cell)?, work: Work::Transfer { bytes, patience_ms } })
        };
        let tasks = (0..).zip(cells).map(task).collect::<Result<Vec<Task>, String>>()?;
        let watch = self.agent(from)?.begin(tasks).await?;
        let until = Instant::now() + TRANSFER;
        loop {
            let report = watch.look().await?;
            if report.tasks.iter().all(|task| !task.runs.is_empty()) || Instant::now() >= until {
                break;
            }
            sleep(LOOK).await;
        }
        let report = watch.end().await?;
        let by_n: BTreeMap<u32, _> = report.tasks.iter().map(|task| (task.n, task)).collect();
        let reading = |n: u32| by_n.get(&n).and_then(|task| read::transfer(task));
        let late = || Reading::error(format!("it was not over after {} s", TRANSFER.as_secs()));
        let readings = (0..).zip(cells).map(|(n, _)| reading(n).unwrap_or_else(late)).collect();
        Ok(self.vouched(cells, readings).await)
    }

    /// HTTP requests, again and again until they are answered as expected or the limit passes.
    pub(super) async fn http(&self, check: &Check, expectations: &Expectations) -> Seens {
        let CheckKind::Http { method, path } = &check.kind else { return Vec::new() };
        let (sources, mut seen) = self.by_source(self.cells(check));
        for (from, cells) in sources {
            let agent = match self.agent(from) {
                Ok(agent) => agent,
                Err(why) => {
                    seen.extend(failed(cells, &why));
                    continue;
                }
            };
            let mut pause = LOOK;
            loop {
                let mut readings = vec![Reading::error("it was not asked"); cells.len()];
                let mut probes = Vec::with_capacity(cells.len());
                let mut asked = Vec::with_capacity(cells.len());
                for (index, cell) in cells.iter().enumerate() {
                    match self.targets.probe(u32::try_from(probes.len()).unwrap_or(u32::MAX), cell) {
                        Ok(probe) => {
                            let host = self.world.name(cell.to).to_string().replace('/', ".");
                            let http = HttpRequest { method: method.clone(), path: path.clone(), host };
                            probes.push(Probe { http: Some(http), ..probe });
                            asked.push(index);
                        }
                        Err(why) => readings[index] = Reading::error(why),
                    }
                }
                let mut take = |n: usize, answer: Result<ProbeResult, &str>| {
                    readings[asked[n]] = answer.map_or_else(Reading::error, answered);
                };
                agent.probe(probes, self.deadline, &mut take).await;
                let readings = self.vouched(&cells, readings).await;
                let right = |(cell, reading): (&Cell, &Reading)| {
                    judge(self.expected(check, cell, expectations), reading) == Outcome::Pass
                };
                if cells.iter().zip(&readings).all(right) || Instant::now() >= self.limit {
                    seen.extend(cells.into_iter().zip(readings));
                    break;
                }
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(500));
            }
        }
        seen
    }
}

fn failed(cells: Vec<Cell>, why: &str) -> Seens {
    cells.into_iter().map(|cell| (cell, Reading::error(why))).collect()
}

fn answered(result: ProbeResult) -> Reading {
    let ProbeResult { verdict, detail, status, rtt_us, .. } = result;
    let seen = match verdict {
        ProbeVerdict::Allowed => Seen::Answered,
        ProbeVerdict::Dropped => Seen::Dropped,
        ProbeVerdict::Rejected => Seen::Rejected,
        ProbeVerdict::Error => Seen::Error,
    };
    let us = (seen == Seen::Answered).then(|| rtt_us.into());
    Reading { seen: Some(seen), us, status, detail, ..Reading::default() }
}
