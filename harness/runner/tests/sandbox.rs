//! The runner against a sandbox: real pods, real policies, real packets.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{core::v1::Namespace, networking::v1::NetworkPolicy};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tokio::{runtime::Runtime, sync::mpsc};
use verdikt_cluster::{Cluster, Target};
use verdikt_model::{
    Action, AnchoredBy, BlocksFindPods, CheckWord, Event, Family, Outcome, PolicyObject, Protocol, Scenario,
    ScenarioOutcome, ScenarioRecord, Seen, StepRecord, Verdict, Via,
};
use verdikt_runner::{Finished, Keep, Options, RunError, Stop, run};
use verdikt_sandbox::{Config, Profile, Sandbox, reexec};
use verdikt_scenario::{Source, Topologies, parse};

fn main() -> ExitCode {
    if let Some(code) = reexec() {
        return code.into();
    }
    let trials = vec![
        trial("a_scenario_passes_and_leaves_nothing", a_scenario_passes_and_leaves_nothing),
        trial("unenforced_policies_fail_with_reasons", unenforced_policies_fail_with_reasons),
        trial("an_interrupt_cleans_up_in_time", an_interrupt_cleans_up_in_time),
        trial("failures_are_kept_when_asked_for", failures_are_kept_when_asked_for),
        trial(
            "a_slow_dataplane_is_waited_for_where_no_cell_has_to_turn",
            a_slow_dataplane_is_waited_for_where_no_cell_has_to_turn,
        ),
        trial("everything_is_kept_when_asked_for", everything_is_kept_when_asked_for),
        trial("fail_fast_begins_nothing_new", fail_fast_begins_nothing_new),
        trial("a_lane_that_panics_ends_the_run_in_order", a_lane_that_panics_ends_the_run_in_order),
        trial("families_and_cells_can_be_chosen", families_and_cells_can_be_chosen),
        trial(
            "a_field_that_the_server_does_not_know_is_an_error",
            a_field_that_the_server_does_not_know_is_an_error,
        ),
        trial("external_hosts_and_nodes_take_part", external_hosts_and_nodes_take_part),
        trial("pods_that_come_and_go_are_what_the_oracle_takes_them_for", pods_that_come_and_go),
        trial(
            "a_refusal_before_the_first_policy_is_a_difference",
            a_refusal_before_the_first_policy_is_a_difference,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, test: fn(&Runtime) -> Result<()>) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        test(&runtime).map_err(|e| Failed::from(format!("{e:?}")))
    })
}

/// A sandbox and the connection to it.
struct Lab {
    sandbox: Sandbox,
    cluster: Cluster,
}

async fn start(profile: &str) -> Result<Lab> {
    let mut config = Config::new(std::env::current_exe()?);
    config.profile = profile.parse::<Profile>()?;
    let sandbox = Sandbox::start(config).await?;
    let target = Target::Sandbox { url: sandbox.url(), token: sandbox.token().to_owned() };
    let cluster = Cluster::connect(&target).await?;
    Ok(Lab { sandbox, cluster })
}

/// Scenarios of the catalogue by name.
fn scenarios(names: &[&str]) -> Vec<Scenario> {
    let mut all = verdikt_scenario::catalogue().scenarios;
    all.retain(|scenario| names.contains(&scenario.name.as_str()));
    assert_eq!(all.len(), names.len(), "not all of {names:?} are in the catalogue");
    all
}

struct Ran {
    finished: Finished,
    records: Vec<ScenarioRecord>,
}

async fn run_all(target: &Lab, scenarios: Vec<Scenario>, options: Options) -> Result<Ran> {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let finished = run(&target.cluster, scenarios, options, events, Stop::new()).await?;
    let mut records = Vec::new();
    while let Some(event) = inbox.recv().await {
        if let Event::ScenarioFinished { record } = event {
            records.push(*record);
        }
    }
    Ok(Ran { finished, records })
}

async fn nothing_is_left(target: &Lab) -> Result<()> {
    let left = target.cluster.clean(None, None, true).await?;
    ensure!(left.namespaces.is_empty(), "namespaces are left: {:?}", left.namespaces);
    Ok(())
}

