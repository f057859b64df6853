//! Signs of life: silence and refusals count only where the servers that should have answered say that they live.
//!
//! ```text
//!             D/2                       D
//! probe ──────┬─────────────────────────┬──► answered ────────────────────────────► observation
//!             └─ not answered yet:      └──► silent, refused ──► they lived ──────► observation
//!                its pod's servers are asked                └──► no sign of life ─► error
//! ```
//!
//! A server that hangs drops everything, as far as a client can see, and its kernel goes on to take connections. So the
//! question goes past the network under test: the runner asks the agent in the server's pod, the agent asks the servers over
//! their Unix socket, and the loop that answers it is the one that answers probes. It is asked in the middle of the time in which
//! the probe waits, and must be answered within a third of it: servers that were stopped for all of that time cannot be in
//! time then, and had they been for less, they would have answered the probe. One question serves all cells of a pod that are
//! not answered at that moment; nobody is asked where everything answers.
//!
//! Hosts that `--external` names and the cluster's DNS are not pods of the run: nobody can be asked there. Their silence
//! counts as before, and the record says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
};

use futures::{
    FutureExt, StreamExt,
    stream::{self, FuturesUnordered},
};
use tokio::{
    sync::mpsc,
    time::{Duration, Instant, sleep_until},
};
use verdikt_cluster::Agent;
use verdikt_model::{Cell, EndpointId, EndpointKind, EndpointName, Protocol, Verdict, Via, World};
use verdikt_protocol::Serving;

use crate::{
    sweep::{Observation, Prober},
    target::transport,
};

/// How long denials wait for others of the same pod, where nobody was asked while they waited for an answer: refusals.
const GATHER: Duration = Duration::from_millis(10);
/// Part of a probe's deadline within which servers have to answer.
const IN_TIME: u32 = 3;
/// Most pods that are asked at once.
const ASKED_AT_ONCE: usize = 256;

/// Who can be asked whether servers live.
pub(crate) trait Witness {
    /// The endpoints whose servers may answer at this one; none where nobody can be asked.
    fn behind(&self, to: EndpointId) -> Vec<EndpointId>;

    /// Where an endpoint's servers listen; or why nobody can tell that they live.
    fn servers(
        &self,
        id: EndpointId,
        patience: Duration,
    ) -> impl Future<Output = Result<Serving, String>> + Send;

    /// An endpoint's name.
    fn name(&self, id: EndpointId) -> String;
}

/// The agents of a lane.
#[derive(Clone, Copy)]
pub(crate) struct Servers<'a> {
    pub(crate) world: &'a World,
    /// By endpoint; `None` for those that have none.
    pub(crate) agents: &'a [Option<Arc<Agent>>],
}

impl Servers<'_> {
    fn agent(&self, id: EndpointId) -> Option<&Arc<Agent>> {
        self.agents.get(usize::from(id.0))?.as_ref()
    }

    /// Why nobody can be asked about the end of a cell; `None` where somebody can, or nobody need be.
    pub(crate) fn unasked(&self, cell: &Cell) -> Option<String> {
        let out_of_reach = match &self.world.endpoint(cell.to).kind {
            EndpointKind::Service(_) => false,
            EndpointKind::Dns(_) => true,
            _ => has_servers(cell) && self.agent(cell.to).is_none(),
        };
        let name = self.world.name(cell.to);
        out_of_reach.then(|| format!("nobody could ask whether {name} lived: it is not a pod of this run"))
    }
}

impl Witness for Servers<'_> {
    fn behind(&self, to: EndpointId) -> Vec<EndpointId> {
        let mut ids = behind(self.world, to);
        ids.retain(|id| self.agent(*id).is_some());
        ids
    }

    async fn servers(&self, id: EndpointId, patience: Duration) -> Result<Serving, String> {
        match self.agent(id) {
            Some(agent) => agent.alive(patience).await,
            None => Err("it has no agent".to_owned()),
        }
    }

    fn name(&self, id: EndpointId) -> String {
        self.world.name(id).to_string()
    }
}

/// The endpoints with servers behind an endpoint: itself, or the pods of a Service.
pub(crate) fn behind(world: &World, to: EndpointId) -> Vec<EndpointId> {
    match &world.endpoint(to).kind {
        EndpointKind::Service(service) => {
            let pods = world.backends(service);
            pods.iter().filter_map(|pod| world.find(&EndpointName::pod(&pod.namespace, &pod.name))).collect()
        }
        EndpointKind::Dns(_) => Vec::new(),
        _ => vec![to],
    }
}

