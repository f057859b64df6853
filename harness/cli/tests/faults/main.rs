//! Faults: through an API server and a network that fail in every way, verdikt says what is true, or that it does
//! not know; it loses nothing, counts nothing twice, and leaves nothing behind.
//!
//! `VERDIKT_FAULT_RUNS` sets the number of runs (default 200). `VERDIKT_FAULT_SEED` makes one run, with that seed, and
//! tells more of it; `VERDIKT_FAULT_FIRST` is the first seed of several.

mod dice;
mod harm;
mod interrupts;
mod node;
mod proxy;
mod run;
mod truth;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures::{StreamExt, stream};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::time::Instant;
use verdikt_runner::Stop;
use verdikt_sandbox::{Config, Sandbox};

use crate::run::{Ended, Lab, connect, options, recorded};

/// Runs at once: they mostly wait.
const AT_ONCE: usize = 10;

/// Scenarios of the catalogue with few pods: allowed, denied and open cells, TCP, UDP, DNS and Services, both families,
/// labels that change, policies that are replaced and deleted. None needs a host: the sandbox has one external host,
/// on whose ports runs would be in each other's way.
const SCENARIOS: [&str; 5] = [
    "basics/deleting-the-last-policy-restores-traffic",
    "basics/replacing-a-policy-replaces-its-rules",
    "dns/kube-dns-over-udp-only",
    "ports/udp-only-does-not-open-tcp",
    "selectors/relabel-pod",
];