fn a_scenario_passes_and_leaves_nothing(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        let target = start("reference").await?;
        let ran = run_all(&target, scenarios(&["basics/default-deny-both"]), Options::default()).await?;
        let record = ran.records.first().context("no record")?;
        ensure!(record.outcome == ScenarioOutcome::Passed, "{record:?}");
        let matrix = &record.steps[0].cells;
        ensure!(record.steps[0].settle_ms.is_some());
        ensure!(matrix.rows.len() == 648, "{}", matrix.rows.len());
        ensure!(matrix.rows.iter().any(|row| row.observed == Some(Verdict::Dropped)));
        ensure!(matrix.rows.iter().all(|row| row.outcome == Outcome::Pass && row.attempts >= 2));
        ensure!(ran.finished.summary.cells.pass == 648 && ran.finished.summary.scenarios.passed == 1);
        ensure!(ran.finished.left_behind.is_empty(), "{:?}", ran.finished.left_behind);
        let environment = &ran.finished.environment;
        ensure!(
            environment.dataplane.emulated && environment.dataplane.name == "reference",
            "{environment:?}"
        );
        ensure!(environment.nodes == 2 && environment.ip_families == Family::ALL, "{environment:?}");
        nothing_is_left(&target).await?;
        target.sandbox.stop().await;
        Ok(())
    })
}

fn unenforced_policies_fail_with_reasons(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        let target = start("flannel").await?;
        let options = Options { settle: Duration::from_millis(500), ..Options::default() };
        let names = ["basics/default-deny-ingress", "ipblock/any-block-and-pods"];
        let ran = run_all(&target, scenarios(&names), options).await?;
        for record in &ran.records {
            // Even one about what is left open shows that nothing is in force.
            ensure!(record.outcome == ScenarioOutcome::Failed, "{}: {:?}", record.name, record.outcome);
            for step in &record.steps {
                for (row, reason) in step.cells.iter() {
                    let wrong = row.expected.is_denial();
                    ensure!(wrong == (row.outcome == Outcome::Fail), "{row:?}");
                    ensure!(wrong == reason.is_some_and(|reason| reason.contains("denied")), "{reason:?}");
                }
            }
        }
        let blocks =
            ran.finished.environment.pod_blocks.context("it was not looked whether blocks match pods")?;
        ensure!(
            blocks.egress == BlocksFindPods::Unknown && blocks.evidence.contains("not in force"),
            "{blocks:?}"
        );
        nothing_is_left(&target).await?;
        servers_that_hang_are_no_policy(&target).await.context("with servers that hang")?;
        target.sandbox.stop().await;
        Ok(())
    })
}

/// Every server hangs, on a cluster that enforces nothing: silence looks like the policy that denies everything, and held
/// connections look cut.
async fn servers_that_hang_are_no_policy(target: &Lab) -> Result<()> {
    const HUNG: &str = r#"
apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata: {name: h/hung}
spec:
  summary: Nothing gets through
  topology:
    namespaces:
      x: {pods: {a: {labels: {app: a}}}}
      y: {pods: {c: {}}}
    serve: {tcp: [80], udp: [81]}
  steps:
    - name: deny
      apply:
        - apiVersion: networking.k8s.io/v1
          kind: NetworkPolicy
          metadata: {name: p, namespace: x}
          spec: {podSelector: {}, policyTypes: [Ingress]}
      checks:
        - {hold: "y/c -> x/a", expect: cut, forMs: 800}
        - {sample: "y/c -> x/a"}
"#;
    let source = Source { name: "hung.yaml".into(), text: HUNG.into() };
    let (scenarios, diagnostics) = parse(&source, &Topologies::builtin());
    ensure!(diagnostics.is_empty(), "{diagnostics:?}");
    let options = Options {
        settle: Duration::from_millis(1500),
        namespace_prefix: "hung".into(),
        check_enforcement: false,
        ..Options::default()
    };
    let (events, mut inbox) = mpsc::unbounded_channel();
    let mut record = None;
    let watch = async {
        let mut stopped = 0;
        while let Some(event) = inbox.recv().await {
            match event {
                Event::Progress { what, .. } if what.starts_with("step") && stopped == 0 => {
                    stopped = signal_servers("hung-", Signal::SIGSTOP);
                }
                Event::ScenarioFinished { record: ended } => {
                    signal_servers("hung-", Signal::SIGCONT);
                    record = Some(ended);
                }
                _ => {}
            }
        }
        stopped
    };
    let (finished, stopped) =
        tokio::join!(run(&target.cluster, scenarios, options, events, Stop::new()), watch);
    finished?;
    ensure!(stopped == 2, "{stopped} servers were stopped");
    let record = record.context("no record")?;
    ensure!(record.outcome == ScenarioOutcome::Errored, "{record:?}");
    let step = &record.steps[0];
    for (row, reason) in step.cells.iter() {
        ensure!(row.outcome == Outcome::Error, "{row:?}: {reason:?}");
    }
    let said = |word: &str| step.cells.iter().any(|(_, reason)| reason.is_some_and(|why| why.contains(word)));
    ensure!(said("the servers of x/a gave no sign of life") && said("connected"), "{:?}", step.cells);
    ensure!(step.checks.len() >= 6, "{:?}", step.checks);
    for check in &step.checks {
        ensure!(check.outcome == Outcome::Error, "{check:?}");
        ensure!(
            check.protocol == Protocol::Tcp && check.kind == CheckWord::Sample
                || check.reason.as_ref().is_some_and(|why| why.contains("no sign of life")),
            "{check:?}"
        );
    }
    nothing_is_left(target).await
}

