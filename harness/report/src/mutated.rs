//! A record that something has changed is refused, or every report of it is made.

use proptest::prelude::*;
use verdikt_model::{Event, Record};
use verdikt_mutation::{edits, mutate};

use crate::{
    CompareOptions, Reporter, TerminalOptions, TerminalReporter, annotations, compare, compare_human,
    compare_json, compare_markdown, csv, escape::is_harmful, html, junit, markdown, sample, trend,
    trend_human,
};

thread_local!(static SEED: (Record, String) = {
    let record = sample::record();
    let text = serde_json::to_string_pretty(&record).unwrap();
    (record, text)
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_report_of_a_mutated_record_is_made(edits in edits()) {
        SEED.with(|(good, text)| {
            let Ok(record) = serde_json::from_str::<Record>(&mutate(text, &edits)) else { return Ok(()) };
            all(good, &record)
        })?;
    }
}

fn all(good: &Record, record: &Record) -> Result<(), TestCaseError> {
    let options = CompareOptions { color: false };
    let comparison = compare(("good.json", good), ("changed.json", record));
    let trend = trend(&[good.clone(), record.clone()]);
    for (name, text) in [
        ("terminal", terminal(record)),
        ("compare", compare_human(&comparison, options)),
        ("compare -o markdown", compare_markdown(&comparison)),
        ("compare -o json", compare_json(&[comparison])),
        ("trend", trend_human(&trend)),
        ("html", html(&[("good.json".into(), good.clone()), ("changed.json".into(), record.clone())])),
        ("markdown", markdown(record)),
        ("junit", junit(record)),
        ("csv", csv(record)),
        ("annotations", annotations(record)),
    ] {
        let harmful = text.chars().find(|c| !matches!(c, '\n' | '\t' | '\r') && is_harmful(*c));
        prop_assert_eq!(harmful, None, "{}", name);
    }
    Ok(())
}

fn terminal(record: &Record) -> String {
    let sink = sample::Sink::default();
    let options =
        TerminalOptions { wide: true, quiet: false, color: false, width: 100, target_flags: Vec::new() };
    let mut reporter = TerminalReporter::new(Box::new(sink.clone()), options);
    let environment = Box::new(record.environment.clone());
    let run = record.run.clone();
    let mut events = vec![Event::RunStarted { run: run.clone(), environment, scenarios: 9, lanes: 2 }];
    events.extend(record.scenarios.iter().map(|of| Event::ScenarioFinished { record: Box::new(of.clone()) }));
    let (summary, deviations) = (record.summary, record.deviations.clone());
    events.push(Event::RunFinished { run, summary, deviations });
    events.iter().for_each(|event| reporter.event(event).expect("a sink takes everything"));
    sink.text()
}
