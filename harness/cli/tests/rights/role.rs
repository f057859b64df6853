//! A ClusterRole, read from the very text that `verdikt doctor --print-rbac` prints.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};

/// What may be done to what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deed {
    pub group: String,
    /// With the subresource: `pods/exec`.
    pub resource: String,
    pub name: Option<String>,
    pub verb: String,
}

/// A role that can be asked.
#[derive(Debug, Clone)]
pub(crate) struct Role(pub Vec<PolicyRule>);

impl Role {
    /// From YAML of several documents.
    pub(crate) fn parse(yaml: &str) -> Self {
        let role = yaml.split("\n---\n").find(|document| document.contains("\nkind: ClusterRole\n"));
        let role: ClusterRole =
            serde_yaml::from_str(role.expect("there is a ClusterRole")).expect("it is one");
        Self(role.rules.expect("it has rules"))
    }

    pub(crate) fn allows(&self, deed: &Deed) -> bool {
        let has = |list: &Option<Vec<String>>, word: &str| list.iter().flatten().any(|have| have == word);
        self.0.iter().any(|rule| {
            let named = rule.resource_names.as_ref().is_none_or(|names| {
                names.is_empty() || deed.name.as_ref().is_some_and(|name| names.contains(name))
            });
            has(&rule.api_groups, &deed.group)
                && has(&rule.resources, &deed.resource)
                && rule.verbs.contains(&deed.verb)
                && named
        })
    }

    /// Without a verb on a resource.
    pub(crate) fn without(&self, group: &str, resource: &str, verb: &str) -> Self {
        let mut rules = self.0.clone();
        for rule in &mut rules {
            let is = |list: &Option<Vec<String>>, word: &str| list.iter().flatten().any(|have| have == word);
            if is(&rule.api_groups, group) && is(&rule.resources, resource) {
                rule.verbs.retain(|have| have != verb);
            }
        }
        Self(rules)
    }

    /// Every (group, resource, verb) in it.
    pub(crate) fn all(&self) -> BTreeSet<(String, String, String)> {
        let mut all = BTreeSet::new();
        for rule in &self.0 {
            for group in rule.api_groups.iter().flatten() {
                for resource in rule.resources.iter().flatten() {
                    for verb in &rule.verbs {
                        all.insert((group.clone(), resource.clone(), verb.clone()));
                    }
                }
            }
        }
        all
    }
}
