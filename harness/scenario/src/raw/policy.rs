//! NetworkPolicy, strictly: the API's own deserialiser passes over unknown fields.

use crate::{
    decode::{Entries, Findings, FromNode, Ignored, Port, strict_struct, wrong_type},
    span::{At, Span},
    yaml::{Kind, Node, Value},
};

strict_struct! {
    /// A NetworkPolicy.
    RawNetworkPolicy, "a NetworkPolicy" {
        #[expect(dead_code, reason = "told apart before the object is decoded; here for strictness")]
        api_version: At<String> = "apiVersion",
        kind: At<String> = "kind",
        metadata: RawObjectMeta = "metadata",
        spec: Option<RawPolicySpec> = "spec",
        status: Option<Ignored> = "status",
    }
}

strict_struct! {
    /// Metadata of an object; what only a server sets is read over.
    RawObjectMeta, "metadata" {
        name: At<String> = "name",
        namespace: Option<At<String>> = "namespace",
        labels: Entries<At<String>> = "labels",
        annotations: Entries<At<String>> = "annotations",
        creation_timestamp: Option<Ignored> = "creationTimestamp",
        deletion_grace_period: Option<Ignored> = "deletionGracePeriodSeconds",
        deletion_timestamp: Option<Ignored> = "deletionTimestamp",
        finalizers: Option<Ignored> = "finalizers",
        generate_name: Option<Ignored> = "generateName",
        generation: Option<Ignored> = "generation",
        managed_fields: Option<Ignored> = "managedFields",
        owner_references: Option<Ignored> = "ownerReferences",
        resource_version: Option<Ignored> = "resourceVersion",
        self_link: Option<Ignored> = "selfLink",
        uid: Option<Ignored> = "uid",
    }
}

strict_struct! {
    /// A NetworkPolicy's spec.
    RawPolicySpec, "a NetworkPolicy's spec" {
        pod_selector: Option<RawSelector> = "podSelector",
        policy_types: Option<Vec<At<String>>> = "policyTypes",
        ingress: Option<Vec<RawIngress>> = "ingress",
        egress: Option<Vec<RawEgress>> = "egress",
    }
}

strict_struct! {
    /// An ingress rule.
    RawIngress, "an ingress rule" {
        from: Option<Vec<RawPeer>> = "from",
        ports: Option<Vec<RawPolicyPort>> = "ports",
    }
}

strict_struct! {
    /// An egress rule.
    RawEgress, "an egress rule" {
        to: Option<Vec<RawPeer>> = "to",
        ports: Option<Vec<RawPolicyPort>> = "ports",
    }
}

/// A rule of either direction.
pub(crate) struct RawRule<'r> {
    pub(crate) peers: Option<&'r [RawPeer]>,
    pub(crate) ports: Option<&'r [RawPolicyPort]>,
}

impl RawIngress {
    pub(crate) fn rule(&self) -> RawRule<'_> {
        RawRule { peers: self.from.as_deref(), ports: self.ports.as_deref() }
    }
}

impl RawEgress {
    pub(crate) fn rule(&self) -> RawRule<'_> {
        RawRule { peers: self.to.as_deref(), ports: self.ports.as_deref() }
    }
}

strict_struct! {
    /// A peer, with the place of its fields.
    RawPeerFields, "a peer" {
        pod_selector: Option<RawSelector> = "podSelector",
        namespace_selector: Option<RawSelector> = "namespaceSelector",
        ip_block: Option<RawIpBlock> = "ipBlock",
    }
}

/// A peer and its place.
#[derive(Debug, Clone)]
pub(crate) struct RawPeer {
    pub(crate) fields: RawPeerFields,
    pub(crate) span: Span,
}

impl FromNode for RawPeer {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        let fields = RawPeerFields::from_node(node, findings)?;
        Some(Self { fields, span: node.span })
    }
}

strict_struct! {
    /// A block of addresses.
    RawIpBlock, "an ipBlock" {
        cidr: At<String> = "cidr",
        except: Option<Vec<At<String>>> = "except",
    }
}

strict_struct! {
    /// A policy port.
    RawPolicyPort, "a policy port" {
        protocol: Option<At<String>> = "protocol",
        port: Option<RawPortNumber> = "port",
        end_port: Option<At<Port>> = "endPort",
    }
}

/// A port by number or name.
#[derive(Debug, Clone)]
pub(crate) enum RawPortNumber {
    Number(At<Port>),
    Name(At<String>),
}

impl FromNode for RawPortNumber {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        match node.value {
            Value::Scalar(_, Kind::Int) => At::from_node(node, findings).map(Self::Number),
            Value::Scalar(_, Kind::Str) => At::from_node(node, findings).map(Self::Name),
            _ => wrong_type(node, "a port number or the name of a port", findings),
        }
    }
}

strict_struct! {
    /// A label selector.
    RawSelector, "a label selector" {
        match_labels: Entries<At<String>> = "matchLabels",
        match_expressions: Vec<RawRequirement> = "matchExpressions",
    }
}

strict_struct! {
    /// One requirement of a label selector.
    RawRequirement, "a label requirement" {
        key: At<String> = "key",
        operator: At<String> = "operator",
        values: Option<Vec<At<String>>> = "values",
    }
}