fn main() -> ExitCode {
    if let Some(code) = verdikt_sandbox::reexec() {
        return ExitCode::from(code);
    }
    let trials = vec![
        trial("no_fault_makes_a_verdict_wrong", true, faults),
        trial("an_interrupt_amid_faults_ends_in_time", false, interrupts::interrupts),
        trial("a_node_that_is_lost_makes_errors", false, node::lost),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// `reference`: whether the test needs to know what is true.
fn trial<F>(name: &str, reference: bool, test: impl Fn(Arc<Lab>) -> F + Send + 'static) -> Trial
where
    F: Future<Output = Result<(), String>>,
{
    Trial::test(name, move || {
        let runtime = tokio::runtime::Runtime::new().map_err(|e| Failed::from(e.to_string()))?;
        runtime
            .block_on(async {
                let (sandbox, lab) = start(reference).await?;
                let result = test(Arc::new(lab)).await;
                sandbox.stop().await;
                result
            })
            .map_err(Failed::from)
    })
}

/// A sandbox, and what is true in it.
async fn start(reference: bool) -> Result<(Sandbox, Lab), String> {
    let exe = std::env::current_exe().map_err(|e| e.to_string())?;
    let sandbox = Sandbox::start(Config::new(exe)).await.map_err(|e| e.to_string())?;
    let upstream = sandbox.url().trim_start_matches("http://").parse().expect("the sandbox's address");
    let direct = connect(&sandbox.url(), sandbox.token()).await.map_err(|e| e.to_string())?;
    let mut scenarios = verdikt_scenario::catalogue().scenarios;
    scenarios.retain(|scenario| SCENARIOS.contains(&scenario.name.as_str()));
    let client = direct.client().clone();
    let mut truth = truth::Truth::default();
    if reference {
        let options = options("reference".into(), 3, 0);
        let (_, record) = recorded(&direct, scenarios.clone(), options, Stop::new()).await;
        truth = truth::Truth::new(&record.ok_or("no reference run")?)?;
    }
    let counts = proxy::Counts::default();
    let token = sandbox.token().to_owned();
    Ok((sandbox, Lab { upstream, token, direct, client, scenarios, truth, counts }))
}

async fn faults(lab: Arc<Lab>) -> Result<(), String> {
    let one = setting("VERDIKT_FAULT_SEED");
    let first = one.or_else(|| setting("VERDIKT_FAULT_FIRST")).unwrap_or(1);
    let runs = if one.is_some() { 1 } else { setting("VERDIKT_FAULT_RUNS").unwrap_or(200) };
    eprintln!(
        "seeds {first} to {}; VERDIKT_FAULT_SEED=N repeats one; {} true verdicts",
        first + runs - 1,
        lab.truth.cells()
    );
    let started = Instant::now();
    let mut ended: Vec<(u64, Ended)> = Vec::new();
    let mut wrong: Vec<String> = Vec::new();
    let mut results = stream::iter(first..first + runs)
        .map(|seed| {
            let lab = Arc::clone(&lab);
            async move { (seed, tokio::spawn(async move { lab.run(seed).await }).await) }
        })
        .buffer_unordered(AT_ONCE);
    while let Some((seed, result)) = results.next().await {
        match result {
            Ok(Ok(run)) => {
                if one.is_some() {
                    eprintln!("{run:?}");
                }
                ended.push((seed, run));
            }
            Ok(Err(why)) => wrong.push(format!("seed {seed}: {why}")),
            Err(panic) => wrong.push(format!("seed {seed}: {panic}")),
        }
    }
    drop(results);
    let left = lab.namespaces("").await?;
    if !left.is_empty() {
        wrong.push(format!("at the end {left:?} are left"));
    }
    summary(&lab, &ended, started.elapsed());
    if !wrong.is_empty() {
        return Err(format!("{} of {runs} runs:\n{}", wrong.len(), wrong.join("\n")));
    }
    if one.is_none() && runs >= 100 { worth(&lab, &ended) } else { Ok(()) }
}

fn summary(lab: &Lab, ended: &[(u64, Ended)], took: Duration) {
    let sum = |of: fn(&Ended) -> usize| ended.iter().map(|(_, run)| of(run)).sum::<usize>();
    let counts = lab.counts.all();
    let longest = ended.iter().max_by_key(|(_, run)| run.took);
    let mut causes: BTreeMap<String, usize> = BTreeMap::new();
    for cause in ended.iter().flat_map(|(_, run)| run.causes.iter().chain(&run.not_begun)) {
        *causes.entry(cause.clone()).or_default() += 1;
    }
    for (cause, times) in causes {
        eprintln!("  {times} × {cause}");
    }
    eprintln!(
        "{} runs in {:.0} s (longest {:?}): {} scenarios passed, {} errored, {} runs not begun, {} left something \
         behind; {} cells true; {} faults: {}",
        ended.len(),
        took.as_secs_f64(),
        longest.map(|(seed, run)| (seed, run.took)),
        sum(|run| run.passed),
        sum(|run| run.errored),
        sum(|run| usize::from(run.not_begun.is_some())),
        sum(|run| usize::from(run.left_behind)),
        sum(|run| run.measured),
        counts.values().sum::<u64>(),
        counts.iter().map(|(kind, n)| format!("{kind} {n}")).collect::<Vec<_>>().join(", "),
    );
}

/// Whether the runs could have shown anything: faults of every kind, and yet most scenarios measured.
fn worth(lab: &Lab, ended: &[(u64, Ended)]) -> Result<(), String> {
    // Where no pod was harmed, what fails passes, and so must the scenarios.
    let unharmed = || ended.iter().map(|(_, run)| run).filter(|run| !run.harmed);
    let passed: usize = unharmed().map(|run| run.passed).sum();
    let errored: usize = unharmed().map(|run| run.errored + usize::from(run.not_begun.is_some())).sum();
    if passed < errored * 9 {
        return Err(format!("only {passed} scenarios passed, and {errored} could not be measured"));
    }
    eprintln!(
        "of those whose pods were not harmed {passed} scenarios passed, and {errored} could not be measured"
    );
    let counts = lab.counts.all();
    if counts.len() < proxy::KINDS {
        return Err(format!("only these faults were met: {:?}", counts.keys()));
    }
    Ok(())
}

/// Tells what happens, when there is one run only.
fn tell(what: impl FnOnce() -> String) {
    static LOUD: LazyLock<Option<Instant>> =
        LazyLock::new(|| setting("VERDIKT_FAULT_SEED").map(|_| Instant::now()));
    if let Some(began) = *LOUD {
        eprintln!("{:6} ms  {}", began.elapsed().as_millis(), what());
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
