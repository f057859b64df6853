//! Before the first scenario: do ipBlocks match the addresses of pods here? The specification leaves it open (N20), so
//! scenarios about it can only hold a dataplane to itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicySpec,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use verdikt_cluster::ClusterError;
use verdikt_model::{
    Action, BlocksFindPods, EndpointName, Expect, ExpectRule, Expectation, Family, Known, Level,
    NamespaceSpec, Outcome, Placement, PodBlocks, PodSpec, PolicyObject, PortProtocol, Protocol, Row,
    Scenario, ScenarioRecord, Serve, Step, StepRecord, Topology, Verdict, World,
};
use verdikt_oracle::{Habits, Oracle, Plan};

use crate::{facts::Facts, lane::Lane, scenario::Setting};

/// Name under which the check tells its progress.
const NAME: &str = "ipBlock check";
/// Name of its namespace and policy.
const OWN: &str = "blocks";
/// Names of its steps.
const EGRESS: &str = "egress";
const INGRESS: &str = "ingress";
/// The pod with the policy, those whose addresses the block is made of, and one that it leaves out.
const SUBJECT: &str = "subject";
const HELD: [&str; 2] = ["near", "far"];
const LEFT_OUT: &str = "other";

/// Whether any of these turns on it: only on level implementation-defined is a dataplane held to what it does.
pub(crate) fn is_asked(scenarios: &[Scenario]) -> bool {
    let open = scenarios.iter().filter(|scenario| scenario.level == Level::ImplementationDefined);
    open.flat_map(|scenario| &scenario.steps).flat_map(|step| &step.actions).any(|action| match action {
        Action::Apply(PolicyObject::NetworkPolicy(policy)) => has_block(policy),
        _ => false,
    })
}

fn has_block(policy: &NetworkPolicy) -> bool {
    let Some(spec) = &policy.spec else { return false };
    let from = spec.ingress.iter().flatten().flat_map(|rule| rule.from.iter().flatten());
    let to = spec.egress.iter().flatten().flat_map(|rule| rule.to.iter().flatten());
    from.chain(to).any(|peer| peer.ip_block.is_some())
}

/// What a dataplane can be held to.
pub(crate) fn habits(seen: &PodBlocks) -> Habits {
    let known = |answer| match answer {
        BlocksFindPods::Yes => Some(true),
        BlocksFindPods::No => Some(false),
        BlocksFindPods::Mixed | BlocksFindPods::Unknown => None,
    };
    Habits { egress_blocks: known(seen.egress), ingress_blocks: known(seen.ingress) }
}

/// Expects of cells that the specification leaves open what the dataplane does elsewhere, on level implementation-defined.
/// Gives their indices.
pub(crate) fn hold_to(habits: Habits, level: Level, world: &World, planned: &mut Plan) -> BTreeSet<u32> {
    let mut held = BTreeSet::new();
    if level != Level::ImplementationDefined || world.foreign || habits == Habits::default() {
        return held;
    }
    let (open, shown) = (Oracle::new(world), Oracle::new(world).held_to(habits));
    for (index, (cell, expected)) in (0..).zip(&mut planned.rows) {
        if *expected == Expectation::Either && open.expect(cell) == Expectation::Either {
            *expected = shown.expect(cell);
            if *expected != Expectation::Either {
                planned.written.remove(&index);
                held.insert(index);
            }
        }
    }
    held
}

/// Deploys pods, opens one of them to a block of the addresses of others alone, and looks whom that admits.
///
/// # Errors
/// If the pods cannot be set up.
pub(crate) async fn check(
    setting: &Setting<'_>,
    facts: &Arc<Facts>,
    number: u32,
) -> Result<PodBlocks, ClusterError> {
    let scenario = scenario(&facts.families, facts.usable_nodes());
    let mut lane = Lane::deploy(facts, number, &Arc::new(scenario.topology.clone())).await?;
    let setting = Setting { known: &Known::default(), habits: Habits::default(), ..*setting };
    let record = setting.run(&mut lane, &scenario).await;
    if let Err(error) = lane.remove().await {
        setting.tell.warn(format!("the namespace of the {NAME} could not be removed yet: {error}"));
    }
    Ok(read(&record))
}

