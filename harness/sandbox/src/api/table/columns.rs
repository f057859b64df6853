//! Columns of each kind's table.

use crate::api::kinds::Kind;

/// A column.
pub(super) struct Column {
    /// Heading.
    pub(super) name: &'static str,
    /// `string` or `integer`
    pub(super) kind: &'static str,
    /// 0 is always shown, 1 with `-o wide`.
    pub(super) priority: u8,
}

macro_rules! columns {
    ($($name:literal $kind:ident $priority:literal),+) => {
        &[$(Column { name: $name, kind: stringify!($kind), priority: $priority }),+]
    };
}

/// The columns of a kind, in the order of its cells.
pub(super) fn of(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Namespace => columns!["Name" string 0, "Status" string 0, "Age" string 0],
        Kind::Node => columns![
            "Name" string 0, "Status" string 0, "Roles" string 0, "Age" string 0, "Version" string 0,
            "Internal-IP" string 1, "External-IP" string 1, "OS-Image" string 1, "Kernel-Version" string 1,
            "Container-Runtime" string 1
        ],
        Kind::Pod => columns![
            "Name" string 0, "Ready" string 0, "Status" string 0, "Restarts" string 0, "Age" string 0,
            "IP" string 1, "Node" string 1, "Nominated Node" string 1, "Readiness Gates" string 1
        ],
        Kind::Service => columns![
            "Name" string 0, "Type" string 0, "Cluster-IP" string 0, "External-IP" string 0, "Port(s)" string 0,
            "Age" string 0, "Selector" string 1
        ],
        Kind::ConfigMap => columns!["Name" string 0, "Data" integer 0, "Age" string 0],
        Kind::Event => columns![
            "Last Seen" string 0, "Type" string 0, "Reason" string 0, "Object" string 0, "Subobject" string 1,
            "Source" string 1, "Message" string 0, "First Seen" string 1, "Count" integer 1, "Name" string 1
        ],
        Kind::ServiceAccount => columns!["Name" string 0, "Age" string 0],
        Kind::EndpointSlice => columns![
            "Name" string 0, "AddressType" string 0, "Ports" string 0, "Endpoints" string 0, "Age" string 0
        ],
        Kind::NetworkPolicy => columns!["Name" string 0, "Pod-Selector" string 0, "Age" string 0],
        Kind::ServiceCIDR => columns!["Name" string 0, "CIDRs" string 0, "Age" string 0],
    }
}