/// Sends a signal to the servers of all pods in namespaces that begin so; gives how many there are.
fn signal_servers(prefix: &str, signal: Signal) -> usize {
    let mark = format!("{}={prefix}", verdikt_protocol::IDENTITY_VARIABLE);
    let has = |pid: i32, file: &str, word: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        bytes.split(|b| *b == 0).any(|part| part.starts_with(word.as_bytes()))
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten();
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| has(*pid, "environ", &mark) && has(*pid, "cmdline", "serve"))
        .filter(|pid| kill(Pid::from_raw(*pid), signal).is_ok())
        .count()
}

/// Without its misspelt field the policy would be a weaker one, and be measured as if it were what was written.
fn a_field_that_the_server_does_not_know_is_an_error(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        let target = start("reference").await?;
        let mut scenario = scenarios(&["basics/default-deny-ingress"]).remove(0);
        let step = &mut scenario.steps[0];
        let index = step.actions.iter().position(|action| matches!(action, Action::Apply(_)));
        let Action::Apply(object) = &mut step.actions[index.context("nothing is applied")?] else {
            unreachable!()
        };
        let namespace = object.reference().namespace;
        *object = PolicyObject::Other(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "misspelt", "namespace": namespace},
            "spec": {"podSelector": {}, "ingres": [{}]},
        }));
        let ran = run_all(&target, vec![scenario], Options::default()).await?;
        let record = ran.records.first().context("no record")?;
        ensure!(record.outcome == ScenarioOutcome::Errored, "{record:?}");
        let told = format!("{record:?}");
        ensure!(told.contains("refuses to create NetworkPolicy") && told.contains("spec.ingres"), "{told}");
        nothing_is_left(&target).await?;
        target.sandbox.stop().await;
        Ok(())
    })
}

