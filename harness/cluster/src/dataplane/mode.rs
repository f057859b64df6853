//! How a dataplane works, and whether it enforces policies at all, as far as its settings tell.

use serde_json::Value;

use super::{find::Candidate, seen::Seen};

/// What the settings of a dataplane tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mode {
    /// `ebpf, vxlan`; empty when it could not be told.
    pub(super) words: Vec<String>,
    /// Why it enforces no policies, if so.
    pub(super) lax: Option<String>,
    /// Where that is from.
    pub(super) evidence: Vec<String>,
}

impl Mode {
    fn of(word: &str) -> Self {
        Self { words: vec![word.to_owned()], ..Self::default() }
    }

    fn lax(why: impl Into<String>) -> Self {
        Self { lax: Some(why.into()), ..Self::default() }
    }
}

/// Keys of cilium-config that decide how policies work, or are worth knowing when they do not.
const CILIUM_KEYS: [&str; 8] = [
    "enable-policy",
    "policy-cidr-match-mode",
    "kube-proxy-replacement",
    "routing-mode",
    "tunnel-protocol",
    "tunnel",
    "cni-chaining-mode",
    "enable-sctp",
];

/// How it works.
pub(super) fn mode(candidate: &Candidate<'_>, seen: &Seen) -> Mode {
    match candidate.known.name {
        "calico" => calico(candidate, seen),
        "cilium" => cilium(candidate, seen),
        "antrea" => antrea(seen),
        "kube-router" => kube_router(candidate, seen),
        "aws" => aws(candidate),
        "kindnet" => kindnet(candidate),
        "flannel" => flannel(seen),
        "ovn-kubernetes" | "kube-ovn" => Mode::of("ovn"),
        "openshift-sdn" => Mode::of("ovs"),
        "azure-npm" | "weave" => Mode::of("iptables"),
        "kube-network-policies" => Mode::of("nfqueue"),
        _ => Mode::lax("it has no policy engine"),
    }
}

/// The environment of calico-node outweighs the FelixConfiguration.
fn calico(candidate: &Candidate<'_>, seen: &Seen) -> Mode {
    let felix = seen.settings.felix.as_ref();
    let mut evidence = Vec::new();
    let mut setting = |variable: &str, field: &str| -> Option<String> {
        if let Some(value) = candidate.main.and_then(|main| main.env.get(variable)) {
            evidence.push(format!("{variable}={value}"));
            return Some(value.clone());
        }
        let value = match felix?.get(field)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        evidence.push(format!("FelixConfiguration default: {field}={value}"));
        Some(value)
    };
    let ebpf = setting("FELIX_BPFENABLED", "bpfEnabled").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let nftables = setting("FELIX_NFTABLESMODE", "nftablesMode").unwrap_or_default();
    let words = match (ebpf, nftables.to_ascii_lowercase().as_str()) {
        (true, _) => vec!["ebpf".to_owned()],
        (false, "enabled") => vec!["nftables".to_owned()],
        // It then follows kube-proxy, which is told elsewhere.
        (false, "auto") => vec!["nftables or iptables, as kube-proxy".to_owned()],
        // Its default, unless the configuration could not be read.
        _ if felix.is_some() => vec!["iptables".to_owned()],
        _ => Vec::new(),
    };
    Mode { words, evidence, ..Mode::default() }
}

fn cilium(candidate: &Candidate<'_>, seen: &Seen) -> Mode {
    let mut mode = Mode::of("ebpf");
    if candidate.main.is_some_and(|main| main.set == "anetd") {
        mode.words.push("GKE Dataplane V2".to_owned());
    }
    let Some(map) = seen.settings.maps.get("cilium-config") else { return mode };
    let value = |key: &str| map.get(key).map(String::as_str).unwrap_or_default();
    match (value("routing-mode"), value("tunnel-protocol"), value("tunnel")) {
        ("native", ..) | (_, _, "disabled") => mode.words.push("native routing".to_owned()),
        ("tunnel", "", _) => mode.words.push("vxlan".to_owned()),
        ("tunnel", protocol, _) => mode.words.push(protocol.to_owned()),
        (_, _, "") => {}
        (_, _, protocol) => mode.words.push(protocol.to_owned()),
    }
    if matches!(value("kube-proxy-replacement"), "true" | "strict") {
        mode.words.push("in place of kube-proxy".to_owned());
    }
    if value("enable-policy") == "never" {
        mode.lax = Some("enable-policy is never".to_owned());
    }
    let told: Vec<String> =
        CILIUM_KEYS.iter().filter_map(|key| Some(format!("{key}={}", map.get(*key)?))).collect();
    if !told.is_empty() {
        mode.evidence.push(format!("ConfigMap cilium-config: {}", told.join(", ")));
    }
    mode
}

