//! What verdikt asks of a cluster's authorisation: the one table from which `doctor`, `run` and `--print-rbac` are fed.

use crate::policy_kinds::POLICY_KINDS;

/// Some verbs on one resource, and what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resource, with its subresource: `pods/exec`.
    pub resource: &'static str,
    /// Only these objects; empty for all.
    pub names: &'static [&'static str],
    /// Verbs of the API.
    pub verbs: &'static [&'static str],
    /// Where it must hold.
    pub place: Place,
    /// What it is for.
    pub why: &'static str,
    /// What is lost without it; `None` for a right without which nothing works.
    pub lost: Option<&'static str>,
}

/// Where a right must hold. Names of verdikt's namespaces are not known before a run, so that a ClusterRole is
/// needed for all of them; but who grants by patterns of names may leave the others out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Everywhere, or for objects that have no namespace.
    Cluster,
    /// In verdikt's own namespaces.
    Own,
    /// In kube-system.
    KubeSystem,
}

/// All of them. A test runs the catalogue with exactly these, and sees that each is used.
pub const RIGHTS: [Right; 15] = [
    need(
        "",
        "namespaces",
        &["create", "delete", "get", "list", "patch"],
        Place::Cluster,
        "disposable namespaces are made, labelled by steps, found again by their label, and removed",
    ),
    need("", "nodes", &["list"], Place::Cluster, "addresses, placement and IP families"),
    need(
        "",
        "pods",
        &["list", "watch"],
        Place::Cluster,
        "one watch over a label waits for the probe pods of all namespaces; the pods of the cluster's DNS",
    ),
    need(
        "",
        "pods",
        &["create", "delete", "get", "patch"],
        Place::Own,
        "probe pods are made, labelled by steps, and removed",
    ),
    need(
        "",
        "pods/exec",
        &["create", "get"],
        Place::Own,
        "sessions with the probe pods' agents: a websocket is opened by GET, and Kubernetes 1.35 and later ask for \
         create as well",
    ),
    need(
        "",
        "services",
        &["create", "get"],
        Place::Own,
        "Services of scenarios; the address of the cluster's DNS",
    ),
    need(
        "discovery.k8s.io",
        "endpointslices",
        &["create", "patch"],
        Place::Own,
        "pods behind Services that have no selector, as they come and go",
    ),
    need(
        "networking.k8s.io",
        "networkpolicies",
        &["create", "delete", "get", "update"],
        Place::Own,
        "the policies under test",
    ),
    Right {
        group: "",
        resource: "events",
        names: &[],
        verbs: &["list"],
        place: Place::Own,
        why: "why a probe pod does not start",
        lost: Some("why a pod does not start is told by its status only"),
    },
    Right {
        group: "apps",
        resource: "daemonsets",
        names: &[],
        verbs: &["list"],
        place: Place::Cluster,
        why: "name and version of the dataplane",
        lost: Some("the dataplane is told from its marks on nodes only, and without its version"),
    },
    Right {
        group: "",
        resource: "configmaps",
        names: &["antrea-config", "cilium-config", "kube-proxy", "kube-proxy-config"],
        verbs: &["get"],
        place: Place::KubeSystem,
        why: "mode of the dataplane and of kube-proxy",
        lost: Some("the modes of Cilium, Antrea and kube-proxy stay unknown"),
    },
    Right {
        group: "networking.k8s.io",
        resource: "servicecidrs",
        names: &[],
        verbs: &["list"],
        place: Place::Cluster,
        why: "the value of ${cluster.serviceCIDR}",
        lost: Some(
            "${cluster.serviceCIDR} comes from the arguments of the API server's pod, or is not known",
        ),
    },
    Right {
        group: "crd.projectcalico.org",
        resource: "felixconfigurations",
        names: &["default"],
        verbs: &["get"],
        place: Place::Cluster,
        why: "Calico's mode",
        lost: Some("Calico's mode is told from its DaemonSet only"),
    },
    Right {
        group: "crd.projectcalico.org",
        resource: "clusterinformations",
        names: &["default"],
        verbs: &["get"],
        place: Place::Cluster,
        why: "Calico's version",
        lost: Some("Calico's version is told from its DaemonSet only"),
    },
    Right {
        group: "cilium.io",
        resource: "ciliumendpoints",
        names: &[],
        verbs: &["list"],
        place: Place::KubeSystem,
        why: "a Cilium that runs without a DaemonSet",
        lost: Some("a Cilium that runs without a DaemonSet is not found"),
    },
];

const fn need(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    place: Place,
    why: &'static str,
) -> Right {
    Right { group, resource, names: &[], verbs, place, why, lost: None }
}

impl Right {
    /// `pods/exec` or `networkpolicies.networking.k8s.io`
    pub fn qualified(&self) -> String {
        qualified(self.group, self.resource)
    }
}

fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

