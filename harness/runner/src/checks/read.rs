//! From a task's runs to what a check has seen. Pure; times are told by `at`, in microseconds from the API's answer on.

use verdikt_model::{CheckExpect, Outcome, Seen};
use verdikt_protocol::{ProbeVerdict, Run, TaskReport};

/// Silence on a held connection for so long, until the end, means that it is cut.
pub(super) const CUT_US: u64 = 500_000;

/// What a check has seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) seen: Option<Seen>,
    /// The time that belongs to it, in microseconds.
    pub(super) us: Option<u64>,
    pub(super) status: Option<u16>,
    pub(super) detail: Option<String>,
    /// Who answered, by identities, in the order in which they first did.
    pub(super) answered_by: Vec<String>,
    /// Whether those who answered last are not whom the cell means, before the step or after it.
    pub(super) astray: bool,
}

impl Reading {
    fn new(seen: Seen, us: Option<i64>) -> Self {
        Self { seen: Some(seen), us: us.map(positive), ..Self::default() }
    }

    pub(super) fn error(why: impl Into<String>) -> Self {
        Self { seen: Some(Seen::Error), detail: Some(why.into()), ..Self::default() }
    }

    /// Whether it is silence or a refusal.
    pub(super) fn is_denial(&self) -> bool {
        matches!(self.seen, Some(Seen::Dropped | Seen::Rejected))
    }

    /// This one; or an error, where there is a doubt about what it rests on.
    pub(super) fn unless(self, doubt: impl FnOnce(&str) -> Option<String>) -> Self {
        let seen = self.seen.filter(|seen| *seen != Seen::Error);
        seen.and_then(|seen| doubt(seen.as_str())).map_or(self, Self::error)
    }

    fn because(self, detail: Option<String>) -> Self {
        Self { detail, ..self }
    }
}

/// Nothing takes force before the API's answer that can be told apart from the answer's own way.
fn positive(us: i64) -> u64 {
    u64::try_from(us).unwrap_or_default()
}

/// Whether what a task saw last was silence or a refusal, on which everything rests that is read from it.
pub(super) fn is_denied(report: &TaskReport) -> bool {
    let last = report.runs.last().map(|run| run.verdict);
    matches!(last, Some(ProbeVerdict::Dropped | ProbeVerdict::Rejected))
}

const fn allowed(run: &Run) -> bool {
    matches!(run.verdict, ProbeVerdict::Allowed)
}

/// A held connection.
pub(super) fn hold(report: &TaskReport, now_us: u64, at: impl Fn(u64) -> i64) -> Reading {
    let (Some(last), Some(answered)) =
        (report.runs.last(), report.runs.iter().rev().find(|run| allowed(run)))
    else {
        return Reading::error("the connection was never answered");
    };
    match last.verdict {
        ProbeVerdict::Allowed => {
            let gaps = report.runs.windows(3).filter(|runs| !allowed(&runs[1]) && allowed(&runs[0]));
            let longest = gaps.map(|runs| runs[2].first_us - runs[0].last_us).max();
            let detail = longest.map(|us| format!("it was silent for {} ms in between", us / 1000));
            Reading::new(Seen::Survived, None).because(detail)
        }
        ProbeVerdict::Rejected => {
            Reading::new(Seen::Cut, Some(at(answered.last_us))).because(last.detail.clone())
        }
        ProbeVerdict::Dropped if now_us.saturating_sub(answered.last_us) >= CUT_US => {
            Reading::new(Seen::Cut, Some(at(answered.last_us)))
        }
        ProbeVerdict::Dropped => Reading::error("it was silent for too short a time to tell"),
        ProbeVerdict::Error => Reading::error(last.detail.clone().unwrap_or_default()),
    }
}

/// Who may answer on a held connection, by identities; anybody where nobody is named.
pub(super) struct Meant<'a> {
    /// When it was opened.
    pub(super) before: &'a [String],
    /// Once the step is in force.
    pub(super) after: &'a [String],
    /// Their names for people.
    pub(super) name: &'a dyn Fn(&str) -> String,
}

