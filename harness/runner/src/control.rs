//! The positive control: before the first policy, everything that may work must work.
//!
//! Silence there is a broken network, about which nothing is proved. A refusal between two pods is more: somebody has
//! answered, again and again, where no policy is in force and the servers that are meant live and listen. That is a
//! difference, whatever it is in the cluster that refuses.

use std::collections::BTreeMap;

use tokio::time::{Duration, Instant, sleep};
use verdikt_model::{
    Cell, EndpointId, EndpointKind, Expect, Expectation, Family, Level, Verdict, Via, World,
};
use verdikt_oracle::plan;

use crate::sweep::Prober;

/// Pauses between sweeps while pods and routes come up.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Most cells that a message names.
const NAMED: usize = 3;
/// So often in a row, the last time at the end of the limit, a cell must be refused before that counts.
const REFUSALS: u32 = 3;

/// What the control showed.
#[derive(Debug)]
pub(crate) struct Control {
    /// Round-trip times in microseconds, of all cells at once.
    pub(crate) rtts_us: Vec<u32>,
    /// Cells whose name was resolved on the way, sorted.
    pub(crate) resolved: Vec<Cell>,
}

/// Why there is no control.
#[derive(Debug)]
pub(crate) enum NoControl {
    /// The network is broken: nothing can be proved.
    Broken(String),
    /// Pods are refused by each other without any policy: that is proved.
    Refused(String),
}

/// What was not as it must be: index, what it was, why, and how often in a row it was refused.
type Wrong = (u32, Verdict, Option<Box<str>>, u32);

