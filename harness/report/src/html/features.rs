//! Scenarios by level and by feature, as a table.

use std::collections::BTreeMap;

use verdikt_model::{Record, ScenarioCounts, ScenarioOutcome};

use super::{
    bar::bar,
    words::{self, Look},
    writer::Html,
};
use crate::escape::{NAME, cut, escape};

const OUTCOMES: [ScenarioOutcome; 5] = [
    ScenarioOutcome::Failed,
    ScenarioOutcome::Flaky,
    ScenarioOutcome::Errored,
    ScenarioOutcome::Passed,
    ScenarioOutcome::Skipped,
];

/// Counts in the order of [`OUTCOMES`].
pub(super) fn shares(counts: &ScenarioCounts) -> [(Look, u64); 5] {
    OUTCOMES.map(|outcome| {
        let n = match outcome {
            ScenarioOutcome::Passed => counts.passed,
            ScenarioOutcome::Failed => counts.failed,
            ScenarioOutcome::Flaky => counts.flaky,
            ScenarioOutcome::Errored => counts.errored,
            ScenarioOutcome::Skipped => counts.skipped,
        };
        (words::of_scenario(outcome), n.into())
    })
}

/// The table; rows filter the list when the page's script runs.
pub(super) fn features(w: &mut Html, record: &Record) {
    let (mut levels, mut features) =
        (BTreeMap::<_, ScenarioCounts>::new(), BTreeMap::<_, ScenarioCounts>::new());
    for scenario in &record.scenarios {
        levels.entry(scenario.level).or_default().add(scenario.outcome);
        features.entry(words::feature(scenario)).or_default().add(scenario.outcome);
    }
    w.el("table", &[("class", "features")], |w| {
        w.tag("caption", &[], "Scenarios by level and feature");
        w.el("thead", &[], |w| {
            w.el("tr", &[], |w| {
                w.tag("th", &[("scope", "col")], "Level, feature");
                w.el("td", &[], |_| {});
                for outcome in OUTCOMES {
                    let look = words::of_scenario(outcome);
                    w.tag("th", &[("scope", "col"), ("class", "number")], look.word);
                }
            });
        });
        w.el("tbody", &[], |w| {
            for (level, counts) in &levels {
                row(w, "level", &level.to_string(), counts);
            }
        });
        w.el("tbody", &[], |w| {
            for (feature, counts) in &features {
                row(w, "feature", feature, counts);
            }
        });
    });
}

fn row(w: &mut Html, kind: &'static str, name: &str, counts: &ScenarioCounts) {
    w.el("tr", &[], |w| {
        let value = escape(name);
        w.tag("th", &[("scope", "row"), ("data-kind", kind), ("data-value", &value)], &cut(name, NAME));
        w.el("td", &[("class", "bar")], |w| bar(w, &shares(counts)));
        for (look, n) in shares(counts) {
            let class = if n == 0 { "number none" } else { look.class };
            w.tag("td", &[("class", class)], &n.to_string());
        }
    });
}
