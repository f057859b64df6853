//! Hand-made records and events for tests.

mod hostile;

use std::{collections::BTreeMap, sync::Arc};

use verdikt_model::{
    Cell, Dataplane, DeviationRecord, DeviationState, EndpointId, Environment, Event, Expectation, Family,
    Level, Matrix, Outcome, Protocol, Record, Row, RunInfo, SCHEMA, ScenarioOutcome, ScenarioRecord,
    StepRecord, Summary, Topics, Try, Verdict, Via,
};

pub(crate) use self::hostile::{hostile, texts as hostile_texts};

/// All pairs of `namespaces` × `pods` over both families; `judge` says what is expected and observed.
pub(crate) fn matrix(
    namespaces: &[&str],
    pods: &[&str],
    ports: &[(u16, Protocol)],
    judge: impl Fn(&str, &str, &Cell) -> (Expectation, Verdict),
) -> Matrix {
    let names: Vec<String> =
        namespaces.iter().flat_map(|ns| pods.iter().map(move |pod| format!("{ns}/{pod}"))).collect();
    let mut rows = Vec::new();
    for (f, from) in names.iter().enumerate() {
        for (t, to) in names.iter().enumerate() {
            for (port, protocol) in ports {
                for family in Family::ALL {
                    let cell = Cell {
                        from: EndpointId(f as u16),
                        to: EndpointId(t as u16),
                        via: Via::PodIp,
                        family: *family,
                        protocol: *protocol,
                        port: *port,
                    };
                    let (expected, observed) = judge(from, to, &cell);
                    let outcome = expected.compare(observed);
                    let attempts = if outcome == Outcome::Pass { 1 } else { 3 };
                    let rtt_us = if observed == Verdict::Allowed { 40 + f as u32 * 10 + t as u32 } else { 0 };
                    rows.push(Row {
                        cell,
                        expected,
                        observed: Some(observed),
                        outcome,
                        attempts,
                        rtt_us,
                        seen_as: None,
                        topics: Topics::default(),
                    });
                }
            }
        }
    }
    Matrix { names: Arc::new(names), rows, reasons: BTreeMap::new() }
}

fn scenario(
    name: &str,
    outcome: ScenarioOutcome,
    duration_ms: u64,
    steps: Vec<StepRecord>,
) -> ScenarioRecord {
    ScenarioRecord {
        name: name.into(),
        level: Level::Core,
        labels: [("feature".to_owned(), "selectors".to_owned())].into(),
        clauses: vec!["N18".into(), "N19".into()],
        summary: String::new(),
        references: Vec::new(),
        differs: Vec::new(),
        digest: "9c1f0e55a7b3d2e4".into(),
        outcome,
        reason: None,
        duration_ms,
        interrupted: false,
        tries: Vec::new(),
        nodes: std::collections::BTreeMap::new(),
        steps,
    }
}

/// 9 × 9, everything allowed.
pub(crate) fn passed() -> ScenarioRecord {
    let cells = matrix(&["x", "y", "z"], &["a", "b", "c"], &[(80, Protocol::Tcp)], |_, _, _| {
        (Expectation::Allow, Verdict::Allowed)
    });
    let step = StepRecord {
        name: "no-policy".into(),
        changes: Vec::new(),
        settle_ms: Some(12),
        anchor: None,
        pass: 1,
        checks: Vec::new(),
        cells,
    };
    scenario("isolation/no-policy-allows-all", ScenarioOutcome::Passed, 413, vec![step])
}

/// Two steps; in the first, z reaches x although it must not.
pub(crate) fn failed() -> ScenarioRecord {
    let ports = [(80, Protocol::Tcp), (81, Protocol::Tcp)];
    let mut cells = matrix(&["x", "z"], &["a", "b", "c"], &ports, |from, to, _| {
        match (from.starts_with("z/"), to.starts_with("x/")) {
            (true, true) => (Expectation::Deny, Verdict::Allowed),
            (false, true) => (Expectation::Allow, Verdict::Allowed),
            _ => (Expectation::Drop, Verdict::Dropped),
        }
    });
    for (index, row) in cells.rows.iter().enumerate() {
        if row.outcome != Outcome::Pass {
            let to = cells.names[usize::from(row.cell.to.0)].clone();
            cells.reasons.insert(
                index as u32,
                format!(
                    "policy x/p isolates {to} for ingress; rule 0 allows role=backend, z has no such label"
                ),
            );
        }
    }
    let good = matrix(&["x"], &["a"], &ports, |_, _, _| (Expectation::Allow, Verdict::Allowed));
    scenario(
        "selectors/and-versus-or",
        ScenarioOutcome::Failed,
        15_631,
        vec![
            StepRecord {
                name: "and".into(),
                changes: Vec::new(),
                settle_ms: None,
                anchor: None,
                pass: 1,
                checks: Vec::new(),
                cells,
            },
            StepRecord {
                name: "or".into(),
                changes: Vec::new(),
                settle_ms: Some(34),
                anchor: None,
                pass: 1,
                checks: Vec::new(),
                cells: good,
            },
        ],
    )
}

/// One source could not be asked.
pub(crate) fn errored() -> ScenarioRecord {
    let mut cells = matrix(&["x"], &["a", "b"], &[(80, Protocol::Tcp)], |from, _, _| match from {
        "x/b" => (Expectation::Allow, Verdict::Error),
        _ => (Expectation::Allow, Verdict::Allowed),
    });
    for index in 4..8 {
        cells.reasons.insert(index, "the agent in x/b ended: exit code 137".into());
    }
    let step = StepRecord {
        name: "step-1".into(),
        changes: Vec::new(),
        settle_ms: None,
        anchor: None,
        pass: 1,
        checks: Vec::new(),
        cells,
    };
    let mut record = scenario("ports/named", ScenarioOutcome::Errored, 2_004, vec![step]);
    record.reason = Some("4 cells could not be measured".into());
    record
}

