//! Many records in the order in which they were made: what became of each scenario over time.

use std::{collections::BTreeMap, fmt::Write};

use jiff::Timestamp;
use serde::Serialize;
use verdikt_model::{Record, ScenarioCounts, ScenarioOutcome, ScenarioRecord};

use crate::{
    escape::{NAME, cut},
    markdown::safe::cell,
};

/// Records over time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trend {
    /// The runs, the oldest first.
    pub runs: Vec<RunTrend>,
    /// The scenarios: those that are as expected least often first, then by name.
    pub scenarios: Vec<ScenarioTrend>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunTrend {
    /// Its id.
    pub id: String,
    /// Its start.
    pub started: String,
    /// What enforced policies: name, version and mode.
    pub dataplane: String,
    /// Its scenarios by outcome.
    pub scenarios: ScenarioCounts,
    /// Median over the settle times of its steps, in milliseconds; null when none has settled.
    pub settle_median_ms: Option<u64>,
    /// Their 99th percentile.
    pub settle_p99_ms: Option<u64>,
}

/// One scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioTrend {
    /// Its name.
    pub name: String,
    /// How it ended in each run; null where it was not among the scenarios.
    pub outcomes: Vec<Option<ScenarioOutcome>>,
    /// Part of the runs that proved something in which it passed; null when none did.
    pub pass_ratio: Option<f64>,
    /// Part of its attempts that followed one which was not as expected; null without attempts.
    pub retry_ratio: Option<f64>,
    /// Start of the first run in which it failed or was flaky; null when there is none.
    pub first_failing: Option<String>,
    /// Start of the last one.
    pub last_failing: Option<String>,
}

/// Puts records in the order of their starts. What they are of, clusters and dataplanes, may differ: it is told.
pub fn trend(records: &[Record]) -> Trend {
    let mut records: Vec<&Record> = records.iter().collect();
    // A start that is no time comes first; equal ones stay as they were given.
    records.sort_by_key(|record| record.run.started.parse::<Timestamp>().ok());
    let mut by_name: BTreeMap<&str, Vec<Option<&ScenarioRecord>>> = BTreeMap::new();
    for (index, record) in records.iter().enumerate() {
        for scenario in &record.scenarios {
            by_name.entry(&scenario.name).or_insert_with(|| vec![None; records.len()])[index] =
                Some(scenario);
        }
    }
    let mut scenarios: Vec<ScenarioTrend> =
        by_name.into_iter().map(|(name, over)| scenario(name, &over, &records)).collect();
    // What was never proved says nothing about stability.
    scenarios.sort_by(|a, b| a.pass_ratio.unwrap_or(1.0).total_cmp(&b.pass_ratio.unwrap_or(1.0)));
    Trend { runs: records.into_iter().map(run).collect(), scenarios }
}

fn run(record: &Record) -> RunTrend {
    let mut settled: Vec<u64> =
        record.scenarios.iter().flat_map(|of| &of.steps).filter_map(|step| step.settle_ms).collect();
    settled.sort_unstable();
    // The nearest rank.
    let part = |share: f64| {
        let rank = (share * settled.len() as f64).ceil() as usize;
        settled.get(rank.max(1) - 1).copied()
    };
    let plane = &record.environment.dataplane;
    let words = [&plane.name, &plane.version, &plane.mode];
    RunTrend {
        id: record.run.id.clone(),
        started: record.run.started.clone(),
        dataplane: words.into_iter().filter(|w| !w.is_empty()).cloned().collect::<Vec<_>>().join(" "),
        scenarios: record.summary.scenarios,
        settle_median_ms: part(0.5),
        settle_p99_ms: part(0.99),
    }
}

fn scenario(name: &str, over: &[Option<&ScenarioRecord>], records: &[&Record]) -> ScenarioTrend {
    let outcomes: Vec<Option<ScenarioOutcome>> = over.iter().map(|of| of.map(|of| of.outcome)).collect();
    let failing = |of: &ScenarioOutcome| matches!(of, ScenarioOutcome::Failed | ScenarioOutcome::Flaky);
    let count =
        |test: &dyn Fn(&ScenarioOutcome) -> bool| outcomes.iter().flatten().filter(|of| test(of)).count();
    let passed = count(&|of| *of == ScenarioOutcome::Passed);
    let (mut attempts, mut retries) = (0_usize, 0_usize);
    // Where each is repeated on purpose, none is a retry.
    let retried = over.iter().zip(records).filter(|(_, record)| !record.run.is_repeated());
    for of in retried.filter_map(|(of, _)| of.as_ref()) {
        attempts += of.tries.len();
        retries += of.tries.windows(2).filter(|pair| !pair[0].is_good()).count();
    }
    let mut when = outcomes.iter().zip(records).filter(|(of, _)| of.as_ref().is_some_and(failing));
    let started = |(_, record): (&Option<ScenarioOutcome>, &&Record)| record.run.started.clone();
    let ratio = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
    let first_failing = when.next().map(started);
    ScenarioTrend {
        name: name.to_owned(),
        pass_ratio: ratio(passed, passed + count(&failing)),
        retry_ratio: ratio(retries, attempts),
        last_failing: when.next_back().map(started).or_else(|| first_failing.clone()),
        first_failing,
        outcomes,
    }
}

