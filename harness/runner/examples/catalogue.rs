//! Runs the catalogue, or the scenarios whose names contain a word, on a sandbox, and prints what is not as expected.
//! For working on the runner: `cargo run -p verdikt-runner --example catalogue -- [PROFILE [WORD]]`.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use verdikt_cluster::{Cluster, Target};
use verdikt_model::{Event, Outcome};
use verdikt_runner::{Options, Stop, run};
use verdikt_sandbox::{Config, Sandbox, reexec};

fn main() -> anyhow::Result<()> {
    if let Some(code) = reexec() {
        std::process::exit(code.into());
    }
    let mut args = std::env::args().skip(1);
    let mut config = Config::new(std::env::current_exe()?);
    if let Some(profile) = args.next() {
        config.profile = profile.parse()?;
    }
    let word = args.next().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let begun = Instant::now();
        let sandbox = Sandbox::start(config).await?;
        eprintln!("sandbox up after {:?}", begun.elapsed());
        let target = Target::Sandbox { url: sandbox.url(), token: sandbox.token().to_owned() };
        let cluster = Cluster::connect(&target).await?;
        let mut scenarios = verdikt_scenario::catalogue().scenarios;
        scenarios.retain(|scenario| scenario.name.contains(&word));
        let (events, mut inbox) = mpsc::unbounded_channel();
        let stop = Stop::new();
        let interrupt = stop.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                interrupt.stop();
            }
        });
        let printing = tokio::spawn(async move {
            while let Some(event) = inbox.recv().await {
                print(&event, begun.elapsed());
            }
        });
        let options = Options { settle: Duration::from_secs(5), ..Options::default() };
        let finished = run(&cluster, scenarios, options, events, stop).await?;
        printing.await?;
        println!(
            "{:?} in {} ms, left: {:?}",
            finished.summary, finished.run.duration_ms, finished.left_behind
        );
        sandbox.stop().await;
        Ok(())
    })
}

fn print(event: &Event, at: Duration) {
    let at = at.as_secs_f32();
    match event {
        Event::Progress { name, what } => println!("{at:8.3}      {name}: {what}"),
        Event::ScenarioFinished { record } => {
            println!(
                "{at:8.3} {:>8} {} ({} ms)",
                record.outcome.to_string(),
                record.name,
                record.duration_ms
            );
            if let Some(reason) = &record.reason {
                println!("              {reason}");
            }
            for step in &record.steps {
                println!(
                    "              step {}: settled {:?} ms, {} cells",
                    step.name,
                    step.settle_ms,
                    step.cells.rows.len()
                );
                let wrong = step
                    .cells
                    .iter()
                    .filter(|(row, _)| !matches!(row.outcome, Outcome::Pass | Outcome::Skipped));
                for (row, reason) in wrong.take(5) {
                    let (from, to) = (step.cells.name(row.cell.from), step.cells.name(row.cell.to));
                    println!(
                        "              {:?} {from} -> {to}:{} via {} over {}: expected {}, observed {:?}, {}",
                        row.outcome,
                        row.cell.port_protocol(),
                        row.cell.via,
                        row.cell.family,
                        row.expected,
                        row.observed,
                        reason.unwrap_or_default()
                    );
                }
            }
        }
        Event::Warning { message } => println!("{at:8.3} warning: {message}"),
        Event::RunStarted { environment, .. } => println!("{at:8.3} {environment:?}"),
        _ => {}
    }
}
