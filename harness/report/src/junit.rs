//! JUnit XML from a record.
//!
//! One suite, one test case for each scenario, in the order of the record; `classname` is the scenario's area. The
//! suite carries no properties (junit-report has none): the environment is in its `system-out`.

use jiff::Timestamp;
use junit_report::{Duration, OffsetDateTime, Report, TestCase, TestCaseBuilder, TestSuiteBuilder};
use verdikt_model::{Record, ScenarioOutcome, ScenarioRecord};

use crate::{
    details::{known_deviations, plain_sentences},
    deviations::sentence,
    escape::{escape, escape_lines},
    repeat::target_flags,
    status,
};

/// The report; the same for the same record.
pub fn junit(record: &Record) -> String {
    let target = target_flags(&record.run.command);
    let mut suite = TestSuiteBuilder::new("verdikt");
    suite.set_timestamp(timestamp(&record.run.started));
    suite.set_system_out(&cdata(&environment(record)));
    suite.add_testcases(
        record.scenarios.iter().map(|scenario| case(scenario, &target, record.run.is_repeated())),
    );
    let mut suite = suite.build();
    suite.hostname = escape(&record.environment.target).into_owned();
    suite.package = escape(&record.environment.dataplane.name).into_owned();
    let mut report = Report::new();
    report.add_testsuite(suite);
    let mut xml = Vec::new();
    report.write_xml(&mut xml).expect("writing to memory does not fail");
    xml.push(b'\n');
    String::from_utf8(xml).expect("the report is made of strings")
}

/// `repeated`: whether it was asked if scenarios are stable, so that a flaky one is a failure.
fn case(scenario: &ScenarioRecord, target: &[String], repeated: bool) -> TestCase {
    let name = escape(&scenario.name);
    let time = Duration::milliseconds(i64::try_from(scenario.duration_ms).unwrap_or(i64::MAX));
    let message = status::outcome_text(scenario);
    let mut case = match scenario.outcome {
        ScenarioOutcome::Passed => TestCaseBuilder::success(&name, time),
        ScenarioOutcome::Flaky if repeated => TestCaseBuilder::failure(&name, time, "flaky", &message),
        ScenarioOutcome::Flaky => TestCaseBuilder::success(&name, time),
        ScenarioOutcome::Failed => TestCaseBuilder::failure(&name, time, "difference", &message),
        ScenarioOutcome::Errored => TestCaseBuilder::error(&name, time, "inconclusive", &message),
        ScenarioOutcome::Skipped => TestCaseBuilder::skipped_with_cause(&name, "skipped", &message),
    };
    let sentences = plain_sentences(scenario, target);
    if !sentences.is_empty() {
        case.set_trace(&cdata(&sentences));
    }
    let told = format!("{}{}", attempts(scenario), known_deviations(scenario));
    if !told.is_empty() {
        case.set_system_out(&cdata(&told));
    }
    case.set_classname(name.split_once('/').map_or(&*name, |(area, _)| area));
    case.build()
}

/// The attempts at a scenario, where there were several; junit-report has no element for them.
fn attempts(scenario: &ScenarioRecord) -> String {
    let tries = &scenario.tries;
    if tries.len() < 2 {
        return String::new();
    }
    let head = match scenario.outcome {
        ScenarioOutcome::Flaky => format!("FLAKY {}\n", status::outcome_text(scenario)),
        _ => String::new(),
    };
    let lines = tries.iter().zip(1..).map(|(of, number)| {
        let reason = of.reason.as_ref().map(|reason| format!(": {}", escape(reason))).unwrap_or_default();
        format!("attempt {number}: {} after {} ms{reason}\n", of.outcome, of.duration_ms)
    });
    std::iter::once(head).chain(lines).collect()
}

fn environment(record: &Record) -> String {
    let env = &record.environment;
    let families: Vec<_> = env.ip_families.iter().map(ToString::to_string).collect();
    let facts = [
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
    ];
    let facts = facts.iter().map(|(key, value)| format!("{key}: {}\n", escape(value)));
    let known = record.deviations.iter();
    facts.chain(known.map(|of| format!("known deviation {}: {}\n", of.state, sentence(of)))).collect()
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
                Event::CData(text) => seen.push(String::from_utf8_lossy(text).into_owned()),
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
        let suite = seen.iter().find(|s| s.starts_with("testsuite ")).unwrap();
        assert!(
            suite.contains("tests=5 errors=1 failures=1 hostname=sandbox timestamp=2026-11-21T10:52:07Z"),
            "{suite}"
        );
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
            assert!(xml.contains("FLAKY 1/3") && xml.contains("attempt 3: passed after 15631 ms"), "{xml}");
        }
    }

    #[test]
    fn nothing_that_xml_forbids_gets_in() {
        let mut record = sample::record();
        let hostile = "]]><x a=\"'&\">\u{0}\u{1b}\u{fffe}\u{ffff}\n]]>";
        record.run.started = hostile.into();
        record.environment.target = hostile.into();
        record.environment.kernel = hostile.into();
        for scenario in &mut record.scenarios {
            scenario.name = hostile.into();
            scenario.reason = Some(hostile.into());
            for step in &mut scenario.steps {
                step.name = hostile.into();
                step.cells.reasons.values_mut().for_each(|reason| *reason = hostile.into());
            }
        }
        let xml = junit(&record);
        let seen = parse(&xml);
        assert!(!xml.contains(['\u{0}', '\u{1b}', '\u{fffe}', '\u{ffff}']));
        assert!(!seen.iter().any(|s| s.starts_with("x ")), "{xml}");
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
