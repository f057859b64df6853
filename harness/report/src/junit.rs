//! JUnit XML from a record, in the form of Ant's schema (`JUnit.xsd` of windyroad/JUnit-Schema), the strictest in use.
//!
//! One suite, one test case for each scenario, in the order of the record; `classname` is the scenario's area. The
//! environment is the suite's properties. The schema has no place for remarks about a test that passed: known
//! deviations, attempts and what was flaky are in the suite's `system-out`.
//!
//! junit-report makes the report, and [`schema`] adds what it has no words for.

mod schema;

use std::fmt::Write as _;

use jiff::Timestamp;
use junit_report::{Duration, OffsetDateTime, Report, TestCase, TestCaseBuilder, TestSuiteBuilder};
use verdikt_model::{Outcome, Record, ScenarioOutcome, ScenarioRecord};

use crate::{
    details::{first_sentences, plain_sentences},
    deviations::sentence,
    escape::{cut, escape, escape_lines},
    remarks::{remarks, reservations},
    repeat::target_flags,
    status,
};

/// Most sentences in the message of a test case, and its longest, in characters.
const SENTENCES: usize = 3;
const MESSAGE: usize = 1500;
/// Longest name, in characters.
const NAME: usize = 300;

/// The report; the same for the same record.
pub fn junit(record: &Record) -> String {
    let target = target_flags(&record.run.command);
    let env = &record.environment;
    let mut suite = TestSuiteBuilder::new("verdikt");
    suite.set_timestamp(timestamp(&record.run.started));
    suite.set_system_out(&cdata(&notes(record)));
    suite.set_system_err("");
    suite.add_testcases(
        record.scenarios.iter().map(|scenario| case(scenario, &target, record.run.is_repeated())),
    );
    let mut suite = suite.build();
    let host = cut(&env.target, NAME);
    suite.hostname = if host.trim().is_empty() { "localhost".to_owned() } else { host.into_owned() };
    suite.package = cut(&env.dataplane.name, NAME).into_owned();
    let mut report = Report::new();
    report.add_testsuite(suite);
    let mut xml = Vec::new();
    report.write_xml(&mut xml).expect("writing to memory does not fail");
    let skipped = record.scenarios.iter().filter(|s| s.outcome == ScenarioOutcome::Skipped).count();
    schema::complete(&xml, skipped, &properties(record))
}

/// `repeated`: whether it was asked if scenarios are stable, so that a flaky one is a failure.
fn case(scenario: &ScenarioRecord, target: &[String], repeated: bool) -> TestCase {
    let name = cut(&scenario.name, NAME);
    let time = Duration::milliseconds(i64::try_from(scenario.duration_ms).unwrap_or(i64::MAX));
    let message = message(scenario);
    let mut case = match scenario.outcome {
        ScenarioOutcome::Passed => TestCaseBuilder::success(&name, time),
        ScenarioOutcome::Flaky if repeated => TestCaseBuilder::failure(&name, time, "flaky", &message),
        ScenarioOutcome::Flaky => TestCaseBuilder::success(&name, time),
        ScenarioOutcome::Failed => TestCaseBuilder::failure(&name, time, kind(scenario), &message),
        ScenarioOutcome::Errored => TestCaseBuilder::error(&name, time, "inconclusive", &message),
        ScenarioOutcome::Skipped => TestCaseBuilder::skipped_with_cause(&name, "skipped", &message),
    };
    let sentences = plain_sentences(scenario, target);
    if !sentences.is_empty() {
        case.set_trace(&cdata(&sentences));
    }
    case.set_classname(name.split_once('/').map_or(&*name, |(area, _)| area));
    case.build()
}

fn properties(record: &Record) -> Vec<(&'static str, String)> {
    let env = &record.environment;
    let families: Vec<_> = env.ip_families.iter().map(ToString::to_string).collect();
    vec![
        ("run", record.run.id.clone()),
        ("command", record.run.command.join(" ")),
        ("verdikt", env.verdikt.clone()),
        ("target", env.target.clone()),
        ("dataplane", env.dataplane.name.clone()),
        ("dataplane version", env.dataplane.version.clone()),
        ("dataplane mode", env.dataplane.mode.clone()),
        ("emulated", env.dataplane.emulated.to_string()),
        ("kubernetes", env.kubernetes.clone()),
        ("nodes", env.nodes.to_string()),
        ("kernel", env.kernel.clone()),
        ("IP families", families.join(", ")),
        ("enforcement", env.enforcement.as_ref().map_or("not tried", |e| &e.evidence).to_owned()),
        (
            "scenarios not run",
            (record.run.planned as usize).saturating_sub(record.scenarios.len()).to_string(),
        ),
    ]
}

/// Whether something is proved different, or only changed while it had to hold.
fn kind(scenario: &ScenarioRecord) -> &'static str {
    let (cells, checks) = (scenario.counts(), scenario.check_counts());
    if cells.fail + checks.fail == 0 && cells.flaky + checks.flaky > 0 { "flaky" } else { "difference" }
}

