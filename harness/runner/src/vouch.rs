//! Signs of life: silence and refusals count only where the servers that should have answered say that they live.
//!
//! ```text
//! probe ──► answered ─────────────────────────────────────────────► observation
//!      └──► silent, refused ──► its pod's servers are asked ──► yes ──► observation
//!             (once for all of a pod's cells that wait)    └──► no ───► error
//! ```
//!
//! A server that hangs drops everything, as far as a client can see, and its kernel goes on to take connections. So the
//! question goes past the network under test: the runner asks the agent in the server's pod, the agent asks the servers over
//! their Unix socket, and the loop that answers it is the one that answers probes. It is asked after the probe was begun, only
//! when a denial is about to be believed, and once for all cells of a pod that wait at that moment.
//!
//! Hosts that `--external` names and the cluster's DNS are not pods of the run: nobody can be asked there. Their silence
//! counts as before, and the record says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
};

use futures::{FutureExt, StreamExt, stream};
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

/// How long denials wait for others of the same pod.
const GATHER: Duration = Duration::from_millis(10);
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
    /// Asks all servers behind these cells; they may take so long as a probe may.
    pub(crate) async fn of(
        witness: &'a W,
        cells: impl IntoIterator<Item = &Cell>,
        patience: Duration,
    ) -> Self {
        let to: BTreeSet<EndpointId> =
            cells.into_iter().filter(|cell| has_servers(cell)).map(|cell| cell.to).collect();
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
        // Denials that wait, since when, and those whose servers are being asked.
        let mut waiting: Vec<(u32, Observation)> = Vec::new();
        let mut since = Instant::now();
        let mut asking = stream::FuturesUnordered::new();
        loop {
            if !sweeps && told.is_empty() && waiting.is_empty() && asking.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                Some((index, observation)) = told.recv() => {
                    if is_denial(observation.verdict) && has_servers(&cells[index as usize]) {
                        if waiting.is_empty() {
                            since = Instant::now();
                        }
                        waiting.push((index, observation));
                    } else {
                        sink(index, observation);
                    }
                }
                Some(vouched) = asking.next(), if !asking.is_empty() => {
                    let vouched: Vec<(u32, Observation)> = vouched;
                    vouched.into_iter().for_each(|(index, observation)| sink(index, observation));
                }
                () = sleep_until(since + GATHER), if !waiting.is_empty() && asking.is_empty() => {
                    asking.push(self.vouch(cells, std::mem::take(&mut waiting), deadline));
                }
                () = &mut sweeping, if sweeps => sweeps = false,
            }
        }
    }
}

impl<P: Sync, W: Witness + Sync> Vouched<P, W> {
    /// These denials, each as it is or, without a sign of life, as an error.
    async fn vouch(
        &self,
        cells: &[Cell],
        denials: Vec<(u32, Observation)>,
        deadline: Duration,
    ) -> Vec<(u32, Observation)> {
        let of = denials.iter().map(|(index, _)| &cells[*index as usize]);
        let signs = Signs::of(&self.witness, of, deadline).await;
        let vouched = |(index, observation): (u32, Observation)| {
            let doubt = signs.doubt(&cells[index as usize], &observation.verdict.to_string());
            (index, doubt.map_or(observation, Observation::error))
        };
        denials.into_iter().map(vouched).collect()
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
    use verdikt_protocol::Transport;

    use super::*;

    /// Every cell to endpoint 0 is answered, and every other one is silent or, over SCTP, refused, each a millisecond after the one before.
    struct Denying;

    impl Prober for Denying {
        async fn sweep(
            &self,
            cells: &[Cell],
            which: &[u32],
            _deadline: Duration,
            sink: &mut (dyn FnMut(u32, Observation) + Send),
        ) {
            for index in which {
                let verdict = match cells[*index as usize] {
                    Cell { to: EndpointId(0), .. } => Verdict::Allowed,
                    Cell { protocol: Protocol::Sctp, .. } => Verdict::Rejected,
                    _ => Verdict::Dropped,
                };
                sink(*index, Observation { verdict, rtt_us: 0, detail: None, seen_as: None });
                sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Endpoint 1 lives and listens on 80/tcp, 2 hangs, nobody can be asked about 3, and behind 4 are 1 and 2.
    #[derive(Default)]
    struct Asked(Mutex<Vec<u16>>);

    impl Witness for Asked {
        fn behind(&self, to: EndpointId) -> Vec<EndpointId> {
            match to.0 {
                3 => vec![],
                4 => vec![EndpointId(1), EndpointId(2)],
                _ => vec![to],
            }
        }

        async fn servers(&self, id: EndpointId, patience: Duration) -> Result<Serving, String> {
            self.0.lock().unwrap().push(id.0);
            if id.0 == 2 {
                sleep(patience).await;
                return Err("the servers do not answer".into());
            }
            Ok(Serving { tcp: vec![80], ..Serving::default() })
        }

        fn name(&self, id: EndpointId) -> String {
            format!("x/{}", id.0)
        }
    }

    fn cell(to: u16, protocol: Protocol) -> Cell {
        let via = if to == 4 { Via::ClusterIp } else { Via::PodIp };
        Cell { from: EndpointId(9), to: EndpointId(to), via, family: Family::Ipv4, protocol, port: 80 }
    }

    #[tokio::test(start_paused = true)]
    async fn denials_count_only_with_a_sign_of_life_and_each_pod_is_asked_once() {
        let tcp = |to| cell(to, Protocol::Tcp);
        let cells: Vec<Cell> =
            [tcp(0), tcp(1), tcp(2), tcp(3), tcp(4), tcp(1), cell(2, Protocol::Udp), cell(1, Protocol::Sctp)]
                .into();
        let vouched = Vouched { prober: Denying, witness: Asked::default() };
        let mut seen = vec![None; cells.len()];
        let mut sink = |index: u32, observation: Observation| {
            assert!(seen[index as usize].replace(observation).is_none(), "{index} twice");
        };
        let which: Vec<u32> = (0..8).collect();
        vouched.sweep(&cells, &which, Duration::from_millis(300), &mut sink).await;
        let seen: Vec<Observation> = seen.into_iter().map(Option::unwrap).collect();
        let verdicts: Vec<Verdict> = seen.iter().map(|seen| seen.verdict).collect();
        use Verdict::{Allowed, Dropped, Error};
        assert_eq!(verdicts, [Allowed, Dropped, Error, Dropped, Error, Dropped, Error, Error]);
        let hangs = "dropped, which proves nothing: the servers of x/2 gave no sign of life within 300 ms (the servers do not answer)";
        assert_eq!([2, 4, 6].map(|n: usize| seen[n].detail.as_deref()), [Some(hangs); 3]);
        let deaf = "rejected, which proves nothing: the servers of x/1 do not listen on 80/sctp";
        assert_eq!(seen[7].detail.as_deref(), Some(deaf));
        let mut asked = vouched.witness.0.into_inner().unwrap();
        asked.sort_unstable();
        assert_eq!(asked, [1, 2], "who answers is not asked, and nobody twice");
        assert!(Serving::default().listens(Transport::Icmp, 0));
    }
}
