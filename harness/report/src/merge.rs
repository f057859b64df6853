//! Several records of one cluster to one: the parts of a sharded run, or runs that were cut short.

use std::collections::{BTreeMap, BTreeSet};

use verdikt_model::{
    DeviationRecord, Enforced, Enforcement, Environment, Record, RunInfo, SCHEMA, ScenarioOutcome,
    ScenarioRecord, Summary, join,
};

/// What several records say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The record of them all.
    pub record: Record,
    /// What is not in it, though it was to be measured: one sentence each.
    pub missing: Vec<String>,
}

/// Why records do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// There is none.
    #[error("no record to merge")]
    Nothing,
    /// They are of different clusters, or of different versions of verdikt.
    #[error(
        "{first} and {second} are no parts of one measurement: {what} is `{there}` in the one and `{here}` in the other"
    )]
    Different {
        /// Name of the first record.
        first: String,
        /// Name of the other one.
        second: String,
        /// What differs.
        what: &'static str,
        /// In the first.
        there: String,
        /// In the other.
        here: String,
    },
    /// Two have measured the same scenario.
    #[error(
        "{first} and {second} have both measured {scenario}; nothing is counted twice, so leave one of them out"
    )]
    Twice {
        /// Name of the first record.
        first: String,
        /// Name of the other one.
        second: String,
        /// The scenario.
        scenario: String,
    },
}

/// Joins records, each with a name for messages. A scenario that several have is taken from the one that has measured
/// it; counts are made anew.
///
/// # Errors
/// When the records do not belong together.
pub fn merge(parts: Vec<(String, Record)>) -> Result<Merged, MergeError> {
    let (first, head) = parts.first().ok_or(MergeError::Nothing)?;
    for (name, record) in &parts[1..] {
        if let Some((what, there, here)) = head.environment.difference(&record.environment) {
            let (first, second) = (first.clone(), name.clone());
            return Err(MergeError::Different { first, second, what, there, here });
        }
    }
    let mut missing = Vec::new();
    let lost: usize = parts.iter().map(|(name, record)| cut_short(name, record, &mut missing)).sum();
    missing.extend(absent_partitions(&parts));
    let run = joined_run(&parts);
    let blocks = parts.iter().find_map(|(_, record)| record.environment.pod_blocks.clone());
    let environment =
        Environment { enforcement: weakest(&parts), pod_blocks: blocks, ..head.environment.clone() };
    let known: Vec<DeviationRecord> =
        parts.iter().flat_map(|(_, record)| record.deviations.iter().cloned()).collect();
    let scenarios = joined_scenarios(parts)?;
    let mut summary = Summary::default();
    scenarios.iter().for_each(|scenario| summary.add(scenario));
    let planned = u32::try_from(scenarios.len() + lost).unwrap_or(u32::MAX);
    let run = RunInfo { planned, ..run };
    let deviations = join(known, missing.is_empty());
    let record = Record { schema: SCHEMA.to_owned(), run, environment, summary, deviations, scenarios };
    Ok(Merged { record, missing })
}

/// How many scenarios a record lacks.
fn cut_short(name: &str, record: &Record, missing: &mut Vec<String>) -> usize {
    let lost = (record.run.planned as usize).saturating_sub(record.scenarios.len());
    if lost > 0 {
        missing.push(format!(
            "{name} was cut short: {lost} of {} scenarios are missing; `verdikt run --resume {name}` goes on with it",
            record.run.planned
        ));
    }
    lost
}

/// Partitions of the same choice that no record is of.
fn absent_partitions(parts: &[(String, Record)]) -> Option<String> {
    let mut by_count: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for partition in parts.iter().filter_map(|(_, record)| record.run.partition.as_deref()) {
        if let Some((Ok(index), Ok(count))) =
            partition.split_once('/').map(|(index, count)| (index.parse::<u32>(), count.parse::<u32>()))
        {
            by_count.entry(count).or_default().insert(index);
        }
    }
    let absent: Vec<String> = by_count
        .iter()
        .flat_map(|(count, have)| {
            (1..=*count).filter(|index| !have.contains(index)).map(move |index| format!("{index}/{count}"))
        })
        .collect();
    (!absent.is_empty()).then(|| format!("no record is of partition {}", absent.join(", ")))
}

fn joined_run(parts: &[(String, Record)]) -> RunInfo {
    let head = &parts[0].1.run;
    let mut others: Vec<String> = Vec::new();
    for id in parts.iter().flat_map(|(_, record)| std::iter::once(&record.run.id).chain(&record.run.others)) {
        if *id != head.id && !others.contains(id) {
            others.push(id.clone());
        }
    }
    RunInfo {
        id: head.id.clone(),
        started: parts.iter().map(|(_, r)| r.run.started.clone()).min().unwrap_or_default(),
        // They may have run side by side.
        duration_ms: parts.iter().map(|(_, r)| r.run.duration_ms).max().unwrap_or_default(),
        command: head.command.clone(),
        planned: 0,
        partition: None,
        repeat: parts.iter().map(|(_, r)| r.run.repeat).max().unwrap_or(1),
        others,
    }
}