/// What a list of tests shows: the counts, then the first of what is wrong.
fn message(scenario: &ScenarioRecord) -> String {
    let mut message = status::outcome_text(scenario);
    for sentence in first_sentences(scenario, SENTENCES) {
        let _ = write!(message, "; {sentence}");
    }
    cut(&message, MESSAGE).into_owned()
}

/// What does not make a test fail, or not alone.
fn notes(record: &Record) -> String {
    let mut text = String::new();
    for deviation in &record.deviations {
        let _ = writeln!(text, "known deviation {}: {}", deviation.state, sentence(deviation));
    }
    for (outcome, head) in [(Outcome::Deviation, "known deviations"), (Outcome::Flaky, "flaky")] {
        let found = remarks(record, outcome);
        if !found.is_empty() {
            let _ = writeln!(text, "{head}");
        }
        for remark in found {
            let _ = writeln!(
                text,
                "  {}, step {}: {} like this: {}\n      {}",
                remark.scenario, remark.step, remark.count, remark.example, remark.reason
            );
        }
    }
    for scenario in &record.scenarios {
        text.push_str(&attempts(scenario));
    }
    let found = reservations(record);
    if !found.is_empty() {
        text.push_str("passed, with a remark\n");
    }
    for (scenario, reason) in found {
        let _ = writeln!(text, "  {scenario}: {reason}");
    }
    text
}

/// The attempts at a scenario, where there were several; the schema has no element for them.
fn attempts(scenario: &ScenarioRecord) -> String {
    let tries = &scenario.tries;
    if tries.len() < 2 {
        return String::new();
    }
    let mark = if scenario.outcome == ScenarioOutcome::Flaky { "FLAKY " } else { "" };
    let head = format!("{mark}{}: {}\n", cut(&scenario.name, NAME), status::outcome_text(scenario));
    let lines = tries.iter().zip(1..).map(|(of, number)| {
        let reason = of.reason.as_ref().map(|reason| format!(": {}", escape(reason))).unwrap_or_default();
        format!("  attempt {number}: {} after {} ms{reason}\n", of.outcome, of.duration_ms)
    });
    std::iter::once(head).chain(lines).collect()
}

/// Text for a CDATA section: no character that XML 1.0 forbids (those are shown as `\u{1b}`), and no end of section.
fn cdata(text: &str) -> String {
    escape_lines(text).replace("]]>", "]]]]><![CDATA[>")
}