/// Adds to the reading of a held connection who answered on it: a flow through a Service may move to another pod.
pub(super) fn moved(
    reading: Reading,
    report: &TaskReport,
    meant: &Meant<'_>,
    at: impl Fn(u64) -> i64,
) -> Reading {
    let Meant { before, after, name } = meant;
    let answers = report.runs.iter().filter(|run| allowed(run));
    let mut turns: Vec<(&str, u64)> = Vec::new();
    for (by, since) in answers.filter_map(|run| Some((run.by.as_deref()?, run.first_us))) {
        if turns.last().is_none_or(|(last, _)| *last != by) {
            turns.push((by, since));
        }
    }
    let (Some((first, _)), Some((last, since))) = (turns.first().copied(), turns.last().copied()) else {
        return reading;
    };
    let named = |who: &[String]| who.iter().map(|id| name(id)).collect::<Vec<_>>().join(" or ");
    if !before.is_empty() && before.iter().all(|id| id != first) {
        return Reading::error(format!("answered by {}, not {}", name(first), named(before)));
    }
    let mut answered_by: Vec<String> = Vec::new();
    for (by, _) in &turns {
        if answered_by.iter().all(|have| have != by) {
            answered_by.push((*by).to_owned());
        }
    }
    let astray = !(before.is_empty() && after.is_empty()) && before.iter().chain(*after).all(|id| id != last);
    let mut detail = reading.detail.clone();
    if let [.., (from, _), _] = turns.as_slice() {
        let when = match at(since) {
            us if us < 0 => "before the API's answer to the last change".to_owned(),
            us => format!("{} ms after the API's answer", us / 1000),
        };
        let often =
            if turns.len() > 2 { format!("moved {} times, last", turns.len() - 1) } else { "moved".into() };
        let whose = if astray { ", which is none of its servers," } else { "" };
        let text = format!("{often} from {} to {}{whose} {when}", name(from), name(last));
        detail = Some(detail.map_or(text.clone(), |before| format!("{text}; {before}")));
    }
    Reading { answered_by, astray, detail, ..reading }
}

/// From when on a cell was as wanted for good.
pub(super) fn sample(report: &TaskReport, want_allowed: bool, at: impl Fn(u64) -> i64) -> Reading {
    let right = |run: &&Run| match run.verdict {
        ProbeVerdict::Allowed => want_allowed,
        ProbeVerdict::Dropped | ProbeVerdict::Rejected => !want_allowed,
        ProbeVerdict::Error => false,
    };
    let good = report.runs.iter().rev().take_while(right).count();
    match report.runs.len() - good {
        _ if good == 0 => {
            let last = report.runs.last().and_then(|run| run.detail.clone());
            Reading::error(last.unwrap_or_else(|| "it was not as expected at the end".to_owned()))
        }
        0 => Reading { detail: Some("it was so before the change".into()), ..Reading::default() },
        since => Reading::new(Seen::Changed, Some(at(report.runs[since].first_us))),
    }
}

/// Whether a cell that must be closed throughout was; how long it was open is told by the source's own clock alone.
pub(super) fn closed(report: &TaskReport, at: impl Fn(u64) -> i64) -> Reading {
    let mut open = report.runs.iter().filter(|run| allowed(run));
    let Some(opened) = open.next() else {
        let failed = report.runs.iter().find(|run| run.verdict == ProbeVerdict::Error);
        return match failed {
            None if report.runs.is_empty() => Reading::error("nothing was tried"),
            None => Reading::new(Seen::Closed, None),
            // What was not measured may have been open.
            Some(run) => Reading::error(run.detail.clone().unwrap_or_default()),
        };
    };
    let last = open.next_back().unwrap_or(opened);
    let count: u32 = report.runs.iter().filter(|run| allowed(run)).map(|run| run.count).sum();
    let tried: u32 = report.runs.iter().map(|run| run.count).sum();
    let when = at(opened.first_us) / 1000;
    let side = if when < 0 { "before" } else { "after" };
    let detail = format!(
        "{count} of {tried} attempts got through, the first {} ms {side} the API's answer to the last change",
        when.abs()
    );
    let still = report.runs.last().is_some_and(allowed);
    let seen = if still { Seen::Opened } else { Seen::Window };
    let us = if still { at(opened.first_us) } else { (last.last_us - opened.first_us) as i64 };
    Reading::new(seen, Some(us)).because(Some(detail))
}

