//! How times differ: settling, round trips, changes taking force.

use std::collections::BTreeSet;

use verdikt_model::{CheckWord, Record, Seen, StepRecord, Verdict};

use super::comparison::{Shift, Spread};

/// Times that both records have, over the scenarios that both have.
pub(super) fn shifts(reference: &Record, other: &Record) -> Vec<Shift> {
    let names = |record: &Record| -> BTreeSet<String> {
        record.scenarios.iter().map(|scenario| scenario.name.clone()).collect()
    };
    let common: BTreeSet<String> = names(reference).intersection(&names(other)).cloned().collect();
    let of = |what: &'static str, times: fn(&StepRecord) -> Vec<u64>| {
        let side = |record: &Record| {
            let scenarios = record.scenarios.iter().filter(|scenario| common.contains(&scenario.name));
            spread(scenarios.flat_map(|scenario| &scenario.steps).flat_map(times).collect())
        };
        let shift = Shift { what, reference: side(reference), other: side(other) };
        (shift.reference.samples > 0 && shift.other.samples > 0).then_some(shift)
    };
    [
        of("a step is in force", |step| step.settle_ms.map(|ms| ms * 1000).into_iter().collect()),
        of("a change is in force, sampled", |step| {
            let changed = step.checks.iter().filter(|check| check.seen == Some(Seen::Changed));
            changed.filter_map(|check| check.time_us).collect()
        }),
        of("a held connection is cut", |step| {
            let cut = step.checks.iter().filter(|check| check.seen == Some(Seen::Cut));
            cut.filter_map(|check| check.time_us).collect()
        }),
        of("a new pod is open", |step| {
            let of_pod = step.checks.iter().filter(|check| check.kind == CheckWord::First);
            let open = of_pod.filter(|check| check.seen == Some(Seen::Window));
            open.filter_map(|check| check.time_us).collect()
        }),
        of("round trip of an allowed probe", |step| {
            let allowed = step.cells.rows.iter().filter(|row| row.observed == Some(Verdict::Allowed));
            allowed.filter(|row| row.rtt_us > 0).map(|row| row.rtt_us.into()).collect()
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn spread(mut times: Vec<u64>) -> Spread {
    times.sort_unstable();
    let at = |hundredths: usize| {
        let rank = (times.len() * hundredths).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or_default()
    };
    Spread { samples: times.len() as u64, median_us: at(50), p99_us: at(99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_nearest() {
        assert_eq!(spread(vec![]), Spread::default());
        assert_eq!(spread(vec![7]), Spread { samples: 1, median_us: 7, p99_us: 7 });
        let spread = spread((1..=200).rev().collect());
        assert_eq!((spread.median_us, spread.p99_us), (100, 198));
    }
}