/// A passed scenario with a cell of every harmless kind.
pub(crate) fn mixed() -> ScenarioRecord {
    let mut cells =
        matrix(&["x"], &["a", "b"], &[(80, Protocol::Tcp)], |_, _, _| (Expectation::Deny, Verdict::Dropped));
    cells.rows[0].observed = Some(Verdict::Allowed);
    cells.rows[0].outcome = Outcome::Deviation;
    cells.reasons.insert(0, "own node: hairpin traffic is not filtered, see issue 1".into());
    cells.rows[2].outcome = Outcome::Flaky;
    cells.reasons.insert(2, "changed while it had to hold: was dropped, then allowed, then dropped".into());
    cells
        .reasons
        .insert(7, "recorded, not judged: this is implementation-defined; written down was allow".into());
    cells.rows[4].observed = None;
    cells.rows[4].attempts = 0;
    cells.rows[4].outcome = Outcome::Skipped;
    cells.reasons.insert(4, "no SCTP in this kernel".into());
    let step = StepRecord {
        name: "step-1".into(),
        changes: Vec::new(),
        settle_ms: Some(7),
        anchor: None,
        pass: 1,
        checks: Vec::new(),
        cells,
    };
    scenario("field/three-tier", ScenarioOutcome::Passed, 999, vec![step])
}

/// Failed at the first two of three attempts.
pub(crate) fn flaky() -> ScenarioRecord {
    let of = |outcome| Try { outcome, duration_ms: 15_631, reason: None, wrong: Vec::new() };
    let tries = vec![of(ScenarioOutcome::Failed), of(ScenarioOutcome::Failed), of(ScenarioOutcome::Passed)];
    let reason = Some("as expected at 1 of 3 attempts, different at 2".into());
    ScenarioRecord { outcome: ScenarioOutcome::Flaky, tries, reason, ..failed() }
}

/// Not run.
pub(crate) fn skipped() -> ScenarioRecord {
    let mut record = scenario("sctp/port-match", ScenarioOutcome::Skipped, 0, vec![]);
    record.reason = Some("kernel has no SCTP (errno 93)".into());
    record
}

pub(crate) fn run_info(duration_ms: u64) -> RunInfo {
    RunInfo {
        id: "01jd2m".into(),
        started: "2026-11-21T10:52:07Z".into(),
        duration_ms,
        command: ["verdikt", "run", "--sandbox", "flannel"].map(str::to_owned).into(),
        planned: 5,
        partition: None,
        repeat: 1,
        others: Vec::new(),
    }
}

pub(crate) fn environment() -> Environment {
    Environment {
        target: "sandbox".into(),
        dataplane: Dataplane {
            name: "flannel".into(),
            version: "0.1.0".into(),
            mode: "nftables".into(),
            emulated: true,
            evidence: vec!["label sandbox.verdikt.dev/profile=flannel of node sandbox-1".into()],
        },
        kubernetes: "v1.33.0".into(),
        nodes: 2,
        kernel: "6.18.44".into(),
        ip_families: vec![Family::Ipv4, Family::Ipv6],
        verdikt: "0.1.0".into(),
        cluster: "0b5e7a3c".into(),
        enforcement: None,
        pod_blocks: None,
    }
}

/// What became of a known deviation.
pub(crate) fn deviation(state: DeviationState) -> DeviationRecord {
    let count = |of: &[DeviationState]| u64::from(of.contains(&state));
    DeviationRecord {
        file: "own".into(),
        scenario: "field/three-tier".into(),
        step: Some("step-1".into()),
        covers: vec!["x/a -> x/a:80/tcp".into(), "observed allowed".into()],
        reason: "own node: hairpin traffic is not filtered".into(),
        link: "https://example.org/issues/1".into(),
        expires: (state == DeviationState::Expired).then(|| "2026-10-31".into()),
        state,
        cells: count(&[DeviationState::Happened, DeviationState::Expired]),
        as_expected: count(&[DeviationState::Fixed]),
        unclear: 0,
    }
}

/// The records of a whole run.
pub(crate) fn record() -> Record {
    let scenarios = vec![passed(), failed(), skipped(), errored(), mixed()];
    let mut summary = Summary::default();
    scenarios.iter().for_each(|s| summary.add(s));
    let deviations = vec![deviation(DeviationState::Happened)];
    Record {
        schema: SCHEMA.into(),
        run: run_info(19_801),
        environment: environment(),
        summary,
        deviations,
        scenarios,
    }
}

/// The events of that run.
pub(crate) fn events() -> Vec<Event> {
    let Record { run, environment, summary, deviations, scenarios, .. } = record();
    let environment = Box::new(environment);
    let mut events =
        vec![Event::RunStarted { run: run_info(0), environment, scenarios: scenarios.len(), lanes: 2 }];
    for record in scenarios {
        let name = record.name.clone();
        events.push(Event::ScenarioStarted { name: name.clone() });
        events.push(Event::Progress { name, what: "step and: 81 cells, 9 not yet as expected".into() });
        events.push(Event::ScenarioFinished { record: Box::new(record) });
    }
    events.insert(4, Event::Warning { message: "node/2 does not answer; it is left out".into() });
    events.push(Event::RunFinished { run, summary, deviations });
    events
}

/// Escape characters made visible, for snapshots.
pub(crate) fn visible(text: &str) -> String {
    text.replace('\u{1b}', "␛")
}

/// A sink whose content tests can read while somebody else owns it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sink(Arc<std::sync::Mutex<Vec<u8>>>);

impl Sink {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
