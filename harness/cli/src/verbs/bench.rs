//! `verdikt bench`: how fast verdikt is on this machine, against yardsticks measured in the same run.
//!
//! Two matrices: 9 × 9 pods × 2 ports × 2 protocols, all allowed and all denied (what peers are measured by), and
//! one large matrix over one TCP port against a bare loop of connects over the same namespaces. Absolute times
//! depend on the machine and its load; the ratio does not.

use std::{collections::BTreeMap, io::Write, net::IpAddr, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, Config, api::ListParams};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use verdikt_cluster::Cluster;
use verdikt_model::{
    Action, Event, Expect, Family, Level, NamespaceSpec, PodSpec, PolicyObject, PortProtocol, Protocol,
    Scenario, ScenarioOutcome, ScenarioRecord, Serve, Step, Topology,
};
use verdikt_runner::{Keep, Options, Stop};
use verdikt_sandbox::{Profile, Sandbox};

use crate::{
    args::{Bench, ShortFormat},
    failure::{Failure, Outcome},
    target,
    ui::Ui,
};

/// Targets of the design, printed beside what was measured.
const ALLOWED_TARGET: Duration = Duration::from_millis(300);
const DENIED_TARGET: Duration = Duration::from_millis(1500);
const RATIO_TARGET: f64 = 1.5;

/// Port of the large matrix.
const PORT: u16 = 80;

pub(super) async fn bench(args: Bench, ui: Ui) -> Outcome {
    let sandbox = target::start_sandbox(Profile::Reference).await?;
    let measured = measure(&args, &ui, &sandbox).await;
    sandbox.stop().await;
    let (nine, large) = measured?;
    let mut out = anstream::stdout().lock();
    match args.output {
        ShortFormat::Human => write!(out, "{}{}", nine.human(), large.human())?,
        ShortFormat::Json => writeln!(out, "{:#}", json!({"nine": nine.json(), "large": large.json()}))?,
    }
    Ok(verdikt_model::ExitCode::Ok)
}

async fn measure(args: &Bench, ui: &Ui, sandbox: &Sandbox) -> Result<(Nine, Large), Failure> {
    let cluster = Cluster::connect(&target::sandbox_target(sandbox)).await.map_err(Failure::setup)?;
    ui.remark("9 x 9 pods, 2 ports, 2 protocols ...");
    let nine = nine(&cluster, usize::from(args.repeat)).await?;
    ui.remark(&format!("{0} x {0} pods, one TCP port ...", args.pods));
    let large = large(&cluster, sandbox, args.pods, usize::from(args.repeat)).await?;
    Ok((nine, large))
}

/// The matrix by which peers are measured.
struct Nine {
    cells: usize,
    /// One sweep with everything allowed.
    allowed: Duration,
    /// One sweep with everything (but self traffic) denied.
    denied: Duration,
    /// From the API's acceptance of deny-all until all cells were as expected and had held.
    settled: Duration,
}

impl Nine {
    fn human(&self) -> String {
        format!(
            "9 x 9 pods x 2 ports x 2 protocols ({} cells)\n\
             \x20 all allowed      {:>9}  (target {})\n\
             \x20 all denied       {:>9}  (target {})\n\
             \x20 deny-all applied, enforced, and held for a second sweep {}\n",
            self.cells,
            show(self.allowed),
            show(ALLOWED_TARGET),
            show(self.denied),
            show(DENIED_TARGET),
            show(self.settled),
        )
    }

    fn json(&self) -> Value {
        json!({
            "cells": self.cells, "allowedMs": millis(self.allowed), "deniedMs": millis(self.denied),
            "deniedAndHeldMs": millis(self.settled),
        })
    }
}

