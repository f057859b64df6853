//! What is true: the verdicts of a run without any fault.

use std::collections::{BTreeMap, BTreeSet};

use verdikt_model::{Record, Scenario, ScenarioOutcome, StepRecord, Verdict};

/// A cell as the record names it.
pub(crate) type Key = String;

/// True verdicts by scenario, step and cell.
#[derive(Default)]
pub(crate) struct Truth(BTreeMap<String, BTreeMap<String, BTreeMap<Key, Verdict>>>);

impl Truth {
    /// From the record of a run without faults, in which everything passed.
    pub(crate) fn new(record: &Record) -> Result<Self, String> {
        let mut truth = Self::default();
        for scenario in &record.scenarios {
            if scenario.outcome != ScenarioOutcome::Passed {
                let reason = scenario.reason.as_deref().unwrap_or_default();
                return Err(format!("without faults {} {}: {reason}", scenario.name, scenario.outcome));
            }
            let steps = truth.0.entry(scenario.name.clone()).or_default();
            for step in &scenario.steps {
                let cells = cells(step)?.into_iter().map(|(key, seen)| Some((key, seen?)));
                let cells =
                    cells.collect::<Option<_>>().ok_or("a cell of a passed scenario was not observed")?;
                steps.insert(step.name.clone(), cells);
            }
        }
        Ok(truth)
    }

    /// How many cells it knows.
    pub(crate) fn cells(&self) -> usize {
        self.0.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum()
    }

    /// Whether a record is true as far as it goes: every scenario once, in each of its steps every cell once, and
    /// each cell with its true verdict or `error`. Tells how many cells were measured.
    pub(crate) fn judge(&self, record: &Record, asked: &[Scenario]) -> Result<usize, String> {
        let mut measured = 0;
        let mut named: Vec<&str> = record.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        let mut wanted: Vec<&str> = asked.iter().map(|scenario| scenario.name.as_str()).collect();
        named.sort_unstable();
        wanted.sort_unstable();
        if named != wanted {
            return Err(format!("asked for {wanted:?}, told of {named:?}"));
        }
        for scenario in &record.scenarios {
            let name = &scenario.name;
            let steps = self.0.get(name).ok_or("a scenario that nobody knows")?;
            let order: Vec<&str> = scenario.steps.iter().map(|step| step.name.as_str()).collect();
            if order.iter().collect::<BTreeSet<_>>().len() != order.len() {
                return Err(format!("{name} has a step twice: {order:?}"));
            }
            match scenario.outcome {
                ScenarioOutcome::Passed if order.len() != steps.len() => {
                    return Err(format!("{name} passed with steps {order:?} only"));
                }
                ScenarioOutcome::Passed => {}
                ScenarioOutcome::Errored if scenario.reason.is_some() => {}
                outcome => return Err(format!("{name} {outcome}: {:?}\n{}", scenario.reason, odd(scenario))),
            }
            for step in &scenario.steps {
                let place = format!("{name}, step {}", step.name);
                let truth = steps.get(&step.name).ok_or_else(|| format!("{place}: nobody knows it"))?;
                let seen = cells(step).map_err(|why| format!("{place}: {why}"))?;
                if !seen.keys().eq(truth.keys()) {
                    return Err(format!("{place}: {} cells instead of {}", seen.len(), truth.len()));
                }
                for (key, seen) in seen {
                    match seen {
                        None | Some(Verdict::Error) => {}
                        Some(seen) if seen == truth[&key] => measured += 1,
                        Some(seen) => {
                            return Err(format!("{place}: {key} is {seen}, and in truth {}", truth[&key]));
                        }
                    }
                }
            }
        }
        Ok(measured)
    }
}

/// The verdicts of a step's cells.
fn cells(step: &StepRecord) -> Result<BTreeMap<Key, Option<Verdict>>, String> {
    let mut cells = BTreeMap::new();
    for (row, _) in step.cells.iter() {
        let (from, to) = (step.cells.name(row.cell.from), step.cells.name(row.cell.to));
        let key =
            format!("{from} -> {to}:{} via {} {}", row.cell.port_protocol(), row.cell.via, row.cell.family);
        if cells.insert(key.clone(), row.observed).is_some() {
            return Err(format!("{key} is there twice"));
        }
    }
    Ok(cells)
}

/// Some of the cells of a scenario that are not a plain pass.
fn odd(scenario: &verdikt_model::ScenarioRecord) -> String {
    let mut text = String::new();
    for step in &scenario.steps {
        let odd = step.cells.iter().filter(|(row, _)| row.outcome != verdikt_model::Outcome::Pass);
        for (row, reason) in odd.take(3) {
            let (from, to) = (step.cells.name(row.cell.from), step.cells.name(row.cell.to));
            text.push_str(&format!(
                "  {}: {from} -> {to}:{} {}: expected {}, observed {:?} ({}): {}\n",
                step.name,
                row.cell.port_protocol(),
                row.cell.family,
                row.expected,
                row.observed,
                row.outcome,
                reason.unwrap_or_default(),
            ));
        }
    }
    text
}
