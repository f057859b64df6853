//! Records for pages, and pages as files.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde_json::json;
use verdikt_model::{
    Cell, ChangeRecord, DeviationState, EndpointId, Expectation, Family, Level, Matrix, Outcome, Protocol,
    Record, Row, ScenarioOutcome, ScenarioRecord, StepRecord, Summary, Topic, Topics, Verdict, Via,
};

use super::{super::html, one};
use crate::sample;

/// A run with policies, topics and text about its scenarios.
pub(super) fn with_policies() -> Record {
    let mut record = sample::record();
    record.deviations.push(sample::deviation(DeviationState::Fixed));
    for scenario in &mut record.scenarios {
        scenario.summary = "One peer element means AND, two elements mean OR".into();
        scenario.references =
            vec!["https://kubernetes.io/docs/concepts/services-networking/network-policies/".into()];
        for step in &mut scenario.steps {
            let policy = json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": "p", "namespace": "x"},
                "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "backend"}}}]}]},
            });
            step.changes =
                vec![ChangeRecord { what: "apply NetworkPolicy x/p".into(), object: Some(policy) }];
            for row in &mut step.cells.rows {
                row.topics = Topics::of(Topic::IpBlockPods);
            }
        }
    }
    record
}

/// The same run on another day, with what it denies let through.
pub(super) fn changed() -> Vec<(String, Record)> {
    let mut record = with_policies();
    record.environment.dataplane.name = "calico".into();
    for row in record.scenarios.iter_mut().flat_map(|s| &mut s.steps).flat_map(|s| &mut s.cells.rows) {
        if row.outcome == Outcome::Pass {
            row.observed = Some(Verdict::Allowed);
            row.outcome = row.expected.compare(Verdict::Allowed);
        }
    }
    vec![("other.json".to_owned(), record)]
}

/// 200 pods and 40,000 cells on one port; some are wrong, in their own words each.
pub(super) fn large() -> Record {
    const PODS: u16 = 200;
    let names: Vec<String> = (0..PODS).map(|i| format!("ns-{}/pod-{i:03}", i / 20)).collect();
    let (mut rows, mut reasons) = (Vec::new(), BTreeMap::new());
    for from in 0..PODS {
        for to in 0..PODS {
            let same = from / 20 == to / 20;
            let expected = if same { Expectation::Allow } else { Expectation::Deny };
            let wrong = (u32::from(from) * 7919 + u32::from(to) * 104_729) % 97 == 0;
            let observed = if same != wrong { Verdict::Allowed } else { Verdict::Dropped };
            let outcome = expected.compare(observed);
            if outcome != Outcome::Pass {
                let why = format!(
                    "policy ns-{}/default-deny isolates {} for ingress",
                    to / 20,
                    names[usize::from(to)]
                );
                reasons.insert(rows.len() as u32, why);
            }
            rows.push(Row {
                cell: Cell {
                    from: EndpointId(from),
                    to: EndpointId(to),
                    via: Via::PodIp,
                    family: Family::Ipv4,
                    protocol: Protocol::Tcp,
                    port: 80,
                },
                expected,
                observed: Some(observed),
                outcome,
                attempts: if outcome == Outcome::Pass { 2 } else { 41 },
                rtt_us: if observed == Verdict::Allowed {
                    60 + u32::from(from * 31 + to * 17) % 900
                } else {
                    0
                },
                seen_as: None,
                topics: Topics::default(),
            });
        }
    }
    let step = StepRecord {
        name: "default-deny".into(),
        changes: Vec::new(),
        settle_ms: None,
        anchor: None,
        cells: Matrix { names: Arc::new(names), rows, reasons },
        pass: 1,
        checks: Vec::new(),
    };
    let big = ScenarioRecord {
        name: "size/two-hundred".into(),
        level: Level::Core,
        outcome: ScenarioOutcome::Failed,
        steps: vec![step],
        duration_ms: 8_412,
        ..sample::skipped()
    };
    let mut record = with_policies();
    record.scenarios.push(ScenarioRecord { reason: None, ..big });
    record.summary = Summary::default();
    record.scenarios.iter().for_each(|scenario| record.summary.add(scenario));
    record
}

/// Writes a page where the browser finds it.
pub(super) fn file(name: &str, records: &[(String, Record)]) -> PathBuf {
    let folder = target().join("pages");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.html"));
    std::fs::write(&path, html(records)).unwrap();
    path
}

/// The page of one record.
pub(super) fn page(name: &str, record: Record) -> PathBuf {
    file(name, &one(record))
}

/// `target/`, where tests may leave something to be looked at.
pub(super) fn target() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")
}
