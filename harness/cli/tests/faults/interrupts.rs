//! Ctrl-C amid faults: the run ends within its limit all the same, and says what it could not remove.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tokio::time::{Instant, sleep, timeout};
use verdikt_runner::Stop;

use crate::{
    dice::Dice,
    proxy::Proxy,
    run::{Lab, connect, options, recorded},
};

const RUNS: u64 = 16;
const AT_ONCE: usize = 4;

/// Clean-up after an interrupt takes 4.5 s at most; the rest is for a machine that does other things, too.
const LONGEST: Duration = Duration::from_secs(9);

pub(crate) async fn interrupts(lab: Arc<Lab>) -> Result<(), String> {
    let runs = stream::iter(9001..9001 + RUNS).map(|seed| {
        let lab = Arc::clone(&lab);
        async move { one(&lab, seed).await.map_err(|why| format!("seed {seed}: {why}")) }
    });
    let ended: Vec<Result<Option<Duration>, String>> = runs.buffer_unordered(AT_ONCE).collect().await;
    let ended: Vec<Option<Duration>> = ended.into_iter().collect::<Result<_, _>>()?;
    let longest = ended.iter().flatten().max().ok_or("no run was interrupted")?;
    eprintln!(
        "{} interrupts of {RUNS} runs, the longest ended after {longest:?}",
        ended.iter().flatten().count()
    );
    Ok(())
}

/// How long it took to end; `None` for a run that had ended before.
async fn one(lab: &Lab, seed: u64) -> Result<Option<Duration>, String> {
    let mut dice = Dice::new(seed, "run");
    let (scenarios, prefix) = (lab.choose(&mut dice), format!("f{seed}"));
    let proxy = Proxy::start(lab.upstream, seed, lab.counts.clone()).await;
    // An API server that cannot be reached at all is another test's.
    let Ok(cluster) = connect(&proxy.url(), &lab.token).await else { return Ok(None) };
    let stop = Stop::new();
    let run = recorded(&cluster, scenarios, options(prefix.clone(), 2, 1), stop.clone());
    let mut run = std::pin::pin!(run);
    let after = Duration::from_millis(dice.below(2500));
    let early = tokio::select! {
        ended = &mut run => Some(ended),
        () = sleep(after) => None,
    };
    let (finished, took) = match early {
        Some((finished, _)) => (finished, None),
        None => {
            let stopped = Instant::now();
            stop.stop();
            let ended = timeout(LONGEST, run).await;
            let (finished, _) = ended.map_err(|_| format!("stopped after {after:?}, it goes on"))?;
            (finished, Some(stopped.elapsed()))
        }
    };
    drop(proxy);
    lab.nothing_is_left(&format!("{prefix}-"), finished.as_ref().ok()).await?;
    Ok(took)
}
