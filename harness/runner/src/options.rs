//! What a caller decides about a run.

use std::time::Duration;

use verdikt_model::{CellPattern, Family};

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most lanes at once, each with a topology of its own.
    pub lanes: usize,
    /// How long silence must last to count as dropped.
    pub deadline: Deadline,
    /// Longest time for a step until its matrix is as expected: a limit, not a sleep.
    pub settle: Duration,
    /// How often a scenario that failed or could not be measured is run again.
    pub retries: u32,
    /// Whether nothing new is begun after a scenario that is not as expected.
    pub fail_fast: bool,
    /// Whether namespaces are kept.
    pub keep: Keep,
    /// IP families to probe; empty for all that the cluster has.
    pub families: Vec<Family>,
    /// Only cells that match one of these; empty for all.
    pub cells: Vec<CellPattern>,
    /// Probe image; otherwise this release's.
    pub image: Option<String>,
    /// Prefix of namespaces.
    pub namespace_prefix: String,
    /// The command line, for the record.
    pub command: Vec<String>,
    /// Longest time until every cell works before the first policy.
    pub positive_control: Duration,
    /// Longest time until a topology's pods are ready.
    pub ready: Duration,
    /// Longest wait at the end until namespaces are gone; after an interrupt it is at most 4 s.
    pub clean_up: Duration,
    /// Whether scenarios with cluster-scoped objects may run. They run alone.
    pub allow_cluster_scoped: bool,
    /// The cluster's DNS domain, with which Service names are made.
    pub cluster_domain: String,
}

/// How long silence must last to count as dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// From the positive control's round trips: 10 × their 99th percentile + 150 ms, at least 300 ms and at most 5 s.
    Auto,
    /// This long.
    Fixed(Duration),
}

/// Whether namespaces are kept for a look at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Remove all.
    Never,
    /// Keep those of scenarios that failed or could not be measured, as their last step left them.
    OnFailure,
    /// Keep all, each lane as its last scenario left it.
    Always,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lanes: 4,
            deadline: Deadline::Auto,
            settle: Duration::from_secs(15),
            retries: 0,
            fail_fast: false,
            keep: Keep::Never,
            families: Vec::new(),
            cells: Vec::new(),
            image: None,
            namespace_prefix: verdikt_cluster::DEFAULT_PREFIX.to_owned(),
            command: Vec::new(),
            positive_control: Duration::from_secs(20),
            ready: Duration::from_secs(120),
            clean_up: Duration::from_secs(60),
            allow_cluster_scoped: false,
            cluster_domain: "cluster.local".to_owned(),
        }
    }
}