/// The check that says least for the cluster.
fn weakest(parts: &[(String, Record)]) -> Option<Enforcement> {
    let rank = |enforced: Enforced| match enforced {
        Enforced::No => 0,
        Enforced::Partly => 1,
        Enforced::Unknown => 2,
        Enforced::Yes => 3,
    };
    let seen = parts.iter().filter_map(|(_, record)| record.environment.enforcement.as_ref());
    seen.min_by_key(|seen| rank(seen.enforced)).cloned()
}

fn joined_scenarios(parts: Vec<(String, Record)>) -> Result<Vec<ScenarioRecord>, MergeError> {
    let mut joined: Vec<(String, ScenarioRecord)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (name, record) in parts {
        for scenario in record.scenarios {
            let Some(place) = places.get(&scenario.name) else {
                places.insert(scenario.name.clone(), joined.len());
                joined.push((name.clone(), scenario));
                continue;
            };
            let have = &mut joined[*place];
            match (worth(have.1.outcome), worth(scenario.outcome)) {
                (2, 2) => {
                    let (first, second) = (have.0.clone(), name);
                    return Err(MergeError::Twice { first, second, scenario: scenario.name });
                }
                (old, new) if new > old => *have = (name.clone(), scenario),
                _ => {}
            }
        }
    }
    Ok(joined.into_iter().map(|(_, scenario)| scenario).collect())
}

/// How much a result says.
const fn worth(outcome: ScenarioOutcome) -> u8 {
    match outcome {
        ScenarioOutcome::Passed | ScenarioOutcome::Failed | ScenarioOutcome::Flaky => 2,
        ScenarioOutcome::Errored => 1,
        ScenarioOutcome::Skipped => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn part(id: &str, partition: Option<&str>, scenarios: Vec<ScenarioRecord>) -> (String, Record) {
        let mut record = sample::record();
        record.run.id = id.into();
        record.run.partition = partition.map(str::to_owned);
        record.run.planned = scenarios.len() as u32;
        record.scenarios = scenarios;
        (format!("{id}.json"), record)
    }

    #[test]
    fn parts_make_the_whole_with_counts_of_its_own() {
        let merged = merge(vec![
            part("r1", Some("1/2"), vec![sample::passed(), sample::failed()]),
            part("r2", Some("2/2"), vec![sample::skipped()]),
        ])
        .unwrap();
        assert_eq!(merged.missing, Vec::<String>::new());
        let record = merged.record;
        assert_eq!((record.run.id.as_str(), record.run.others.clone()), ("r1", vec!["r2".to_owned()]));
        assert_eq!((record.run.planned, record.run.partition), (3, None));
        let counts = record.summary.scenarios;
        assert_eq!((counts.passed, counts.failed, counts.skipped, counts.errored), (1, 1, 1, 0));
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut cut = part("r1", Some("1/3"), vec![sample::passed()]);
        cut.1.run.planned = 4;
        let merged = merge(vec![cut, part("r3", Some("3/3"), vec![sample::failed()])]).unwrap();
        assert_eq!(merged.record.run.planned, 5);
        assert_eq!(merged.missing.len(), 2);
        assert!(merged.missing[0].starts_with("r1.json was cut short: 3 of 4"), "{:?}", merged.missing);
        assert_eq!(merged.missing[1], "no record is of partition 2/3");
    }

    #[test]
    fn nothing_is_counted_twice() {
        let unmeasured = || ScenarioRecord { outcome: ScenarioOutcome::Errored, ..sample::passed() };
        for pair in [[unmeasured(), sample::passed()], [sample::passed(), unmeasured()]] {
            let [one, two] = pair;
            let merged = merge(vec![part("r1", None, vec![one]), part("r2", None, vec![two])]).unwrap();
            assert_eq!(merged.record.scenarios, [sample::passed()]);
            assert_eq!(merged.record.summary.scenarios.total(), 1);
        }
        let twice =
            merge(vec![part("r1", None, vec![sample::passed()]), part("r2", None, vec![sample::passed()])]);
        assert!(matches!(twice, Err(MergeError::Twice { .. })), "{twice:?}");
    }

    #[test]
    fn records_of_different_clusters_are_refused() {
        let mut other = part("r2", None, vec![]);
        other.1.environment.dataplane.version = "9".into();
        let error = merge(vec![part("r1", None, vec![]), other]).unwrap_err().to_string();
        assert!(error.contains("the dataplane is `flannel 0.1.0 nftables`"), "{error}");
        assert_eq!(merge(vec![]), Err(MergeError::Nothing));
    }
}