/// For people: the runs, then a line for each scenario with one character a run.
pub fn trend_human(trend: &Trend) -> String {
    let mut out = String::new();
    for (index, run) in trend.runs.iter().enumerate() {
        let _ = writeln!(out, "run {:>3}  {}", index + 1, run_words(run));
    }
    out.push_str(
        "\noutcomes of the runs, the oldest first: . passed, X failed, ~ flaky, ? errored, - skipped, _ not there\n",
    );
    let width = trend.runs.len().max(8);
    let _ = writeln!(out, "{:width$}  passed  retried  scenario", "outcomes");
    for of in &trend.scenarios {
        let _ = writeln!(
            out,
            "{:width$}  {:>6}  {:>7}  {}{}",
            glyphs(of),
            percent(of.pass_ratio),
            percent(of.retry_ratio),
            cut(&of.name, NAME),
            failing(of)
        );
    }
    out
}

/// For programs.
pub fn trend_json(trend: &Trend) -> serde_json::Value {
    serde_json::json!(trend)
}

/// For pages.
pub fn trend_markdown(trend: &Trend) -> String {
    let mut out = String::from(
        "| run | started | dataplane | passed | failed | flaky | errored | skipped | settle, median | p99 |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for run in &trend.runs {
        let counts = run.scenarios;
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            code(&run.id),
            code(&run.started),
            code(&run.dataplane),
            counts.passed,
            counts.failed,
            counts.flaky,
            counts.errored,
            counts.skipped,
            millis(run.settle_median_ms),
            millis(run.settle_p99_ms)
        );
    }
    out.push_str(
        "\n| scenario | outcomes | passed | retried | first failing | last failing |\n|---|---|---|---|---|---|\n",
    );
    for of in &trend.scenarios {
        let dash = || "–".to_owned();
        let _ = writeln!(
            out,
            "| {} | `{}` | {} | {} | {} | {} |",
            code(&of.name),
            glyphs(of),
            percent(of.pass_ratio),
            percent(of.retry_ratio),
            of.first_failing.as_deref().map_or_else(dash, code),
            of.last_failing.as_deref().map_or_else(dash, code),
        );
    }
    out.push_str(
        "\n`.` passed, `X` failed, `~` flaky, `?` errored, `-` skipped, `_` not among the scenarios.\n",
    );
    out
}

fn run_words(run: &RunTrend) -> String {
    let counts = run.scenarios;
    let settle = match (run.settle_median_ms, run.settle_p99_ms) {
        (None, _) => String::new(),
        (median, p99) => format!("; settled in {} (median), {} (p99)", millis(median), millis(p99)),
    };
    format!(
        "{}  {}  {}: {} passed, {} failed, {} flaky, {} errored, {} skipped{settle}",
        cut(&run.started, NAME),
        cut(&run.id, NAME),
        cut(&run.dataplane, NAME),
        counts.passed,
        counts.failed,
        counts.flaky,
        counts.errored,
        counts.skipped
    )
}

/// One character a run.
fn glyphs(of: &ScenarioTrend) -> String {
    let glyph = |outcome: &Option<ScenarioOutcome>| match outcome {
        Some(ScenarioOutcome::Passed) => '.',
        Some(ScenarioOutcome::Failed) => 'X',
        Some(ScenarioOutcome::Flaky) => '~',
        Some(ScenarioOutcome::Errored) => '?',
        Some(ScenarioOutcome::Skipped) => '-',
        None => '_',
    };
    of.outcomes.iter().map(glyph).collect()
}

fn failing(of: &ScenarioTrend) -> String {
    match (&of.first_failing, &of.last_failing) {
        (Some(first), Some(last)) if first == last => format!("  failing {}", cut(first, NAME)),
        (Some(first), Some(last)) => format!("  failing {} to {}", cut(first, NAME), cut(last, NAME)),
        _ => String::new(),
    }
}