async fn nine(cluster: &Cluster, repeat: usize) -> Result<Nine, Failure> {
    let ports: Vec<PortProtocol> = [80, 81]
        .into_iter()
        .flat_map(|port| [Protocol::Tcp, Protocol::Udp].map(|protocol| PortProtocol { port, protocol }))
        .collect();
    let topology = topology(["x", "y", "z"].map(|ns| (ns.to_owned(), 3)), &ports);
    let deny: Vec<Action> = topology.namespaces.keys().map(|namespace| deny_all(namespace)).collect();
    let open = Step { name: "open".into(), actions: Vec::new(), expect: derived() };
    let mut steps: Vec<Step> =
        (0..repeat).map(|n| Step { name: format!("open-{n}"), ..open.clone() }).collect();
    steps.push(Step { name: "deny-0".into(), actions: deny, expect: derived() });
    steps.extend((1..repeat).map(|n| Step { name: format!("deny-{n}"), ..open.clone() }));
    let watched = watch(cluster, scenario("bench/nine", topology, steps), Keep::Never).await?;
    let cells = watched.record.steps.first().map_or(0, |step| step.cells.rows.len());
    // A step without actions is one sweep and one that must hold; the control comes before them all.
    let full: Vec<Duration> = watched.sweeps.iter().filter(|(n, _)| *n == cells).map(|(_, d)| *d).collect();
    let (control, open, held) = (1, 2 * repeat, 2 * repeat);
    if full.len() < control + open + held {
        return Err(Failure::internal(format!("{} sweeps were measured", full.len())));
    }
    let settled = full[control + open..][..2].iter().sum::<Duration>()
        + Duration::from_millis(watched.record.steps[repeat].settle_ms.unwrap_or_default());
    Ok(Nine {
        cells,
        allowed: median(&full[control..control + open]),
        denied: median(&full[control + open + 1..]),
        settled,
    })
}

/// The large matrix against the bare loop.
struct Large {
    pods: u16,
    cells: usize,
    sweep: Duration,
    bare: Duration,
}

impl Large {
    fn ratio(&self) -> f64 {
        self.sweep.as_secs_f64() / self.bare.as_secs_f64().max(f64::EPSILON)
    }

    fn human(&self) -> String {
        format!(
            "{0} x {0} pods, TCP {PORT} ({1} cells)\n\
             \x20 verdikt          {2:>9}\n\
             \x20 bare loop        {3:>9}  connects over the same namespaces, one thread a processor\n\
             \x20 ratio            {4:>9.2}  (target {RATIO_TARGET})\n",
            self.pods,
            self.cells,
            show(self.sweep),
            show(self.bare),
            self.ratio(),
        )
    }

    fn json(&self) -> Value {
        json!({
            "pods": self.pods, "cells": self.cells, "verdiktMs": millis(self.sweep),
            "bareLoopMs": millis(self.bare), "ratio": self.ratio(),
        })
    }
}

async fn large(cluster: &Cluster, sandbox: &Sandbox, pods: u16, repeat: usize) -> Result<Large, Failure> {
    let port = PortProtocol { port: PORT, protocol: Protocol::Tcp };
    let topology = topology([("x".to_owned(), pods)], &[port]);
    let steps = (0..repeat)
        .map(|n| Step { name: format!("open-{n}"), actions: Vec::new(), expect: derived() })
        .collect();
    let watched = watch(cluster, scenario("bench/large", topology, steps), Keep::Always).await?;
    let cells = watched.record.steps.first().map_or(0, |step| step.cells.rows.len());
    let full: Vec<Duration> =
        watched.sweeps.iter().filter(|(n, _)| *n == cells).skip(1).map(|(_, d)| *d).collect();
    let (sources, targets) = kept_pods(sandbox).await?;
    let mut bare = Vec::with_capacity(repeat);
    for _ in 0..repeat {
        let done = sandbox.connect_loop(&sources, &targets).await.map_err(Failure::setup)?;
        if done.connects != cells as u64 {
            return Err(Failure::setup(format!("the bare loop made {} of {cells} connects", done.connects)));
        }
        bare.push(done.time);
    }
    Ok(Large { pods, cells, sweep: median(&full), bare: median(&bare) })
}

