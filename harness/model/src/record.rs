//! The record of a run: the one file from which every report is drawn (`verdikt schema record`).

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    check::CheckRecord,
    known::DeviationRecord,
    matrix::Matrix,
    net::{Family, Protocol, Via},
    scenario::{Differs, Level},
    topic::Topics,
    verdict::{AnchoredBy, BlocksFindPods, Expectation, Outcome, ScenarioOutcome, SeenAs, Verdict},
};

/// Value of [`Record::schema`].
pub const SCHEMA: &str = "verdikt.dev/record/v1";

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// `verdikt.dev/record/v1`
    pub schema: String,
    /// The run itself.
    pub run: RunInfo,
    /// Where it ran.
    pub environment: Environment,
    /// Counts.
    pub summary: Summary,
    /// The known deviations that were to be taken into account, and what became of them. Older records of v1 do not
    /// have it.
    #[serde(default)]
    #[schemars(required)]
    pub deviations: Vec<DeviationRecord>,
    /// Scenarios in the order in which they ended.
    pub scenarios: Vec<ScenarioRecord>,
}

/// The run itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunInfo {
    /// Run id; every object of the run carries it.
    pub id: String,
    /// Start, RFC 3339, UTC.
    pub started: String,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// The command line.
    pub command: Vec<String>,
    /// How many scenarios were chosen; a record with fewer is of a run that was cut short.
    #[serde(default)]
    pub planned: u32,
    /// Which part of a larger choice this was, as in `2/5`; null when it was all.
    #[serde(default)]
    pub partition: Option<String>,
    /// How often each scenario was run (`--repeat`); 1 when it was to be run once.
    #[serde(default = "once")]
    #[schemars(required)]
    pub repeat: u32,
    /// Ids of other runs whose results are in here: those that this one has resumed, or that were merged.
    #[serde(default)]
    pub others: Vec<String>,
}

impl RunInfo {
    /// Whether it was asked if scenarios are stable: then a flaky one is a finding.
    pub const fn is_repeated(&self) -> bool {
        self.repeat > 1
    }

    /// Whether all that was to be measured is among so many scenarios.
    pub fn is_whole(&self, scenarios: usize) -> bool {
        self.partition.is_none() && self.planned as usize <= scenarios
    }
}

/// Where a run took place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// `sandbox`, or the kubeconfig context.
    pub target: String,
    /// What enforces policies there.
    pub dataplane: Dataplane,
    /// Kubernetes version of the API server.
    pub kubernetes: String,
    /// Number of nodes.
    pub nodes: u16,
    /// Kernel release of the nodes.
    pub kernel: String,
    /// IP families that were probed.
    pub ip_families: Vec<Family>,
    /// verdikt's version.
    pub verdikt: String,
    /// What tells this cluster from any other: the uid of its namespace kube-system; empty when it could not be read.
    #[serde(default)]
    pub cluster: String,
    /// Whether policies are enforced at all, as one deny-all before the first scenario showed; null when that was not
    /// tried.
    #[serde(default)]
    pub enforcement: Option<Enforcement>,
    /// Whether ipBlocks match the addresses of pods, as a check before the first scenario showed; null when no scenario
    /// turned on it, and in older records.
    #[serde(default)]
    pub pod_blocks: Option<PodBlocks>,
}

impl Environment {
    /// In what results from here and from `other` are no parts of one measurement: what differs, here and there.
    pub fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let plane = |of: &Self| {
            let plane = &of.dataplane;
            format!("{} {} {}", plane.name, plane.version, plane.mode).trim().to_owned()
        };
        let families = |of: &Self| of.ip_families.iter().map(|f| f.as_str()).collect::<Vec<_>>().join(", ");
        [
            ("the target", self.target.clone(), other.target.clone()),
            ("the cluster's uid", self.cluster.clone(), other.cluster.clone()),
            ("the Kubernetes version", self.kubernetes.clone(), other.kubernetes.clone()),
            ("the dataplane", plane(self), plane(other)),
            ("the IP families", families(self), families(other)),
            ("verdikt's version", self.verdikt.clone(), other.verdikt.clone()),
        ]
        .into_iter()
        .find(|(_, here, there)| here != there)
    }
}

/// What one deny-all before the first scenario showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Enforcement {
    /// Whether it denied.
    pub enforced: Enforced,
    /// What was seen, in words.
    pub evidence: String,
}

/// Whether a deny-all denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Enforced {
    /// Every connection.
    Yes,
    /// Some connections, such as those of one IP family.
    Partly,
    /// None.
    No,
    /// It could not be measured.
    Unknown,
}

/// Whether ipBlocks match the addresses of pods, which the specification leaves open (N20): scenarios of level
/// implementation-defined hold the dataplane to what it has shown here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodBlocks {
    /// In egress rules.
    pub egress: BlocksFindPods,
    /// In ingress rules.
    pub ingress: BlocksFindPods,
    /// What was seen, in words.
    pub evidence: String,
}