fn scenario(families: &[Family], nodes: usize) -> Scenario {
    let serve =
        Serve { ports: [PortProtocol { port: 80, protocol: Protocol::Tcp }].into(), ..Serve::default() };
    let subject = EndpointName::pod(OWN, SUBJECT);
    let pod = |name: &str| {
        let placement = match name {
            "near" => Placement::SameAs(subject.clone()),
            "far" if nodes > 1 => Placement::OtherThan(subject.clone()),
            _ => Placement::Any,
        };
        let labels = BTreeMap::from([("pod".to_owned(), name.to_owned())]);
        (name.to_owned(), PodSpec { labels, placement, serve: serve.clone(), ..PodSpec::default() })
    };
    let pods = [SUBJECT, HELD[0], HELD[1], LEFT_OUT].map(pod).into();
    let block = |(name, family): (&str, &Family)| {
        let cidr = match family {
            Family::Ipv4 => format!("${{pod.{OWN}/{name}.ip}}/32"),
            Family::Ipv6 => format!("${{pod.{OWN}/{name}.ipv6}}/128"),
        };
        NetworkPolicyPeer { ip_block: Some(IPBlock { cidr, except: None }), ..NetworkPolicyPeer::default() }
    };
    let blocks: Vec<NetworkPolicyPeer> = HELD
        .into_iter()
        .flat_map(|name| families.iter().map(move |family| (name, family)))
        .map(block)
        .collect();
    let egress = NetworkPolicySpec {
        egress: Some(vec![NetworkPolicyEgressRule { to: Some(blocks.clone()), ports: None }]),
        ..NetworkPolicySpec::default()
    };
    let ingress = NetworkPolicySpec {
        ingress: Some(vec![NetworkPolicyIngressRule { from: Some(blocks), ports: None }]),
        ..NetworkPolicySpec::default()
    };
    let step = |name: &str, direction: &str, spec: NetworkPolicySpec| {
        let spec = NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some([("pod".to_owned(), SUBJECT.to_owned())].into()),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec![direction.to_owned()]),
            ..spec
        };
        let policy = NetworkPolicy {
            metadata: ObjectMeta {
                name: Some(OWN.to_owned()),
                namespace: Some(OWN.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        };
        let rule = |pod: &str, expectation| {
            let (subject, pod) = (format!("{OWN}/{SUBJECT}"), format!("{OWN}/{pod}"));
            let text =
                if name == EGRESS { format!("{subject} -> {pod}") } else { format!("{pod} -> {subject}") };
            let pattern = text.parse().expect("a pattern of constants parses");
            ExpectRule { pattern, expectation }
        };
        let rules = HELD.map(|pod| rule(pod, Expectation::Either)).into_iter();
        let rules = rules.chain([rule(LEFT_OUT, Expectation::Deny)]).collect();
        Step {
            name: name.to_owned(),
            actions: vec![Action::Apply(PolicyObject::NetworkPolicy(Box::new(policy)))],
            checks: Vec::new(),
            expect: Expect { derived: false, rules },
        }
    };
    Scenario {
        name: NAME.to_owned(),
        labels: BTreeMap::new(),
        level: Level::ImplementationDefined,
        summary: "Whether a block of pods' addresses admits those pods".to_owned(),
        clauses: Vec::new(),
        references: Vec::new(),
        differs: Vec::new(),
        requires: Vec::new(),
        repeat: 1,
        topology: Topology {
            namespaces: [(OWN.to_owned(), NamespaceSpec { pods, ..NamespaceSpec::default() })].into(),
            ..Topology::default()
        },
        steps: vec![step(EGRESS, "Egress", egress), step(INGRESS, "Ingress", ingress)],
        source: String::new(),
    }
}

/// What the record of the check says of the dataplane.
fn read(record: &ScenarioRecord) -> PodBlocks {
    let direction = |name: &str| {
        let step = record.steps.iter().find(|step| step.name == name);
        let unmeasured = || record.reason.clone().unwrap_or_else(|| "it was not measured".to_owned());
        let (answer, why) = step.map_or_else(|| (BlocksFindPods::Unknown, unmeasured()), of_step);
        (answer, format!("{name}: {why}"))
    };
    let ((egress, one), (ingress, two)) = (direction(EGRESS), direction(INGRESS));
    PodBlocks { egress, ingress, evidence: format!("{one}; {two}") }
}