/// How an administrator gives the rights to whoever runs verdikt.
pub fn mend(user: Option<&str>) -> String {
    let print = "an administrator gives the rights with `verdikt doctor --print-rbac | kubectl apply -f -`";
    // What is printed is bound to this account already.
    let other = user.filter(|user| *user != "system:serviceaccount:verdikt:verdikt");
    other.map_or_else(|| print.to_owned(), |user| format!("{print} and `{}`", binding(user)))
}

/// The command that binds the role to a user.
fn binding(user: &str) -> String {
    let (word, subject) = match user.strip_prefix("system:serviceaccount:") {
        Some(account) => ("serviceaccount", account),
        None => ("user", user),
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = subject.chars().map(plain).collect();
    // Names of users may hold anything; in quotes a shell takes all but a quote as it is.
    let subject = subject.replace('\'', r"'\''");
    let simple = subject.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:@/".contains(c));
    let quote = if simple { "" } else { "'" };
    format!(
        "kubectl create clusterrolebinding verdikt-{} --clusterrole=verdikt --{word}={quote}{subject}{quote}",
        name.trim_matches('-')
    )
}

/// What the API server's authorisation refused, from its message: `User "a" cannot create resource "pods/exec" in
/// API group "" in the namespace "x"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial<'a> {
    user: &'a str,
    verb: &'a str,
    resource: &'a str,
    group: &'a str,
}

impl<'a> Denial<'a> {
    /// Reads it; `None` for what is refused for another reason, such as Pod Security or a quota.
    pub(crate) fn read(message: &'a str) -> Option<Self> {
        let (before, after) = message.split_once("\" cannot ")?;
        let user = before.rsplit_once('"').map_or(before, |(_, user)| user);
        let (verb, rest) = after.split_once(" resource \"").or_else(|| after.split_once(" path \""))?;
        let (resource, rest) = rest.split_once('"')?;
        let group =
            rest.split_once("in API group \"").and_then(|(_, g)| g.split_once('"')).map_or("", |g| g.0);
        Some(Self { user, verb, resource, group })
    }

    /// Who grants what, and how.
    pub(crate) fn mend(&self) -> String {
        let same = |right: &&Right| right.group == self.group && right.resource == self.resource;
        if RIGHTS.iter().filter(same).any(|right| right.verbs.contains(&self.verb)) {
            return mend(Some(self.user));
        }
        let right = format!("{} {}", self.verb, qualified(self.group, self.resource));
        if POLICY_KINDS.iter().any(|kind| kind.group == self.group && kind.plural == self.resource) {
            return format!(
                "only scenarios with such objects need {right}: `verdikt doctor --print-rbac --with-crds` has it"
            );
        }
        format!("only what this run was asked for needs {right}: add it to the ClusterRole verdikt")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXEC: &str = r#"pods "a" is forbidden: User "system:serviceaccount:ci:bot" cannot create resource "pods/exec" in API group "" in the namespace "x""#;

    #[test]
    fn a_refusal_names_the_right_and_its_mend() {
        let denial = Denial::read(EXEC).unwrap();
        assert_eq!((denial.verb, denial.resource, denial.group), ("create", "pods/exec", ""));
        assert_eq!(
            denial.mend(),
            "an administrator gives the rights with `verdikt doctor --print-rbac | kubectl apply -f -` and \
             `kubectl create clusterrolebinding verdikt-ci-bot --clusterrole=verdikt --serviceaccount=ci:bot`"
        );
    }

    #[test]
    fn rights_that_only_a_scenario_needs_are_told_apart() {
        let of = |verb: &str, resource: &str, group: &str| {
            let message = format!(
                r#"x is forbidden: User "jo" cannot {verb} resource "{resource}" in API group "{group}" at the cluster scope"#
            );
            Denial::read(&message).unwrap().mend()
        };
        assert!(of("create", "ciliumnetworkpolicies", "cilium.io").contains("--with-crds"));
        assert!(
            of("create", "widgets", "example.org")
                .contains("create widgets.example.org: add it to the ClusterRole")
        );
        // A right on a known resource that the table does not have.
        assert!(of("deletecollection", "pods", "").contains("add it"));
    }

    #[test]
    fn other_refusals_are_no_matter_of_rights() {
        for message in [
            r#"pods "a" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false"#,
            r#"pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5"#,
            r#"admission webhook "w" denied the request: no"#,
        ] {
            assert_eq!(Denial::read(message), None, "{message}");
        }
    }

    #[test]
    fn users_with_odd_names_are_quoted() {
        assert!(binding("O'Neil Ann").contains(r"--user='O'\''Neil Ann'"));
        assert!(binding("ann@example.org").contains("verdikt-ann-example-org"));
    }

    #[test]
    fn no_right_is_listed_twice() {
        for (index, right) in RIGHTS.iter().enumerate() {
            for other in &RIGHTS[..index] {
                let same = right.group == other.group && right.resource == other.resource;
                assert!(!same || right.verbs.iter().all(|verb| !other.verbs.contains(verb)), "{right:?}");
            }
        }
    }
}