/// Whether servers answer a cell; an echo request is answered by the kernel.
pub(crate) fn has_servers(cell: &Cell) -> bool {
    cell.protocol != Protocol::Icmp
}

/// What servers said, or why they said nothing, when they were asked.
pub(crate) struct Signs<'a, W> {
    witness: &'a W,
    patience: Duration,
    behind: BTreeMap<EndpointId, Vec<EndpointId>>,
    said: BTreeMap<EndpointId, Result<Serving, String>>,
}

impl<'a, W: Witness + Sync> Signs<'a, W> {
    /// Asks all servers behind these cells; they may take so long as `patience`.
    pub(crate) async fn of(
        witness: &'a W,
        cells: impl IntoIterator<Item = &Cell>,
        patience: Duration,
    ) -> Self {
        let to = cells.into_iter().filter(|cell| has_servers(cell)).map(|cell| cell.to).collect();
        Self::of_endpoints(witness, to, patience).await
    }

    async fn of_endpoints(witness: &'a W, to: BTreeSet<EndpointId>, patience: Duration) -> Self {
        let behind: BTreeMap<_, _> = to.into_iter().map(|to| (to, witness.behind(to))).collect();
        let ids: BTreeSet<EndpointId> = behind.values().flatten().copied().collect();
        let ask = |id| async move { (id, witness.servers(id, patience).await) };
        let questions: Vec<_> = ids.into_iter().map(ask).collect();
        let said = stream::iter(questions).buffer_unordered(ASKED_AT_ONCE).collect().await;
        Self { witness, patience, behind, said }
    }

    /// Why a denial of this cell proves nothing; `None` when it may be believed.
    pub(crate) fn doubt(&self, cell: &Cell, denial: &str) -> Option<String> {
        let behind = self.behind.get(&cell.to).filter(|_| has_servers(cell))?;
        let dead = behind.iter().find_map(|id| Some((*id, self.said.get(id)?.as_ref().err()?)));
        if let Some((id, why)) = dead {
            return Some(format!(
                "{denial}, which proves nothing: the servers of {} gave no sign of life within {} ms ({why})",
                self.witness.name(id),
                self.patience.as_millis()
            ));
        }
        let [id] = behind[..] else { return None };
        let serving = self.said.get(&id)?.as_ref().ok()?;
        let deaf = cell.via == Via::PodIp && !serving.listens(transport(cell.protocol), cell.port);
        deaf.then(|| {
            let name = self.witness.name(id);
            format!(
                "{denial}, which proves nothing: the servers of {name} do not listen on {}",
                cell.port_protocol()
            )
        })
    }
}

/// Another prober, whose denials count only with a sign of life.
pub(crate) struct Vouched<P, W> {
    pub(crate) prober: P,
    pub(crate) witness: W,
}

