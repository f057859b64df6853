//! Going on where an earlier run was cut short.

use std::collections::BTreeMap;

use verdikt_model::{
    Enforcement, Environment, Family, PodBlocks, Record, RunInfo, Scenario, ScenarioOutcome, ScenarioRecord,
};

/// What an earlier run has proved of the scenarios that are chosen now.
#[derive(Debug, Clone)]
pub struct Resumed {
    run: RunInfo,
    environment: Environment,
    /// Its results, in its order.
    pub(crate) done: Vec<ScenarioRecord>,
    /// Scenarios that the record proves and that are not chosen now.
    pub unselected: Vec<String>,
}

impl Resumed {
    /// Takes from a record what need not be measured again, and leaves the other scenarios in `scenarios`. What could
    /// not be measured, was skipped or was interrupted is tried again; so is a scenario that does or expects something else by now, one
    /// whose attempts disagree, and one that has passed less often than is asked for now.
    pub fn new(record: Record, scenarios: &mut Vec<Scenario>, repeat: u32) -> Self {
        let mut proved: BTreeMap<String, (usize, ScenarioRecord)> = record
            .scenarios
            .into_iter()
            .filter(|of| !of.interrupted)
            .filter(|of| match of.outcome {
                ScenarioOutcome::Passed => repeat <= 1 || of.tries.len() >= repeat as usize,
                ScenarioOutcome::Failed => true,
                ScenarioOutcome::Flaky | ScenarioOutcome::Errored | ScenarioOutcome::Skipped => false,
            })
            .enumerate()
            .map(|(place, of)| (of.name.clone(), (place, of)))
            .collect();
        let mut done = Vec::new();
        scenarios.retain(|scenario| {
            match proved.remove(&scenario.name) {
                Some((place, of)) if of.digest == scenario.digest() => done.push((place, of)),
                _ => return true,
            }
            false
        });
        let unselected = proved.into_keys().collect();
        done.sort_by_key(|(place, _)| *place);
        let done = done.into_iter().map(|(_, of)| of).collect();
        Self { run: record.run, environment: record.environment, done, unselected }
    }

    /// What the check before that run showed.
    pub(crate) const fn enforcement(&self) -> &Option<Enforcement> {
        &self.environment.enforcement
    }

    /// What a block of pods' addresses has shown, if that was tried.
    pub(crate) const fn pod_blocks(&self) -> &Option<PodBlocks> {
        &self.environment.pod_blocks
    }

    /// Ids of the runs whose results these are.
    pub(crate) fn runs(&self) -> Vec<String> {
        std::iter::once(self.run.id.clone()).chain(self.run.others.iter().cloned()).collect()
    }

    /// Whether results from here may stand beside the earlier ones; otherwise why not.
    pub(crate) fn fits(&self, here: &Environment, families: &[Family]) -> Result<(), String> {
        let here = Environment { ip_families: families.to_vec(), ..here.clone() };
        if let Some((what, there, here)) = self.environment.difference(&here) {
            return Err(format!("in the record {what} is `{there}`, and here it is `{here}`"));
        }
        if self.run.command.iter().any(|word| word == "--cell" || word.starts_with("--cell=")) {
            return Err("the record is of single cells (--cell)".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use verdikt_model::{Expect, Level, Matrix, SCHEMA, Step, StepRecord, Summary, Topology};

    use super::*;
    use crate::tell::unmeasured;

    fn scenario(name: &str) -> Scenario {
        let step = Step { name: "s".into(), actions: vec![], checks: Vec::new(), expect: Expect::default() };
        Scenario {
            name: name.into(),
            labels: BTreeMap::new(),
            level: Level::Core,
            summary: String::new(),
            clauses: vec![],
            references: vec![],
            differs: Vec::new(),
            requires: vec![],
            repeat: 1,
            topology: Topology::default(),
            steps: vec![step],
            source: String::new(),
        }
    }

    /// A record; the last word is the name of each scenario's step.
    fn record(of: &[(&str, ScenarioOutcome, &str)]) -> Record {
        let one = |(name, outcome, step): &(&str, ScenarioOutcome, &str)| {
            let mut scenario = scenario(name);
            scenario.steps[0].name = (*step).into();
            let mut record = unmeasured(&scenario, *outcome, String::new());
            record.steps = vec![StepRecord {
                name: (*step).into(),
                changes: Vec::new(),
                settle_ms: None,
                anchor: None,
                pass: 1,
                checks: Vec::new(),
                cells: Matrix::default(),
            }];
            record
        };
        Record {
            schema: SCHEMA.into(),
            run: RunInfo { id: "r1".into(), others: vec!["r0".into()], ..RunInfo::default() },
            environment: Environment { target: "kind".into(), ..Environment::default() },
            summary: Summary::default(),
            deviations: Vec::new(),
            scenarios: of.iter().map(one).collect(),
        }
    }

    #[test]
    fn only_what_is_proved_is_not_measured_again() {
        let mut chosen: Vec<Scenario> =
            ["passed", "failed", "flaky", "errored", "skipped", "changed", "new"].map(scenario).into();
        let earlier = record(&[
            ("failed", ScenarioOutcome::Failed, "s"),
            ("passed", ScenarioOutcome::Passed, "s"),
            ("flaky", ScenarioOutcome::Flaky, "s"),
            ("errored", ScenarioOutcome::Errored, "s"),
            ("skipped", ScenarioOutcome::Skipped, "s"),
            ("changed", ScenarioOutcome::Passed, "another step"),
            ("not chosen", ScenarioOutcome::Passed, "s"),
        ]);
        let resumed = Resumed::new(earlier.clone(), &mut chosen, 1);
        let left: Vec<&str> = chosen.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(left, ["flaky", "errored", "skipped", "changed", "new"]);
        let done: Vec<&str> = resumed.done.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(done, ["failed", "passed"]);
        assert_eq!(resumed.runs(), ["r1", "r0"]);
        assert_eq!(resumed.unselected, ["not chosen"]);
        // Once is not twice, but a failure is one.
        let mut chosen: Vec<Scenario> = ["passed", "failed"].map(scenario).into();
        let resumed = Resumed::new(earlier, &mut chosen, 2);
        assert_eq!((chosen[0].name.as_str(), resumed.done[0].name.as_str()), ("passed", "failed"));
    }

    #[test]
    fn what_was_interrupted_is_run_again_whatever_it_proved() {
        let mut chosen: Vec<Scenario> = ["failed", "cut"].map(scenario).into();
        let mut earlier =
            record(&[("failed", ScenarioOutcome::Failed, "s"), ("cut", ScenarioOutcome::Failed, "s")]);
        earlier.scenarios[1].interrupted = true;
        let resumed = Resumed::new(earlier, &mut chosen, 1);
        assert_eq!((chosen[0].name.as_str(), chosen.len(), resumed.done.len()), ("cut", 1, 1));
    }

    #[test]
    fn a_record_of_another_cluster_is_not_gone_on_with() {
        let resumed = Resumed::new(record(&[]), &mut vec![], 1);
        let here = Environment { target: "kind".into(), ..Environment::default() };
        assert_eq!(resumed.fits(&here, &[]), Ok(()));
        let other = Environment { target: "prod".into(), ..here.clone() };
        assert!(resumed.fits(&other, &[]).unwrap_err().contains("`kind`, and here it is `prod`"));
        assert!(resumed.fits(&here, &[Family::Ipv4]).unwrap_err().contains("IP families"));
    }
}
