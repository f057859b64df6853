//! Who is there: every dataplane that runs, or of which the cluster shows a trace, with the evidence.

use super::{
    known::{KNOWN, Known},
    seen::{Marks, Seen, Workload},
};

/// Most nodes that evidence names.
const NAMED: usize = 3;

/// A dataplane that may be there.
pub(super) struct Candidate<'a> {
    pub(super) known: &'static Known,
    /// The container that tells its version and settings.
    pub(super) main: Option<&'a Workload>,
    /// All its containers.
    pub(super) containers: Vec<&'a Workload>,
    /// Whether it was seen itself, and not only in pods that it has connected, which outlive it.
    pub(super) is_seen: bool,
    pub(super) evidence: Vec<String>,
}

/// What is there, and what only was, or may be.
pub(super) struct Found<'a> {
    /// Those that run, in the order in which they are believed to enforce policies.
    pub(super) running: Vec<Candidate<'a>>,
    /// Those of which there are traces only, which stay when a dataplane goes.
    pub(super) traced: Vec<Candidate<'a>>,
    /// Other traces.
    pub(super) traces: Vec<String>,
}

pub(super) fn find(seen: &Seen) -> Found<'_> {
    let mut found = Found { running: Vec::new(), traced: Vec::new(), traces: Vec::new() };
    for known in &KNOWN {
        let (containers, idle): (Vec<_>, Vec<_>) =
            containers(known, seen.containers()).into_iter().partition(|workload| workload.idle.is_none());
        let main = main(known, &containers);
        let mut evidence = Vec::new();
        if let Some(main) = main {
            evidence.push(format!("DaemonSet {} with image {}", main.place(), main.image));
        }
        evidence.extend(built_in(known, &seen.nodes));
        let is_seen = !evidence.is_empty();
        evidence.extend(connected(known, seen));
        let runs = !evidence.is_empty();
        evidence.extend(marks(known, seen));
        if let Some((idle, why)) = idle.first().and_then(|idle| Some((idle, idle.idle?))) {
            found.traces.push(format!("DaemonSet {} {why}", idle.place()));
        }
        for group in known.groups.iter().filter(|group| !runs && seen.groups.contains(**group)) {
            found.traces.push(format!("API group {group}, of {}, is served", known.name));
        }
        let candidate = Candidate { known, main, containers, is_seen, evidence };
        if runs {
            found.running.push(candidate);
        } else if !candidate.evidence.is_empty() {
            found.traced.push(candidate);
        }
    }
    found
}

/// A distribution that has it built in.
fn built_in(known: &Known, nodes: &[Marks]) -> Option<String> {
    let node = nodes.iter().find(|node| !known.kubelet.is_empty() && node.kubelet.contains(known.kubelet))?;
    Some(format!("it is built into {}, the kubelet of {}", node.kubelet, node.name))
}

/// Running pods that it has connected.
fn connected(known: &Known, seen: &Seen) -> Option<String> {
    let marked = seen.pods.iter().find(|pod| pod.annotations.contains_key(known.pod_mark));
    if let Some(pod) = marked {
        return Some(format!("annotation {} of pod kube-system/{}", known.pod_mark, pod.name));
    }
    let endpoints = &seen.settings.cilium_endpoints;
    let endpoint = seen.pods.iter().find(|pod| known.name == "cilium" && endpoints.contains(&pod.name));
    endpoint.map(|pod| format!("CiliumEndpoint of pod kube-system/{}", pod.name))
}

/// Containers of DaemonSets by their name; in others, only those with a known image.
fn containers<'a>(known: &Known, all: &'a [Workload]) -> Vec<&'a Workload> {
    all.iter().filter(|workload| is_set(known, workload) || is_image(known, workload)).collect()
}

fn is_set(known: &Known, workload: &Workload) -> bool {
    known.sets.contains(&workload.set.as_str())
}

fn is_image(known: &Known, workload: &Workload) -> bool {
    known.images.iter().any(|end| workload.is_image(end))
}

/// The container with a known image, else the first one.
fn main<'a>(known: &Known, containers: &[&'a Workload]) -> Option<&'a Workload> {
    let by_image = containers.iter().find(|workload| is_image(known, workload));
    by_image.or_else(|| containers.first()).copied()
}

/// Traces on nodes and in objects, which stay when a dataplane goes.
fn marks(known: &Known, seen: &Seen) -> Vec<String> {
    let nodes = &seen.nodes;
    let mut evidence = Vec::new();
    for prefix in known.marks {
        let mark = |node: &Marks| node.all.keys().find(|key| key.starts_with(prefix)).cloned();
        let have: Vec<(&str, String)> =
            nodes.iter().filter_map(|node| Some((node.name.as_str(), mark(node)?))).collect();
        if let Some((_, mark)) = have.first() {
            evidence.push(format!("{mark} on {}", names(have.iter().map(|(name, _)| *name))));
        }
    }
    let up = nodes.iter().filter(|node| !known.reason.is_empty() && node.reason == known.reason);
    let up: Vec<&str> = up.map(|node| node.name.as_str()).collect();
    if !up.is_empty() {
        evidence.push(format!("condition {} of {}", known.reason, names(up.into_iter())));
    }
    if let Some(version) = seen.settings.calico_version.as_ref().filter(|_| known.name == "calico") {
        evidence.push(format!("ClusterInformation default tells version {version}"));
    }
    evidence
}

/// `node a`, `nodes a, b, c and 4 more`
fn names<'a>(nodes: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = nodes.len();
    let named: Vec<&str> = nodes.take(NAMED).collect();
    let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
    format!("node{} {}{more}", if count == 1 { "" } else { "s" }, named.join(", "))
}