/// Probes the cells that must work in `world` until all do, at most `limit`. `deadlines`: of the first sweep, and the
/// longest; each is twice as long as the one before.
///
/// # Errors
/// Which cells do not work.
pub(crate) async fn control<P: Prober>(
    prober: &P,
    world: &World,
    cells: &[Cell],
    limit: Duration,
    deadlines: (Duration, Duration),
) -> Result<Control, NoControl> {
    let derive = Expect { derived: true, rules: Vec::new() };
    let mut must: Vec<Cell> = plan(Level::ImplementationDefined, &derive, world, cells)
        .rows
        .into_iter()
        .filter(|(_, expected)| *expected == Expectation::Allow)
        .map(|(cell, _)| cell)
        .collect();
    let until = Instant::now() + limit;
    let mut pending: Vec<u32> = (0..).zip(&must).map(|(i, _)| i).collect();
    let mut rtts_us = Vec::with_capacity(must.len());
    let mut pause = PAUSE;
    let mut refusals: BTreeMap<u32, u32> = BTreeMap::new();
    let (mut deadline, longest) = deadlines;
    while !pending.is_empty() {
        let mut wrong: Vec<Wrong> = Vec::new();
        let mut sink = |index: u32, seen: crate::sweep::Observation| {
            if seen.verdict == Verdict::Allowed {
                rtts_us.push(seen.rtt_us);
            } else {
                let refused = seen.verdict == Verdict::Rejected;
                let times = if refused { refusals.get(&index).map_or(1, |times| times + 1) } else { 0 };
                refusals.insert(index, times);
                wrong.push((index, seen.verdict, seen.detail, times));
            }
        };
        prober.sweep(&must, &pending, deadline, &mut sink).await;
        deadline = (deadline * 2).min(longest);
        wrong.sort_by_key(|(index, ..)| *index);
        let left = until.saturating_duration_since(Instant::now());
        if !wrong.is_empty() && left.is_zero() {
            return Err(refused(world, &must, &wrong, limit).unwrap_or_else(|| broken(world, &must, &wrong)));
        }
        pending = wrong.into_iter().map(|(index, ..)| index).collect();
        if !pending.is_empty() {
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
    must.retain(|cell| matches!(cell.via, Via::Dns | Via::Headless));
    must.shrink_to_fit();
    must.sort_unstable();
    Ok(Control { rtts_us, resolved: must })
}

/// The refusals between two pods that count, if there are any. That the servers live and listen is known of every
/// refusal: it would be an error otherwise.
fn refused(world: &World, cells: &[Cell], wrong: &[Wrong], limit: Duration) -> Option<NoControl> {
    let is_pod =
        |id: EndpointId| matches!(&world.endpoint(id).kind, EndpointKind::Pod(pod) if !pod.host_network);
    let refused: Vec<Wrong> = wrong
        .iter()
        .filter(|(index, verdict, _, times)| {
            let cell = &cells[*index as usize];
            let direct = cell.via == Via::PodIp && is_pod(cell.from) && is_pod(cell.to);
            *verdict == Verdict::Rejected && *times >= REFUSALS && direct
        })
        .cloned()
        .collect();
    let times = refused.iter().map(|(.., times)| *times).min()?;
    Some(NoControl::Refused(format!(
        "refused before the first policy, by the cluster itself, {times} times or more in a row within {} s, though the \
         servers there live and listen: {}",
        limit.as_secs(),
        named(world, cells, &refused)
    )))
}

fn named(world: &World, cells: &[Cell], wrong: &[Wrong]) -> String {
    let named: Vec<String> = wrong
        .iter()
        .take(NAMED)
        .map(|(index, verdict, detail, _)| {
            let cell = &cells[*index as usize];
            let detail = detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default();
            format!("{} is {verdict}{detail}", describe(world, cell))
        })
        .collect();
    let more = wrong.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("; and {more} more of {} cells", cells.len()) } else { String::new() };
    format!("{}{more}", named.join("; "))
}

fn broken(world: &World, cells: &[Cell], wrong: &[Wrong]) -> NoControl {
    let family = |cell: &Cell| cell.family == Family::Ipv6;
    let only_ipv6 = wrong.iter().all(|(index, ..)| family(&cells[*index as usize]))
        && cells.iter().filter(|cell| family(cell)).count() == wrong.len()
        && wrong.len() < cells.len();
    let hint = if only_ipv6 { "; no IPv6 cell works: `--ip-family ipv4` leaves them out" } else { "" };
    let named = named(world, cells, wrong);
    NoControl::Broken(format!("broken network before the first policy: {named}{hint}"))
}

/// `x/a -> y/b:80/tcp via cluster-ip over ipv6`
pub(crate) fn describe(world: &World, cell: &Cell) -> String {
    let via = match cell.via {
        Via::PodIp => String::new(),
        via => format!(" via {via}"),
    };
    let (from, to) = (world.name(cell.from), world.name(cell.to));
    format!("{from} -> {to}:{}{via} over {}", cell.port_protocol(), cell.family)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use verdikt_model::{NamespaceSpec, PodSpec, PortProtocol, Protocol, Serve, Topology, cells};

    use super::*;
    use crate::{options::Deadline, sweep::Observation};

    /// IPv6 works from the n-th sweep on; until then it is silent, or refused where pods are two.
    struct Slow {
        sweeps: AtomicU32,
        ipv6_from: u32,
        refuses: fn(sweep: u32) -> bool,
    }

    impl Prober for Slow {
        async fn sweep(
            &self,
            cells: &[Cell],
            which: &[u32],
            _deadline: Duration,
            sink: &mut (dyn FnMut(u32, Observation) + Send),
        ) {
            let sweep = self.sweeps.fetch_add(1, Ordering::Relaxed) + 1;
            for index in which {
                let works = cells[*index as usize].family == Family::Ipv4 || sweep >= self.ipv6_from;
                let two = cells[*index as usize].from != cells[*index as usize].to;
                let verdict = match works {
                    true => Verdict::Allowed,
                    false if two && (self.refuses)(sweep) => Verdict::Rejected,
                    false => Verdict::Dropped,
                };
                sink(*index, Observation { verdict, rtt_us: 50, detail: None, seen_as: None });
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn world() -> World {
        let serve =
            Serve { ports: [PortProtocol { port: 80, protocol: Protocol::Tcp }].into(), ..Serve::default() };
        let pod = PodSpec { serve, ..PodSpec::default() };
        let pods = ["a", "b"].map(|name| (name.to_owned(), pod.clone())).into();
        let namespace = NamespaceSpec { pods, ..NamespaceSpec::default() };
        World::synthetic(&Topology {
            namespaces: [("x".to_owned(), namespace)].into(),
            ..Topology::default()
        })
    }

    async fn run(ipv6_from: u32, refuses: fn(u32) -> bool) -> (Result<Control, NoControl>, u32) {
        let prober = Slow { sweeps: AtomicU32::new(0), ipv6_from, refuses };
        let world = world();
        let cells = cells(&world, Family::ALL);
        let result = control(
            &prober,
            &world,
            &cells,
            Duration::from_secs(2),
            crate::deadline::of_control(Deadline::Auto),
        )
        .await;
        (result, prober.sweeps.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_that_comes_up_late_is_waited_for() {
        let (result, sweeps) = run(4, |_| true).await;
        let control = result.unwrap();
        assert_eq!((control.resolved.len(), control.rtts_us.len(), sweeps), (0, 8, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_network_is_told_with_its_cells() {
        let (result, _) = run(u32::MAX, |_| false).await;
        let Err(NoControl::Broken(why)) = result else { panic!("{result:?}") };
        assert!(
            why.starts_with("broken network before the first policy: x/a -> x/a:80/tcp over ipv6 is dropped"),
            "{why}"
        );
        assert!(why.contains("and 1 more of 8 cells") && why.contains("--ip-family ipv4"), "{why}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_between_pods_that_stays_is_proved_and_one_that_comes_and_goes_is_not() {
        let (result, _) = run(u32::MAX, |_| true).await;
        let Err(NoControl::Refused(why)) = result else { panic!("{result:?}") };
        let cells = "x/a -> x/b:80/tcp over ipv6 is rejected; x/b -> x/a:80/tcp over ipv6 is rejected";
        assert!(why.contains(cells) && !why.contains("x/a -> x/a"), "{why}");
        assert!(why.starts_with("refused before the first policy") && why.contains("within 2 s"), "{why}");
        let (result, _) = run(u32::MAX, |sweep| sweep % 2 == 0).await;
        assert!(matches!(result, Err(NoControl::Broken(_))), "{result:?}");
    }
}