fn an_interrupt_cleans_up_in_time(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        let target = start("reference").await?;
        // In each phase: set-up, positive control, a scenario's second step.
        for phase in ["set-up", "positive control", "step"] {
            let (events, mut inbox) = mpsc::unbounded_channel();
            let stop = Stop::new();
            let all = verdikt_scenario::catalogue().scenarios;
            let running = tokio::spawn({
                let (cluster, stop) = (target.cluster.clone(), stop.clone());
                async move { run(&cluster, all, Options::default(), events, stop).await }
            });
            let mut stopped = None;
            let mut interrupted = false;
            let mut first_steps: BTreeMap<String, String> = BTreeMap::new();
            let mut records = Vec::new();
            while let Some(event) = inbox.recv().await {
                match event {
                    // Checks before the first scenario are not in the record.
                    Event::Progress { name, what }
                        if what.starts_with(phase) && stopped.is_none() && name != "ipBlock check" =>
                    {
                        let step = what.split(':').next().unwrap_or_default().to_owned();
                        let first = first_steps.entry(name.clone()).or_insert_with(|| step.clone());
                        if phase != "step" || *first != step {
                            stop.stop();
                            stopped = Some((Instant::now(), name));
                        }
                    }
                    Event::ScenarioFinished { record } => {
                        ensure!(!interrupted, "{} ended after the end", record.name);
                        records.push(*record);
                    }
                    Event::Interrupted => interrupted = true,
                    _ => {}
                }
            }
            let finished = running.await??;
            let (stopped, name) = stopped.context("never stopped")?;
            let took = stopped.elapsed();
            ensure!(interrupted && finished.interrupted);
            ensure!(took < Duration::from_secs(5), "the clean-up after {phase} took {took:?}");
            ensure!(finished.left_behind.is_empty(), "{phase}: {:?}", finished.left_behind);
            nothing_is_left(&target).await.with_context(|| format!("after {phase}"))?;
            let record = records.iter().find(|record| record.name == name);
            let Some(record) = record else {
                ensure!(phase != "step", "{name} is not in the record");
                continue;
            };
            // What its first step proved stands; what the second one has seen so far proves nothing.
            ensure!(record.interrupted && record.outcome == ScenarioOutcome::Errored, "{record:?}");
            let [first, .., last] = &record.steps[..] else { anyhow::bail!("{record:?}") };
            let all = |step: &StepRecord, outcome: Outcome| {
                let rows = step.cells.rows.iter().filter(|row| row.outcome != Outcome::Skipped);
                rows.map(|row| row.outcome == outcome).reduce(|one, two| one && two) == Some(true)
            };
            ensure!(all(first, Outcome::Pass) && all(last, Outcome::Error), "{record:?}");
            let mut why = last.cells.iter().filter(|(row, _)| row.outcome == Outcome::Error);
            ensure!(why.all(|(_, reason)| reason.is_some_and(|why| why.contains("interrupted"))));
        }
        target.sandbox.stop().await;
        Ok(())
    })
}

fn failures_are_kept_when_asked_for(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        let target = start("reference+forgets-egress").await?;
        let options = Options {
            settle: Duration::from_millis(300),
            keep: Keep::OnFailure,
            lanes: 1,
            ..Options::default()
        };
        let names = ["basics/default-deny-egress", "basics/default-deny-ingress"];
        let ran = run_all(&target, scenarios(&names), options).await?;
        ensure!(ran.finished.left_behind.len() == 1, "{:?}", ran.finished.left_behind);
        ensure!(ran.finished.left_behind[0].contains("basics/default-deny-egress"));
        let id = &ran.finished.run.id;
        let cleaned = target.cluster.clean(Some(id), None, false).await?;
        ensure!(!cleaned.namespaces.is_empty() && cleaned.left.is_empty(), "{cleaned:?}");
        nothing_is_left(&target).await?;
        target.sandbox.stop().await;
        Ok(())
    })
}

const SLOW: &str = "
apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata: {name: NAME}
spec:
  summary: A second policy of one pod changes nothing
  topology:
    namespaces:
      x: {pods: {a: {labels: {pod: a}}, b: {labels: {pod: b}}, c: {}}}
  steps:
    - name: one
      apply:
        - apiVersion: networking.k8s.io/v1
          kind: NetworkPolicy
          metadata: {name: p, namespace: x}
          spec:
            podSelector: {matchLabels: {pod: a}}
            ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]
    - name: two
      apply:
        - apiVersion: networking.k8s.io/v1
          kind: NetworkPolicy
          metadata: {name: before-p, namespace: x}
          spec: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress]}
";