fn of_step(step: &StepRecord) -> (BlocksFindPods, String) {
    let unknown = |why: &str| (BlocksFindPods::Unknown, why.to_owned());
    let rows = &step.cells.rows;
    let (open, control): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.expected == Expectation::Either);
    if open.is_empty() || rows.iter().any(|row| matches!(row.outcome, Outcome::Error | Outcome::Skipped)) {
        return unknown("it could not be measured");
    }
    // Without a denial nothing shows that the policy is in force, and everybody is admitted.
    if control.is_empty() || control.iter().any(|row| row.outcome != Outcome::Pass) {
        return unknown("a pod outside the block was not denied, so the policy was not in force");
    }
    let admitted = open.iter().filter(|row| row.observed == Some(Verdict::Allowed)).count();
    let answer = match admitted {
        0 => BlocksFindPods::No,
        all if all == open.len() => BlocksFindPods::Yes,
        _ => BlocksFindPods::Mixed,
    };
    (
        answer,
        format!("a block of pods' addresses admitted {admitted} of {} connections with them", open.len()),
    )
}

#[cfg(test)]
mod tests {
    use verdikt_model::cells;
    use verdikt_oracle::plan;

    use super::*;
    use crate::tell::unmeasured;

    #[test]
    fn what_the_check_asks_is_open_but_for_its_control() {
        for families in [Family::ALL, &[Family::Ipv6]] {
            let scenario = scenario(families, 2);
            let mut world = World::synthetic(&scenario.topology);
            for step in &scenario.steps {
                step.actions.iter().for_each(|action| world.apply(action).unwrap());
                let plan = plan(scenario.level, &step.expect, &world, &cells(&world, families));
                let count = |of| plan.rows.iter().filter(|(_, expected)| *expected == of).count();
                assert_eq!(
                    (count(Expectation::Either), count(Expectation::Deny)),
                    (2 * families.len(), families.len())
                );
                assert!(plan.unmatched.is_empty(), "{plan:?}");
            }
        }
    }

    /// What is told of a dataplane that shows these cells in its egress step.
    fn seen(cells: &[(Expectation, Verdict)]) -> (BlocksFindPods, String) {
        use verdikt_model::{Cell, EndpointId, Matrix, ScenarioOutcome, Topics, Via};
        let row = |(expected, observed): &(Expectation, Verdict)| Row {
            cell: Cell {
                from: EndpointId(0),
                to: EndpointId(1),
                via: Via::PodIp,
                family: Family::Ipv4,
                protocol: Protocol::Tcp,
                port: 80,
            },
            expected: *expected,
            observed: Some(*observed),
            outcome: expected.compare(*observed),
            attempts: 1,
            rtt_us: 0,
            seen_as: None,
            topics: Topics::default(),
        };
        let mut record = unmeasured(&scenario(Family::ALL, 2), ScenarioOutcome::Passed, "no time".into());
        record.steps = vec![StepRecord {
            name: EGRESS.into(),
            changes: Vec::new(),
            settle_ms: Some(1),
            anchor: None,
            cells: Matrix { rows: cells.iter().map(row).collect(), ..Matrix::default() },
            pass: 1,
            checks: Vec::new(),
        }];
        let seen = read(&record);
        assert_eq!(seen.ingress, BlocksFindPods::Unknown);
        assert!(seen.evidence.ends_with("ingress: no time"), "{}", seen.evidence);
        assert_eq!(habits(&seen).ingress_blocks, None);
        (seen.egress, seen.evidence)
    }

    #[test]
    fn a_dataplane_is_held_only_to_what_it_does_while_the_policy_is_in_force() {
        use Expectation::{Deny, Either};
        use Verdict::{Allowed, Dropped, Error};
        let of = |cells: &[(Expectation, Verdict)]| seen(cells).0;
        assert_eq!(of(&[(Either, Allowed), (Either, Allowed), (Deny, Dropped)]), BlocksFindPods::Yes);
        assert_eq!(of(&[(Either, Dropped), (Either, Dropped), (Deny, Dropped)]), BlocksFindPods::No);
        assert_eq!(of(&[(Either, Allowed), (Either, Dropped), (Deny, Dropped)]), BlocksFindPods::Mixed);
        let (answer, why) = seen(&[(Either, Allowed), (Either, Allowed), (Deny, Allowed)]);
        assert!(answer == BlocksFindPods::Unknown && why.contains("was not in force"), "{why}");
        assert_eq!(of(&[(Either, Allowed), (Either, Error), (Deny, Dropped)]), BlocksFindPods::Unknown);
        assert_eq!(of(&[(Either, Allowed)]), BlocksFindPods::Unknown, "no control");
        assert_eq!(of(&[]), BlocksFindPods::Unknown);
    }
}