/// The pods that the large run left: (namespace, name) and address.
async fn kept_pods(sandbox: &Sandbox) -> Result<(Vec<(String, String)>, Vec<(IpAddr, u16)>), Failure> {
    let url = sandbox.url().parse().map_err(Failure::internal)?;
    let mut config = Config::new(url);
    config.auth_info.token = Some(sandbox.token().to_owned().into());
    let client = Client::try_from(config).map_err(Failure::internal)?;
    let marked = ListParams::default().labels(verdikt_cluster::RUN_LABEL);
    let pods = Api::<Pod>::all(client).list(&marked).await.map_err(Failure::setup)?;
    let mut all = (Vec::new(), Vec::new());
    for pod in pods {
        let ip = pod.status.and_then(|status| status.pod_ip).and_then(|ip| ip.parse().ok());
        if let (Some(namespace), Some(name), Some(ip)) = (pod.metadata.namespace, pod.metadata.name, ip) {
            all.0.push((namespace, name));
            all.1.push((ip, PORT));
        }
    }
    Ok(all)
}

/// A scenario's record and its sweeps: how many cells, how long.
struct Watched {
    record: ScenarioRecord,
    sweeps: Vec<(usize, Duration)>,
}

async fn watch(cluster: &Cluster, scenario: Scenario, keep: Keep) -> Result<Watched, Failure> {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let options = Options { lanes: 1, keep, families: vec![Family::Ipv4], ..Options::default() };
    let collect = async {
        let (mut record, mut sweeps) = (None, Vec::new());
        while let Some(event) = inbox.recv().await {
            match event {
                Event::Swept { cells, duration, .. } => sweeps.push((cells, duration)),
                Event::ScenarioFinished { record: finished } => record = Some(*finished),
                _ => {}
            }
        }
        (record, sweeps)
    };
    let run = verdikt_runner::run(cluster, vec![scenario], options, events, Stop::new());
    let (finished, (record, sweeps)) = tokio::join!(run, collect);
    finished.map_err(Failure::setup)?;
    let record = record.ok_or_else(|| Failure::internal("the run ended without a record"))?;
    if record.outcome != ScenarioOutcome::Passed {
        let why = record.reason.clone().unwrap_or_else(|| "cells are not as expected".into());
        return Err(Failure::setup(format!("{} {}: {why}", record.name, record.outcome)));
    }
    Ok(Watched { record, sweeps })
}

fn topology<const N: usize>(namespaces: [(String, u16); N], ports: &[PortProtocol]) -> Topology {
    let serve = Serve { ports: ports.iter().copied().collect(), names: BTreeMap::new() };
    let pod = PodSpec { serve, ..PodSpec::default() };
    let namespace = |pods: u16| NamespaceSpec {
        pods: (1..=pods).map(|n| (format!("p{n}"), pod.clone())).collect(),
        ..NamespaceSpec::default()
    };
    Topology {
        namespaces: namespaces.into_iter().map(|(name, pods)| (name, namespace(pods))).collect(),
        ..Topology::default()
    }
}

fn scenario(name: &str, topology: Topology, steps: Vec<Step>) -> Scenario {
    Scenario {
        name: name.into(),
        labels: BTreeMap::new(),
        level: Level::Core,
        summary: "measures verdikt".into(),
        clauses: Vec::new(),
        references: Vec::new(),
        requires: Vec::new(),
        topology,
        steps,
        source: "verdikt bench".into(),
    }
}

fn derived() -> Expect {
    Expect { derived: true, rules: Vec::new() }
}

fn deny_all(namespace: &str) -> Action {
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "deny-all", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    });
    Action::Apply(PolicyObject::NetworkPolicy(Box::new(
        serde_json::from_value(policy).expect("a constant policy is a NetworkPolicy"),
    )))
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
