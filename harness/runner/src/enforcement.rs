//! Before the first scenario: one deny-all must deny. A cluster that enforces no policy would otherwise look like
//! one that gets everything wrong.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicySpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use verdikt_cluster::ClusterError;
use verdikt_model::{
    Action, Enforced, Enforcement, Expect, Expectation, Family, Known, Level, NamespaceSpec, Outcome,
    PodSpec, PolicyObject, PortProtocol, Protocol, Scenario, ScenarioRecord, Serve, Step, Topology,
};

use crate::{lane::Lane, scenario::Setting};

/// Name under which the check tells its progress.
const NAME: &str = "enforcement check";
/// Name of its namespace and policy.
const OWN: &str = "check";

/// Deploys two pods, denies everything between them, and looks whether that is so.
///
/// # Errors
/// If the pods cannot be set up; then no scenario's can.
pub(crate) async fn check(
    setting: &Setting<'_>,
    facts: &Arc<crate::facts::Facts>,
    number: u32,
) -> Result<Enforcement, ClusterError> {
    let scenario = deny_all();
    let mut lane = Lane::deploy(facts, number, &Arc::new(scenario.topology.clone())).await?;
    // No deviation may cover what shows whether anything is enforced.
    let setting = Setting { known: &Known::default(), ..*setting };
    let record = setting.run(&mut lane, &scenario).await;
    if let Err(error) = lane.remove().await {
        setting.tell.warn(format!("the namespace of the {NAME} could not be removed yet: {error}"));
    }
    Ok(read(&record))
}

fn deny_all() -> Scenario {
    let serve =
        Serve { ports: [PortProtocol { port: 80, protocol: Protocol::Tcp }].into(), ..Serve::default() };
    let pod = PodSpec { serve, ..PodSpec::default() };
    let pods = ["a", "b"].map(|name| (name.to_owned(), pod.clone())).into();
    let policy = NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(OWN.to_owned()),
            namespace: Some(OWN.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ..NetworkPolicySpec::default()
        }),
    };
    Scenario {
        name: NAME.to_owned(),
        labels: BTreeMap::new(),
        level: Level::Core,
        summary: "One deny-all must deny".to_owned(),
        clauses: Vec::new(),
        references: Vec::new(),
        differs: Vec::new(),
        requires: Vec::new(),
        repeat: 1,
        topology: Topology {
            namespaces: [(OWN.to_owned(), NamespaceSpec { pods, ..NamespaceSpec::default() })].into(),
            ..Topology::default()
        },
        steps: vec![Step {
            name: "deny all".to_owned(),
            actions: vec![Action::Apply(PolicyObject::NetworkPolicy(Box::new(policy)))],
            checks: Vec::new(),
            expect: Expect { derived: true, rules: Vec::new() },
        }],
        source: String::new(),
    }
}

/// What the record of the check says of the cluster.
fn read(record: &ScenarioRecord) -> Enforcement {
    let mut by_family: BTreeMap<Family, (u32, u32)> = BTreeMap::new();
    let mut unmeasured = 0_u32;
    for row in record.steps.iter().flat_map(|step| &step.cells.rows) {
        // Traffic to itself is left open.
        if row.expected == Expectation::Deny {
            let (denied, allowed) = by_family.entry(row.cell.family).or_default();
            match row.outcome {
                Outcome::Pass => *denied += 1,
                Outcome::Fail | Outcome::Flaky => *allowed += 1,
                Outcome::Deviation | Outcome::Error | Outcome::Skipped => unmeasured += 1,
            }
        }
    }
    let denied: u32 = by_family.values().map(|(denied, _)| denied).sum();
    let allowed: u32 = by_family.values().map(|(_, allowed)| allowed).sum();
    let settled = record.steps.first().and_then(|step| step.settle_ms);
    let measured = unmeasured == 0 && record.reason.is_none();
    let (enforced, evidence) = match (denied, allowed, settled) {
        (1.., 0, Some(ms)) if measured => (Enforced::Yes, format!("a deny-all was in force after {ms} ms")),
        (0, 1.., _) if measured => {
            (Enforced::No, format!("all {allowed} connections that a deny-all forbids succeeded"))
        }
        (1.., 1.., _) if measured => {
            let parts: Vec<String> = by_family
                .iter()
                .map(|(family, (denied, allowed))| format!("{denied} of {} over {family}", denied + allowed))
                .collect();
            (Enforced::Partly, format!("a deny-all stopped only {} connections", parts.join(" and ")))
        }
        _ => {
            let why = record.reason.clone();
            let why = why.unwrap_or_else(|| format!("{unmeasured} connections could not be measured"));
            (Enforced::Unknown, why)
        }
    };
    Enforcement { enforced, evidence }
}

#[cfg(test)]
mod tests {
    use verdikt_model::{Cell, EndpointId, Matrix, Row, ScenarioOutcome, StepRecord, Topics, Via};

    use super::*;
    use crate::tell::unmeasured;

    fn seen(outcomes: &[(Family, Outcome)], reason: Option<&str>) -> Enforcement {
        let row = |(family, outcome): &(Family, Outcome)| Row {
            cell: Cell {
                from: EndpointId(0),
                to: EndpointId(1),
                via: Via::PodIp,
                family: *family,
                protocol: Protocol::Tcp,
                port: 80,
            },
            expected: Expectation::Deny,
            observed: None,
            outcome: *outcome,
            attempts: 1,
            rtt_us: 0,
            seen_as: None,
            topics: Topics::default(),
        };
        let cells = Matrix { rows: outcomes.iter().map(row).collect(), ..Matrix::default() };
        let right = outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Pass);
        let mut record = unmeasured(&deny_all(), ScenarioOutcome::Passed, String::new());
        record.steps = vec![StepRecord {
            name: "s".into(),
            changes: Vec::new(),
            settle_ms: right.then_some(7),
            anchor: None,
            pass: 1,
            checks: Vec::new(),
            cells,
        }];
        record.reason = reason.map(str::to_owned);
        read(&record)
    }

    #[test]
    fn what_was_seen_is_told() {
        use Family::{Ipv4, Ipv6};
        let of = |outcomes: &[(Family, Outcome)]| seen(outcomes, None);
        assert_eq!(of(&[(Ipv4, Outcome::Pass)]).enforced, Enforced::Yes);
        assert_eq!(of(&[(Ipv4, Outcome::Fail), (Ipv6, Outcome::Fail)]).enforced, Enforced::No);
        let partly = of(&[(Ipv4, Outcome::Pass), (Ipv6, Outcome::Fail)]);
        assert_eq!(partly.enforced, Enforced::Partly);
        assert!(partly.evidence.contains("1 of 1 over ipv4 and 0 of 1 over ipv6"), "{}", partly.evidence);
    }

    #[test]
    fn what_could_not_be_measured_proves_nothing() {
        let unknown = seen(&[(Family::Ipv4, Outcome::Error)], Some("x/a died"));
        assert_eq!((unknown.enforced, unknown.evidence.as_str()), (Enforced::Unknown, "x/a died"));
        assert_eq!(seen(&[(Family::Ipv4, Outcome::Pass)], Some("x/a died")).enforced, Enforced::Unknown);
        assert_eq!(seen(&[], None).enforced, Enforced::Unknown);
        let mixed = seen(&[(Family::Ipv4, Outcome::Fail), (Family::Ipv6, Outcome::Error)], None);
        assert_eq!(mixed.enforced, Enforced::Unknown, "{}", mixed.evidence);
    }
}