/// The second step changes nothing, were it not for the defect, and is right until the dataplane gets to it.
fn a_slow_dataplane_is_waited_for_where_no_cell_has_to_turn(runtime: &Runtime) -> Result<()> {
    let scenario = |name: &str| {
        let text = SLOW.replace("NAME", name);
        let source = verdikt_scenario::Source { name: "slow.yaml".into(), text };
        let (scenarios, found) = verdikt_scenario::parse(&source, &verdikt_scenario::Topologies::default());
        // That the second step changes no cell is the point.
        assert!(
            found.iter().all(|of| of.code == "scenario/step-changes-nothing"),
            "{}",
            verdikt_scenario::render(&found, false, 100)
        );
        scenarios
    };
    runtime.block_on(async {
        let target = start("reference+policy-delay=700ms+first-policy-only").await?;
        for lanes in [1, 2] {
            let scenarios = ["slow/a", "slow/b"].map(scenario).concat();
            let options = Options { lanes, settle: Duration::from_secs(3), ..Options::default() };
            let ran = run_all(&target, scenarios, options).await?;
            for record in &ran.records {
                let told = format!("{} in {lanes} lanes: {record:?}", record.name);
                ensure!(record.outcome == ScenarioOutcome::Failed, "{told}");
                let [one, two] = record.steps.as_slice() else { anyhow::bail!("{told}") };
                let by = |step: &StepRecord| step.anchor.as_ref().map(|anchor| anchor.by);
                ensure!(
                    by(one) == Some(AnchoredBy::Cells) && by(two) == Some(AnchoredBy::SettleTime),
                    "{told}"
                );
                ensure!(one.settle_ms.is_some_and(|ms| ms >= 600) && two.settle_ms.is_none(), "{told}");
            }
        }
        target.sandbox.stop().await;
        Ok(())
    })
}

/// Each with what it has applied, even where scenarios could share a lane or need the same ports of a node.
fn everything_is_kept_when_asked_for(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        let target = start("reference").await?;
        let names =
            ["basics/default-deny-ingress", "basics/default-deny-egress", "isolation/egress-to-nodes"];
        let options = Options { keep: Keep::Always, lanes: 1, ..Options::default() };
        let ran = run_all(&target, scenarios(&names), options).await?;
        ensure!(ran.records.iter().all(|record| record.outcome == ScenarioOutcome::Passed));
        let left = &ran.finished.left_behind;
        ensure!(
            left.len() == 3 && names.iter().all(|name| left.iter().any(|l| l.contains(name))),
            "{left:?}"
        );
        let policies: Api<NetworkPolicy> = Api::all(target.cluster.client().clone());
        let there = policies.list(&ListParams::default()).await?.items;
        let of = |policy: &NetworkPolicy| policy.metadata.namespace.clone().unwrap_or_default();
        let with_policies: BTreeSet<String> = there.iter().map(of).collect();
        let lanes: BTreeSet<&str> = with_policies
            .iter()
            .filter_map(|namespace| namespace.strip_prefix("verdikt-")?.split('-').next())
            .collect();
        ensure!(lanes.len() == 3, "policies in {with_policies:?}, kept {left:?}");
        let cleaned = target.cluster.clean(Some(&ran.finished.run.id), None, false).await?;
        ensure!(cleaned.left.is_empty(), "{cleaned:?}");
        nothing_is_left(&target).await?;
        target.sandbox.stop().await;
        Ok(())
    })
}

fn fail_fast_begins_nothing_new(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        let target = start("flannel").await?;
        let options =
            Options { settle: Duration::from_millis(300), fail_fast: true, lanes: 1, ..Options::default() };
        let names = ["basics/default-deny-ingress", "basics/default-deny-egress", "basics/default-deny-both"];
        let ran = run_all(&target, scenarios(&names), options).await?;
        let count = |outcome| ran.records.iter().filter(|record| record.outcome == outcome).count();
        ensure!(
            count(ScenarioOutcome::Failed) == 1 && count(ScenarioOutcome::Skipped) == 2,
            "{:?}",
            ran.records
        );
        ensure!(!ran.finished.interrupted);
        target.sandbox.stop().await;
        Ok(())
    })
}

