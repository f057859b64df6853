//! Which wrong cells are known.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::{
    ending::ending,
    known::{
        file::{KnownDeviation, KnownDeviations},
        sightings::Sightings,
    },
    matrix::{Matrix, Row},
    record::{Dataplane, Record, ScenarioRecord, StepRecord, Summary},
    verdict::{Outcome, ScenarioOutcome, Verdict},
};

/// The deviations that are known of one dataplane, on one day.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub(super) entries: Vec<Entry>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Name of its file.
    pub(super) file: String,
    pub(super) of: KnownDeviation,
    /// Whether its last day has passed.
    pub(super) expired: bool,
}

impl Known {
    /// What the files say of this dataplane, and which of them say nothing of it: one sentence each. Of the files that
    /// verdikt brings along most are of others, which is told only when all are.
    pub fn new(files: &[KnownDeviations], plane: &Dataplane, today: Date) -> (Self, Vec<String>) {
        let (mut entries, mut notes) = (Vec::new(), Vec::new());
        let mut built_in = Vec::new();
        for file in files {
            if let Some(why) = file.mismatch(plane) {
                if !file.is_built_in() {
                    notes.push(format!("{} is ignored: {why}", file.source));
                } else if file.dataplane == plane.name {
                    built_in.push((false, format!("{} is ignored: {why}", file.source)));
                } else {
                    built_in.push((false, String::new()));
                }
                continue;
            }
            if file.is_built_in() {
                built_in.push((true, String::new()));
            }
            let of_version = file.deviations.iter().filter(|of| of.is_of(&plane.version));
            entries.extend(of_version.map(|of| Entry {
                file: file.name.clone(),
                of: of.clone(),
                expired: of.expires.is_some_and(|last| last < today),
            }));
        }
        if !built_in.is_empty() && !built_in.iter().any(|(fits, _)| *fits) {
            notes.push(format!("no built-in file of known deviations fits {} {}", plane.name, plane.version));
            notes.extend(built_in.into_iter().map(|(_, why)| why).filter(|why| !why.is_empty()));
        }
        (Self { entries }, notes)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The wrong verdicts that cells of a step, by index, are known to show.
    pub fn wrong_verdicts(&self, scenario: &str, step: &str, cells: &Matrix) -> BTreeSet<(u32, Verdict)> {
        let entries: Vec<&Entry> = self.of(scenario, step).filter(|entry| !entry.expired).collect();
        let mut known = BTreeSet::new();
        if entries.is_empty() {
            return known;
        }
        for (index, row) in (0_u32..).zip(&cells.rows) {
            for verdict in Verdict::ALL.iter().filter(|v| row.expected.admits(**v) == Some(false)) {
                if entries.iter().any(|entry| entry.covers(cells, row, *verdict)) {
                    known.insert((index, *verdict));
                }
            }
        }
        known
    }

    /// Makes deviations of those wrong cells and checks of a step that are known.
    pub fn judge_step(&self, scenario: &str, step: &mut StepRecord) {
        let entries: Vec<&Entry> = self.of(scenario, &step.name).collect();
        if entries.is_empty() {
            return;
        }
        let cells = &mut step.cells;
        for index in 0..cells.rows.len() {
            let row = cells.rows[index];
            let (Outcome::Fail, Some(observed), Ok(key)) = (row.outcome, row.observed, u32::try_from(index))
            else {
                continue;
            };
            let covering: Vec<&&Entry> =
                entries.iter().filter(|entry| entry.covers(cells, &row, observed)).collect();
            let had = cells.reasons.get(&key).map(String::as_str);
            if let Some((outcome, reason)) = decide(&covering, had) {
                cells.rows[index].outcome = outcome;
                cells.reasons.insert(key, reason);
            }
        }
        for check in step.checks.iter_mut().filter(|check| check.outcome == Outcome::Fail) {
            let covering: Vec<&&Entry> = entries.iter().filter(|entry| entry.of.is_of_check(check)).collect();
            if let Some((outcome, reason)) = decide(&covering, check.reason.as_deref()) {
                (check.outcome, check.reason) = (outcome, Some(reason));
            }
        }
    }

    /// The same for a scenario that has ended; what it ended with follows.
    pub fn judge(&self, scenario: &mut ScenarioRecord) {
        if !self.entries.iter().any(|entry| entry.of.is_of_scenario(&scenario.name)) {
            return;
        }
        scenario.steps.iter_mut().for_each(|step| self.judge_step(&scenario.name, step));
        if scenario.outcome != ScenarioOutcome::Failed {
            return;
        }
        let (outcome, reason) = ending(scenario.level, &scenario.steps);
        scenario.outcome = match (&scenario.reason, outcome) {
            (_, ScenarioOutcome::Failed) => ScenarioOutcome::Failed,
            // It has not gone to its end: nothing more is proved, and not all was measured.
            (Some(why), _) if !why.starts_with(FRESH_LANE) => ScenarioOutcome::Errored,
            (None, ScenarioOutcome::Errored) => {
                scenario.reason = reason;
                ScenarioOutcome::Errored
            }
            (_, outcome) => outcome,
        };
    }

    /// What is known of a step.
    fn of<'a>(&'a self, scenario: &'a str, step: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.of.is_of_scenario(scenario) && entry.of.is_of_step(step))
    }
}

