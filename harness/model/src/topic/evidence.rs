//! What is documented of dataplanes, topic by topic.

mod table;

use super::Topic;

pub use self::table::EVIDENCE;

/// What one dataplane is documented to do, in its current version and with its default settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Name of the dataplane, as records have it.
    pub dataplane: &'static str,
    /// Its mode, where modes differ; empty for all others.
    pub mode: &'static str,
    /// About what.
    pub topic: Topic,
    /// What it does, as the end of a sentence that begins with its name.
    pub does: &'static str,
    /// Where that is written.
    pub link: &'static str,
}

/// What is documented of a dataplane in a mode about a topic, both as records have them: `calico`, `ebpf`. A row for
/// the mode outweighs one for all modes.
pub fn evidence(dataplane: &str, mode: &str, topic: Topic) -> Option<&'static Evidence> {
    let (dataplane, mode) = match dataplane {
        // The sandbox has a profile of this name.
        "calico-ebpf" => ("calico", "ebpf"),
        // Its policy engine is kube-network-policies.
        "kindnet" => ("kube-network-policies", mode),
        other => (other, mode),
    };
    let of = |entry: &&Evidence| entry.topic == topic && entry.dataplane == dataplane;
    let exact = |entry: &&Evidence| !entry.mode.is_empty() && mode.split(", ").any(|word| word == entry.mode);
    let rows = || EVIDENCE.iter().filter(of);
    rows().find(exact).or_else(|| rows().find(|entry| entry.mode.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_there_once_and_has_a_link() {
        let mut seen = BTreeSet::new();
        for Evidence { dataplane, mode, topic, does, link } in EVIDENCE {
            assert!(
                seen.insert((dataplane, mode, topic.as_str())),
                "{dataplane} {mode} {topic} is there twice"
            );
            let (host, path) = link.strip_prefix("https://").and_then(|rest| rest.split_once('/')).unwrap();
            assert!(host.contains('.') && path.len() > 5 && !link.contains(' '), "{link}");
            assert!(!does.is_empty() && !does.ends_with('.'), "{does}");
        }
    }

    #[test]
    fn a_mode_outweighs_all_modes() {
        let does = |dataplane, mode, topic| evidence(dataplane, mode, topic).map(|entry| entry.does);
        let iptables = does("calico", "iptables", Topic::OwnService).unwrap();
        let ebpf = does("calico", "ebpf, vxlan", Topic::OwnService).unwrap();
        assert!(iptables.starts_with("judges") && ebpf.starts_with("lets"), "{iptables} {ebpf}");
        assert_eq!(does("calico-ebpf", "nftables", Topic::OwnService), Some(ebpf));
        assert_eq!(does("calico-ebpf", "", Topic::IpBlockPods), does("calico", "", Topic::IpBlockPods));
        assert_eq!(does("calico", "iptables", Topic::Sctp), None);
        assert!(does("kindnet", "nfqueue", Topic::Established).is_some());
        assert_eq!(does("unknown", "", Topic::Icmp), None);
    }
}