/// A pod's first moments, in its own clock.
pub(super) fn first(report: &TaskReport) -> Reading {
    let since = |us: u64| i64::try_from(us.saturating_sub(report.began_us)).ok();
    let mut open = report.runs.iter().filter(|run| allowed(run));
    let Some(opened) = open.next() else {
        return match report.runs.last() {
            None => Reading::error("nothing was tried"),
            Some(Run { verdict: ProbeVerdict::Error, detail, .. }) => {
                Reading::error(detail.clone().unwrap_or_default())
            }
            Some(_) => Reading::new(Seen::Closed, None),
        };
    };
    let last = open.next_back().unwrap_or(opened);
    if report.runs.last().is_some_and(allowed) {
        Reading::new(Seen::Opened, since(opened.first_us))
    } else {
        let count: u32 = report.runs.iter().filter(|run| allowed(run)).map(|run| run.count).sum();
        let from = since(opened.first_us).unwrap_or_default() / 1000;
        let detail = format!("{count} attempts got through, the first after {from} ms");
        Reading::new(Seen::Window, since(last.last_us)).because(Some(detail))
    }
}

/// A transfer that is over; `None` while it is not.
pub(super) fn transfer(report: &TaskReport) -> Option<Reading> {
    let run = report.runs.first()?;
    let took = run.last_us.checked_sub(report.began_us).and_then(|us| i64::try_from(us).ok());
    let so_far = || Some(format!("{} bytes came back", report.bytes));
    Some(match run.verdict {
        ProbeVerdict::Allowed => {
            Reading { answered_by: run.by.iter().cloned().collect(), ..Reading::new(Seen::Complete, took) }
        }
        ProbeVerdict::Dropped => Reading::new(Seen::Dropped, None).because(so_far()),
        ProbeVerdict::Rejected => {
            Reading::new(Seen::Rejected, None).because(run.detail.clone().or_else(so_far))
        }
        ProbeVerdict::Error => Reading::error(run.detail.clone().unwrap_or_default()),
    })
}

