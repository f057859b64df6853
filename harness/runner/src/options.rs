//! What a caller decides about a run.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use jiff::civil::Date;
use verdikt_cluster::DeployOptions;
use verdikt_model::{CellPattern, Dataplane, Family, KnownDeviations};

use crate::resume::Resumed;

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most lanes at once, each with a topology of its own.
    pub lanes: usize,
    /// How long silence must last to count as dropped.
    pub deadline: Deadline,
    /// Longest time for a step until its matrix is as expected: a limit, not a sleep.
    pub settle: Duration,
    /// The same where a deny-all has shown that nothing is enforced.
    pub settle_unenforced: Duration,
    /// How often a scenario that failed or could not be measured is run again.
    pub retries: u32,
    /// How often every scenario is run; more than once excludes retries.
    pub repeat: u32,
    /// Whether nothing new is begun after a scenario that is not as expected.
    pub fail_fast: bool,
    /// Whether namespaces are kept.
    pub keep: Keep,
    /// IP families to probe; empty for all that the cluster has.
    pub families: Vec<Family>,
    /// Only cells that match one of these; empty for all.
    pub cells: Vec<CellPattern>,
    /// How probe pods are made.
    pub deploy: DeployOptions,
    /// Namespace and name of a Secret with credentials for the probe image's registry.
    pub pull_secret: Option<(String, String)>,
    /// Prefix of namespaces.
    pub namespace_prefix: String,
    /// The command line, for the record.
    pub command: Vec<String>,
    /// Longest time until every cell works before the first policy.
    pub positive_control: Duration,
    /// Longest wait at the end until namespaces are gone; after an interrupt it is at most 4 s.
    pub clean_up: Duration,
    /// Whether scenarios with cluster-scoped objects may run. They run alone.
    pub allow_cluster_scoped: bool,
    /// Kinds beside policies that scenarios may apply: `HTTPRoute.gateway.networking.k8s.io`.
    pub allow_kinds: Vec<String>,
    /// Which part of a larger choice the scenarios are, for the record.
    pub partition: Option<String>,
    /// Results of an earlier run, which are not measured again.
    pub resumed: Option<Resumed>,
    /// Whether one deny-all must deny before the first scenario runs.
    pub check_enforcement: bool,
    /// Files of known deviations; those of other dataplanes are ignored.
    pub known: Vec<KnownDeviations>,
    /// The day on which known deviations must not have expired.
    pub today: Date,
    /// What enforces policies, where the user says it.
    pub dataplane: Option<StatedDataplane>,
    /// Hosts outside a real cluster on which `verdikt-probe serve` runs: `external`, `external/2`.
    pub external: Vec<ExternalHost>,
    /// The cluster's DNS domain, with which Service names are made.
    pub cluster_domain: String,
}

/// What enforces policies, as far as the user says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatedDataplane {
    /// Its name.
    pub name: String,
    /// Its version; `None` leaves what was found of a dataplane of that name.
    pub version: Option<String>,
    /// Its mode; `None` leaves what was found of a dataplane of that name.
    pub mode: Option<String>,
}

impl StatedDataplane {
    /// Corrects what was found.
    pub(crate) fn correct(&self, found: &mut Dataplane) {
        let words = |parts: [&str; 3]| {
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            parts.join(" ")
        };
        let before = words([&found.name, &found.version, &found.mode]);
        if found.name != self.name {
            // What was found of another one is none of its own.
            (found.version, found.mode) = (String::new(), String::new());
        }
        found.name.clone_from(&self.name);
        let stated = [&self.version, &self.mode].map(|part| part.as_deref().unwrap_or_default());
        for (part, stated) in [(&mut found.version, &self.version), (&mut found.mode, &self.mode)] {
            if let Some(stated) = stated {
                part.clone_from(stated);
            }
        }
        let stated = words([&self.name, stated[0], stated[1]]);
        found.evidence.push(format!("--dataplane says {stated}; found was {before}"));
    }
}

/// A host outside the cluster that answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalHost {
    /// Its addresses, at most one of each family.
    pub ips: Vec<IpAddr>,
    /// The TCP ports on which it answers.
    pub ports: BTreeSet<u16>,
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
            settle_unenforced: Duration::from_secs(2),
            retries: 0,
            repeat: 1,
            fail_fast: false,
            keep: Keep::Never,
            families: Vec::new(),
            cells: Vec::new(),
            deploy: DeployOptions::default(),
            pull_secret: None,
            namespace_prefix: verdikt_cluster::DEFAULT_PREFIX.to_owned(),
            command: Vec::new(),
            positive_control: Duration::from_secs(20),
            clean_up: Duration::from_secs(60),
            allow_cluster_scoped: false,
            allow_kinds: Vec::new(),
            partition: None,
            resumed: None,
            check_enforcement: false,
            known: Vec::new(),
            today: Date::default(),
            dataplane: None,
            external: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_dataplane_corrects_what_was_found() {
        let told = |name: &str, version: Option<&str>, mode: Option<&str>| {
            let mut plane = Dataplane {
                name: "calico".into(),
                version: "v3.31.7".into(),
                mode: "ebpf".into(),
                ..Dataplane::default()
            };
            let [version, mode] = [version, mode].map(|part| part.map(str::to_owned));
            StatedDataplane { name: name.into(), version, mode }.correct(&mut plane);
            (format!("{} {} {}", plane.name, plane.version, plane.mode), plane.evidence.concat())
        };
        assert_eq!(told("calico", None, None).0, "calico v3.31.7 ebpf");
        assert_eq!(told("calico", Some("v3.32.0"), None).0, "calico v3.32.0 ebpf");
        assert_eq!(told("calico", None, Some("nftables")).0, "calico v3.31.7 nftables");
        // What was found of another one is none of its own.
        assert_eq!(told("kube-router", None, None).0, "kube-router  ");
        let (plane, evidence) = told("kube-router", Some("v2.11.0"), Some("ipset"));
        assert_eq!(plane, "kube-router v2.11.0 ipset");
        assert_eq!(evidence, "--dataplane says kube-router v2.11.0 ipset; found was calico v3.31.7 ebpf");
    }
}
