//! `verdikt explain`

use serde_json::json;
use verdikt_model::{Cell, ExitCode, Family, World, cells};
use verdikt_oracle::Oracle;
use verdikt_report::{escape, json_text};

use super::expect::worlds;
use crate::{
    args::{Explain, ShortFormat},
    failure::{Failure, Outcome},
    files, terminal,
    ui::Ui,
};

pub(super) fn explain(args: &Explain, ui: &Ui) -> Outcome {
    let chosen = files::choose_good(&args.choice, ui)?;
    let scenarios = &chosen.scenarios;
    let mut answers = Vec::new();
    for scenario in scenarios {
        let before = answers.len();
        for (world, step) in worlds(scenario)?.iter().zip(&scenario.steps) {
            if args.step.as_ref().is_some_and(|name| *name != step.name) {
                continue;
            }
            let oracle = Oracle::new(world);
            for cell in cells(world, Family::ALL).iter().filter(|cell| args.cell.matches(world, cell)) {
                let answer = oracle.explain(cell);
                if args.output == ShortFormat::Human {
                    let title = describe(world, cell);
                    let open = answer.statement.map(|s| format!(" ({s} leaves it open)")).unwrap_or_default();
                    let (name, step) = (escape(&scenario.name), escape(&step.name));
                    terminal::print(&format!("{name} [{step}] {title}: {}{open}\n", answer.expectation));
                    for reason in &answer.reasons {
                        terminal::print(&format!("    {}\n", escape(reason)));
                    }
                }
                answers.push(json!({
                    "scenario": scenario.name, "step": step.name,
                    "from": world.name(cell.from).to_string(), "to": world.name(cell.to).to_string(),
                    "via": cell.via, "port": cell.port, "protocol": cell.protocol, "family": cell.family,
                    "expected": answer.expectation, "statement": answer.statement, "reasons": answer.reasons,
                }));
            }
        }
        if args.output == ShortFormat::Human && answers.len() > before {
            for differs in &scenario.differs {
                let source = differs.reference.as_ref().map(|link| format!(" ({link})")).unwrap_or_default();
                let known = format!("known of {}: {}{source}", differs.dataplane, differs.how);
                terminal::print(&format!("{}\n", escape(&known)));
            }
        }
    }
    if answers.is_empty() {
        let examples: Vec<String> = scenarios
            .first()
            .map(|scenario| {
                let world = World::synthetic(&scenario.topology);
                cells(&world, Family::ALL).iter().take(3).map(|cell| describe(&world, cell)).collect()
            })
            .unwrap_or_default();
        return Err(Failure::new(ExitCode::NothingSelected, format!("no cell matches `{}`", args.cell))
            .help(format!(
                "cells of {} are, for example: {}",
                scenarios.first().map_or("this scenario", |s| s.name.as_str()),
                examples.join(", ")
            )));
    }
    if args.output == ShortFormat::Json {
        terminal::print(&(json_text(&answers) + "\n"));
    }
    chosen.end()
}

/// A cell as the pattern that matches it alone.
fn describe(world: &World, cell: &Cell) -> String {
    verdikt_model::CellPattern {
        from: world.name(cell.from).to_string(),
        to: world.name(cell.to).to_string(),
        port: Some(cell.port),
        protocol: Some(cell.protocol),
        via: cell.via,
        family: Some(cell.family),
    }
    .to_string()
}