/// The start of the run; the epoch when the record's text is no time.
fn timestamp(started: &str) -> OffsetDateTime {
    let seconds = started.parse::<Timestamp>().map_or(0, Timestamp::as_second);
    OffsetDateTime::from_unix_timestamp(seconds.max(0)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use quick_xml::{Reader, events::Event};

    use super::*;
    use crate::sample;

    /// Names of elements with their attributes and texts, or what is not well-formed.
    fn parse(xml: &str) -> Vec<String> {
        let mut reader = Reader::from_str(xml);
        reader.config_mut().check_end_names = true;
        let (mut seen, mut depth) = (Vec::new(), 0);
        loop {
            let event = reader.read_event().unwrap_or_else(|e| panic!("{e}: {xml}"));
            match &event {
                Event::Start(tag) | Event::Empty(tag) => {
                    let attributes: Vec<String> = tag
                        .attributes()
                        .map(|a| a.unwrap())
                        .map(|a| {
                            let value = a.normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap();
                            format!("{}={value}", String::from_utf8_lossy(a.key.as_ref()))
                        })
                        .collect();
                    let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
                    seen.push(format!("{name} {}", attributes.join(" ")));
                    depth += i32::from(matches!(event, Event::Start(_)));
                }
                Event::End(_) => depth -= 1,
                Event::CData(_) | Event::Comment(_) | Event::DocType(_) | Event::PI(_) => panic!("{event:?}"),
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(depth, 0);
        seen
    }

    #[test]
    fn whole_report() {
        let xml = junit(&sample::record());
        parse(&xml);
        insta::assert_snapshot!(xml);
    }

    #[test]
    fn outcomes_are_told_apart_and_counted() {
        let record = sample::record();
        let xml = junit(&record);
        assert_eq!(xml, junit(&record), "the report depends on the record alone");
        let seen = parse(&xml);
        let starts = |what: &str| seen.iter().filter(|s| s.starts_with(what)).count();
        assert_eq!(["testcase ", "failure ", "error ", "skipped "].map(starts), [5, 1, 1, 1]);
        let counts = [
            "timestamp=\"2026-11-21T10:52:07\"",
            "tests=\"5\"",
            "failures=\"1\"",
            "errors=\"1\"",
            "skipped=\"1\"",
        ];
        assert!(counts.iter().all(|count| xml.contains(count)), "{xml}");
    }

    #[test]
    fn a_flaky_scenario_is_a_failure_where_it_was_asked_if_it_is_stable() {
        let mut record = sample::record();
        record.scenarios = vec![sample::flaky()];
        for (repeat, failures) in [(1, 0), (3, 1)] {
            record.run.repeat = repeat;
            let xml = junit(&record);
            parse(&xml);
            assert!(xml.contains(&format!("failures=\"{failures}\"")), "{xml}");
            assert!(
                xml.contains("FLAKY selectors/and-versus-or: 1/3")
                    && xml.contains("attempt 3: passed after 15631 ms"),
                "{xml}"
            );
        }
    }

    /// What that schema asks of an element: its parent, and its attributes, all of them required but a
    /// result's message.
    const SCHEMA: [(&str, &[&str], &[&str]); 10] = [
        ("testsuites", &[""], &[]),
        (
            "testsuite",
            &["testsuites"],
            &[
                "id",
                "name",
                "package",
                "hostname",
                "timestamp",
                "tests",
                "failures",
                "errors",
                "skipped",
                "time",
            ],
        ),
        ("properties", &["testsuite"], &[]),
        ("property", &["properties"], &["name", "value"]),
        ("testcase", &["testsuite"], &["name", "classname", "time"]),
        ("failure", &["testcase"], &["message", "type"]),
        ("error", &["testcase"], &["message", "type"]),
        ("skipped", &["testcase"], &["message"]),
        ("system-out", &["testsuite"], &[]),
        ("system-err", &["testsuite"], &[]),
    ];

    #[test]
    fn the_schema_of_ant_is_met() {
        for record in [sample::record(), sample::hostile()] {
            let xml = junit(&record);
            let (mut path, mut children) = (vec![String::new()], vec![vec![]]);
            let mut reader = Reader::from_str(&xml);
            reader.config_mut().expand_empty_elements = true;
            loop {
                match reader.read_event().unwrap() {
                    Event::Start(tag) => {
                        let name = String::from_utf8(tag.name().as_ref().to_vec()).unwrap();
                        let (_, parents, attributes) = SCHEMA.iter().find(|(n, ..)| *n == name).unwrap();
                        assert!(parents.contains(&path.last().unwrap().as_str()), "{name} in {path:?}");
                        let have: BTreeSet<_> =
                            tag.attributes().map(|a| a.unwrap().key.as_ref().to_vec()).collect();
                        let asked: BTreeSet<_> = attributes.iter().map(|a| a.as_bytes().to_vec()).collect();
                        assert_eq!(have, asked, "{name}");
                        children.last_mut().unwrap().push(name.clone());
                        path.push(name);
                        children.push(vec![]);
                    }
                    Event::End(_) => {
                        let (name, inner) = (path.pop().unwrap(), children.pop().unwrap());
                        match name.as_str() {
                            "testsuite" => {
                                let cases = inner.len() - 3;
                                assert_eq!(cases, record.scenarios.len());
                                assert_eq!(inner[0], "properties");
                                assert!(inner[1..=cases].iter().all(|name| name == "testcase"));
                                assert_eq!(inner[cases + 1..], ["system-out", "system-err"]);
                            }
                            "testcase" => assert!(inner.len() <= 1),
                            _ => {}
                        }
                    }
                    Event::Eof => break,
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn flaky_and_deviation_are_told_apart() {
        let mut record = sample::record();
        let xml = junit(&record);
        let (_, notes) = xml.split_once("<system-out>").unwrap();
        let (deviations, flaky) = notes.split_once("flaky").unwrap();
        assert!(deviations.contains("field/three-tier") && deviations.contains("hairpin"), "{notes}");
        assert!(flaky.contains("changed while it had to hold"), "{notes}");
        record.scenarios[4].outcome = ScenarioOutcome::Failed;
        assert!(junit(&record).contains("type=\"flaky\""));
    }

    #[test]
    fn the_message_names_wrong_cells_and_is_bounded() {
        let xml = junit(&sample::record());
        let start =
            "message=\"36 of 148 cells differ; and: z/a -&gt; x/a 80/tcp, 81/tcp ipv4, ipv6: expected deny";
        assert!(xml.contains(start), "{xml}");
        let xml = junit(&sample::hostile());
        let longest = xml.split("message=\"").skip(1).map(|rest| rest.find('"').unwrap()).max().unwrap();
        // Each character as at most `&quot;`.
        assert!(longest <= 6 * MESSAGE, "{longest}");
    }

    #[test]
    fn a_hostile_record_adds_no_element_and_no_forbidden_character() {
        let record = sample::hostile();
        let xml = junit(&record);
        const ELEMENTS: [&str; 10] = [
            "testsuites",
            "testsuite",
            "properties",
            "property",
            "testcase",
            "failure",
            "error",
            "skipped",
            "system-out",
            "system-err",
        ];
        for element in parse(&xml) {
            let name = element.split(' ').next().unwrap_or_default();
            assert!(ELEMENTS.contains(&name), "{element}");
        }
        assert!(!xml.chars().any(|c| c != '\n' && crate::escape::is_harmful(c)));
    }

    proptest! {
        #[test]
        fn any_text_makes_a_well_formed_report(text in any::<String>()) {
            let mut record = sample::record();
            record.scenarios[1].name = text.clone();
            record.scenarios[2].reason = Some(text.clone());
            record.environment.kernel = text.clone();
            record.scenarios[1].steps[0].cells.reasons.values_mut().for_each(|r| *r = text.clone());
            parse(&junit(&record));
        }
    }
}
