//! Where pods run.

use std::collections::BTreeSet;

use verdikt_model::{EndpointName, Placement, Topology};

use crate::{
    clean,
    decode::Findings,
    diagnostic::Finding,
    raw::{RawPlacement, RawTopology},
    suggest,
};

/// Placements are read once all pods are known.
pub(super) fn placements(raw: &RawTopology, topology: &mut Topology, nodes: u16, findings: &mut Findings) {
    let names: BTreeSet<String> = topology.pods().map(|(ns, name, _)| format!("{ns}/{name}")).collect();
    for (namespace, spec) in raw.namespaces.iter() {
        for (name, pod) in spec.iter().flat_map(|spec| spec.pods.iter()) {
            let Some(raw) = pod.as_ref().and_then(|pod| pod.node.as_ref()) else { continue };
            let own = format!("{}/{}", namespace.value, name.value);
            if let Some(placement) = placement(raw, &own, &names, nodes, findings)
                && let Some(pod) =
                    topology.namespaces.get_mut(&namespace.value).and_then(|ns| ns.pods.get_mut(&name.value))
            {
                pod.placement = placement;
            }
        }
    }
}

fn placement(
    raw: &RawPlacement,
    own: &str,
    names: &BTreeSet<String>,
    nodes: u16,
    findings: &mut Findings,
) -> Option<Placement> {
    let text = match raw {
        RawPlacement::Number(n) if n.value >= 1 && n.value <= nodes => return Some(Placement::Node(n.value)),
        RawPlacement::Number(n) => {
            findings.push(
                Finding::error(
                    "scenario/invalid-placement",
                    n.span,
                    format!("there is no node {}; nodes are counted from 1 to {nodes}", n.value),
                )
                .help("a scenario that needs more than two nodes says so: `requires: {nodes: 3}`"),
            );
            return None;
        }
        RawPlacement::Relative(text) => text,
    };
    let (same, target) = match text.value.split_once(' ') {
        Some(("same-as", target)) => (true, target.trim()),
        Some(("other-than", target)) => (false, target.trim()),
        _ => {
            findings.push(
                Finding::error(
                    "scenario/invalid-placement",
                    text.span,
                    format!("`{}` is no placement", clean::word(&text.value)),
                )
                .help("write 1, 2, \"same-as NAMESPACE/POD\" or \"other-than NAMESPACE/POD\""),
            );
            return None;
        }
    };
    if !names.contains(target) || target == own {
        let others = names.iter().map(String::as_str).filter(|name| *name != own);
        findings.push_error(|| {
            Finding::error(
                "scenario/unknown-pod",
                text.span,
                if target == own {
                    format!("pod `{own}` is placed relative to itself")
                } else {
                    format!("there is no pod `{}` to place `{own}` by", clean::word(target))
                },
            )
            .maybe_help(suggest::help(target, "pods", others))
        });
        return None;
    }
    let (namespace, name) = target.split_once('/')?;
    let target = EndpointName::pod(namespace, name);
    Some(if same { Placement::SameAs(target) } else { Placement::OtherThan(target) })
}
