//! How long silence must last to count as dropped.

use std::time::Duration;

use crate::options::Deadline;

/// Deadlines of the positive control's sweeps, whose round trips are not known yet: each is twice as long as the
/// one before. A short first one loses nothing, since only answers count there: whoever is silent is asked again.
const CONTROL_FIRST: Duration = Duration::from_millis(300);
const CONTROL_LONGEST: Duration = Duration::from_secs(2);

/// The deadline of the control's first sweep, and the longest of those that follow. One that the user has fixed holds
/// for the control, too: what it cannot show, the steps could not either.
pub(crate) fn of_control(option: Deadline) -> (Duration, Duration) {
    match option {
        Deadline::Fixed(duration) => (duration, duration),
        Deadline::Auto => (CONTROL_FIRST, CONTROL_LONGEST),
    }
}

/// Bounds of an automatic deadline. Below the first, a busy processor looks like a firewall; above the second,
/// a run gets nowhere.
const SHORTEST: Duration = Duration::from_millis(300);
const LONGEST: Duration = Duration::from_secs(5);

/// The deadline for a scenario: 10 × the 99th percentile of the positive control's round trips + 150 ms, and at
/// least 2 × the longest of them, within bounds: an answer that the control took as proof must not come too late in
/// a step. The control has as many probes in flight as the steps will have, or more, so a loaded machine shows in it.
pub(crate) fn deadline(option: Deadline, rtts_us: &mut [u32]) -> Duration {
    match option {
        Deadline::Fixed(duration) => duration,
        Deadline::Auto => {
            let micros = |us: Option<u32>| Duration::from_micros(us.unwrap_or(0).into());
            let longest = micros(rtts_us.iter().copied().max());
            let p99 = micros(percentile_99(rtts_us));
            (p99 * 10 + Duration::from_millis(150)).max(longest * 2).clamp(SHORTEST, LONGEST)
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
        // One slow path of a hundred and one still gets its answers in.
        let mut rtts = vec![20_000; 101];
        rtts[7] = 1_000_000;
        assert_eq!(auto(&mut rtts), 2_000);
        assert_eq!(deadline(Deadline::Fixed(Duration::from_secs(1)), &mut [1]).as_millis(), 1000);
    }
}