/// How what was seen compares with what should be.
pub(super) fn judge(expect: CheckExpect, reading: &Reading) -> Outcome {
    let status = reading.status.unwrap_or_default();
    let right = match (expect, reading.seen) {
        (_, Some(Seen::Error)) => return Outcome::Error,
        (_, None) => return Outcome::Skipped,
        (CheckExpect::Either | CheckExpect::Derived, _) | (_, Some(Seen::Changed)) => true,
        (CheckExpect::Survives, Some(seen)) => seen == Seen::Survived && !reading.astray,
        (CheckExpect::Cut, Some(seen)) => seen == Seen::Cut,
        (CheckExpect::Closed, Some(seen)) => seen == Seen::Closed,
        (CheckExpect::Allow, Some(Seen::Answered)) => status < 400,
        (CheckExpect::Allow, Some(seen)) => matches!(seen, Seen::Opened | Seen::Complete),
        (CheckExpect::Deny, Some(Seen::Answered)) => status == 403,
        (CheckExpect::Deny, Some(seen)) => matches!(seen, Seen::Dropped | Seen::Rejected),
        (CheckExpect::Status(expected), Some(seen)) => seen == Seen::Answered && status == expected,
    };
    if right { Outcome::Pass } else { Outcome::Fail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProbeVerdict::{Allowed, Dropped, Rejected};

    /// Runs of 100 ms each, an attempt every millisecond, from 1 s on.
    fn report(verdicts: &[ProbeVerdict]) -> TaskReport {
        let runs = verdicts.iter().zip(10_u64..).map(|(verdict, n)| Run {
            first_us: n * 100_000,
            last_us: n * 100_000 + 99_000,
            count: 100,
            verdict: *verdict,
            detail: None,
            by: None,
        });
        TaskReport { n: 0, began_us: 1_000_000, runs: runs.collect(), bytes: 0, source_port: None }
    }

    /// The API answered at 1.05 s.
    fn at(us: u64) -> i64 {
        us as i64 - 1_050_000
    }

    #[test]
    fn a_held_connection_is_cut_only_after_a_long_silence_or_a_reset() {
        let of = |verdicts: &[ProbeVerdict], now| hold(&report(verdicts), now, at);
        assert_eq!(of(&[Allowed], 2_000_000).seen, Some(Seen::Survived));
        let silent = of(&[Allowed, Dropped], 1_700_000);
        assert_eq!((silent.seen, silent.us), (Some(Seen::Cut), Some(49_000)));
        assert_eq!(of(&[Allowed, Dropped], 1_300_000).seen, Some(Seen::Error));
        assert_eq!(of(&[Allowed, Rejected], 1_201_000).seen, Some(Seen::Cut));
        assert_eq!(of(&[Dropped], 9_000_000).seen, Some(Seen::Error));
        let again = of(&[Allowed, Dropped, Allowed], 1_400_000);
        assert_eq!(again.seen, Some(Seen::Survived));
        assert!(again.detail.unwrap().contains("101 ms"));
    }

    #[test]
    fn a_flow_that_moves_to_another_pod_survives_and_one_that_goes_to_a_stranger_does_not() {
        let of = |by: &[&str], after: &[&str]| {
            let mut report = report(&vec![Allowed; by.len()]);
            for (run, by) in report.runs.iter_mut().zip(by) {
                run.by = Some((*by).to_owned());
            }
            let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
            let (before, after) = (ids(&["r-m/s1"]), ids(after));
            let name = |id: &str| id.trim_start_matches("r-").to_owned();
            let meant = Meant { before: &before, after: &after, name: &name };
            moved(hold(&report, 9_000_000, at), &report, &meant, at)
        };
        let judged = |reading: &Reading| {
            [CheckExpect::Survives, CheckExpect::Cut, CheckExpect::Either]
                .map(|expect| judge(expect, reading))
        };
        use Outcome::{Error, Fail, Pass};
        let stayed = of(&["r-m/s1"], &["r-m/s1"]);
        assert_eq!((judged(&stayed), stayed.detail), ([Pass, Fail, Pass], None));
        let moved = of(&["r-m/s1", "r-m/s2"], &["r-m/s2"]);
        assert_eq!(judged(&moved), [Pass, Fail, Pass]);
        assert_eq!(moved.answered_by, ["r-m/s1", "r-m/s2"]);
        assert_eq!(moved.detail.as_deref(), Some("moved from m/s1 to m/s2 50 ms after the API's answer"));
        let astray = of(&["r-m/s1", "r-m/other"], &["r-m/s2"]);
        assert_eq!(judged(&astray), [Fail, Fail, Pass]);
        assert!(astray.detail.unwrap().contains("m/other, which is none of its servers"));
        let back = of(&["r-m/s1", "r-m/s2", "r-m/s1"], &["r-m/s2"]);
        assert!(back.detail.unwrap().starts_with("moved 2 times, last from m/s2 to m/s1"));
        // From the beginning nobody whom the cell means: nothing was measured.
        assert_eq!(judged(&of(&["r-m/s2"], &["r-m/s2"])), [Error; 3]);
    }

    #[test]
    fn a_change_is_timed_by_the_first_attempt_of_the_last_turn() {
        let denied = sample(&report(&[Allowed, Dropped, Allowed, Dropped]), false, at);
        assert_eq!((denied.seen, denied.us), (Some(Seen::Changed), Some(250_000)));
        let opened = sample(&report(&[Dropped, Allowed]), true, at);
        assert_eq!(opened.us, Some(50_000));
        assert_eq!(sample(&report(&[Dropped]), true, at).seen, Some(Seen::Error));
        assert_eq!(sample(&report(&[Allowed]), true, at).seen, None);
        // A refusal is a denial, too.
        assert_eq!(sample(&report(&[Allowed, Rejected]), false, at).seen, Some(Seen::Changed));
    }

    #[test]
    fn what_must_be_closed_throughout_is_so_only_when_every_attempt_was_measured() {
        let of = |verdicts: &[ProbeVerdict]| closed(&report(verdicts), at);
        assert_eq!(of(&[Dropped, Rejected, Dropped]).seen, Some(Seen::Closed));
        let window = of(&[Dropped, Allowed, Dropped, Allowed, Dropped]);
        assert_eq!((window.seen, window.us), (Some(Seen::Window), Some(299_000)));
        let detail = window.detail.clone().unwrap();
        assert_eq!(
            detail,
            "200 of 500 attempts got through, the first 50 ms after the API's answer to the last change"
        );
        assert_eq!(judge(CheckExpect::Closed, &window), Outcome::Fail);
        assert_eq!(
            of(&[Allowed, Dropped]).detail.unwrap().split(", ").last(),
            Some("the first 50 ms before the API's answer to the last change")
        );
        let opened = of(&[Dropped, Allowed]);
        assert_eq!((opened.seen, opened.us), (Some(Seen::Opened), Some(50_000)));
        assert_eq!(of(&[Dropped, ProbeVerdict::Error, Dropped]).seen, Some(Seen::Error));
        assert_eq!(
            of(&[ProbeVerdict::Error, Allowed, Dropped]).seen,
            Some(Seen::Window),
            "open it was, whatever else"
        );
        assert_eq!(of(&[]).seen, Some(Seen::Error));
    }

    #[test]
    fn first_moments_are_closed_open_or_a_window() {
        assert_eq!(first(&report(&[Dropped])).seen, Some(Seen::Closed));
        let window = first(&report(&[Allowed, Dropped]));
        assert_eq!((window.seen, window.us), (Some(Seen::Window), Some(99_000)));
        let opened = first(&report(&[Dropped, Allowed]));
        assert_eq!((opened.seen, opened.us), (Some(Seen::Opened), Some(100_000)));
        assert_eq!(first(&report(&[])).seen, Some(Seen::Error));
    }

    #[test]
    fn an_error_is_never_a_denial_and_open_questions_never_fail() {
        let seen = |seen| Reading { seen: Some(seen), ..Reading::default() };
        assert_eq!(judge(CheckExpect::Deny, &seen(Seen::Error)), Outcome::Error);
        assert_eq!(judge(CheckExpect::Deny, &seen(Seen::Dropped)), Outcome::Pass);
        assert_eq!(judge(CheckExpect::Closed, &seen(Seen::Window)), Outcome::Fail);
        assert_eq!(judge(CheckExpect::Allow, &seen(Seen::Window)), Outcome::Fail);
        assert_eq!(judge(CheckExpect::Either, &seen(Seen::Cut)), Outcome::Pass);
        let answered = |status| Reading { status: Some(status), ..seen(Seen::Answered) };
        assert_eq!(judge(CheckExpect::Status(403), &answered(403)), Outcome::Pass);
        assert_eq!(judge(CheckExpect::Status(403), &seen(Seen::Dropped)), Outcome::Fail);
        assert_eq!(judge(CheckExpect::Allow, &answered(503)), Outcome::Fail);
        assert_eq!(judge(CheckExpect::Deny, &answered(200)), Outcome::Fail);
    }
}
