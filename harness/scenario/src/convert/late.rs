//! Pods that come later, and addresses that are used again.

use verdikt_model::{EndpointName, Topology};

use crate::{clean, decode::Findings, diagnostic::Finding, raw::RawTopology, span::At, suggest};

/// Longest time for which a pod may linger, in seconds.
const MOST_LINGER: u16 = 300;

/// Checks what only late, lingering or privileged pods may say.
pub(super) fn late_pods(raw: &RawTopology, topology: &mut Topology, findings: &mut Findings) {
    for (namespace, spec) in raw.namespaces.iter() {
        for (name, pod) in spec.iter().flat_map(|spec| spec.pods.iter()) {
            let Some(pod) = pod else { continue };
            let set = |flag: &Option<At<bool>>| flag.as_ref().is_some_and(|at| at.value);
            if let Some(root) = pod.root.as_ref().filter(|at| at.value && !set(&pod.host_network)) {
                findings.push(
                    Finding::error(
                        "scenario/invalid-placement",
                        root.span,
                        "only a pod on its node's network may be root",
                    )
                    .help("add `hostNetwork: true`, or remove `root`"),
                );
            }
            if let Some(linger) = pod.linger.as_ref().filter(|at| at.value > MOST_LINGER) {
                findings.push(Finding::error(
                    "scenario/wrong-type",
                    linger.span,
                    format!("`linger: {}` is too long; expected at most {MOST_LINGER} seconds", linger.value),
                ));
            }
            let Some(of) = &pod.address_of else { continue };
            if !set(&pod.late) {
                findings.push(
                    Finding::error(
                        "scenario/invalid-placement",
                        of.span,
                        "only a late pod can have another's address",
                    )
                    .help("add `late: true`, and `start` it in a step after the other has ended"),
                );
            }
            if let Some(other) = pod_of(of, topology, findings)
                && let Some(spec) = topology.namespaces.get_mut(&namespace.value)
                && let Some(pod) = spec.pods.get_mut(&name.value)
            {
                pod.address_of = Some(other);
            }
        }
    }
}

/// A pod of the topology by its name.
pub(super) fn pod_of(
    name: &At<String>,
    topology: &Topology,
    findings: &mut Findings,
) -> Option<EndpointName> {
    let found = name.value.split_once('/').filter(|(namespace, pod)| {
        topology.namespaces.get(*namespace).is_some_and(|spec| spec.pods.contains_key(*pod))
    });
    if let Some((namespace, pod)) = found {
        return Some(EndpointName::pod(namespace, pod));
    }
    findings.push_error(|| {
        let pods: Vec<String> =
            topology.pods().map(|(namespace, pod, _)| format!("{namespace}/{pod}")).collect();
        Finding::error(
            "scenario/unknown-pod",
            name.span,
            format!("there is no pod `{}`", clean::word(&name.value)),
        )
        .maybe_help(suggest::help(&name.value, "pods", pods.iter().map(String::as_str)))
    });
    None
}
