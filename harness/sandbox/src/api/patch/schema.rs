//! How lists and maps of the API's objects are merged. Whatever is not named here is replaced as a whole.

use serde_json::Value;

/// How a list is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListKind {
    /// Replaced as a whole.
    Atomic,
    /// Items are values, each at most once.
    Set,
    /// Items are objects told apart by these fields; strategic merge uses the first alone.
    Map(&'static [&'static str]),
}

/// How the list at a path is merged; the path holds field names only, from the root.
pub(super) fn list_kind(path: &[&str]) -> ListKind {
    use ListKind::{Atomic, Map, Set};
    match path {
        ["metadata", "finalizers"] => Set,
        ["metadata", "ownerReferences"] => Map(&["uid"]),
        ["spec", "finalizers"] => Atomic,
        ["spec", "containers" | "initContainers" | "ephemeralContainers", rest @ ..] => match rest {
            [] | ["env"] => Map(&["name"]),
            ["ports"] => Map(&["containerPort", "protocol"]),
            ["volumeMounts"] => Map(&["mountPath"]),
            ["volumeDevices"] => Map(&["devicePath"]),
            _ => Atomic,
        },
        ["spec", "volumes" | "imagePullSecrets"] | ["imagePullSecrets" | "secrets"] => Map(&["name"]),
        ["spec", "hostAliases"] => Map(&["ip"]),
        ["spec", "topologySpreadConstraints"] => Map(&["topologyKey", "whenUnsatisfiable"]),
        // Only a Service has ports in its spec.
        ["spec", "ports"] => Map(&["port", "protocol"]),
        ["spec", "podCIDRs"] => Set,
        ["status", "conditions" | "addresses"] => Map(&["type"]),
        ["status", "podIPs" | "hostIPs"] => Map(&["ip"]),
        _ => Atomic,
    }
}

/// Whether the object at a path belongs to one field manager as a whole.
pub(super) fn is_atomic_map(path: &[&str]) -> bool {
    matches!(
        path.last(),
        Some(
            &("selector"
                | "podSelector"
                | "namespaceSelector"
                | "nodeSelector"
                | "labelSelector"
                | "fieldRef")
        )
    )
}

/// A field of a list's item that tells items apart, with the API's default.
pub(super) fn key_of(item: &Value, key: &str) -> Value {
    match item.get(key) {
        Some(value) => value.clone(),
        None if key == "protocol" => "TCP".into(),
        None => Value::Null,
    }
}
