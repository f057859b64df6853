//! Why each cell of a step is as it is, and what of it is worth nothing.

use std::collections::{BTreeMap, BTreeSet};

use verdikt_cluster::Loss;
use verdikt_model::{
    Cell, CheckRecord, EndpointId, EndpointKind, EndpointName, Expectation, Matrix, Outcome, Row, Seen,
    Verdict, Via, World,
};
use verdikt_oracle::Oracle;
use verdikt_protocol::CONNECTED_UNANSWERED;

use crate::{
    settle::Note,
    vouch::{behind, has_servers, is_denial},
};

/// Writes the reason of every cell that is not a plain pass. `written`: what an implementation-defined scenario says
/// of cells that are not judged; it is told where it was not seen. `held`: cells that the specification leaves open, and of
/// which is expected what the dataplane does elsewhere.
pub(crate) fn reasons(
    matrix: &mut Matrix,
    notes: &BTreeMap<u32, Note>,
    world: &World,
    written: &BTreeMap<u32, Expectation>,
    held: &BTreeSet<u32>,
) {
    let mut oracle = None;
    for (index, row) in (0_u32..).zip(&mut matrix.rows) {
        let note = notes.get(&index);
        let detail = note.and_then(|note| note.detail.as_deref());
        let changed = note.and_then(|note| note.changed);
        let mut parts: Vec<String> = Vec::new();
        if let (Some(written), Some(observed)) = (written.get(&index), row.observed)
            && written.admits(observed) == Some(false)
        {
            parts.push(format!(
                "recorded, not judged: this is implementation-defined; written down was {written}"
            ));
        }
        if let Some((before, then)) = changed {
            let last = row.observed.filter(|last| *last != then).map(|last| format!(", then {last}"));
            let held = if row.outcome == Outcome::Flaky { "changed while it had to hold" } else { "changed" };
            parts.push(format!("{held}: was {before}, then {then}{}", last.unwrap_or_default()));
        }
        match row.outcome {
            Outcome::Fail | Outcome::Flaky => {
                if held.contains(&index) {
                    let elsewhere = "not as the dataplane does elsewhere on this cluster, where";
                    let does = if row.expected == Expectation::Allow { "admit" } else { "do not admit" };
                    parts.push(format!("{elsewhere} blocks of their addresses {does} pods"));
                }
                let oracle = oracle.get_or_insert_with(|| Oracle::new(world));
                let explained = oracle.explain(&row.cell).reasons;
                if world.foreign {
                    let alone = explained.join("; ");
                    parts.push(format!("expected by hand; the NetworkPolicies alone: {alone}"));
                } else {
                    parts.extend(explained);
                }
                parts.extend(detail.map(|detail| format!("seen: {detail}")));
            }
            Outcome::Error => parts.push(detail.unwrap_or("it was not probed").to_owned()),
            // A skipped cell has its reason already.
            Outcome::Pass | Outcome::Deviation | Outcome::Skipped => {}
        }
        if !parts.is_empty() {
            matrix.reasons.insert(index, parts.join("; "));
        }
    }
}

/// Takes back denials of pods whose other cells show that their servers did not answer: a connection stood there and nobody
/// spoke on it, or a pod did not even hear itself, which no policy can keep from it (N4) and no packet leaves it for.
pub(crate) fn doubt(matrix: &mut Matrix, notes: &mut BTreeMap<u32, Note>, world: &World) {
    let is_pod =
        |id: EndpointId| matches!(&world.endpoint(id).kind, EndpointKind::Pod(pod) if !pod.host_network);
    let mut mute: BTreeMap<EndpointId, String> = BTreeMap::new();
    for (index, row) in (0_u32..).zip(&matrix.rows) {
        let cell = &row.cell;
        let detail = notes.get(&index).and_then(|note| note.detail.as_deref());
        let what = match row.observed {
            Some(Verdict::Error) if detail == Some(CONNECTED_UNANSWERED) => CONNECTED_UNANSWERED,
            Some(Verdict::Dropped)
                if cell.from == cell.to && cell.via == Via::PodIp && has_servers(cell) && is_pod(cell.to) =>
            {
                "dropped, though it never leaves the pod"
            }
            _ => continue,
        };
        // Of several pods behind a Service nobody knows which it was.
        if let [id] = behind(world, cell.to)[..] {
            mute.entry(id).or_insert_with(|| format!("{}: {what}", crate::control::describe(world, cell)));
        }
    }
    if mute.is_empty() {
        return;
    }
    let believed = |row: &Row| {
        row.outcome != Outcome::Skipped && has_servers(&row.cell) && row.observed.is_some_and(is_denial)
    };
    for (index, row) in (0_u32..).zip(&mut matrix.rows).filter(|(_, row)| believed(row)) {
        let silent = behind(world, row.cell.to).into_iter().find_map(|id| Some((id, mute.get(&id)?)));
        if let (Some((id, why)), Some(seen)) = (silent, row.observed) {
            (row.observed, row.outcome) = (Some(Verdict::Error), Outcome::Error);
            let why = format!(
                "{seen}, which proves nothing: the servers of {} do not answer ({why})",
                world.name(id)
            );
            notes.entry(index).or_default().detail = Some(why.into());
        }
    }
}