/// How the reason of a scenario begins that was measured to its end, in a lane that was made for it.
pub const FRESH_LANE: &str = "in a fresh lane";

impl Entry {
    fn covers(&self, cells: &Matrix, row: &Row, observed: Verdict) -> bool {
        let (from, to) = (cells.name(row.cell.from), cells.name(row.cell.to));
        self.of.is_of_verdict(observed) && self.of.is_of_cell(from, to, &row.cell)
    }
}

/// What becomes of something wrong that these entries cover.
fn decide(covering: &[&&Entry], had: Option<&str>) -> Option<(Outcome, String)> {
    let said = |of: &KnownDeviation| format!("{} ({})", of.reason, of.link);
    if let Some(entry) = covering.iter().find(|entry| !entry.expired) {
        return Some((Outcome::Deviation, said(&entry.of)));
    }
    let entry = covering.first()?;
    let last = entry.of.expires.map(|date| date.to_string()).unwrap_or_default();
    let expired = format!("the known deviation expired on {last}: {}", said(&entry.of));
    let reason = match had {
        // Told already.
        Some(had) if had.starts_with(&expired) => had.to_owned(),
        Some(had) => format!("{expired}; {had}"),
        None => expired,
    };
    Some((Outcome::Fail, reason))
}

/// Applies files to a whole record, as a run that had them would have; tells which files say nothing of its dataplane.
/// `today` is the day on which they are to count. What is a deviation already stays one.
pub fn apply(record: &mut Record, files: &[KnownDeviations], today: Date) -> Vec<String> {
    let (known, notes) = Known::new(files, &record.environment.dataplane, today);
    let mut sightings = Sightings::new(&known);
    record.summary = Summary::default();
    for scenario in &mut record.scenarios {
        known.judge(scenario);
        sightings.see(&known, scenario);
        record.summary.add(scenario);
    }
    let cut = record.scenarios.iter().any(|scenario| scenario.interrupted);
    let fresh = sightings.records(&known, record.run.is_whole(record.scenarios.len()) && !cut);
    record.deviations.retain(|had| !fresh.iter().any(|new| new.is_of_the_same(had)));
    record.deviations.extend(fresh);
    notes
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::{
        Cell, CheckRecord, CheckWord, DeviationState, EndpointId, Environment, Expectation, Family, Level,
        Protocol, RunInfo, SCHEMA, Seen, Topics, Via, join,
    };

    fn row(to: u16, observed: Option<Verdict>, outcome: Outcome) -> Row {
        Row {
            cell: Cell {
                from: EndpointId(0),
                to: EndpointId(to),
                via: Via::PodIp,
                family: Family::Ipv4,
                protocol: Protocol::Tcp,
                port: 80,
            },
            expected: Expectation::Deny,
            observed,
            outcome,
            attempts: 2,
            rtt_us: 0,
            seen_as: None,
            topics: Topics::default(),
        }
    }

    /// A scenario whose cells go from `x/a` to `x/b`, `x/c`, ….
    fn scenario(name: &str, cells: &[(Option<Verdict>, Outcome)]) -> ScenarioRecord {
        let names = ["x/a", "x/b", "x/c", "x/d", "x/e"].map(str::to_owned).to_vec();
        let rows = (1..).zip(cells).map(|(to, (seen, outcome))| row(to, *seen, *outcome)).collect();
        let cells = Matrix { names: Arc::new(names), rows, reasons: BTreeMap::from([(0, "why".to_owned())]) };
        let step = StepRecord {
            name: "s".into(),
            changes: Vec::new(),
            settle_ms: None,
            anchor: None,
            cells,
            pass: 1,
            checks: Vec::new(),
        };
        let (outcome, reason) = ending(Level::Core, std::slice::from_ref(&step));
        ScenarioRecord {
            name: name.into(),
            level: Level::Core,
            labels: BTreeMap::new(),
            clauses: Vec::new(),
            summary: String::new(),
            references: Vec::new(),
            differs: Vec::new(),
            digest: String::new(),
            outcome,
            reason,
            duration_ms: 1,
            interrupted: false,
            tries: Vec::new(),
            nodes: BTreeMap::new(),
            steps: vec![step],
        }
    }

    fn record(scenarios: Vec<ScenarioRecord>) -> Record {
        let dataplane = Dataplane { name: "cilium".into(), version: "1.18.3".into(), ..Dataplane::default() };
        Record {
            schema: SCHEMA.into(),
            run: RunInfo { planned: scenarios.len() as u32, ..RunInfo::default() },
            environment: Environment { dataplane, ..Environment::default() },
            summary: Summary::default(),
            deviations: Vec::new(),
            scenarios,
        }
    }

    fn known(scenario: &str) -> KnownDeviation {
        KnownDeviation {
            scenario: scenario.into(),
            step: None,
            cells: Vec::new(),
            checks: Vec::new(),
            observed: None,
            reason: "it is so".into(),
            link: "https://example.org/1".into(),
            versions: None,
            expires: None,
        }
    }

    fn file(deviations: Vec<KnownDeviation>) -> KnownDeviations {
        KnownDeviations {
            name: "mine".into(),
            dataplane: "cilium".into(),
            mode: None,
            versions: None,
            deviations,
            source: "mine.yaml".into(),
        }
    }

    fn applied(mut record: Record, deviations: Vec<KnownDeviation>) -> Record {
        let notes = apply(&mut record, &[file(deviations)], "2026-11-22".parse().unwrap());
        assert_eq!(notes, Vec::<String>::new());
        record
    }

    fn outcomes(record: &Record) -> Vec<Outcome> {
        record.scenarios[0].steps[0].cells.rows.iter().map(|row| row.outcome).collect()
    }

    use Outcome::{Deviation, Error, Fail, Flaky, Pass, Skipped};
    const ALLOWED: Option<Verdict> = Some(Verdict::Allowed);
    const DROPPED: Option<Verdict> = Some(Verdict::Dropped);

    #[test]
    fn only_what_was_measured_and_is_wrong_is_covered() {
        let cells = [(ALLOWED, Fail), (Some(Verdict::Error), Error), (ALLOWED, Flaky), (None, Skipped)];
        let covered = applied(record(vec![scenario("p/one", &cells)]), vec![known("p/one")]);
        assert_eq!(outcomes(&covered), [Deviation, Error, Flaky, Skipped]);
        assert_eq!(covered.scenarios[0].outcome, ScenarioOutcome::Failed, "the flaky cell is not known");
        assert_eq!(covered.scenarios[0].steps[0].cells.reasons[&0], "it is so (https://example.org/1)");

        let with_error = [(ALLOWED, Fail), (Some(Verdict::Error), Error)];
        let covered = applied(record(vec![scenario("p/one", &with_error)]), vec![known("p/one")]);
        assert_eq!(covered.scenarios[0].outcome, ScenarioOutcome::Errored);
        assert!(covered.scenarios[0].reason.as_ref().is_some_and(|why| why.contains("x/a -> x/c")));
        assert_eq!((covered.summary.scenarios.errored, covered.summary.cells.deviation), (1, 1));

        let of_known = |observed| {
            let known = Known::new(
                &[file(vec![KnownDeviation { observed, ..known("p/one") }])],
                &covered.environment.dataplane,
                Date::default(),
            );
            known.0.wrong_verdicts("p/one", "s", &covered.scenarios[0].steps[0].cells)
        };
        // Never an error, and never what is right.
        assert_eq!(of_known(None), BTreeSet::from([(0, Verdict::Allowed), (1, Verdict::Allowed)]));
        assert_eq!(of_known(Some(Verdict::Rejected)), BTreeSet::new());
    }

    #[test]
    fn every_field_narrows() {
        let cells = [(ALLOWED, Fail), (ALLOWED, Fail)];
        let of = |deviation: KnownDeviation| {
            outcomes(&applied(record(vec![scenario("p/one", &cells)]), vec![deviation]))
        };
        assert_eq!(of(known("p/*")), [Deviation, Deviation]);
        assert_eq!(of(known("q/*")), [Fail, Fail]);
        assert_eq!(of(KnownDeviation { step: Some("other".into()), ..known("p/one") }), [Fail, Fail]);
        let cells_of = |text: &str| vec![text.parse().unwrap()];
        assert_eq!(of(KnownDeviation { cells: cells_of("* -> x/c"), ..known("p/one") }), [Fail, Deviation]);
        assert_eq!(of(KnownDeviation { cells: cells_of("* -> x/c:81/tcp"), ..known("p/one") }), [Fail, Fail]);
        assert_eq!(of(KnownDeviation { observed: DROPPED, ..known("p/one") }), [Fail, Fail]);
        assert_eq!(of(KnownDeviation { checks: vec![CheckWord::First], ..known("p/one") }), [Fail, Fail]);
        let versions = |text: &str| Some(text.parse().unwrap());
        assert_eq!(of(KnownDeviation { versions: versions("<1.18"), ..known("p/one") }), [Fail, Fail]);
        assert_eq!(
            of(KnownDeviation { versions: versions(">=1.18"), ..known("p/one") }),
            [Deviation, Deviation]
        );
    }

    #[test]
    fn checks_are_covered_where_they_are_meant() {
        let mut one = scenario("p/one", &[(DROPPED, Pass)]);
        one.steps[0].checks.push(CheckRecord {
            kind: CheckWord::First,
            from: "x/a".into(),
            to: "x/b".into(),
            via: Via::PodIp,
            port: 80,
            protocol: Protocol::Tcp,
            family: Family::Ipv4,
            what: None,
            expected: "closed".into(),
            seen: Some(Seen::Window),
            outcome: Fail,
            time_us: Some(1),
            within_us: None,
            status: None,
            answered_by: Vec::new(),
            reason: None,
        });
        one.outcome = ScenarioOutcome::Failed;
        let of_checks = KnownDeviation { checks: vec![CheckWord::First], ..known("p/one") };
        let covered = applied(record(vec![one]), vec![of_checks]);
        assert_eq!(covered.scenarios[0].outcome, ScenarioOutcome::Passed);
        assert_eq!(covered.scenarios[0].steps[0].checks[0].outcome, Deviation);
        assert_eq!((covered.deviations[0].state, covered.deviations[0].cells), (DeviationState::Happened, 1));
        assert_eq!(covered.summary.checks.deviation, 1);
    }

    #[test]
    fn past_its_last_day_a_deviation_covers_nothing() {
        let cells = [(ALLOWED, Fail)];
        let until = |last: &str| KnownDeviation { expires: Some(last.parse().unwrap()), ..known("p/one") };
        let on_its_last_day = applied(record(vec![scenario("p/one", &cells)]), vec![until("2026-11-22")]);
        assert_eq!(outcomes(&on_its_last_day), [Deviation]);
        let after = applied(record(vec![scenario("p/one", &cells)]), vec![until("2026-11-21")]);
        assert_eq!((outcomes(&after), after.deviations[0].state), (vec![Fail], DeviationState::Expired));
        let reason = "the known deviation expired on 2026-11-21: it is so (https://example.org/1); why";
        assert_eq!(after.scenarios[0].steps[0].cells.reasons[&0], reason);
        assert_eq!(after.scenarios[0].outcome, ScenarioOutcome::Failed);
        // Another one that still counts comes first.
        let both = vec![until("2026-11-21"), until("2026-12-31")];
        assert_eq!(outcomes(&applied(record(vec![scenario("p/one", &cells)]), both)), [Deviation]);
        // Nobody minds when what has expired does not happen.
        let fine = applied(record(vec![scenario("p/one", &[(DROPPED, Pass)])]), vec![until("2026-11-21")]);
        assert_eq!(fine.deviations[0].state, DeviationState::Fixed);
    }

    #[test]
    fn fixed_is_only_what_was_measured_whole() {
        let state = |scenarios: Vec<ScenarioRecord>, deviation: KnownDeviation| {
            applied(record(scenarios), vec![deviation]).deviations[0].state
        };
        let passed = || scenario("p/one", &[(DROPPED, Pass), (None, Skipped)]);
        assert_eq!(state(vec![passed()], known("p/one")), DeviationState::Fixed);
        assert_eq!(state(vec![passed()], known("p/two")), DeviationState::NotReached);
        for unclear in [(Some(Verdict::Error), Error), (ALLOWED, Flaky)] {
            let one = scenario("p/one", &[(DROPPED, Pass), unclear]);
            assert_eq!(state(vec![one], known("p/one")), DeviationState::NotReached);
        }
        // Wrong in another way than known.
        let rejected = KnownDeviation { observed: Some(Verdict::Rejected), ..known("p/one") };
        let one = scenario("p/one", &[(DROPPED, Pass), (ALLOWED, Fail)]);
        assert_eq!(state(vec![one], rejected), DeviationState::NotReached);
        // A part of a run does not know the scenarios of the others.
        let mut part = record(vec![passed()]);
        part.run.partition = Some("1/2".into());
        let part = applied(part, vec![known("p/*")]);
        assert_eq!(part.deviations[0].state, DeviationState::NotReached);
        let joined = |parts: [&Record; 2], whole| {
            join(parts.into_iter().flat_map(|part| part.deviations.clone()), whole)[0].clone()
        };
        let other = || applied(record(vec![scenario("p/two", &[(ALLOWED, Fail)])]), vec![known("p/*")]);
        let both = joined([&part, &part], true);
        assert_eq!((both.state, both.as_expected), (DeviationState::Fixed, 2));
        assert_eq!(joined([&part, &part], false).state, DeviationState::NotReached);
        assert_eq!(joined([&part, &other()], true).state, DeviationState::Happened);
    }

    #[test]
    fn a_scenario_that_did_not_go_to_its_end_is_not_passed() {
        let mut broken = scenario("p/one", &[(ALLOWED, Fail)]);
        broken.reason = Some("step s: the API server does not answer".into());
        let covered = applied(record(vec![broken.clone()]), vec![known("p/one")]);
        assert_eq!(covered.scenarios[0].outcome, ScenarioOutcome::Errored);
        broken.reason = Some(format!("{FRESH_LANE}, because …"));
        let covered = applied(record(vec![broken]), vec![known("p/one")]);
        assert_eq!(covered.scenarios[0].outcome, ScenarioOutcome::Passed);
    }

    #[test]
    fn files_of_other_dataplanes_modes_and_versions_say_nothing() {
        let plane = Dataplane {
            name: "cilium".into(),
            version: "1.18.3".into(),
            mode: "ebpf, tunnel".into(),
            ..Dataplane::default()
        };
        let notes = |file: KnownDeviations, plane: &Dataplane| {
            let (known, notes) = Known::new(&[file], plane, Date::default());
            assert_ne!(known.is_empty(), notes.is_empty());
            notes.join("; ")
        };
        let one = || file(vec![known("*")]);
        assert_eq!(notes(one(), &plane), "");
        let other = KnownDeviations { dataplane: "calico".into(), ..one() };
        assert_eq!(
            notes(other, &plane),
            "mine.yaml is ignored: it is of calico, and here cilium enforces policies"
        );
        assert_eq!(notes(KnownDeviations { mode: Some("ebpf".into()), ..one() }, &plane), "");
        let mode = notes(KnownDeviations { mode: Some("iptables".into()), ..one() }, &plane);
        assert!(mode.contains("of mode iptables, and the mode here is ebpf, tunnel"), "{mode}");
        let of = |range: &str| KnownDeviations { versions: Some(range.parse().unwrap()), ..one() };
        assert_eq!(notes(of(">=1.16, <1.20"), &plane), "");
        assert!(notes(of("<1.18"), &plane).contains("it is of versions <1.18, and here is 1.18.3"));
        let unknown = Dataplane { version: String::new(), ..plane };
        assert!(notes(of("<1.18"), &unknown).contains("the version here could not be told"));
        let built_in = KnownDeviations { source: KnownDeviations::built_in_source("c.yaml"), ..of("<1.18") };
        let said = notes(built_in, &unknown);
        assert!(said.starts_with("no built-in file") && said.contains("could not be told"), "{said}");
    }
}
