//! `verdikt bench`: how fast verdikt is, against yardsticks measured in the same run.
//!
//! On the sandbox: 9 × 9 pods × 2 ports × 2 protocols, all allowed and all denied (what peers are measured by), and
//! one large matrix over one TCP port against a bare loop of connects over the same namespaces. On a real cluster:
//! the first of them against one exec for each probe, which is how peers do it. Absolute times depend on the machine
//! and its load; ratios less so.

mod large;
mod nine;
mod peer;
mod scenario;

use std::time::Duration;

use serde_json::json;
use verdikt_cluster::Cluster;
use verdikt_report::json_text;
use verdikt_runner::{Keep, Options};
use verdikt_sandbox::{Profile, Sandbox};

use self::{
    large::{Large, large},
    nine::{Nine, nine},
    peer::peer,
};
use crate::{
    args::{Bench, ShortFormat},
    failure::{Failure, Outcome},
    pods::deploy_options,
    target, terminal,
    ui::Ui,
};

pub(super) async fn bench(args: Bench, ui: Ui) -> Outcome {
    match target::named(&args.cluster) {
        Some(named) => real(&args, &ui, &named).await,
        None => embedded(&args, &ui).await,
    }
}

async fn embedded(args: &Bench, ui: &Ui) -> Outcome {
    let sandbox = target::start_sandbox(Profile::default()).await?;
    let measured = measure(args, ui, &sandbox).await;
    sandbox.stop().await;
    let (nine, large) = measured?;
    terminal::print(&match args.output {
        ShortFormat::Human => format!("{}{}", nine.human(), large.human()),
        ShortFormat::Json => json_text(&json!({"nine": nine.json(), "large": large.json()})) + "\n",
    });
    Ok(verdikt_model::ExitCode::Ok)
}

async fn measure(args: &Bench, ui: &Ui, sandbox: &Sandbox) -> Result<(Nine, Large), Failure> {
    let cluster = Cluster::connect(&target::sandbox_target(sandbox)).await.map_err(Failure::setup)?;
    ui.remark("9 x 9 pods, 2 ports, 2 protocols ...");
    let nine = nine(&cluster, usize::from(args.repeat), Options::default()).await?;
    ui.remark(&format!("{0} x {0} pods, one TCP port ...", args.pods));
    let large = large(&cluster, sandbox, args.pods, usize::from(args.repeat), Options::default()).await?;
    Ok((nine, large))
}

/// Says how to clean up when that was not done, because of a failure or an interrupt.
struct Unclean(bool);

impl Drop for Unclean {
    fn drop(&mut self) {
        if self.0 {
            terminal::say("namespaces may be left; `verdikt clean` with the same target removes them");
        }
    }
}

/// A real cluster: what is made is removed at the end.
async fn real(args: &Bench, ui: &Ui, named: &verdikt_cluster::Target) -> Outcome {
    let cluster = Cluster::connect(named).await.map_err(Failure::setup)?;
    let mut unclean = Unclean(true);
    ui.remark("9 x 9 pods, 2 ports, 2 protocols ...");
    let mut deploy = deploy_options(&args.probe_pods);
    if let Some((namespace, name)) = &args.probe_pods.image_pull_secret {
        deploy.pull_secret = Some(cluster.pull_secret(namespace, name).await.map_err(Failure::setup)?);
    }
    let options = Options { deploy, keep: Keep::Always, ..Options::default() };
    let nine = nine(&cluster, usize::from(args.repeat), options).await?;
    ui.remark("the same with one exec for each probe ...");
    let peer = peer(&cluster, &nine.run).await;
    let run = nine.run.as_str().into();
    let cleaned = cluster.delete_run(&run, &[], Duration::from_secs(60), Duration::ZERO).await;
    unclean.0 = !cleaned.map_err(Failure::setup)?.left.is_empty();
    let peer = peer?;
    terminal::print(&match args.output {
        ShortFormat::Human => format!("{}{}", nine.human(), peer.human(&nine)),
        ShortFormat::Json => json_text(&json!({"nine": nine.json(), "execPerProbe": peer.json()})) + "\n",
    });
    Ok(verdikt_model::ExitCode::Ok)
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn show(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