/// The run was stopped before a step had settled: what its cells showed last is neither right nor wrong yet.
pub(crate) fn unsettled(matrix: &mut Matrix) {
    for (index, row) in (0_u32..).zip(&mut matrix.rows).filter(|(_, row)| row.outcome != Outcome::Skipped) {
        let last =
            row.observed.map_or_else(|| "it was not probed".to_owned(), |seen| format!("last seen: {seen}"));
        (row.observed, row.outcome) = (row.observed.map(|_| Verdict::Error), Outcome::Error);
        matrix.reasons.insert(index, format!("interrupted before the step had settled; {last}"));
    }
}

/// Says of denials that count as expected where nobody could be asked for a sign of life.
pub(crate) fn unasked(matrix: &mut Matrix, why: impl Fn(&Cell) -> Option<String>) {
    for (index, row) in (0_u32..).zip(&matrix.rows) {
        if row.outcome == Outcome::Pass
            && row.observed.is_some_and(is_denial)
            && let Some(why) = why(&row.cell)
        {
            let reason = matrix.reasons.entry(index).or_default();
            *reason = if reason.is_empty() { why } else { format!("{reason}; {why}") };
        }
    }
}

/// Takes back checks: what was measured between endpoints of which one is lost proves nothing.
pub(crate) fn unprove_checks(checks: &mut [CheckRecord], world: &World, lost: &BTreeMap<EndpointId, Loss>) {
    for (id, loss) in lost {
        let name = world.name(*id).to_string();
        let of = checks.iter_mut().filter(|check| check.from == name || check.to == name);
        for check in of.filter(|check| check.outcome != Outcome::Skipped) {
            (check.seen, check.outcome) = (Some(Seen::Error), Outcome::Error);
            check.reason = Some(format!("{name} {loss}"));
        }
    }
}