fn a_lane_that_panics_ends_the_run_in_order(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        let target = start("reference").await?;
        // No clock reaches so far: the first step panics. The other topologies on node ports wait for its lane.
        let options = Options { settle: Duration::MAX, lanes: 2, ..Options::default() };
        let names = [
            "isolation/own-node-reaches-its-pods",
            "isolation/egress-to-nodes",
            "basics/default-deny-both",
            "basics/default-deny-egress",
            "basics/default-deny-ingress",
        ];
        let ran = run_all(&target, scenarios(&names), options).await?;
        ensure!(matches!(ran.finished.trouble, Some(RunError::Panicked(_))), "{:?}", ran.finished.trouble);
        let mut ended: Vec<&str> = ran.records.iter().map(|record| record.name.as_str()).collect();
        ended.sort_unstable();
        let mut all = names;
        all.sort_unstable();
        ensure!(ended == all, "every scenario ends once: {ended:?}");
        for record in &ran.records {
            let why = record.reason.as_deref().unwrap_or_default();
            ensure!(record.outcome == ScenarioOutcome::Errored, "{record:?}");
            ensure!(why.contains("internal error: a lane panicked"), "{why}");
        }
        let begun =
            |record: &&ScenarioRecord| !record.reason.as_deref().unwrap_or_default().starts_with("not begun");
        let begun = ran.records.iter().filter(begun).count();
        ensure!((1..=2).contains(&begun), "{begun} of 2 lanes panicked");
        nothing_is_left(&target).await?;
        target.sandbox.stop().await;
        Ok(())
    })
}

fn families_and_cells_can_be_chosen(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        let target = start("reference").await?;
        let options = Options {
            families: vec![Family::Ipv6],
            cells: vec!["x/a -> y/*:80/tcp".parse()?],
            ..Options::default()
        };
        let ran = run_all(&target, scenarios(&["basics/default-deny-both"]), options).await?;
        let matrix = &ran.records[0].steps[0].cells;
        ensure!(matrix.rows.len() == 3, "{}", matrix.rows.len());
        for row in &matrix.rows {
            ensure!(row.cell.family == Family::Ipv6 && matrix.name(row.cell.from) == "x/a", "{row:?}");
        }
        ensure!(ran.finished.environment.ip_families == [Family::Ipv6]);
        target.sandbox.stop().await;
        Ok(())
    })
}

/// Somebody else's policy is in force that verdikt knows nothing of: to it the cluster refuses connections by itself.
fn a_refusal_before_the_first_policy_is_a_difference(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        let target = start("reference+rejects").await?;
        let foreign = tokio::spawn(deny_all(target.cluster.client().clone(), "refused-"));
        let options = Options {
            positive_control: Duration::from_secs(3),
            namespace_prefix: "refused".into(),
            check_enforcement: false,
            ..Options::default()
        };
        let ran = run_all(&target, scenarios(&["basics/default-deny-ingress"]), options).await?;
        foreign.abort();
        let record = ran.records.first().context("no record")?;
        let reason = record.reason.clone().unwrap_or_default();
        ensure!(record.outcome == ScenarioOutcome::Failed && record.steps.is_empty(), "{record:?}");
        ensure!(reason.starts_with("refused before the first policy, by the cluster itself"), "{reason}");
        ensure!(reason.contains("80/tcp over ipv4 is rejected (connection refused (RST))"), "{reason}");
        ensure!(ran.finished.summary.scenarios.failed == 1, "{:?}", ran.finished.summary);
        nothing_is_left(&target).await?;
        target.sandbox.stop().await;
        Ok(())
    })
}

