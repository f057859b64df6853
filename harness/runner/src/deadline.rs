//! How long silence must last to count as dropped.

use std::time::Duration;

use crate::options::Deadline;

/// Deadlines of the positive control's sweeps, whose round trips are not known yet: each is twice as long as the
/// one before. A short first one loses nothing, since only answers count there: whoever is silent is asked again.
pub(crate) const CONTROL_FIRST: Duration = Duration::from_millis(300);
pub(crate) const CONTROL_LONGEST: Duration = Duration::from_secs(2);

/// Bounds of an automatic deadline. Below the first, a busy processor looks like a firewall; above the second,
/// a run gets nowhere.
const SHORTEST: Duration = Duration::from_millis(300);
const LONGEST: Duration = Duration::from_secs(5);

/// The deadline for a scenario: 10 × the 99th percentile of the positive control's round trips + 150 ms, within
/// bounds. The control has as many probes in flight as the steps will have, or more, so a loaded machine shows in
/// it.
pub(crate) fn deadline(option: Deadline, rtts_us: &mut [u32]) -> Duration {
    match option {
        Deadline::Fixed(duration) => duration,
        Deadline::Auto => {
            let p99 = percentile_99(rtts_us).map_or(Duration::ZERO, |us| Duration::from_micros(us.into()));
            (p99 * 10 + Duration::from_millis(150)).clamp(SHORTEST, LONGEST)
        }
    }
}

fn percentile_99(values: &mut [u32]) -> Option<u32> {
    let last = values.len().checked_sub(1)?;
    let (_, value, _) = values.select_nth_unstable(last * 99 / 100);
    Some(*value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_follows_the_round_trips_within_bounds() {
        let auto = |rtts: &mut [u32]| deadline(Deadline::Auto, rtts).as_millis();
        assert_eq!(auto(&mut []), 300);
        assert_eq!(auto(&mut [50; 100]), 300);
        assert_eq!(auto(&mut [20_000; 100]), 350);
        assert_eq!(auto(&mut [2_000_000; 100]), 5_000);
        // One outlier of a hundred and one does not count.
        let mut rtts = vec![20_000; 101];
        rtts[7] = 1_000_000;
        assert_eq!(auto(&mut rtts), 350);
        assert_eq!(deadline(Deadline::Fixed(Duration::from_secs(1)), &mut [1]).as_millis(), 1000);
    }
}
