//! Topologies.

use schemars::JsonSchema;

use crate::{
    decode::{Entries, Findings, FromNode, Port, raw_struct, wrong_type},
    span::At,
    yaml::{Kind, Node, Value},
};

raw_struct! {
    /// What stands in the cluster before the first step.
    #[schemars(rename = "TopologySpec")]
    RawTopology, "a topology" {
        /// Namespaces by logical name. The cluster sees other names; selectors on `kubernetes.io/metadata.name` are rewritten.
        namespaces: Entries<Option<RawNamespace>> = "namespaces",
        /// What every pod listens on unless it says otherwise; by default 80/tcp.
        serve: Option<RawServe> = "serve",
        /// Endpoints that are no pods and take part: dns, external, external/2, node/1, node/2.
        #[schemars(default)]
        endpoints: Entries<Option<RawEndpoint>> = "endpoints",
    }
}

raw_struct! {
    /// One namespace.
    #[schemars(rename = "Namespace")]
    RawNamespace, "a namespace" {
        /// Labels besides `kubernetes.io/metadata.name`.
        #[schemars(default)]
        labels: Entries<At<String>> = "labels",
        /// Pods by logical name.
        #[schemars(default)]
        pods: Entries<Option<RawPod>> = "pods",
        /// Services by name.
        #[schemars(default)]
        services: Entries<RawService> = "services",
    }
}

raw_struct! {
    /// One pod.
    #[schemars(rename = "Pod")]
    RawPod, "a pod" {
        /// Labels.
        #[schemars(default)]
        labels: Entries<At<String>> = "labels",
        /// What it listens on, instead of the topology's `serve`.
        serve: Option<RawServe> = "serve",
        /// Where it runs: 1, 2, "same-as NAMESPACE/POD" or "other-than NAMESPACE/POD".
        node: Option<RawPlacement> = "node",
        /// Whether it uses its node's network (false by default).
        host_network: Option<At<bool>> = "hostNetwork",
        /// Whether its processes are root; only with hostNetwork.
        root: Option<At<bool>> = "root",
        /// Whether it is not there before a step starts it.
        late: Option<At<bool>> = "late",
        /// When a step starts it, it is made again until it has the address that this pod, which has ended, had.
        address_of: Option<At<String>> = "addressOf",
        /// For how many seconds it goes on serving once it has been told to end (0 by default).
        linger: Option<At<u16>> = "linger",
        /// What a sidecar of it, an init container with restartPolicy Always, listens on.
        sidecar: Option<RawServe> = "sidecar",
    }
}

raw_struct! {
    /// Ports on which an endpoint listens.
    #[schemars(rename = "Serve")]
    RawServe, "serve" {
        /// TCP ports.
        #[schemars(default)]
        tcp: Vec<At<Port>> = "tcp",
        /// UDP ports.
        #[schemars(default)]
        udp: Vec<At<Port>> = "udp",
        /// SCTP ports.
        #[schemars(default)]
        sctp: Vec<At<Port>> = "sctp",
        /// TCP ports that speak HTTP; they have no cells, and `http` checks ask them.
        #[schemars(default)]
        http: Vec<At<Port>> = "http",
        /// Whether ICMP echo is probed (false by default).
        icmp: Option<At<bool>> = "icmp",
        /// Named container ports, `NAME: PORT/PROTOCOL`; each must be served.
        #[schemars(default)]
        names: Entries<At<String>> = "names",
    }
}

raw_struct! {
    /// One Service.
    #[schemars(rename = "Service")]
    RawService, "a service" {
        /// Labels of the pods behind it.
        #[schemars(default)]
        selector: Entries<At<String>> = "selector",
        /// Pods behind it, `NAMESPACE/POD`, by an EndpointSlice instead of a selector.
        #[schemars(default)]
        pods: Vec<At<String>> = "pods",
        /// It is only another name of this Service, `NAMESPACE/SERVICE`.
        external_name: Option<At<String>> = "externalName",
        /// Its ports; an external name has those of its Service.
        #[schemars(default)]
        ports: Vec<RawServicePort> = "ports",
        /// No virtual address: its name resolves to the pods' addresses.
        headless: Option<At<bool>> = "headless",
        /// A port on every node.
        node_port: Option<At<bool>> = "nodePort",
        /// Cluster (default) or Local; only with nodePort.
        external_traffic_policy: Option<At<String>> = "externalTrafficPolicy",
        /// Paths over which it is probed: cluster-ip, dns, headless, node-port, other-node-port.
        via: Option<Vec<At<String>>> = "via",
    }
}

raw_struct! {
    /// One port of a Service.
    #[schemars(rename = "ServicePort")]
    RawServicePort, "a service port" {
        /// The Service's port.
        port: At<Port> = "port",
        /// The pods' port, by number or name; the Service's by default.
        target_port: Option<RawTargetPort> = "targetPort",
        /// TCP (default), UDP or SCTP.
        protocol: Option<At<String>> = "protocol",
    }
}

raw_struct! {
    /// An endpoint that is no pod.
    #[schemars(rename = "Endpoint")]
    RawEndpoint, "an endpoint" {
        /// What it listens on: for an external host the topology's by default, for a node nothing; not for dns.
        serve: Option<RawServe> = "serve",
    }
}

/// Where a pod runs.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(rename = "Placement", untagged)]
pub(crate) enum RawPlacement {
    /// The n-th node, counted from 1.
    Number(At<u16>),
    /// `same-as NAMESPACE/POD` or `other-than NAMESPACE/POD`.
    Relative(At<String>),
}

impl FromNode for RawPlacement {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        match node.value {
            Value::Scalar(_, Kind::Int) => At::from_node(node, findings).map(Self::Number),
            Value::Scalar(_, Kind::Str) => At::from_node(node, findings).map(Self::Relative),
            _ => wrong_type(
                node,
                "a node number, \"same-as NAMESPACE/POD\" or \"other-than NAMESPACE/POD\"",
                findings,
            ),
        }
    }
}

/// A pod's port behind a Service port.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(rename = "TargetPort", untagged)]
pub(crate) enum RawTargetPort {
    /// By number.
    Number(At<Port>),
    /// By name.
    Name(At<String>),
}

impl FromNode for RawTargetPort {
    fn from_node(node: &Node, findings: &mut Findings) -> Option<Self> {
        match node.value {
            Value::Scalar(_, Kind::Int) => At::from_node(node, findings).map(Self::Number),
            Value::Scalar(_, Kind::Str | Kind::Letter) => At::from_node(node, findings).map(Self::Name),
            _ => wrong_type(node, "a port number or the name of a port", findings),
        }
    }
}
