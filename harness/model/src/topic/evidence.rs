//! What is documented of dataplanes, topic by topic.

use super::Topic;

/// What one dataplane is documented to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Name of the dataplane, as records have it.
    pub dataplane: &'static str,
    /// Its mode, where modes differ; empty for all.
    pub mode: &'static str,
    /// About what.
    pub topic: Topic,
    /// What it does, as the end of a sentence that begins with its name.
    pub does: &'static str,
    /// Where that is written.
    pub link: &'static str,
}

/// All that is known.
pub const EVIDENCE: &[Evidence] = &[Evidence {
    dataplane: "cilium",
    mode: "",
    topic: Topic::IpBlockPods,
    does: "never matches pods by CIDR",
    link: "https://github.com/cilium/cilium/issues/9209",
}];

/// What is documented of a dataplane in a mode about a topic.
pub fn evidence(dataplane: &str, mode: &str, topic: Topic) -> Option<&'static Evidence> {
    EVIDENCE.iter().find(|entry| {
        entry.topic == topic && entry.dataplane == dataplane && (entry.mode.is_empty() || entry.mode == mode)
    })
}
