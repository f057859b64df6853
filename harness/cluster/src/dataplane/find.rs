//! Who is there: every dataplane of which the cluster shows a trace, with the evidence.

use super::{
    known::{KNOWN, Known},
    seen::{Marks, Seen, Workload},
};

/// Most nodes that evidence names.
const NAMED: usize = 3;

/// A dataplane that is there.
pub(super) struct Candidate<'a> {
    pub(super) known: &'static Known,
    /// The container that tells its version and settings.
    pub(super) main: Option<&'a Workload>,
    /// All its containers.
    pub(super) containers: Vec<&'a Workload>,
    pub(super) evidence: Vec<String>,
}

/// Those that are there, those first that are believed to enforce policies; and what was seen of others, which is
/// not enough to say that they run.
pub(super) fn find(seen: &Seen) -> (Vec<Candidate<'_>>, Vec<String>) {
    let mut found = Vec::new();
    let mut traces = Vec::new();
    for known in &KNOWN {
        let (running, idle): (Vec<_>, Vec<_>) =
            containers(known, &seen.containers).into_iter().partition(|workload| !workload.idle);
        let mut evidence = Vec::new();
        let main = main(known, &running);
        if let Some(main) = main {
            evidence.push(format!("DaemonSet {} with image {}", main.place(), main.image));
        }
        evidence.extend(marks(known, &seen.nodes));
        evidence.extend(objects(known, seen));
        if !evidence.is_empty() {
            found.push(Candidate { known, main, containers: running, evidence });
            continue;
        }
        if let Some(idle) = idle.first() {
            traces.push(format!("DaemonSet {} runs on no node", idle.place()));
        }
        for group in known.groups.iter().filter(|group| seen.groups.contains(**group)) {
            traces.push(format!(
                "API group {group} is served, which without more does not show that {} runs",
                known.name
            ));
        }
    }
    (found, traces)
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

/// Evidence on nodes.
fn marks(known: &Known, nodes: &[Marks]) -> Vec<String> {
    let mut evidence = Vec::new();
    for prefix in known.marks {
        let mark = |node: &'_ Marks| node.all.keys().find(|key| key.starts_with(prefix)).cloned();
        let have: Vec<(&str, String)> =
            nodes.iter().filter_map(|node| Some((node.name.as_str(), mark(node)?))).collect();
        if let Some((_, mark)) = have.first() {
            evidence.push(format!("{mark} on {}", names(have.iter().map(|(name, _)| *name))));
        }
    }
    if !known.reason.is_empty() {
        let have: Vec<&str> =
            nodes.iter().filter(|node| node.reason == known.reason).map(|node| node.name.as_str()).collect();
        if !have.is_empty() {
            evidence.push(format!("condition {} of {}", known.reason, names(have.into_iter())));
        }
    }
    if !known.kubelet.is_empty()
        && let Some(node) = nodes.iter().find(|node| node.kubelet.contains(known.kubelet))
    {
        evidence.push(format!("it is built into {}, the kubelet of {}", node.kubelet, node.name));
    }
    evidence
}

/// Evidence in objects that only a running dataplane makes.
fn objects(known: &Known, seen: &Seen) -> Vec<String> {
    let settings = &seen.settings;
    match known.name {
        "calico" => settings
            .calico_version
            .iter()
            .map(|version| format!("ClusterInformation default tells version {version}"))
            .collect(),
        "cilium" => {
            let have: Vec<&str> = seen
                .nodes
                .iter()
                .map(|node| node.name.as_str())
                .filter(|name| settings.cilium_nodes.contains(*name))
                .collect();
            if have.is_empty() {
                Vec::new()
            } else {
                vec![format!("CiliumNode of {}", names(have.into_iter()))]
            }
        }
        _ => Vec::new(),
    }
}

/// `node a`, `nodes a, b, c and 4 more`
fn names<'a>(nodes: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = nodes.len();
    let named: Vec<&str> = nodes.take(NAMED).collect();
    let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
    format!("node{} {}{more}", if count == 1 { "" } else { "s" }, named.join(", "))
}
