//! Checks as sentences, and their figures: `create: in force after 0.6 ms (p50), 1.2 ms (p99), 40 samples`.

use std::fmt::Write;

use verdikt_model::{CheckExpect, CheckRecord, CheckWord, Outcome, ScenarioRecord, Seen, StepRecord};

use crate::{
    escape::{NAME, SENTENCE, cut},
    text,
};

/// `hold x/a -> y/b:80/tcp over ipv4: expected survives, cut after 35.2 ms`
pub(crate) fn sentence(check: &CheckRecord) -> String {
    let port = match check.protocol {
        verdikt_model::Protocol::Icmp => "icmp".to_owned(),
        protocol => format!("{}/{protocol}", check.port),
    };
    let via = match check.via {
        verdikt_model::Via::PodIp => String::new(),
        via => format!(" via {via}"),
    };
    let (from, to) = (cut(&check.from, NAME), cut(&check.to, NAME));
    let mut text = format!("{} {from} -> {to}:{port}{via} over {}", check.kind, check.family);
    if let Some(what) = &check.what {
        let _ = write!(text, ", {}", cut(what, NAME));
    }
    match check.kind {
        // It is a figure; the matrix tells whether the cell is as expected.
        CheckWord::Sample if check.expected == CheckExpect::Either.to_string() => {
            write!(text, ": {}", seen(check))
        }
        _ => write!(text, ": expected {}, {}", cut(&check.expected, NAME), seen(check)),
    }
    .expect("writing to a string does not fail");
    if let Some(reason) = &check.reason {
        let _ = write!(text, "; {}", cut(reason, SENTENCE));
    }
    text
}

fn seen(check: &CheckRecord) -> String {
    let after = check.time_us.map(|us| format!(" {}", text::micros(us))).unwrap_or_default();
    match check.seen {
        None => "not measured".to_owned(),
        Some(Seen::Survived) => "survived".to_owned(),
        Some(Seen::Cut) => format!("cut after{after}"),
        Some(Seen::Closed) if check.kind == CheckWord::Sample => "closed at every moment".to_owned(),
        Some(Seen::Closed) => "closed from the first moment on".to_owned(),
        Some(Seen::Opened) => format!("open from{after} on"),
        Some(Seen::Window) if check.kind == CheckWord::Sample => format!("open for{after}"),
        Some(Seen::Window) => format!("open until{after}"),
        Some(Seen::Changed) => format!("in force after{after}"),
        Some(Seen::Complete) => format!("complete after{after}"),
        Some(Seen::Answered) => {
            format!("answered with status {}", check.status.map_or("none".to_owned(), |s| s.to_string()))
        }
        Some(Seen::Dropped) => "dropped (silence)".to_owned(),
        Some(Seen::Rejected) => "rejected".to_owned(),
        Some(Seen::Error) => "could not be measured".to_owned(),
    }
}

/// Whether a check is a finding.
pub(crate) fn is_finding(check: &CheckRecord) -> bool {
    matches!(check.outcome, Outcome::Fail | Outcome::Flaky | Outcome::Error)
}

/// Checks of a step that showed the same, with what was measured of time: the step's name, the kind, what was seen and
/// whether another server answered in the end.
type Group<'a> = (&'a str, CheckWord, (Seen, bool), Vec<u64>);

/// What was measured of time, step by step; empty for a scenario without such checks.
pub(crate) fn figures(scenario: &ScenarioRecord) -> Vec<String> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for step in &scenario.steps {
        for check in step.checks.iter().filter(|check| check.outcome != Outcome::Error) {
            let Some(seen) = check.seen else { continue };
            if !matches!(check.kind, CheckWord::Hold | CheckWord::First | CheckWord::Sample) {
                continue;
            }
            let us = check.time_us.unwrap_or_default();
            let seen = (seen, check.answered_by.len() > 1);
            match groups
                .iter_mut()
                .find(|(name, kind, have, _)| (*name, *kind, *have) == (step.name.as_str(), check.kind, seen))
            {
                Some((.., times)) => times.push(us),
                None => groups.push((&step.name, check.kind, seen, vec![us])),
            }
        }
    }
    groups.into_iter().map(|(step, kind, seen, times)| figure(step, kind, seen, times)).collect()
}

