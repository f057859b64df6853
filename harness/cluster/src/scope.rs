//! Names and labels: how a run marks what it owns, and how logical names become real ones.

use std::collections::BTreeMap;

use verdikt_model::Topology;

use crate::id::{RunId, base36, hash};

/// Label on every object of verdikt: the run's id. Only namespaces with it are ever touched. Labels outside of
/// `verdikt.dev/` (and of Pod Security on namespaces) are the scenario's own: policies may select them.
pub const RUN_LABEL: &str = "verdikt.dev/run";
/// Label that holds the lane, so that one watch sees all pods of a lane.
pub const LANE_LABEL: &str = "verdikt.dev/lane";
/// Annotation with the logical name of a namespace.
pub const LOGICAL_ANNOTATION: &str = "verdikt.dev/logical-name";
/// Label with who started the run, as far as a label can hold it.
pub const USER_LABEL: &str = "verdikt.dev/user";
/// Label with the run's start, UTC: `2026-01-31T23-59-59Z`.
pub const STARTED_LABEL: &str = "verdikt.dev/started";
/// Annotation of a namespace that lists the cluster-scoped objects that go with it, so that `clean` finds them.
pub const CLUSTER_OBJECTS_ANNOTATION: &str = "verdikt.dev/cluster-objects";

/// Default of `--namespace-prefix`.
pub const DEFAULT_PREFIX: &str = "verdikt";

/// Longest name of a namespace, a DNS label.
const MAX_NAME: usize = 63;

/// What a run owns: its id, and everything that is derived from it.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The run.
    pub run: RunId,
    /// Prefix of namespaces.
    pub prefix: String,
    /// Who started it, for the label.
    pub user: String,
    /// When, RFC 3339.
    pub started: String,
}

impl Scope {
    /// A scope for a new run by the current user.
    pub fn new(prefix: &str) -> Self {
        // A pod has no user, but a name.
        let user = ["USER", "LOGNAME", "HOSTNAME"]
            .iter()
            .find_map(|v| std::env::var(v).ok())
            .filter(|u| !u.is_empty());
        Self {
            run: RunId::generate(),
            prefix: prefix.into(),
            user: user.unwrap_or_else(|| "unknown".into()),
            started: jiff::Timestamp::now().to_string(),
        }
    }

    /// Labels of every object of the run.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let started: String = self.started.chars().take_while(|c| *c != '.').collect();
        let started = format!("{}Z", started.trim_end_matches('Z').replace(':', "-"));
        [(RUN_LABEL, self.run.to_string()), (USER_LABEL, label_value(&self.user)), (STARTED_LABEL, started)]
            .map(|(key, value)| (key.to_owned(), value))
            .into()
    }

    /// The n-th lane's id: the run's id and a number in base 36, as `k3f9q0x1`.
    pub fn lane(&self, n: u32) -> String {
        let digits = base36(u64::from(n), 4);
        let digits = digits.trim_start_matches('0');
        format!("{}{}", self.run, if digits.is_empty() { "0" } else { digits })
    }

    /// Real name of a namespace: `<prefix>-<lane>-<logical>`, shortened with a hash when it is too long.
    pub fn namespace(&self, lane: &str, logical: &str) -> String {
        let name = format!("{}-{lane}-{logical}", self.prefix);
        if name.len() <= MAX_NAME {
            return name;
        }
        let keep: String = name.chars().take(MAX_NAME - 8).collect();
        format!("{}-{}", keep.trim_end_matches('-'), base36(hash(&name), 7))
    }

    /// Real name of the namespace for pods that stand for nodes and external hosts.
    pub fn hosts_namespace(&self) -> String {
        self.namespace(self.run.as_str(), "hosts")
    }
}

/// What of a text a label can hold: at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn label_value(text: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let value: String = text.chars().map(word).take(MAX_NAME).collect();
    let value = value.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if value.is_empty() { "unknown".to_owned() } else { value.to_owned() }
}

/// Logical names of a topology's namespaces and the real ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// The names of a topology in a lane.
    pub fn new(scope: &Scope, lane: &str, topology: &Topology) -> Self {
        Self(topology.namespaces.keys().map(|name| (name.clone(), scope.namespace(lane, name))).collect())
    }

    /// The real name of a logical namespace of the topology; `None` for any other.
    pub fn real(&self, logical: &str) -> Option<&str> {
        self.0.get(logical).map(String::as_str)
    }

    /// (logical, real) pairs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(logical, real)| (logical.as_str(), real.as_str()))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Names {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.map(|(l, r)| (l.to_owned(), r.to_owned())).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(prefix: &str) -> Scope {
        Scope { run: "k3f9q0x".into(), prefix: prefix.into(), user: "u".into(), started: "t".into() }
    }

    #[test]
    fn every_object_tells_run_user_and_time() {
        let scope = Scope {
            user: "DOMAIN\\jo.ö@example ".into(),
            started: "2026-01-31T23:59:59.123456789Z".into(),
            ..scope("verdikt")
        };
        let labels = scope.labels();
        assert_eq!(labels[RUN_LABEL], "k3f9q0x");
        assert_eq!(labels[USER_LABEL], "DOMAIN-jo.--example");
        assert_eq!(labels[STARTED_LABEL], "2026-01-31T23-59-59Z");
        assert_eq!(label_value("ö"), "unknown");
    }

    #[test]
    fn namespaces_are_readable() {
        let scope = scope("verdikt");
        assert_eq!(scope.namespace(&scope.lane(1), "x"), "verdikt-k3f9q0x1-x");
        assert_eq!(scope.namespace(&scope.lane(36), "x"), "verdikt-k3f9q0x10-x");
        assert_eq!(scope.lane(0), "k3f9q0x0");
        assert_eq!(scope.hosts_namespace(), "verdikt-k3f9q0x-hosts");
    }

    #[test]
    fn long_names_stay_labels_and_differ() {
        let scope = scope("a-team-with-a-long-name");
        let name = |end: &str| {
            scope.namespace("k3f9q0x1", &format!("a-namespace-with-a-very-long-logical-name-{end}"))
        };
        let (one, two) = (name("one"), name("two"));
        assert!(one.len() <= MAX_NAME && two.len() <= MAX_NAME, "{one}");
        assert_ne!(one, two);
        assert_eq!(one, name("one"));
        assert!(!one.contains("--"), "{one}");
    }
}
