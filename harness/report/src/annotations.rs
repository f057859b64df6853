//! GitHub's workflow commands from a record: `::error title=…::…`, shown beside the job.
//!
//! GitHub shows ten of each kind for a step and drops the rest in silence: the most important come first, and the tenth
//! says how many more there are.

use verdikt_model::{DeviationState, Outcome, Record, ScenarioOutcome, ScenarioRecord};

use crate::{
    details::first_sentences,
    deviations::sentence,
    escape::{NAME, cut},
    remarks::{remarks, reservations},
    status, text,
};

/// How many annotations of one kind GitHub shows for a step.
const SHOWN: usize = 10;
/// Most sentences in one annotation.
const SENTENCES: usize = 5;

/// One annotation, not yet escaped for the runner.
struct Annotation {
    title: String,
    message: String,
}

/// The commands, one a line; the same for the same record.
pub fn annotations(record: &Record) -> String {
    let repeated = record.run.is_repeated();
    let of = |outcome| record.scenarios.iter().filter(move |scenario| scenario.outcome == outcome);
    let mut failed: Vec<_> = of(ScenarioOutcome::Failed).collect();
    // What binds most, then what is most wrong.
    failed.sort_by_key(|scenario| (scenario.level, std::cmp::Reverse(wrong(scenario))));
    let flaky = || of(ScenarioOutcome::Flaky).map(|scenario| annotation("flaky", scenario));
    // Where it was asked if scenarios are stable, one that is not is a finding.
    let unstable = repeated.then(flaky).into_iter().flatten();
    let errors: Vec<_> =
        failed.into_iter().map(|scenario| annotation("differs", scenario)).chain(unstable).collect();
    let errored = of(ScenarioOutcome::Errored).map(|scenario| annotation("not measured", scenario));
    // What wants something done.
    let known = record.deviations.iter().filter_map(|of| {
        let title = match of.state {
            DeviationState::Fixed => "known deviation fixed",
            DeviationState::Expired => "known deviation expired",
            DeviationState::Happened | DeviationState::NotReached => return None,
        };
        Some(Annotation { title: format!("{title}: {}", cut(&of.scenario, NAME)), message: sentence(of) })
    });
    let late = reservations(record).into_iter().map(|(scenario, reason)| Annotation {
        title: format!("passed, with a remark: {scenario}"),
        message: reason,
    });
    let warnings: Vec<_> = errored
        .chain((!repeated).then(flaky).into_iter().flatten())
        .chain(of_remarks(record, Outcome::Flaky, "did not hold"))
        .chain(known)
        .chain(late)
        .collect();
    let notices: Vec<_> = std::iter::once(summary(record))
        .chain(of_remarks(record, Outcome::Deviation, "known deviation"))
        .chain(of(ScenarioOutcome::Skipped).map(|scenario| annotation("skipped", scenario)))
        .collect();
    let kinds = [("error", errors), ("warning", warnings), ("notice", notices)];
    kinds.into_iter().map(|(command, found)| lines(command, &found)).collect()
}

fn lines(command: &str, found: &[Annotation]) -> String {
    let shown = if found.len() > SHOWN { SHOWN - 1 } else { found.len() };
    let more = (found.len() > shown).then(|| Annotation {
        title: "verdikt".to_owned(),
        message: format!("and {} more like these; the record has them all", found.len() - shown),
    });
    found[..shown]
        .iter()
        .chain(&more)
        .map(|one| format!("::{command} title={}::{}\n", property(&one.title), data(&one.message)))
        .collect()
}

fn annotation(what: &str, scenario: &ScenarioRecord) -> Annotation {
    let mut message = vec![status::outcome_text(scenario)];
    message.extend(first_sentences(scenario, SENTENCES));
    Annotation { title: format!("{what}: {}", cut(&scenario.name, NAME)), message: message.join("\n") }
}

/// What a scenario's own annotation does not tell: it may have passed all the same.
fn of_remarks(record: &Record, outcome: Outcome, what: &'static str) -> impl Iterator<Item = Annotation> {
    remarks(record, outcome).into_iter().map(move |remark| Annotation {
        title: format!("{what}: {}", remark.scenario),
        message: format!(
            "step {}, {} like this: {}\n{}",
            remark.step,
            text::thousands(remark.count),
            remark.example,
            remark.reason
        ),
    })
}

fn summary(record: &Record) -> Annotation {
    let line = status::counts(record.run.planned as usize, &record.summary);
    Annotation {
        title: "verdikt".to_owned(),
        message: format!("{line}\n{}", status::place(&record.environment)),
    }
}

