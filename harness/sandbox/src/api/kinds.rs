//! The resources that the server knows, and what there is to say about each.

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub(crate) enum Kind {
    /// v1 Namespace
    Namespace,
    /// v1 Node
    Node,
    /// v1 Pod
    Pod,
    /// v1 Service
    Service,
    /// v1 ConfigMap
    ConfigMap,
    /// v1 Event
    Event,
    /// v1 ServiceAccount
    ServiceAccount,
    /// discovery.k8s.io/v1 EndpointSlice
    EndpointSlice,
    /// networking.k8s.io/v1 NetworkPolicy
    NetworkPolicy,
    /// networking.k8s.io/v1 ServiceCIDR
    ServiceCIDR,
}

/// What there is to say about a kind.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Which kind.
    pub(crate) id: Kind,
    /// API group; empty for the core group.
    pub(crate) group: &'static str,
    /// `Pod`
    pub(crate) kind: &'static str,
    /// `pods`
    pub(crate) plural: &'static str,
    /// `pod`
    pub(crate) singular: &'static str,
    /// `po`
    pub(crate) short: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub(crate) namespaced: bool,
    /// Whether `kubectl get all` shows it.
    pub(crate) in_all: bool,
    /// Subresources with their kinds and verbs.
    pub(crate) subresources: &'static [Subresource],
}

/// A subresource, for discovery.
#[derive(Debug)]
pub(crate) struct Subresource {
    /// `status`
    pub(crate) name: &'static str,
    /// Kind that it takes or answers.
    pub(crate) kind: &'static str,
    /// Verbs.
    pub(crate) verbs: &'static [&'static str],
}

/// Every resource has the same verbs.
pub(crate) const VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Version of every group here.
pub(crate) const VERSION: &str = "v1";

const STATUS: &[&str] = &["get", "patch", "update"];

macro_rules! kind {
    ($id:ident $group:literal $plural:literal $singular:literal $short:expr, $namespaced:literal, $all:literal, [$($sub:literal $kind:literal $verbs:expr),*]) => {
        Facts {
            id: Kind::$id, group: $group, kind: stringify!($id), plural: $plural, singular: $singular, short: $short,
            namespaced: $namespaced, in_all: $all,
            subresources: &[$(Subresource { name: $sub, kind: $kind, verbs: $verbs }),*],
        }
    };
}

/// All kinds, in the order of [`Kind`].
pub(crate) static KINDS: [Facts; 10] = [
    kind!(Namespace "" "namespaces" "namespace" &["ns"], false, false,
        ["status" "Namespace" STATUS, "finalize" "Namespace" &["update"]]),
    kind!(Node "" "nodes" "node" &["no"], false, false, ["status" "Node" STATUS]),
    kind!(Pod "" "pods" "pod" &["po"], true, true,
        ["status" "Pod" STATUS, "exec" "PodExecOptions" &["create", "get"], "log" "Pod" &["get"]]),
    kind!(Service "" "services" "service" &["svc"], true, true, ["status" "Service" STATUS]),
    kind!(ConfigMap "" "configmaps" "configmap" &["cm"], true, false, []),
    kind!(Event "" "events" "event" &["ev"], true, false, []),
    kind!(ServiceAccount "" "serviceaccounts" "serviceaccount" &["sa"], true, false, []),
    kind!(EndpointSlice "discovery.k8s.io" "endpointslices" "endpointslice" &[], true, false, []),
    kind!(NetworkPolicy "networking.k8s.io" "networkpolicies" "networkpolicy" &["netpol"], true, false, []),
    kind!(ServiceCIDR "networking.k8s.io" "servicecidrs" "servicecidr" &[], false, false, []),
];

impl Kind {
    /// What there is to say about it.
    pub(crate) fn facts(self) -> &'static Facts {
        &KINDS[self as usize]
    }
}

impl Facts {
    /// The kind that a path names.
    pub(crate) fn of(group: &str, plural: &str) -> Option<&'static Self> {
        KINDS.iter().find(|f| f.group == group && f.plural == plural)
    }

    /// `v1` or `networking.k8s.io/v1`
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { VERSION.to_owned() } else { format!("{}/{VERSION}", self.group) }
    }

    /// `pods` or `networkpolicies.networking.k8s.io`
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether it has a subresource of that name.
    pub(crate) fn has(&self, subresource: &str) -> bool {
        self.subresources.iter().any(|s| s.name == subresource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (i, facts) in KINDS.iter().enumerate() {
            assert_eq!(facts.id as usize, i);
        }
    }
}