/// `moved`: whether another server answered in the end.
fn figure(step: &str, kind: CheckWord, (seen, moved): (Seen, bool), mut times: Vec<u64>) -> String {
    times.sort_unstable();
    let part = |share: f64| {
        // The nearest rank.
        let rank = (share * times.len() as f64).ceil() as usize;
        times.get(rank.clamp(1, times.len()) - 1).copied().unwrap_or_default()
    };
    let n = times.len() as u64;
    let spread = match n {
        1 => text::micros(part(1.0)),
        _ => format!("{} (p50), {} (p99)", text::micros(part(0.5)), text::micros(part(0.99))),
    };
    let held = text::count(n, if kind == CheckWord::Hold { "held connection" } else { "cell" });
    let step = cut(step, NAME);
    match seen {
        Seen::Survived if moved => format!("{step}: {held} moved to another server and went on"),
        Seen::Survived => format!("{step}: {held} survived"),
        Seen::Cut => format!("{step}: {held} cut after {spread}"),
        Seen::Closed if kind == CheckWord::Sample => format!("{step}: {held} closed at every moment"),
        Seen::Closed => format!("{step}: {held} closed from the first moment on"),
        Seen::Window if kind == CheckWord::Sample => format!("{step}: {held} open in between, for {spread}"),
        Seen::Opened => format!("{step}: {held} open from {spread} on"),
        Seen::Window => format!("{step}: {held} open at first, until {spread}"),
        _ => format!("{step}: in force after {spread}, {}", text::count(n, "sample")),
    }
}

/// The findings among a step's checks, one line each.
pub(crate) fn findings(out: &mut String, step: &StepRecord, indent: &str) {
    for check in step.checks.iter().filter(|check| is_finding(check)) {
        let _ = writeln!(out, "{indent}{}", sentence(check));
    }
}

#[cfg(test)]
mod tests {
    use verdikt_model::{Family, Protocol, Via};

    use super::*;
    use crate::sample;

    fn check(kind: CheckWord, seen: Seen, time_us: Option<u64>) -> CheckRecord {
        CheckRecord {
            kind,
            from: "x/a".into(),
            to: "y/b".into(),
            via: Via::PodIp,
            port: 80,
            protocol: Protocol::Tcp,
            family: Family::Ipv4,
            what: None,
            expected: "survives".into(),
            seen: Some(seen),
            outcome: Outcome::Pass,
            time_us,
            within_us: None,
            status: None,
            answered_by: Vec::new(),
            reason: None,
        }
    }

    #[test]
    fn a_check_is_one_sentence_without_control_characters() {
        let mut one = check(CheckWord::Hold, Seen::Cut, Some(35_240));
        assert_eq!(sentence(&one), "hold x/a -> y/b:80/tcp over ipv4: expected survives, cut after 35.2 ms");
        let shut = |seen, us| CheckRecord { expected: "closed".into(), ..check(CheckWord::Sample, seen, us) };
        let text = sentence(&shut(Seen::Window, Some(12_300)));
        assert_eq!(text, "sample x/a -> y/b:80/tcp over ipv4: expected closed, open for 12.3 ms");
        assert!(sentence(&shut(Seen::Closed, None)).ends_with("expected closed, closed at every moment"));
        one.what = Some("GET /\u{1b}[31m".into());
        assert!(!sentence(&one).contains('\u{1b}'));
    }

    #[test]
    fn figures_are_told_by_step_and_by_what_was_seen() {
        let mut record = sample::record().scenarios.remove(0);
        record.steps[0].name = "create".into();
        record.steps[0].checks =
            (1..=100).map(|n| check(CheckWord::Sample, Seen::Changed, Some(n * 1000))).collect();
        record.steps[0].checks.push(check(CheckWord::Hold, Seen::Survived, None));
        assert_eq!(
            figures(&record),
            [
                "create: in force after 50.0 ms (p50), 99.0 ms (p99), 100 samples",
                "create: 1 held connection survived"
            ]
        );
    }
}