impl<P: Prober + Sync, W: Witness + Sync> Prober for Vouched<P, W> {
    async fn sweep(
        &self,
        cells: &[Cell],
        which: &[u32],
        deadline: Duration,
        sink: &mut (dyn FnMut(u32, Observation) + Send),
    ) {
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut sweeping = pin!(
            async move {
                let mut hand_on = |index: u32, observation: Observation| {
                    // The receiver lives as long as this future.
                    let _ = tell.send((index, observation));
                };
                self.prober.sweep(cells, which, deadline, &mut hand_on).await;
            }
            .fuse()
        );
        let mut sweeps = true;
        let mut open = Open::new(which.iter().map(|index| &cells[*index as usize]));
        let mut next = Instant::now() + deadline / 2;
        let mut rounds: Vec<Round<'_, W>> = Vec::new();
        // Denials that wait for a round (an index), and those for which nobody has been asked, since when.
        let mut waiting: Vec<(usize, u32, Observation)> = Vec::new();
        let mut unasked: Vec<(u32, Observation)> = Vec::new();
        let mut since = Instant::now();
        let mut asking = FuturesUnordered::new();
        let ask = |round: usize, to: BTreeSet<EndpointId>| async move {
            (round, Signs::of_endpoints(&self.witness, to, deadline / IN_TIME).await)
        };
        loop {
            if !sweeps && told.is_empty() && waiting.is_empty() && unasked.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                Some((index, observation)) = told.recv() => {
                    let cell = &cells[index as usize];
                    open.ended(cell);
                    if !(is_denial(observation.verdict) && has_servers(cell)) {
                        sink(index, observation);
                        continue;
                    }
                    let now = Instant::now();
                    // A refusal comes at once: nobody has been asked since its probe was begun.
                    let covers = |round: &Round<'_, W>| round.covers(cell, now, deadline);
                    let silent = observation.verdict == Verdict::Dropped;
                    match rounds.iter().rposition(covers).filter(|_| silent) {
                        Some(round) => match &rounds[round].signs {
                            Some(signs) => sink(index, signs.vouched(cell, observation)),
                            None => waiting.push((round, index, observation)),
                        },
                        None => {
                            if unasked.is_empty() {
                                since = now;
                            }
                            unasked.push((index, observation));
                        }
                    }
                }
                Some(ended) = asking.next(), if !asking.is_empty() => {
                    let (round, signs): (usize, Signs<'_, W>) = ended;
                    let (answered, others): (Vec<_>, Vec<_>) =
                        std::mem::take(&mut waiting).into_iter().partition(|(of, ..)| *of == round);
                    waiting = others;
                    for (_, index, observation) in answered {
                        sink(index, signs.vouched(&cells[index as usize], observation));
                    }
                    rounds[round].signs = Some(signs);
                }
                () = sleep_until(since + GATHER), if !unasked.is_empty() => {
                    let round = rounds.len();
                    let of = |(index, _): &(u32, Observation)| cells[*index as usize].to;
                    let to: BTreeSet<EndpointId> = unasked.iter().map(of).collect();
                    rounds.push(Round::new(to.clone()));
                    asking.push(ask(round, to));
                    waiting.extend(unasked.drain(..).map(|(index, observation)| (round, index, observation)));
                }
                () = sleep_until(next), if sweeps && !open.is_empty() => {
                    let to = open.endpoints();
                    rounds.push(Round::new(to.clone()));
                    asking.push(ask(rounds.len() - 1, to));
                    // Often enough that one falls into the middle of whatever a probe waits, whenever it began; and not at
                    // the end of those that have begun at first.
                    next = Instant::now() + deadline * 3 / 5;
                }
                () = &mut sweeping, if sweeps => sweeps = false,
            }
        }
    }
}

/// Servers that were asked together.
struct Round<'a, W> {
    asked: Instant,
    to: BTreeSet<EndpointId>,
    signs: Option<Signs<'a, W>>,
}

impl<W> Round<'_, W> {
    fn new(to: BTreeSet<EndpointId>) -> Self {
        Self { asked: Instant::now(), to, signs: None }
    }

    /// Whether its question was asked while a probe of this cell waited that has ended just now in silence: it had
    /// begun a deadline ago, or earlier. What is left of its time must be more than servers have for their answer.
    fn covers(&self, cell: &Cell, now: Instant, deadline: Duration) -> bool {
        let ago = now.saturating_duration_since(self.asked);
        self.to.contains(&cell.to) && ago < deadline && ago > deadline / IN_TIME
    }
}

/// Cells of a sweep that have not been answered yet, by where they go.
struct Open(BTreeMap<EndpointId, usize>);

impl Open {
    fn new<'c>(cells: impl Iterator<Item = &'c Cell>) -> Self {
        let mut open = BTreeMap::new();
        for cell in cells.filter(|cell| has_servers(cell)) {
            *open.entry(cell.to).or_default() += 1;
        }
        Self(open)
    }

    fn ended(&mut self, cell: &Cell) {
        if let Some(count) = self.0.get_mut(&cell.to).filter(|_| has_servers(cell)) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&cell.to);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn endpoints(&self) -> BTreeSet<EndpointId> {
        self.0.keys().copied().collect()
    }
}

impl<W: Witness + Sync> Signs<'_, W> {
    /// A denial as it is or, without a sign of life, as an error.
    fn vouched(&self, cell: &Cell, observation: Observation) -> Observation {
        let doubt = self.doubt(cell, observation.verdict.as_str());
        doubt.map_or(observation, Observation::error)
    }
}