/// Takes back what lost endpoints make worthless. The silence of one that died proves nothing, and neither does a
/// refusal, which its node sends in its place. An answer that should have come stays; one that should not may have come
/// because the dataplane has forgotten a pod whose processes were still ending. Where another stands in its place,
/// nothing is its own.
pub(crate) fn unprove(matrix: &mut Matrix, world: &World, lost: &BTreeMap<EndpointId, Loss>) {
    let backend = |id: EndpointId| match &world.endpoint(id).kind {
        EndpointKind::Service(service) => world.backends(service).iter().find_map(|pod| {
            let id = world.find(&EndpointName::pod(&pod.namespace, &pod.name))?;
            lost.get(&id)
        }),
        _ => None,
    };
    for (index, row) in (0_u32..).zip(&mut matrix.rows) {
        if row.outcome == Outcome::Skipped {
            continue;
        }
        let of = |id: EndpointId| lost.get(&id).or_else(|| backend(id));
        let ends = [row.cell.from, row.cell.to].map(|id| of(id).map(|loss| (id, loss)));
        let worthless = |(_, loss): &(EndpointId, &Loss)| {
            row.observed != Some(Verdict::Allowed)
                || row.outcome != Outcome::Pass
                || matches!(loss, Loss::Replaced(_))
        };
        if let Some((id, loss)) = ends.into_iter().flatten().find(worthless) {
            (row.observed, row.outcome) = (Some(Verdict::Error), Outcome::Error);
            matrix.reasons.insert(index, format!("{} {loss}", world.name(id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use verdikt_model::{Cell, Family, NamespaceSpec, PodSpec, Protocol, Row, Topics, Topology, Via};

    use super::*;

    fn matrix(outcomes: &[Outcome]) -> Matrix {
        let cell = Cell {
            from: EndpointId(0),
            to: EndpointId(0),
            via: Via::PodIp,
            family: Family::Ipv4,
            protocol: Protocol::Tcp,
            port: 80,
        };
        let row = |outcome| Row {
            cell,
            expected: Expectation::Deny,
            observed: Some(Verdict::Allowed),
            outcome,
            attempts: 1,
            rtt_us: 0,
            seen_as: None,
            topics: Topics::default(),
        };
        Matrix {
            names: Arc::new(vec!["x/a".into()]),
            rows: outcomes.iter().map(|o| row(*o)).collect(),
            reasons: BTreeMap::new(),
        }
    }

    #[test]
    fn what_was_written_of_open_cells_is_told_where_it_was_not_seen() {
        let mut matrix = matrix(&[Outcome::Pass, Outcome::Pass, Outcome::Pass]);
        let written = BTreeMap::from([(0, Expectation::Deny), (1, Expectation::Allow)]);
        reasons(
            &mut matrix,
            &BTreeMap::new(),
            &World::synthetic(&Topology::default()),
            &written,
            &BTreeSet::new(),
        );
        assert!(matrix.reasons[&0].contains("written down was deny"));
        assert!(!matrix.reasons.contains_key(&1) && !matrix.reasons.contains_key(&2));
    }

    /// x/b's servers hang: the kernel takes its connections, and its own datagrams to itself get no answer.
    #[test]
    fn denials_by_a_pod_whose_other_cells_show_that_its_servers_hang_are_errors() {
        let pods = ["a", "b"].map(|name| (name.to_owned(), PodSpec::default())).into();
        let namespace = NamespaceSpec { pods, ..NamespaceSpec::default() };
        let topology = Topology { namespaces: [("x".to_owned(), namespace)].into(), ..Topology::default() };
        let world = World::synthetic(&topology);
        use Outcome::{Error, Fail, Pass};
        let seen = |cells: &[(u16, u16, Protocol, Verdict)]| {
            let mut matrix = matrix(&vec![Pass; cells.len()]);
            let mut notes = BTreeMap::new();
            for (index, (row, (from, to, protocol, verdict))) in
                (0_u32..).zip(matrix.rows.iter_mut().zip(cells))
            {
                (row.cell.from, row.cell.to) = (EndpointId(*from), EndpointId(*to));
                (row.cell.protocol, row.observed) = (*protocol, Some(*verdict));
                if *verdict == Verdict::Error {
                    row.outcome = Error;
                    notes.insert(index, Note { detail: Some(CONNECTED_UNANSWERED.into()), changed: None });
                }
            }
            matrix.rows[0].outcome = if cells[0].3 == Verdict::Dropped { Pass } else { Fail };
            doubt(&mut matrix, &mut notes, &world);
            let outcomes: Vec<Outcome> = matrix.rows.iter().map(|row| row.outcome).collect();
            (outcomes, notes.remove(&0).and_then(|note| note.detail).unwrap_or_default())
        };
        use Protocol::{Icmp, Tcp, Udp};
        use Verdict::{Allowed, Dropped};
        let denied = (0, 1, Udp, Dropped);
        let (outcomes, why) = seen(&[denied, (0, 1, Tcp, Verdict::Error), (1, 0, Udp, Dropped)]);
        assert_eq!(outcomes, [Error, Error, Pass], "{why}");
        let said = "dropped, which proves nothing: the servers of x/b do not answer (x/a -> x/b:80/tcp over ipv4: connected";
        assert!(why.starts_with(said), "{why}");
        let (outcomes, why) = seen(&[denied, (1, 1, Udp, Dropped), (0, 1, Icmp, Dropped)]);
        assert_eq!(outcomes, [Error, Error, Pass], "{why}");
        assert_eq!(seen(&[denied, (1, 1, Udp, Allowed), (1, 0, Udp, Dropped)]).0, [Pass, Pass, Pass]);
        // An answer stays one.
        assert_eq!(seen(&[(0, 1, Udp, Allowed), (1, 1, Udp, Dropped)]).0, [Fail, Error]);
    }

    #[test]
    fn of_the_dead_only_answers_that_should_have_come_count_and_of_the_replaced_nothing() {
        let pods = ["a", "b"].map(|name| (name.to_owned(), PodSpec::default())).into();
        let namespace = NamespaceSpec { pods, ..NamespaceSpec::default() };
        let topology = Topology { namespaces: [("x".to_owned(), namespace)].into(), ..Topology::default() };
        let world = World::synthetic(&topology);
        let seen = |loss: Option<Loss>| {
            let mut matrix =
                matrix(&[Outcome::Fail, Outcome::Pass, Outcome::Pass, Outcome::Skipped, Outcome::Pass]);
            matrix.rows[1].observed = Some(Verdict::Dropped);
            matrix.rows[2].observed = Some(Verdict::Rejected);
            matrix.rows.iter_mut().for_each(|row| row.cell.to = EndpointId(1));
            unprove(&mut matrix, &world, &loss.into_iter().map(|loss| (EndpointId(1), loss)).collect());
            matrix.rows.iter().map(|row| row.outcome).collect::<Vec<_>>()
        };
        use Outcome::{Error, Fail, Pass, Skipped};
        assert_eq!(seen(None), [Fail, Pass, Pass, Skipped, Pass]);
        assert_eq!(seen(Some(Loss::Died("it is gone".into()))), [Error, Error, Error, Skipped, Pass]);
        assert_eq!(seen(Some(Loss::Replaced("by another".into()))), [Error, Error, Error, Skipped, Error]);
    }
}
