//! Telling the reporters: events out, counts kept.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::sync::mpsc::UnboundedSender;
use verdikt_model::{
    DeviationRecord, Event, Known, Scenario, ScenarioOutcome, ScenarioRecord, Sightings, Summary,
};

/// Sends events and counts what has ended. A receiver that is gone stops nothing.
pub(crate) struct Teller {
    events: UnboundedSender<Event>,
    summary: Mutex<Summary>,
    known: Mutex<(Arc<Known>, Sightings)>,
    ended: AtomicU32,
}

impl Teller {
    pub(crate) fn new(events: UnboundedSender<Event>) -> Self {
        Self { events, summary: Mutex::default(), known: Mutex::default(), ended: AtomicU32::new(0) }
    }

    pub(crate) fn event(&self, event: Event) {
        // The runner goes on without listeners: what it made must still be removed.
        let _ = self.events.send(event);
    }

    pub(crate) fn started(&self, name: &str) {
        self.event(Event::ScenarioStarted { name: name.to_owned() });
    }

    pub(crate) fn progress(&self, name: &str, what: String) {
        self.event(Event::Progress { name: name.to_owned(), what });
    }

    pub(crate) fn warn(&self, message: String) {
        self.event(Event::Warning { message });
    }

    /// From now on it is counted what becomes of these.
    pub(crate) fn look_for(&self, known: &Arc<Known>) {
        *self.known.lock().expect("no holder of the lock panics") =
            (Arc::clone(known), Sightings::new(known));
    }

    /// What has become of known deviations. `whole`: whether all that was to be measured has ended.
    pub(crate) fn deviations(&self, whole: bool) -> Vec<DeviationRecord> {
        let (known, sightings) = &*self.known.lock().expect("no holder of the lock panics");
        sightings.records(known, whole)
    }

    pub(crate) fn finished(&self, record: ScenarioRecord) {
        let (known, sightings) = &mut *self.known.lock().expect("no holder of the lock panics");
        sightings.see(known, &record);
        self.summary.lock().expect("no holder of the lock panics").add(&record);
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.event(Event::ScenarioFinished { record: Box::new(record) });
    }

    pub(crate) fn summary(&self) -> Summary {
        *self.summary.lock().expect("no holder of the lock panics")
    }
}

/// The record of a scenario that was not measured.
pub(crate) fn unmeasured(scenario: &Scenario, outcome: ScenarioOutcome, reason: String) -> ScenarioRecord {
    ScenarioRecord {
        name: scenario.name.clone(),
        level: scenario.level,
        labels: scenario.labels.clone(),
        clauses: scenario.clauses.clone(),
        summary: scenario.summary.clone(),
        references: scenario.references.clone(),
        differs: scenario.differs.clone(),
        digest: scenario.digest(),
        outcome,
        reason: Some(reason),
        duration_ms: 0,
        interrupted: false,
        tries: Vec::new(),
        nodes: BTreeMap::new(),
        steps: Vec::new(),
    }
}
