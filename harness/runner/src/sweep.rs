//! One sweep: every asked cell is probed once, and each observation is handed on as it comes.

use std::sync::Arc;

use futures::{StreamExt, stream};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Duration,
};
use verdikt_cluster::Agent;
use verdikt_model::{Cell, SeenAs, Verdict};
use verdikt_protocol::{Probe, ProbeResult, ProbeVerdict};

use crate::target::Targets;

/// Most probes in flight in a run. More would make probes wait for processor time, and waiting looks like silence.
pub(crate) const IN_FLIGHT: usize = 4096;

/// Most probes in one batch: well below the protocol's bound, so that a batch's line stays short and the last
/// probe of one does not hold up many.
const BATCH: usize = 256;
const _: () = assert!(BATCH <= verdikt_protocol::MAX_BATCH);

/// What one probe of one cell showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observation {
    pub(crate) verdict: Verdict,
    /// 0 without an answer.
    pub(crate) rtt_us: u32,
    /// Cause of a refusal or an error.
    pub(crate) detail: Option<Box<str>>,
    /// The source address that the server saw, where it was not the client's own.
    pub(crate) seen_as: Option<SeenAs>,
}

impl Observation {
    pub(crate) fn error(why: impl Into<Box<str>>) -> Self {
        Self { verdict: Verdict::Error, rtt_us: 0, detail: Some(why.into()), seen_as: None }
    }
}

/// Probes cells. The real one asks agents; tests have others.
pub(crate) trait Prober {
    /// Probes each of `cells[i]` for `i` in `which` once, and hands `(i, observation)` to `sink` as soon as it is
    /// there, each `i` once.
    fn sweep(
        &self,
        cells: &[Cell],
        which: &[u32],
        deadline: Duration,
        sink: &mut (dyn FnMut(u32, Observation) + Send),
    ) -> impl Future<Output = ()> + Send;
}

/// Probes through the agents of a lane's pods.
pub(crate) struct AgentProber<'a> {
    /// By endpoint; `None` for endpoints that are no sources.
    pub(crate) agents: &'a [Option<Arc<Agent>>],
    pub(crate) targets: Targets<'a>,
    pub(crate) in_flight: &'a Semaphore,
}

impl Prober for AgentProber<'_> {
    async fn sweep(
        &self,
        cells: &[Cell],
        which: &[u32],
        deadline: Duration,
        sink: &mut (dyn FnMut(u32, Observation) + Send),
    ) {
        // Cells are ordered by source, so that the cells of a source stand together.
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut batches = Vec::new();
        for of_source in which.chunk_by(|a, b| cells[*a as usize].from == cells[*b as usize].from) {
            batches.extend(
                of_source.chunks(BATCH).map(|batch| self.batch(cells, batch, deadline, tell.clone())),
            );
        }
        drop(tell);
        let mut batches = stream::iter(batches).buffer_unordered(IN_FLIGHT);
        let mut working = true;
        loop {
            tokio::select! {
                ended = batches.next(), if working => working = ended.is_some(),
                heard = told.recv() => match heard {
                    Some((index, observation)) => sink(index, observation),
                    // Every batch has ended, and dropped its end of the channel.
                    None => return,
                },
            }
        }
    }
}

type Tell = mpsc::UnboundedSender<(u32, Observation)>;

impl AgentProber<'_> {
    async fn batch(&self, cells: &[Cell], batch: &[u32], deadline: Duration, tell: Tell) {
        let permits = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let _permit = self.in_flight.acquire_many(permits).await.expect("the semaphore is never closed");
        let tell = |index: u32, observation: Observation| {
            // The receiver lives as long as this future.
            let _ = tell.send((index, observation));
        };
        let mut probes: Vec<Probe> = Vec::with_capacity(batch.len());
        let mut asked: Vec<u32> = Vec::with_capacity(batch.len());
        for index in batch {
            match self.targets.probe(probes.len() as u32, &cells[*index as usize]) {
                Ok(probe) => {
                    probes.push(probe);
                    asked.push(*index);
                }
                Err(why) => tell(*index, Observation::error(why)),
            }
        }
        let Some(first) = asked.first() else { return };
        let source = cells[*first as usize].from;
        let Some(agent) = self.agents.get(usize::from(source.0)).and_then(Option::as_ref) else {
            asked.iter().for_each(|index| tell(*index, Observation::error("the source has no agent")));
            return;
        };
        let mut take = |n: usize, answer: Result<ProbeResult, &str>| match answer {
            Ok(result) => {
                let source = result.source.map(|ip| self.targets.seen_as(ip));
                tell(asked[n], Observation { seen_as: source, ..observe(result) });
            }
            Err(why) => tell(asked[n], Observation::error(why)),
        };
        agent.probe(probes, deadline, &mut take).await;
    }
}

fn observe(result: ProbeResult) -> Observation {
    let verdict = match result.verdict {
        ProbeVerdict::Allowed => Verdict::Allowed,
        ProbeVerdict::Dropped => Verdict::Dropped,
        ProbeVerdict::Rejected => Verdict::Rejected,
        ProbeVerdict::Error => Verdict::Error,
    };
    Observation {
        verdict,
        rtt_us: result.rtt_us,
        detail: result.detail.map(String::into_boxed_str),
        seen_as: None,
    }
}
