//! `verdikt expect`

use verdikt_model::{Cell, Expectation, Family, Level, Scenario, World, cells};
use verdikt_oracle::Oracle;
use verdikt_report::{ExpectScenario, ExpectStep};

use crate::{
    args::{Expect, ShortFormat},
    failure::{Failure, Outcome},
    files, terminal,
    ui::Ui,
};

pub(super) fn expect(args: &Expect, ui: &Ui) -> Outcome {
    let chosen = files::choose_good(&args.choice, ui)?;
    let scenarios = chosen.scenarios.iter().map(matrices).collect::<Result<Vec<_>, Failure>>()?;
    match args.output {
        ShortFormat::Human => {
            for scenario in &scenarios {
                terminal::print(&verdikt_report::expect_human(scenario, ui.width));
            }
        }
        ShortFormat::Json => terminal::print(&(verdikt_report::expect_json(&scenarios) + "\n")),
    }
    chosen.end()
}

fn matrices(scenario: &Scenario) -> Result<ExpectScenario, Failure> {
    let steps = worlds(scenario)?
        .into_iter()
        .zip(&scenario.steps)
        .map(|(world, step)| {
            let oracle = Oracle::new(&world);
            let plan =
                verdikt_oracle::plan(scenario.level, &step.expect, &world, &cells(&world, Family::ALL));
            let reason = |index: u32, cell: &Cell, written: Expectation| {
                let answer = oracle.explain(cell);
                let mut reasons = answer.reasons;
                if let Some(written) = plan.written.get(&index) {
                    let oracle = answer.expectation;
                    reasons.insert(
                        0,
                        format!("not judged; written by hand: {written}; the oracle says {oracle}"),
                    );
                } else if world.foreign && scenario.level == Level::ImplementationDefined {
                    let oracle = answer.expectation;
                    reasons.insert(
                        0,
                        format!("not judged: a policy of another kind was applied; without it, {oracle}"),
                    );
                } else if written != answer.expectation {
                    reasons.insert(
                        0,
                        format!("written by hand: {written}; the oracle says {}", answer.expectation),
                    );
                }
                reasons.join("; ")
            };
            ExpectStep {
                name: step.name.clone(),
                cells: plan
                    .rows
                    .iter()
                    .zip(0..)
                    .map(|((cell, word), index)| (*cell, *word, Some(reason(index, cell, *word))))
                    .collect(),
            }
        })
        .collect();
    let world = World::synthetic(&scenario.topology);
    Ok(ExpectScenario {
        name: scenario.name.clone(),
        level: scenario.level,
        labels: scenario.labels.clone(),
        clauses: scenario.clauses.clone(),
        names: world.endpoints.iter().map(|e| e.name.to_string()).collect(),
        steps,
    })
}

/// The synthetic world after each step.
pub(super) fn worlds(scenario: &Scenario) -> Result<Vec<World>, Failure> {
    let mut world = World::synthetic(&scenario.topology);
    scenario
        .steps
        .iter()
        .map(|step| {
            for action in &step.actions {
                world
                    .apply(action)
                    .map_err(|e| Failure::usage(format!("{}: step {}: {e}", scenario.name, step.name)))?;
            }
            Ok(world.clone())
        })
        .collect()
}