/// The agent's configuration is a YAML file in a ConfigMap; lines that are comments hold defaults.
fn antrea(seen: &Seen) -> Mode {
    let mut mode = Mode::of("ovs");
    let file = seen.settings.maps.get("antrea-config").and_then(|map| map.get("antrea-agent.conf"));
    if let Some(file) = file {
        let line = file.lines().find_map(|line| line.strip_prefix("trafficEncapMode:"));
        let encapsulation = line.map_or("encap", |value| value.trim().trim_matches('"'));
        mode.words.push(encapsulation.to_owned());
        mode.evidence.push(format!("ConfigMap antrea-config: trafficEncapMode={encapsulation}"));
    }
    mode
}

fn kube_router(candidate: &Candidate<'_>, seen: &Seen) -> Mode {
    match candidate.main {
        Some(main) if main.says("--run-firewall=false") => Mode::lax("--run-firewall=false"),
        Some(main)
            if main.says("--use-nftables-for-netpol") || main.says("--use-nftables-for-netpol=true") =>
        {
            Mode::of("nftables")
        }
        Some(_) => Mode::of("iptables"),
        None => {
            let off = |node: &super::seen::Marks| {
                node.all.get("k3s.io/node-args").is_some_and(|args| args.contains("--disable-network-policy"))
            };
            match seen.nodes.iter().find(|node| off(node)) {
                Some(node) => Mode::lax(format!("--disable-network-policy on node {}", node.name)),
                None if seen.nodes.iter().any(|node| node.kubelet.contains("+k3s")) => {
                    Mode { words: vec!["iptables".to_owned(), "in k3s".to_owned()], ..Mode::default() }
                }
                None => Mode::default(),
            }
        }
    }
}

/// The CNI is a network without policies; the agent beside it enforces them when it is told to.
fn aws(candidate: &Candidate<'_>) -> Mode {
    let agent = candidate.containers.iter().find(|workload| workload.is_image("aws-network-policy-agent"));
    let on = agent.is_some_and(|agent| agent.says("--enable-network-policy=true"));
    if !on {
        return Mode::lax(match agent {
            Some(_) => "its aws-network-policy-agent runs without --enable-network-policy=true",
            None => "it runs without aws-network-policy-agent",
        });
    }
    let modes =
        candidate.containers.iter().find_map(|workload| workload.env.get("NETWORK_POLICY_ENFORCING_MODE"));
    let words = ["ebpf".to_owned()].into_iter().chain(modes.cloned()).collect();
    let evidence = agent.map(|agent| format!("--enable-network-policy=true of {}", agent.image));
    Mode { words, evidence: evidence.into_iter().collect(), ..Mode::default() }
}

/// kind's kindnetd has an engine since kind 0.24 (August 2024; its tags are dates), others since 1.3.
fn kindnet(candidate: &Candidate<'_>) -> Mode {
    let Some(main) = candidate.main else { return Mode::default() };
    if main.says("--network-policy=false") {
        return Mode::lax("--network-policy=false");
    }
    let numbers: Vec<u32> = main
        .version()
        .trim_start_matches('v')
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse().ok())
        .collect();
    match numbers.first() {
        Some(date @ 20_000_000..) if *date < 20_240_701 => {
            Mode::lax("kindnet has a policy engine since kind 0.24")
        }
        Some(0 | 1) if numbers < vec![1, 3] => Mode::lax("kindnet has a policy engine since 1.3"),
        _ => Mode::of("nfqueue"),
    }
}

fn flannel(seen: &Seen) -> Mode {
    let backend = seen.nodes.iter().find_map(|node| node.all.get("flannel.alpha.coreos.com/backend-type"));
    Mode { words: backend.cloned().into_iter().collect(), ..Mode::lax("it has no policy engine") }
}
