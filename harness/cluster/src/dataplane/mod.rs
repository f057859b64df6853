//! Who enforces policies in a cluster, told from what it shows, with the evidence.
//!
//! ```text
//! read ──► Seen ──► find (by the table in known) ──► those that run ──► mode ──► the first that enforces, then others
//! ```

mod find;
mod known;
mod mode;
mod proxy;
mod read;
mod seen;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::Node as ApiNode;
use verdikt_model::Dataplane;

use crate::{
    client::Cluster,
    nodes::{SANDBOX_PROFILE_LABEL, SANDBOX_TRAITS_ANNOTATION},
};
use find::{Candidate, Found, find};
use mode::{Mode, mode};
pub use proxy::Proxy;
use seen::Seen;

/// What a cluster's network is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networking {
    /// What enforces policies; where nothing does, what makes the network; `unknown` when it could not be told.
    pub dataplane: Dataplane,
    /// What else is there: `flannel v0.27.0`.
    pub others: Vec<String>,
    /// Who translates the addresses of Services.
    pub proxy: Proxy,
    /// Why the dataplane enforces no policies, if it is known not to.
    pub lax: Option<String>,
}

impl Cluster {
    /// Tells the dataplane from DaemonSets, nodes and settings, as far as they can be read.
    pub(crate) async fn networking_of(&self, nodes: &[ApiNode]) -> Networking {
        match sandbox(nodes) {
            Some(sandbox) => sandbox,
            None => judge(&self.look_at_dataplane(nodes).await),
        }
    }
}

/// The embedded cluster says what it is by a label, and by an annotation in what it differs from that. The version is
/// that of the emulation.
fn sandbox(nodes: &[ApiNode]) -> Option<Networking> {
    let label = |node: &ApiNode| node.metadata.labels.as_ref()?.get(SANDBOX_PROFILE_LABEL).cloned();
    let (node, profile) = nodes.iter().find_map(|node| Some((node, label(node)?)))?;
    let name = node.metadata.name.clone().unwrap_or_default();
    let mut evidence = vec![format!("label {SANDBOX_PROFILE_LABEL}={profile} of node {name}")];
    let annotations = node.metadata.annotations.as_ref();
    let traits =
        annotations.and_then(|all| all.get(SANDBOX_TRAITS_ANNOTATION)).filter(|text| !text.is_empty());
    evidence
        .extend(traits.map(|text| format!("annotation {SANDBOX_TRAITS_ANNOTATION}={text} of node {name}")));
    let traits: Vec<String> = traits.iter().flat_map(|text| text.split('+')).map(str::to_owned).collect();
    // Flannel has no policies to emulate, only Services.
    let idle = profile == "flannel" || traits.iter().any(|word| word == "enforces-nothing");
    let lax = idle.then(|| "it has no policy engine".to_owned());
    let mode = [vec!["nftables".to_owned()], traits].concat();
    Some(Networking {
        proxy: Proxy { name: "sandbox nftables".to_owned(), evidence: evidence.clone() },
        dataplane: Dataplane {
            // What is emulated has no version.
            version: if profile == "reference" {
                env!("CARGO_PKG_VERSION").to_owned()
            } else {
                String::new()
            },
            name: profile,
            mode: words(&mode, lax.is_some()),
            emulated: true,
            evidence,
        },
        others: Vec::new(),
        lax,
    })
}

/// The first of those that run and enforce policies is the dataplane; if none does, the first that runs. One that shows only
/// in pods that it has connected is a trace beside one that was seen itself: such pods outlive it. Traces name one only
/// where DaemonSets could not be read, and then only when they are of one.
fn judge(seen: &Seen) -> Networking {
    let Found { mut running, mut traced, mut traces } = find(seen);
    if seen.containers.is_none() && running.is_empty() && traced.len() == 1 {
        running.append(&mut traced);
    }
    let enforces = |candidate: &Candidate<'_>| mode(candidate, seen).lax.is_none();
    if running.iter().any(|candidate| candidate.is_seen && enforces(candidate)) {
        let (seen, connected): (Vec<_>, Vec<_>) =
            running.into_iter().partition(|candidate| candidate.is_seen);
        running = seen;
        traced.extend(connected);
    }
    for candidate in &traced {
        let (name, evidence) = (candidate.known.name, candidate.evidence.join("; "));
        traces.push(format!("traces of {name}, which stay when it goes: {evidence}"));
    }
    let judged: Vec<(Candidate<'_>, Mode)> = running
        .into_iter()
        .map(|candidate| {
            let mode = mode(&candidate, seen);
            (candidate, mode)
        })
        .collect();
    let chosen = judged.iter().position(|(_, mode)| mode.lax.is_none()).unwrap_or_default();
    let replaces =
        judged.iter().find(|(_, mode)| mode.words.iter().any(|word| word == "in place of kube-proxy"));
    let proxy = proxy::proxy(seen, replaces.map(|(candidate, _)| candidate.known.name));
    let unread = seen.unread.iter().map(|why| format!("not looked at: {why}"));
    let Some((candidate, mode)) = judged.get(chosen) else {
        let looked = format!("no DaemonSet and no connected pod of {}", known::looked_for());
        let evidence = [looked].into_iter().chain(traces).chain(unread).collect();
        let dataplane = Dataplane { name: "unknown".to_owned(), evidence, ..Dataplane::default() };
        return Networking { dataplane, proxy, ..Networking::default() };
    };
    let others = judged.iter().enumerate().filter(|(index, _)| *index != chosen);
    let others: Vec<String> = others
        .map(|(_, (other, mode))| {
            let why = mode.lax.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            format!("{} {}", other.known.name, version(other, seen)).trim_end().to_owned() + &why
        })
        .collect();
    let mut evidence = candidate.evidence.clone();
    evidence.extend(mode.evidence.iter().cloned());
    evidence.extend(mode.lax.iter().map(|why| format!("enforces no policies: {why}")));
    for (index, (other, _)) in judged.iter().enumerate().filter(|(index, _)| *index != chosen) {
        let first = other.evidence.first().map(String::as_str).unwrap_or_default();
        evidence.push(format!("also there: {} ({first})", others[index - usize::from(index > chosen)]));
    }
    evidence.extend(traces);
    evidence.extend(unread);
    Networking {
        dataplane: Dataplane {
            name: candidate.known.name.to_owned(),
            version: version(candidate, seen),
            mode: words(&mode.words, mode.lax.is_some()),
            emulated: false,
            evidence,
        },
        others,
        proxy,
        lax: mode.lax.clone(),
    }
}

fn words(words: &[String], lax: bool) -> String {
    let lax = lax.then(|| "policies ignored".to_owned());
    words.iter().cloned().chain(lax).collect::<Vec<_>>().join(", ")
}

/// The tag of its image, else what its objects or its distribution say.
fn version(candidate: &Candidate<'_>, seen: &Seen) -> String {
    // On AWS the agent, and not the CNI, is what enforces.
    let agent = candidate.containers.iter().find(|workload| workload.is_image("aws-network-policy-agent"));
    let tag = agent.or(candidate.main.as_ref()).map(|main| main.version()).unwrap_or_default();
    if !tag.is_empty() {
        return tag.to_owned();
    }
    let calico =
        || (candidate.known.name == "calico").then(|| seen.settings.calico_version.clone()).flatten();
    calico().unwrap_or_default()
}
