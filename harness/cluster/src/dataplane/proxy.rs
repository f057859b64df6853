//! Who translates the addresses of Services.

use super::seen::{Seen, Workload};

/// kube-proxy, or what stands in its place, with the evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// `kube-proxy iptables`; empty when it could not be told.
    pub name: String,
    /// From what that was told.
    pub evidence: Vec<String>,
}

pub(super) fn proxy(seen: &Seen, in_place: Option<&str>) -> Proxy {
    let sets = ["kube-proxy", "kube-proxy-ds"];
    let set = seen
        .containers()
        .iter()
        .find(|workload| sets.contains(&workload.set.as_str()) && workload.idle.is_none());
    if let Some(name) = in_place {
        return Proxy {
            name: name.to_owned(),
            evidence: vec![format!("{name} is set to do without kube-proxy")],
        };
    }
    let mut evidence = Vec::new();
    if let Some(set) = set {
        evidence.push(format!("DaemonSet {} with image {}", set.place(), set.image));
    }
    let mode = set
        .and_then(flag)
        .map(|mode| (mode, "its argument --proxy-mode".to_owned()))
        .or_else(|| configured(seen));
    let Some((mode, from)) = mode else {
        let name = if set.is_some() { "kube-proxy" } else { "" };
        return Proxy { name: name.to_owned(), evidence };
    };
    evidence.push(format!("mode from {from}"));
    Proxy { name: format!("kube-proxy {mode}"), evidence }
}

fn flag(set: &Workload) -> Option<String> {
    let mode = set.words.iter().find_map(|word| word.strip_prefix("--proxy-mode="))?;
    Some(mode.to_owned())
}

/// The mode in the file of a ConfigMap; an empty one is the default on Linux.
fn configured(seen: &Seen) -> Option<(String, String)> {
    for (map, key) in [("kube-proxy", "config.conf"), ("kube-proxy-config", "config")] {
        let Some(file) = seen.settings.maps.get(map).and_then(|map| map.get(key)) else { continue };
        let mode = file.lines().find_map(|line| line.strip_prefix("mode:"))?;
        let mode = mode.trim().trim_matches('"');
        let mode = if mode.is_empty() { "iptables" } else { mode };
        return Some((mode.to_owned(), format!("ConfigMap kube-system/{map}")));
    }
    None
}
