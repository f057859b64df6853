//! The positive control: before the first policy, everything that may work must work.

use tokio::time::{Duration, Instant, sleep};
use verdikt_model::{Cell, Expect, Expectation, Family, Level, Verdict, Via, World};
use verdikt_oracle::plan;

use crate::sweep::Prober;

/// Pauses between sweeps while pods and routes come up.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Most cells that a message names.
const NAMED: usize = 3;

/// What the control showed.
#[derive(Debug)]
pub(crate) struct Control {
    /// Round-trip times in microseconds, of all cells at once.
    pub(crate) rtts_us: Vec<u32>,
    /// Cells whose name was resolved on the way, sorted.
    pub(crate) resolved: Vec<Cell>,
}

/// Probes the cells that must work in `world` until all do, at most `limit`. `deadlines`: of the first sweep, and the
/// longest; each is twice as long as the one before.
///
/// # Errors
/// Which cells do not work: a broken network, about which policies can prove nothing.
pub(crate) async fn control<P: Prober>(
    prober: &P,
    world: &World,
    cells: &[Cell],
    limit: Duration,
    deadlines: (Duration, Duration),
) -> Result<Control, String> {
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
    let (mut deadline, longest) = deadlines;
    while !pending.is_empty() {
        let mut wrong: Vec<(u32, Verdict, Option<Box<str>>)> = Vec::new();
        let mut sink = |index: u32, seen: crate::sweep::Observation| {
            if seen.verdict == Verdict::Allowed {
                rtts_us.push(seen.rtt_us);
            } else {
                wrong.push((index, seen.verdict, seen.detail));
            }
        };
        prober.sweep(&must, &pending, deadline, &mut sink).await;
        deadline = (deadline * 2).min(longest);
        wrong.sort_by_key(|(index, ..)| *index);
        let left = until.saturating_duration_since(Instant::now());
        if !wrong.is_empty() && left.is_zero() {
            return Err(broken(world, &must, &wrong));
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

fn broken(world: &World, cells: &[Cell], wrong: &[(u32, Verdict, Option<Box<str>>)]) -> String {
    let named: Vec<String> = wrong
        .iter()
        .take(NAMED)
        .map(|(index, verdict, detail)| {
            let cell = &cells[*index as usize];
            let detail = detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default();
            format!("{} is {verdict}{detail}", describe(world, cell))
        })
        .collect();
    let more = wrong.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("; and {more} more of {} cells", cells.len()) } else { String::new() };
    let family = |cell: &Cell| cell.family == Family::Ipv6;
    let only_ipv6 = wrong.iter().all(|(index, ..)| family(&cells[*index as usize]))
        && cells.iter().filter(|cell| family(cell)).count() == wrong.len()
        && wrong.len() < cells.len();
    let hint = if only_ipv6 { "; no IPv6 cell works: `--ip-family ipv4` leaves them out" } else { "" };
    format!("broken network before the first policy: {}{more}{hint}", named.join("; "))
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

    /// IPv6 works from the n-th sweep on.
    struct Slow {
        sweeps: AtomicU32,
        ipv6_from: u32,
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
                let verdict = if works { Verdict::Allowed } else { Verdict::Dropped };
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

    async fn run(ipv6_from: u32) -> (Result<Control, String>, u32) {
        let prober = Slow { sweeps: AtomicU32::new(0), ipv6_from };
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
        let (result, sweeps) = run(4).await;
        let control = result.unwrap();
        assert_eq!((control.resolved.len(), control.rtts_us.len(), sweeps), (0, 8, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_network_is_told_with_its_cells() {
        let (result, _) = run(u32::MAX).await;
        let why = result.unwrap_err();
        assert!(
            why.starts_with("broken network before the first policy: x/a -> x/a:80/tcp over ipv6 is dropped"),
            "{why}"
        );
        assert!(why.contains("and 1 more of 8 cells") && why.contains("--ip-family ipv4"), "{why}");
    }
}