/// Denies all ingress in every namespace that begins so, as soon as it is there.
async fn deny_all(client: kube::Client, prefix: &str) -> Result<()> {
    let policy: NetworkPolicy = serde_json::from_value(json!({
        "metadata": {"name": "foreign"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }))?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    loop {
        for namespace in namespaces.list(&ListParams::default()).await? {
            let name = namespace.metadata.name.unwrap_or_default();
            if name.starts_with(prefix) {
                let api: Api<NetworkPolicy> = Api::namespaced(client.clone(), &name);
                // It may be there already, or the namespace be going.
                let _ = api.create(&PostParams::default(), &policy).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn external_hosts_and_nodes_take_part(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        let target = start("reference").await?;
        let names = [
            "ipblock/external-with-except",
            "isolation/own-node-reaches-its-pods",
            "isolation/egress-to-nodes",
        ];
        let ran = run_all(&target, scenarios(&names), Options::default()).await?;
        for record in &ran.records {
            ensure!(record.outcome == ScenarioOutcome::Passed, "{record:?}");
        }
        let froms: Vec<&str> = ran
            .records
            .iter()
            .flat_map(|record| &record.steps)
            .flat_map(|step| step.cells.rows.iter().map(|row| step.cells.name(row.cell.from)))
            .collect();
        for from in ["external", "external/2", "node/1"] {
            ensure!(froms.contains(&from), "no cell from {from}");
        }
        nothing_is_left(&target).await?;
        target.sandbox.stop().await;
        Ok(())
    })
}

/// Pods that are labelled, ended and made again, and the Services that follow them; no policy but one.
const COME_AND_GO: &str = r#"
apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata: {name: late/labels-go-with-the-pod}
spec:
  summary: A pod that is made again has the labels of its template
  repeat: 2
  topology:
    namespaces:
      x: {pods: {s: {labels: {app: s}}, c: {labels: {app: c}, late: true, linger: 60}}}
  steps:
    - name: made
      apply:
        - apiVersion: networking.k8s.io/v1
          kind: NetworkPolicy
          metadata: {name: p, namespace: x}
          spec: {podSelector: {matchLabels: {app: s}}, ingress: [{from: [{podSelector: {matchLabels: {app: c}}}]}]}
      start: [x/c]
      expect: {allow: ["x/c -> x/s"]}
    - {name: relabelled, label: {pods: {x/c: {app: d}}}, expect: {deny: ["x/c -> x/s"]}}
    - {name: made-again, complete: [x/c], start: [x/c], expect: {allow: ["x/c -> x/s"]}}
    - {name: ends, terminate: [x/c], label: {pods: {x/c: {app: d}}}, expect: {deny: ["x/c -> x/s"]}}
    - {name: gone, remove: [x/c]}
---
apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata: {name: late/slices-follow-their-pods}
spec:
  summary: A Service by EndpointSlice leads to its pods under the addresses that they have
  topology:
    namespaces:
      x:
        pods:
          s: {labels: {app: s}, serve: {tcp: [8080], names: {http: 8080/tcp}}, late: true, linger: 60}
          t: {serve: {tcp: [9090], names: {http: 9090/tcp}}, late: true}
          filler: {late: true}
          c: {}
        services:
          m: {pods: [x/s, x/t], ports: [{port: 80, targetPort: http}], via: [cluster-ip, dns]}
          hl: {selector: {app: s}, headless: true, ports: [{port: 8080}]}
    serve: {tcp: [80]}
  steps:
    - {name: made, start: [x/s]}
    - {name: over, complete: [x/s]}
    - {name: made-elsewhere, start: [x/filler, x/s], expect: {allow: ["x/c -> x/m via cluster-ip", "x/c -> x/m via dns", "x/c -> x/hl via headless"]}}
    - {name: other-number, start: [x/t], terminate: [x/s], expect: {allow: ["x/c -> x/m via cluster-ip", "x/c -> x/m via dns"]}}
    - {name: only-one, remove: [x/s], expect: {allow: ["x/c -> x/m via cluster-ip", "x/c -> x/m via dns"]}}
---
apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata: {name: late/nobody-behind-a-name}
spec:
  summary: A headless Service whose only pod loses its label has no cells, and has them again with it
  topology:
    namespaces:
      x: {pods: {s: {labels: {app: s}}, c: {}}, services: {s: {selector: {app: s}, headless: true, ports: [{port: 80}]}}}
  steps:
    - {name: relabelled, label: {pods: {x/s: {app: t}}}}
    - {name: labelled, label: {pods: {x/s: {app: s}}}, expect: {allow: ["x/c -> x/s via headless"]}}
---
apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata: {name: late/every-node-has-one}
spec:
  summary: Where every node has a pod of a Service, none is another one, and a Local node port always answers
  topology:
    namespaces:
      x:
        pods: {a: {labels: {app: s}, node: 1}, b: {labels: {app: s}, node: 2}, c: {node: 2}}
        services:
          s: {selector: {app: s}, ports: [{port: 80}], nodePort: true, via: [other-node-port]}
          lo: {selector: {app: s}, ports: [{port: 80}], nodePort: true, externalTrafficPolicy: Local, via: [node-port]}
    endpoints: {external: {}, node/1: {}, node/2: {}}
  steps: [{name: one}, {name: two}, {name: three}]
---
apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata: {name: late/a-flow-moves}
spec:
  summary: A UDP flow through a Service goes on with the pod that comes after the one before
  topology:
    namespaces:
      m:
        pods: {s1: {labels: {app: s}}, s2: {labels: {app: s}, late: true}, s3: {labels: {app: s}, late: true}, client: {}}
        services: {s: {selector: {app: s}, ports: [{port: 8125, protocol: UDP}]}}
    serve: {udp: [8125], tcp: [80]}
  steps:
    - name: held
      remove: [m/s1]
      start: [m/s2]
      checks: [{hold: "m/client -> m/s:8125/udp via cluster-ip", expect: survives, forMs: 500}]
    - name: closed
      apply:
        - apiVersion: networking.k8s.io/v1
          kind: NetworkPolicy
          metadata: {name: p, namespace: m}
          spec: {podSelector: {matchLabels: {app: s}}, policyTypes: [Ingress]}
    - name: opened-with-another-server
      delete: [{kind: NetworkPolicy, namespace: m, name: p}]
      remove: [m/s2]
      start: [m/s3]
      checks: [{sample: "m/client -> m/s:8125/udp via cluster-ip"}]
"#;

fn pods_that_come_and_go(runtime: &Runtime) -> Result<()> {
    let source = verdikt_scenario::Source { name: "late.yaml".into(), text: COME_AND_GO.into() };
    let (written, findings) = verdikt_scenario::parse(&source, &verdikt_scenario::Topologies::builtin());
    ensure!(written.len() == 5, "{}", verdikt_scenario::render(&findings, false, 100));
    runtime.block_on(async {
        let target = start("reference").await?;
        let options = Options { lanes: 5, settle: Duration::from_secs(6), ..Options::default() };
        let ran = run_all(&target, written, options).await?;
        for record in &ran.records {
            ensure!(
                record.outcome == ScenarioOutcome::Passed,
                "{}: {:?}: {record:#?}",
                record.name,
                record.reason
            );
        }
        let steps = |name: &str| {
            let record = ran.records.iter().find(|record| record.name == name).context("no record");
            record.map(|record| record.steps.iter().map(|step| &step.cells).collect::<Vec<_>>())
        };
        ensure!(steps("late/labels-go-with-the-pod")?.len() == 10, "two times through five steps");
        let headless = steps("late/nobody-behind-a-name")?;
        let of = |step: usize| headless[step].rows.iter().filter(|row| row.cell.via == Via::Headless).count();
        ensure!((of(0), of(1)) == (0, 4), "{} and {} cells", of(0), of(1));
        for matrix in steps("late/every-node-has-one")? {
            for (row, reason) in matrix.iter() {
                let other = row.cell.via == Via::OtherNodePort;
                ensure!(other == (row.outcome == Outcome::Skipped), "{row:?}");
                ensure!(
                    !other || reason.is_some_and(|why| why.contains("every node has a pod")),
                    "{reason:?}"
                );
            }
        }
        let moved =
            ran.records.iter().find(|record| record.name == "late/a-flow-moves").context("no record")?;
        ensure!(moved.steps.iter().map(|step| step.checks.len()).sum::<usize>() == 4);
        for check in moved.steps.iter().flat_map(|step| &step.checks) {
            let (seen, servers): (_, &[&str]) = match check.kind {
                CheckWord::Hold => (Seen::Survived, &["m/s1", "m/s2"]),
                _ => (Seen::Changed, &[]),
            };
            ensure!(check.seen == Some(seen) && check.answered_by == servers, "{check:?}");
            let tells = check.reason.as_deref().unwrap_or_default().contains("moved from m/s1 to m/s2");
            ensure!(tells == (seen == Seen::Survived), "{check:?}");
        }
        nothing_is_left(&target).await?;
        target.sandbox.stop().await;
        Ok(())
    })
}
