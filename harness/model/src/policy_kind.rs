//! Which kinds of object a scenario may apply: policies.

/// Whether objects of a kind have a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// They do.
    Namespaced,
    /// They act on the whole cluster.
    Cluster,
}

/// What a kind is to a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A policy, or what policies refer to: it may be applied.
    Policy(Scope),
    /// A custom resource that is not a policy as far as verdikt knows: applied only where the user names it.
    Other,
    /// Of a group that is part of every API server, where an object can grant rights, run programs or open a cluster to the
    /// outside: never applied.
    BuiltIn,
}

use Scope::{Cluster, Namespaced};

/// Policy kinds by API group. Sources: the projects' CustomResourceDefinitions.
const POLICIES: &[(&str, &[(&str, Scope)])] = &[
    ("networking.k8s.io", &[("NetworkPolicy", Namespaced)]),
    (
        "policy.networking.k8s.io",
        &[
            ("AdminNetworkPolicy", Cluster),
            ("BaselineAdminNetworkPolicy", Cluster),
            ("ClusterNetworkPolicy", Cluster),
        ],
    ),
    ("crd.projectcalico.org", CALICO),
    ("projectcalico.org", CALICO),
    (
        "cilium.io",
        &[
            ("CiliumNetworkPolicy", Namespaced),
            ("CiliumClusterwideNetworkPolicy", Cluster),
            ("CiliumCIDRGroup", Cluster),
        ],
    ),
    (
        "crd.antrea.io",
        &[
            ("NetworkPolicy", Namespaced),
            ("ClusterNetworkPolicy", Cluster),
            ("Tier", Cluster),
            ("Group", Namespaced),
            ("ClusterGroup", Cluster),
        ],
    ),
    (
        "security.istio.io",
        &[
            ("AuthorizationPolicy", Namespaced),
            ("PeerAuthentication", Namespaced),
            ("RequestAuthentication", Namespaced),
        ],
    ),
    (
        "policy.linkerd.io",
        &[
            ("AuthorizationPolicy", Namespaced),
            ("MeshTLSAuthentication", Namespaced),
            ("NetworkAuthentication", Namespaced),
            ("Server", Namespaced),
            ("ServerAuthorization", Namespaced),
        ],
    ),
];

const CALICO: &[(&str, Scope)] = &[
    ("NetworkPolicy", Namespaced),
    ("GlobalNetworkPolicy", Cluster),
    ("StagedNetworkPolicy", Namespaced),
    ("StagedGlobalNetworkPolicy", Cluster),
    ("StagedKubernetesNetworkPolicy", Namespaced),
    ("NetworkSet", Namespaced),
    ("GlobalNetworkSet", Cluster),
    ("Tier", Cluster),
];

/// Groups under `k8s.io` whose kinds are custom resources: whoever installs them adds them to an API server.
const ADDED: [&str; 2] = ["policy.networking.k8s.io", "gateway.networking.k8s.io"];

/// What a kind of an API group (`""` for the core group) is to a scenario.
pub fn standing(group: &str, kind: &str) -> Standing {
    let kinds = POLICIES.iter().find(|(of, _)| *of == group).map_or(&[][..], |(_, kinds)| kinds);
    if let Some((_, scope)) = kinds.iter().find(|(of, _)| *of == kind) {
        return Standing::Policy(*scope);
    }
    // Kubernetes keeps `k8s.io` and names without a dot for itself (KEP 1111); .
    let own = !group.contains('.') || group.ends_with(".k8s.io");
    if own && !ADDED.contains(&group) { Standing::BuiltIn } else { Standing::Other }
}

/// A kind as a user names it: `HTTPRoute.gateway.networking.k8s.io`, of `apiVersion` and `kind`.
pub fn kind_name(api_version: &str, kind: &str) -> String {
    match api_version.split_once('/') {
        Some((group, _)) => format!("{kind}.{group}"),
        None => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_known_with_their_scope() {
        for (group, kind, scope) in [
            ("networking.k8s.io", "NetworkPolicy", Namespaced),
            ("policy.networking.k8s.io", "ClusterNetworkPolicy", Cluster),
            ("cilium.io", "CiliumNetworkPolicy", Namespaced),
            ("projectcalico.org", "GlobalNetworkPolicy", Cluster),
        ] {
            assert_eq!(standing(group, kind), Standing::Policy(scope), "{kind}.{group}");
        }
    }

    #[test]
    fn built_in_groups_are_closed_but_for_policies() {
        for (group, kind) in [
            ("", "Secret"),
            ("apps", "Deployment"),
            ("batch", "Job"),
            ("policy", "PodDisruptionBudget"),
            ("networking.k8s.io", "Ingress"),
            ("rbac.authorization.k8s.io", "RoleBinding"),
            ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
            ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ] {
            assert_eq!(standing(group, kind), Standing::BuiltIn, "{kind}.{group}");
        }
    }

    #[test]
    fn other_custom_resources_need_a_word_of_the_user() {
        for (group, kind) in [
            ("tekton.dev", "TaskRun"),
            ("gateway.networking.k8s.io", "HTTPRoute"),
            ("cilium.io", "CiliumEgressGatewayPolicy"),
            ("multicluster.x-k8s.io", "ServiceImport"),
        ] {
            assert_eq!(standing(group, kind), Standing::Other, "{kind}.{group}");
        }
        assert_eq!(kind_name("tekton.dev/v1", "TaskRun"), "TaskRun.tekton.dev");
    }
}
