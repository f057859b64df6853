//! What verdikt says to a Kubernetes API. The embedded cluster speaks the same API, so there is one path to both.
//!
//! ```text
//! Target ──► Cluster ─┬─► environment, nodes, dns, missing_rights  what is there, and what we may
//!                     ├─► deploy, deploy_node_pod, …               Topology ──► namespaces, Services, ready pods
//!                     ├─► Objects                                  policies and labels, logical names ──► real ones
//!                     ├─► Agent ──► Session ──► exec               probes ──► results, each counted
//!                     └─► delete_run, clean                        by label, until gone
//! ```

mod access;
mod agent;
mod alive;
mod answer;
mod capabilities;
mod cleanup;
mod client;
mod dataplane;
mod deploy;
mod dns;
mod environment;
mod error;
mod exec;
mod hosts;
mod id;
mod kubeconfig;
mod lifecycle;
mod mend;
mod node_state;
mod nodes;
mod objects;
mod patience;
mod pods;
mod policy_kinds;
mod rbac;
mod ready;
mod rewrite;
mod rights;
mod scope;
mod services;
mod session;
mod settings;
mod slices;
mod strict;
mod watch;

pub use access::MissingRight;
pub use agent::{Agent, Opener};
pub use alive::{Loss, ProbePodId};
pub use cleanup::CleanReport;
pub use client::{Cluster, Target};
pub use dataplane::{Networking, Proxy};
pub use deploy::{DeployedPod, DeployedService, Deployment};
pub use dns::{DNS_NAMESPACE, DnsFacts, DnsPod};
pub use error::ClusterError;
pub use hosts::{ADDRESSES_ANNOTATION, HostPod, PLACE_ANNOTATION};
pub use id::RunId;
pub use lifecycle::{First, Making};
pub use node_state::NodeState;
pub use nodes::{Node, SANDBOX_PROFILE_LABEL, SANDBOX_TRAITS_ANNOTATION};
pub use objects::{Kind, Kinds, Objects};
pub use patience::Patience;
pub use pods::{CONTAINER, DEFAULT_IMAGE, identity};
pub use policy_kinds::{POLICY_KINDS, PolicyKind};
pub use rbac::rbac;
pub use rewrite::rewrite;
pub use rights::{Place, RIGHTS, Right, mend as mend_of_rights};
pub use scope::{
    CLUSTER_OBJECTS_ANNOTATION, DEFAULT_PREFIX, LANE_LABEL, LOGICAL_ANNOTATION, Names, RUN_LABEL,
    STARTED_LABEL, Scope, USER_LABEL,
};
pub use session::{Epitaph, Hello, Session};
pub use settings::{DeployOptions, PullPolicy, PullSecret, Spread, TolerationArg};
pub use watch::{Clock, GroupReport, Watch};