/// Whether a verdict is one that servers that hang or are gone could bring about.
pub(crate) const fn is_denial(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Dropped | Verdict::Rejected)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::sleep;
    use verdikt_model::Family;

    use super::*;

    /// Every cell to endpoint 0 is answered, every SCTP cell refused, and the others are silent.
    struct Denying;

    impl Prober for Denying {
        async fn sweep(
            &self,
            cells: &[Cell],
            which: &[u32],
            deadline: Duration,
            sink: &mut (dyn FnMut(u32, Observation) + Send),
        ) {
            let seen = |verdict| Observation { verdict, rtt_us: 0, detail: None, seen_as: None };
            let mut silent = Vec::new();
            for index in which {
                match cells[*index as usize] {
                    Cell { to: EndpointId(0), .. } => sink(*index, seen(Verdict::Allowed)),
                    Cell { protocol: Protocol::Sctp, .. } => sink(*index, seen(Verdict::Rejected)),
                    _ => silent.push(*index),
                }
            }
            sleep(deadline).await;
            silent.into_iter().for_each(|index| sink(index, seen(Verdict::Dropped)));
        }
    }

    /// Endpoint 1 lives and listens on 80/tcp, 2 hangs, nobody can be asked about 3, behind 4 are 1 and 2, and 5 hangs for as
    /// long as the probes wait.
    struct Asked {
        began: Instant,
        by: Mutex<Vec<u16>>,
    }

    impl Witness for Asked {
        fn behind(&self, to: EndpointId) -> Vec<EndpointId> {
            match to.0 {
                3 => vec![],
                4 => vec![EndpointId(1), EndpointId(2)],
                _ => vec![to],
            }
        }

        async fn servers(&self, id: EndpointId, patience: Duration) -> Result<Serving, String> {
            self.by.lock().unwrap().push(id.0);
            if id.0 == 2 || id.0 == 5 && self.began.elapsed() < DEADLINE {
                sleep(patience).await;
                return Err("the servers do not answer".into());
            }
            Ok(Serving { tcp: vec![80], ..Serving::default() })
        }

        fn name(&self, id: EndpointId) -> String {
            format!("x/{}", id.0)
        }
    }

    const DEADLINE: Duration = Duration::from_millis(300);

    fn cell(to: u16, protocol: Protocol) -> Cell {
        let via = if to == 4 { Via::ClusterIp } else { Via::PodIp };
        Cell { from: EndpointId(9), to: EndpointId(to), via, family: Family::Ipv4, protocol, port: 80 }
    }

    #[tokio::test(start_paused = true)]
    async fn denials_count_only_with_a_sign_of_life_and_each_pod_is_asked_once_while_its_cells_wait() {
        let tcp = |to| cell(to, Protocol::Tcp);
        let other = [cell(2, Protocol::Udp), cell(1, Protocol::Sctp)];
        let cells = [&[0, 1, 2, 3, 4, 1, 5].map(tcp)[..], &other].concat();
        let witness = Asked { began: Instant::now(), by: Mutex::default() };
        let vouched = Vouched { prober: Denying, witness };
        let mut seen = vec![None; cells.len()];
        let mut sink = |index: u32, observation: Observation| {
            assert!(seen[index as usize].replace(observation).is_none(), "{index} twice");
        };
        let which: Vec<u32> = (0..9).collect();
        vouched.sweep(&cells, &which, DEADLINE, &mut sink).await;
        assert_eq!(vouched.witness.began.elapsed(), DEADLINE, "nobody waits for an answer that is there");
        let seen: Vec<Observation> = seen.into_iter().map(Option::unwrap).collect();
        let verdicts: Vec<Verdict> = seen.iter().map(|seen| seen.verdict).collect();
        use Verdict::{Allowed, Dropped, Error};
        assert_eq!(verdicts, [Allowed, Dropped, Error, Dropped, Error, Dropped, Error, Error, Error]);
        let hangs = |pod| {
            format!(
                "dropped, which proves nothing: the servers of x/{pod} gave no sign of life within 100 ms (the servers do not answer)"
            )
        };
        let detail = |n: usize| seen[n].detail.as_deref().unwrap_or_default();
        assert_eq!([2, 4, 6, 7].map(detail), [hangs(2), hangs(2), hangs(5), hangs(2)]);
        let deaf = "rejected, which proves nothing: the servers of x/1 do not listen on 80/sctp";
        assert_eq!(detail(8), deaf);
        let mut asked = vouched.witness.by.into_inner().unwrap();
        asked.sort_unstable();
        // Who refuses is asked at once, and who is silent once for all of its cells.
        assert_eq!(asked, [1, 1, 2, 5]);
    }
}
