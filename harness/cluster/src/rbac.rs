//! The ClusterRole that verdikt needs, as YAML for `kubectl apply`.

use std::fmt::Write;

use crate::{
    policy_kinds::POLICY_KINDS,
    rights::{RIGHTS, Right},
};

const HEAD: &str = "\
# The least rights with which verdikt works, for `kubectl apply -f -`. Rules that are marked optional may be taken out.
#
# They are bound to the service account verdikt/verdikt, with which verdikt can run in the cluster (--in-cluster).
# For somebody else:
#   kubectl create clusterrolebinding verdikt-ann --clusterrole=verdikt --user=ann
# What every authenticated user may do by default is not listed: discovery, and asking for one's own rights.
";

const ACCOUNT: &str = "\
---
apiVersion: v1
kind: Namespace
metadata:
  name: verdikt
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: verdikt
  namespace: verdikt
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: verdikt
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: verdikt
subjects:
  - kind: ServiceAccount
    name: verdikt
    namespace: verdikt
";

/// Role, service account and binding. With `policy_kinds` the role also has what scenarios with policies of
/// dataplanes' own kinds need, which act beyond verdikt's namespaces.
pub fn rbac(policy_kinds: bool) -> String {
    let mut yaml = HEAD.to_owned();
    yaml.push_str("---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n");
    yaml.push_str("metadata:\n  name: verdikt\nrules:\n");
    for right in &RIGHTS {
        rule(&mut yaml, right);
    }
    if policy_kinds {
        let mut groups: Vec<&str> = POLICY_KINDS.iter().map(|kind| kind.group).collect();
        groups.dedup();
        for group in groups {
            let plurals: Vec<&str> =
                POLICY_KINDS.iter().filter(|kind| kind.group == group).map(|kind| kind.plural).collect();
            let verbs = ["create", "delete", "get", "update"];
            entry(&mut yaml, "policies of scenarios that have them", group, &plurals, &[], &verbs);
        }
    }
    yaml.push_str(ACCOUNT);
    yaml
}

fn rule(yaml: &mut String, right: &Right) {
    let comment = match right.lost {
        None => right.why.to_owned(),
        Some(lost) => format!("optional, for {}; without it {lost}", right.why),
    };
    entry(yaml, &comment, right.group, &[right.resource], right.names, right.verbs);
}

fn entry(yaml: &mut String, comment: &str, group: &str, resources: &[&str], names: &[&str], verbs: &[&str]) {
    let list = |words: &[&str]| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    // Writing to a string does not fail.
    let _ = writeln!(yaml, "  # {comment}");
    let _ = writeln!(yaml, "  - apiGroups: [{}]", list(&[group]));
    let _ = writeln!(yaml, "    resources: [{}]", list(resources));
    if !names.is_empty() {
        let _ = writeln!(yaml, "    resourceNames: [{}]", list(names));
    }
    let _ = writeln!(yaml, "    verbs: [{}]", list(verbs));
}
