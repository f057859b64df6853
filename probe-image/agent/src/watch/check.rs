//! Whether a group can be begun.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use verdikt_protocol::{MAX_TASKS, Probe, Target, Task, Transport, Work};

/// Longest time between two questions on a held connection: servers close what is idle for longer.
const LONGEST_PAUSE_US: u32 = 30_000_000;

/// What is wrong with a group, if anything.
pub(super) fn group(tasks: &[Task]) -> Result<(), String> {
    if tasks.len() > MAX_TASKS {
        return Err(format!(
            "{} connections are to be watched at once; at most {MAX_TASKS} fit",
            tasks.len()
        ));
    }
    let mut numbers = HashSet::new();
    for Task { probe, work } in tasks {
        let n = probe.n;
        let right = if numbers.insert(n) { task(probe, *work) } else { Err("it comes twice".into()) };
        right.map_err(|why| format!("cannot watch {}: {why}", place(probe)))?;
    }
    Ok(())
}

/// Where a task goes, for messages.
fn place(probe: &Probe) -> String {
    let to = match &probe.to {
        Target::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        Target::Ip(ip) => ip.to_string(),
        Target::Name { name, .. } => name.clone(),
    };
    let over = match probe.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
        Transport::Sctp => "sctp",
        Transport::Icmp => "icmp",
    };
    format!("{to}:{}/{over}", probe.port)
}

fn task(probe: &Probe, work: Work) -> Result<(), String> {
    destination(probe)?;
    let plain = probe.query.is_none() && probe.http.is_none();
    let (interval, patience) = match work {
        Work::Sample { interval_us, patience_ms } => (interval_us, patience_ms),
        Work::Hold { interval_us, patience_ms } => {
            if !plain {
                return Err("a connection is held with verdikt's own servers, not over HTTP or DNS".into());
            }
            if interval_us > LONGEST_PAUSE_US {
                return Err(format!("an interval of {interval_us} µs is longer than 30 s"));
            }
            (interval_us, patience_ms)
        }
        Work::Transfer { bytes, patience_ms } => {
            if !plain || probe.transport != Transport::Tcp {
                return Err("bytes are transferred over TCP, to one of verdikt's own servers".into());
            }
            if bytes == 0 {
                return Err("a transfer needs a byte at least".into());
            }
            (1, patience_ms)
        }
    };
    if interval == 0 || patience == 0 {
        return Err("interval and patience must be more than zero".into());
    }
    Ok(())
}

/// Where a task goes: an address, since a name could mean another one with each attempt.
pub(super) fn destination(probe: &Probe) -> Result<SocketAddr, String> {
    match &probe.to {
        Target::Ip(ip) => Ok(SocketAddr::new(*ip, probe.port)),
        Target::Name { name, .. } => Err(format!("it goes to the name {name}; tasks go to addresses")),
    }
}

/// Whether it is a connection that is held.
pub(super) const fn is_stream(probe: &Probe) -> bool {
    matches!(probe.transport, Transport::Tcp | Transport::Sctp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(n: u32, transport: Transport) -> Probe {
        let to = Target::Ip([10, 0, 0, 1].into());
        Probe { n, to, port: 80, transport, from: None, expect: Vec::new(), query: None, http: None }
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let (udp, tcp) = (|n| probe(n, Transport::Udp), |n| probe(n, Transport::Tcp));
        let sample = Work::Sample { interval_us: 1000, patience_ms: 200 };
        let task = |probe, work| Task { probe, work };
        assert_eq!(group(&[task(udp(0), sample), task(tcp(1), sample)]), Ok(()));
        let name = Target::Name { name: "web".into(), family: 4 };
        let bad = [
            (
                vec![task(udp(0), sample), task(udp(0), sample)],
                "cannot watch 10.0.0.1:80/udp: it comes twice",
            ),
            (vec![task(udp(0), Work::Sample { interval_us: 0, patience_ms: 1 })], "more than zero"),
            (vec![task(udp(0), Work::Transfer { bytes: 1, patience_ms: 1 })], "over TCP"),
            (vec![task(tcp(0), Work::Transfer { bytes: 0, patience_ms: 1 })], "a byte"),
            (vec![task(tcp(0), Work::Hold { interval_us: 40_000_000, patience_ms: 1 })], "30 s"),
            (vec![task(Probe { query: Some("x".into()), ..udp(0) }, hold())], "not over HTTP or DNS"),
            (vec![task(Probe { to: name, ..udp(0) }, sample)], "tasks go to addresses"),
            ((0..=MAX_TASKS as u32).map(|n| task(udp(n), sample)).collect(), "at most 256"),
        ];
        for (tasks, why) in bad {
            assert!(group(&tasks).is_err_and(|said| said.contains(why) && !said.contains("group")), "{why}");
        }
    }

    fn hold() -> Work {
        Work::Hold { interval_us: 1000, patience_ms: 200 }
    }
}