/// What enforces policies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dataplane {
    /// Its name; `unknown` when it could not be told.
    pub name: String,
    /// Its version; empty when it could not be told.
    pub version: String,
    /// Its mode, such as `nftables` or `ebpf`; empty when it could not be told.
    pub mode: String,
    /// Whether it is an emulation from documentation (the sandbox), and so no evidence about a product.
    pub emulated: bool,
    /// From what that was told, in words for people. Older records of v1 do not have it.
    #[serde(default)]
    #[schemars(required)]
    pub evidence: Vec<String>,
}

/// Counts over a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Scenarios by outcome.
    pub scenarios: ScenarioCounts,
    /// Cells by outcome.
    pub cells: CellCounts,
    /// Checks by outcome.
    #[serde(default)]
    pub checks: CellCounts,
}

/// Scenarios by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioCounts {
    /// As expected.
    pub passed: u32,
    /// Proved different.
    pub failed: u32,
    /// Passed at one attempt and failed at another. Older records of v1 do not have it.
    #[serde(default)]
    #[schemars(required)]
    pub flaky: u32,
    /// Not measured, no difference proved.
    pub errored: u32,
    /// Not run, on purpose.
    pub skipped: u32,
}

/// Cells, or checks, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CellCounts {
    /// As expected.
    pub pass: u64,
    /// Proved different.
    pub fail: u64,
    /// Different, and known to be.
    pub deviation: u64,
    /// Changed while it had to hold.
    pub flaky: u64,
    /// Not measured.
    pub error: u64,
    /// Not measured on purpose.
    pub skipped: u64,
}

/// One scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioRecord {
    /// Name.
    pub name: String,
    /// How binding it is.
    pub level: Level,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Statements that it tests.
    pub clauses: Vec<String>,
    /// What it is about, in one sentence.
    #[serde(default)]
    pub summary: String,
    /// Links for the reader.
    #[serde(default)]
    pub references: Vec<String>,
    /// What is documented of single dataplanes.
    #[serde(default)]
    pub differs: Vec<Differs>,
    /// Digest of what was to be done: topology, steps and expectations, as this version of verdikt reads them.
    #[serde(default)]
    pub digest: String,
    /// How it ended.
    pub outcome: ScenarioOutcome,
    /// Why, when it was skipped, could not be measured or failed before its first step; otherwise null.
    pub reason: Option<String>,
    /// Whether the run was interrupted in the middle of it: its steps are those that were measured until then, and
    /// `--resume` runs it again. Missing where it was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// Its attempts, in order. Older records of v1 do not have it.
    #[serde(default)]
    #[schemars(required)]
    pub tries: Vec<Try>,
    /// On which node each pod ran, and which one `node/1` is: names of nodes by names of endpoints. Older records of v1 do
    /// not have it.
    #[serde(default)]
    #[schemars(required)]
    pub nodes: std::collections::BTreeMap<String, String>,
    /// Its steps, as far as they were run; of a flaky one those of the first attempt that failed.
    pub steps: Vec<StepRecord>,
}

/// One attempt at a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Try {
    /// How it ended.
    pub outcome: ScenarioOutcome,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// Why, where the outcome does not say it; otherwise null.
    pub reason: Option<String>,
    /// What was not as expected, where there were several attempts: of a single one `steps` has all. Older records of v1
    /// do not have it.
    #[serde(default)]
    #[schemars(required)]
    pub wrong: Vec<WrongStep>,
}

/// What was not as expected at a step of one attempt: proved different, changed while it had to hold, or not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WrongStep {
    /// Name of the step.
    pub step: String,
    /// Which time through the steps, for a scenario that repeats them; otherwise 1.
    pub pass: u16,
    /// Such cells.
    #[schemars(with = "Vec<CellRecord<'_>>")]
    pub cells: Matrix,
    /// Such checks.
    pub checks: Vec<CheckRecord>,
}

impl Try {
    /// Whether it was as expected, or left out on purpose.
    pub const fn is_good(&self) -> bool {
        matches!(self.outcome, ScenarioOutcome::Passed | ScenarioOutcome::Skipped)
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    /// Name.
    pub name: String,
    /// What was changed, in order. Older records of v1 do not have it.
    #[serde(default)]
    #[schemars(required)]
    pub changes: Vec<ChangeRecord>,
    /// From the API's acceptance of the step until every cell was as expected, in milliseconds; null when
    /// that did not happen.
    pub settle_ms: Option<u64>,
    /// What shows that the step was in force when its matrix was taken; null where it has changed nothing or did not come so
    /// far, and in older records.
    #[serde(default)]
    pub anchor: Option<Anchor>,
    /// Its cells.
    #[schemars(with = "Vec<CellRecord<'_>>")]
    pub cells: Matrix,
    /// Which time through the steps, for a scenario that repeats them; otherwise 1.
    #[serde(default = "first")]
    pub pass: u16,
    /// What was measured besides cells.
    #[serde(default)]
    pub checks: Vec<CheckRecord>,
}

/// What shows that a step was in force when its matrix was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Anchor {
    /// By what.
    pub by: AnchoredBy,
    /// The longest time that a step of its kind took until its cells had turned, on this cluster in this run, in
    /// milliseconds; null unless the step is anchored by it.
    pub measured_ms: Option<u64>,
    /// For how long its cells held at least, in milliseconds.
    pub held_ms: u64,
    /// Why there is no anchor; otherwise null.
    pub why: Option<String>,
}