fn wrong(scenario: &ScenarioRecord) -> u64 {
    let (cells, checks) = (scenario.counts(), scenario.check_counts());
    cells.fail + cells.flaky + checks.fail + checks.flaky
}

/// The text of a command, as the runner reads it.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property, as the runner reads it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{escape::is_harmful, sample};

    /// As the runner takes a line: its kind, title and message.
    fn read(line: &str) -> (String, String, String) {
        let rest = line.strip_prefix("::").unwrap_or_else(|| panic!("no command: {line}"));
        let (command, message) = rest.split_once("::").unwrap();
        let (kind, properties) = command.split_once(' ').unwrap();
        let title = properties.strip_prefix("title=").unwrap();
        assert!(!title.contains([':', ',']), "{line}");
        let unescape = |text: &str| {
            text.replace("%0D", "\r")
                .replace("%0A", "\n")
                .replace("%3A", ":")
                .replace("%2C", ",")
                .replace("%25", "%")
        };
        (kind.to_owned(), unescape(title), unescape(message))
    }

    #[test]
    fn every_kind_of_finding_has_its_command() {
        let text = annotations(&sample::record());
        assert_eq!(text, annotations(&sample::record()));
        let found: Vec<_> = text.lines().map(read).collect();
        let titles: Vec<_> = found.iter().map(|(kind, title, _)| format!("{kind} {title}")).collect();
        assert_eq!(
            titles,
            [
                "error differs: selectors/and-versus-or",
                "warning not measured: ports/named",
                "warning did not hold: field/three-tier",
                "notice verdikt",
                "notice known deviation: field/three-tier",
                "notice skipped: sctp/port-match",
            ]
        );
        assert!(found[0].2.starts_with("36 of 148 cells differ\nand: z/a -> x/a 80/tcp"), "{:?}", found[0]);
        assert!(found[3].2.contains("emulated from documentation"), "{:?}", found[3]);
    }

    #[test]
    fn what_is_flaky_or_known_no_more_is_told() {
        let mut record = sample::record();
        record.scenarios = vec![sample::flaky()];
        record.deviations = DeviationState::ALL.iter().map(|state| sample::deviation(*state)).collect();
        let text = annotations(&record);
        let start = "::warning title=flaky%3A selectors/and-versus-or::1/3: as expected at 1 of 3";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("::warning title=known deviation fixed%3A field/three-tier::"), "{text}");
        assert_eq!(text.matches("title=known deviation ").count(), 2, "{text}");
        record.run.repeat = 3;
        assert!(annotations(&record).starts_with("::error title=flaky%3A "));
    }

    #[test]
    fn the_tenth_says_how_many_more() {
        let mut record = sample::record();
        record.scenarios = (0..10).map(|_| sample::failed()).collect();
        assert_eq!(annotations(&record).matches("::error ").count(), 10);
        assert!(!annotations(&record).contains("more like these"));
        record.scenarios.push(sample::failed());
        let text = annotations(&record);
        assert_eq!(text.matches("::error ").count(), 10);
        assert!(text.contains("::error title=verdikt::and 2 more like these"), "{text}");
    }

    #[test]
    fn what_binds_most_and_is_most_wrong_comes_first() {
        let mut record = sample::record();
        let named = |name: &str, level| {
            let mut scenario = sample::failed();
            (scenario.name, scenario.level) = (name.into(), level);
            scenario
        };
        let mut worst = named("worst", verdikt_model::Level::Core);
        worst.steps.push(worst.steps[0].clone());
        record.scenarios = vec![
            named("extended", verdikt_model::Level::Extended),
            named("core", verdikt_model::Level::Core),
            worst,
        ];
        let titles: Vec<_> = annotations(&record).lines().take(3).map(|line| read(line).1).collect();
        assert_eq!(titles, ["differs: worst", "differs: core", "differs: extended"]);
    }

    #[test]
    fn a_hostile_record_makes_no_command_of_its_own() {
        let text = annotations(&sample::hostile());
        for line in text.lines() {
            let (kind, title, _) = read(line);
            assert!(["error", "warning", "notice"].contains(&kind.as_str()), "{line}");
            assert!(!title.contains('\n') && !line.chars().any(is_harmful), "{line}");
            assert!(line.len() < 20_000, "{}", line.len());
        }
        assert!(text.lines().count() <= 30);
    }
}