/// Rounded towards what is not perfect: only all is 100 %, only none is 0 %.
fn percent(ratio: Option<f64>) -> String {
    match ratio {
        None => "–".to_owned(),
        Some(ratio) if ratio > 0.0 && ratio < 1.0 => format!("{:.0} %", (ratio * 100.0).clamp(1.0, 99.0)),
        Some(ratio) => format!("{:.0} %", ratio * 100.0),
    }
}

fn millis(ms: Option<u64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"))
}

/// Foreign text in a table, where no mention, link or markup in it comes to life.
fn code(text: &str) -> String {
    cell(&cut(text, NAME))
}

#[cfg(test)]
mod tests {
    use verdikt_model::{Summary, Try};

    use super::*;
    use crate::sample;

    fn record(started: &str, outcomes: &[(&str, ScenarioOutcome, &[ScenarioOutcome])]) -> Record {
        let mut record = sample::record();
        record.run.started = started.into();
        record.run.id = format!("r{}", &started[8..10]);
        record.scenarios = outcomes
            .iter()
            .map(|(name, outcome, tries)| ScenarioRecord {
                name: (*name).into(),
                outcome: *outcome,
                tries: tries
                    .iter()
                    .map(|of| Try { outcome: *of, duration_ms: 1, reason: None, wrong: Vec::new() })
                    .collect(),
                ..sample::passed()
            })
            .collect();
        record.summary = Summary::default();
        record.scenarios.iter().for_each(|of| record.summary.add(of));
        record
    }

    use ScenarioOutcome::{Errored, Failed, Flaky, Passed, Skipped};

    fn three() -> Trend {
        trend(&[
            record(
                "2026-11-23T00:00:00Z",
                &[("a/steady", Passed, &[Passed]), ("a/torn", Flaky, &[Failed, Failed, Passed])],
            ),
            record(
                "2026-11-21T00:00:00Z",
                &[("a/steady", Passed, &[Passed]), ("a/torn", Failed, &[Failed]), ("a/gone", Skipped, &[])],
            ),
            // Earlier than it looks.
            record(
                "2026-11-22T01:00:00+02:00",
                &[("a/steady", Errored, &[Errored]), ("a/torn", Passed, &[Passed])],
            ),
        ])
    }

    #[test]
    fn runs_are_in_order_and_scenarios_by_how_often_they_pass() {
        let trend = three();
        let ids: Vec<&str> = trend.runs.iter().map(|run| run.id.as_str()).collect();
        assert_eq!(ids, ["r21", "r22", "r23"]);
        let names: Vec<&str> = trend.scenarios.iter().map(|of| of.name.as_str()).collect();
        assert_eq!(names, ["a/torn", "a/gone", "a/steady"]);
        let torn = &trend.scenarios[0];
        assert_eq!(torn.outcomes, [Some(Failed), Some(Passed), Some(Flaky)]);
        assert_eq!((torn.pass_ratio, torn.retry_ratio), (Some(1.0 / 3.0), Some(2.0 / 5.0)));
        assert_eq!(torn.first_failing.as_deref(), Some("2026-11-21T00:00:00Z"));
        assert_eq!(torn.last_failing.as_deref(), Some("2026-11-23T00:00:00Z"));
        let gone = &trend.scenarios[1];
        assert_eq!((gone.pass_ratio, gone.retry_ratio), (None, None));
        // An error proves nothing, and is not held against it.
        assert_eq!(trend.scenarios[2].pass_ratio, Some(1.0));
        assert_eq!(trend.runs[0].settle_median_ms, Some(12));
        assert_eq!(super::trend(&[]), Trend { runs: vec![], scenarios: vec![] });
    }

    #[test]
    fn every_form() {
        let trend = three();
        insta::assert_snapshot!("trend_human", trend_human(&trend));
        insta::assert_snapshot!("trend_markdown", trend_markdown(&trend));
        let json = trend_json(&trend);
        assert_eq!(json["scenarios"][0]["outcomes"], serde_json::json!(["failed", "passed", "flaky"]));
        assert_eq!(json["scenarios"][1]["passRatio"], serde_json::Value::Null);
    }

    #[test]
    fn hostile_names_stay_in_their_place() {
        let hostile = "\u{1b}[2J|<b>\n| x |";
        let trend = trend(&[record("2026-11-21T00:00:00Z", &[(hostile, Failed, &[])])]);
        assert!(!trend_human(&trend).contains('\u{1b}'));
        let page = trend_markdown(&trend);
        assert!(!page.contains('\u{1b}') && page.contains("`\\u{1b}[2J\\|<b>\\n\\| x \\|`"), "{page}");
    }
}