/// One change of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRecord {
    /// What was done to what: `apply NetworkPolicy x/p`, `label pod x/a role=web`.
    pub what: String,
    /// The object that was applied, with logical names and `${…}` variables; null for any other change.
    pub object: Option<serde_json::Value>,
}

const fn once() -> u32 {
    1
}

const fn first() -> u16 {
    1
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CellRecord<'a> {
    /// Source: `x/a`, `node/1` or `external`.
    #[serde(borrow)]
    pub from: Cow<'a, str>,
    /// Destination: `x/a`, `node/1`, `external`, `dns`, or a Service.
    #[serde(borrow)]
    pub to: Cow<'a, str>,
    /// How the destination is addressed.
    pub via: Via,
    /// Port that the source dials.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
    /// IP family.
    pub family: Family,
    /// What should be.
    pub expected: Expectation,
    /// What was; null when nothing was measured.
    pub observed: Option<Verdict>,
    /// How the two compare.
    pub outcome: Outcome,
    /// How often the cell was probed.
    pub attempts: u16,
    /// Round-trip time of the last answer in microseconds; null without an answer.
    pub rtt_us: Option<u32>,
    /// The source address that the server saw, where it was not the client's own; otherwise null or missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_as: Option<SeenAs>,
    /// What the verdict turns on, where dataplanes are known to differ; missing where there is nothing of the kind.
    #[serde(default, skip_serializing_if = "Topics::is_empty")]
    pub topics: Topics,
    /// Why, for every cell that is not a plain pass; otherwise null.
    #[serde(borrow)]
    pub reason: Option<Cow<'a, str>>,
}

impl ScenarioCounts {
    /// Counts one scenario.
    pub fn add(&mut self, outcome: ScenarioOutcome) {
        *match outcome {
            ScenarioOutcome::Passed => &mut self.passed,
            ScenarioOutcome::Failed => &mut self.failed,
            ScenarioOutcome::Flaky => &mut self.flaky,
            ScenarioOutcome::Errored => &mut self.errored,
            ScenarioOutcome::Skipped => &mut self.skipped,
        } += 1;
    }

    /// All scenarios.
    pub const fn total(&self) -> u32 {
        self.passed + self.failed + self.flaky + self.errored + self.skipped
    }
}

impl CellCounts {
    /// Counts one cell.
    pub fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Pass => &mut self.pass,
            Outcome::Fail => &mut self.fail,
            Outcome::Deviation => &mut self.deviation,
            Outcome::Flaky => &mut self.flaky,
            Outcome::Error => &mut self.error,
            Outcome::Skipped => &mut self.skipped,
        } += 1;
    }

    /// All cells.
    pub const fn total(&self) -> u64 {
        self.pass + self.fail + self.deviation + self.flaky + self.error + self.skipped
    }
}

impl Summary {
    /// Counts one scenario and its cells.
    pub fn add(&mut self, scenario: &ScenarioRecord) {
        self.scenarios.add(scenario.outcome);
        for step in &scenario.steps {
            for row in &step.cells.rows {
                self.cells.add(row.outcome);
            }
            for check in &step.checks {
                self.checks.add(check.outcome);
            }
        }
    }
}

impl ScenarioRecord {
    /// What was not as expected, step by step: proved different, changed while it had to hold, or not measured.
    pub fn wrong(&self) -> Vec<WrongStep> {
        let is_wrong = |outcome: Outcome| matches!(outcome, Outcome::Fail | Outcome::Flaky | Outcome::Error);
        let of_step = |step: &StepRecord| WrongStep {
            step: step.name.clone(),
            pass: step.pass,
            cells: step.cells.only(|row| is_wrong(row.outcome)),
            checks: step.checks.iter().filter(|check| is_wrong(check.outcome)).cloned().collect(),
        };
        let steps = self.steps.iter().map(of_step);
        steps.filter(|wrong| !(wrong.cells.rows.is_empty() && wrong.checks.is_empty())).collect()
    }

    /// Checks of this scenario by outcome.
    pub fn check_counts(&self) -> CellCounts {
        let mut counts = CellCounts::default();
        self.steps.iter().flat_map(|s| &s.checks).for_each(|check| counts.add(check.outcome));
        counts
    }

    /// Cells of this scenario by outcome.
    pub fn counts(&self) -> CellCounts {
        let mut counts = CellCounts::default();
        self.steps.iter().flat_map(|s| &s.cells.rows).for_each(|row| counts.add(row.outcome));
        counts
    }
}
