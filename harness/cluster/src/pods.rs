//! Manifests of probe pods.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, EnvVar, LocalObjectReference, Pod, PodSecurityContext,
        PodSpec, ResourceRequirements, SeccompProfile, SecurityContext, Sysctl,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use verdikt_model::{Family, PortProtocol, Protocol, Serve};

use crate::{
    lifecycle::First,
    settings::{DeployOptions, PULL_SECRET},
};

/// The probe image, unless `--image` names another. The only place that knows it.
pub const DEFAULT_IMAGE: &str = concat!("ghcr.io/verdikt/verdikt-probe:", env!("CARGO_PKG_VERSION"));

/// Name of the container in a probe pod.
pub const CONTAINER: &str = "probe";

/// Name of its sidecar, where it has one.
const SIDECAR: &str = "sidecar";

/// Name of the agent's binary in the image.
pub(crate) const BINARY: &str = "verdikt-probe";

/// User and group of a probe pod.
const USER: i64 = 65_532;

/// With what a pod's servers answer: its real name, since logical ones are the same in every lane and run.
pub fn identity(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// What differs between probe pods.
#[derive(Debug, Clone)]
pub(crate) struct ProbePod<'a> {
    /// Real namespace.
    pub(crate) namespace: String,
    /// Name.
    pub(crate) name: String,
    /// Labels, the run's included.
    pub(crate) labels: BTreeMap<String, String>,
    /// Annotations.
    pub(crate) annotations: BTreeMap<String, String>,
    /// What is the same for all of them.
    pub(crate) options: &'a DeployOptions,
    /// Ports.
    pub(crate) serve: Serve,
    /// `kubernetes.io/hostname` of the node it must run on.
    pub(crate) node: Option<String>,
    /// Whether it uses its node's network.
    pub(crate) host_network: bool,
    /// Whether its processes are root; with its node's network only.
    pub(crate) root: bool,
    /// What its sidecar listens on; it has one where this is not empty.
    pub(crate) sidecar: Serve,
    /// For how many seconds it serves on once it has been told to end.
    pub(crate) linger_s: u16,
    /// Whether it sends ICMP echo requests.
    pub(crate) pings: bool,
    /// What it tries with its first instruction.
    pub(crate) first: Vec<First>,
}

impl ProbePod<'_> {
    /// The manifest. It passes Pod Security `restricted`, unless the pod uses its node's network: there the safe
    /// sysctl for low ports is not allowed, so such a pod is root with the one capability it needs.
    ///
    /// `restartPolicy: Never`, because a server that ends must be seen (phase Failed); a restarted one would
    /// silently answer again in the middle of a measurement. No CPU limit: throttling would distort round-trip times.
    pub(crate) fn manifest(self) -> Pod {
        let identity = identity(&self.namespace, &self.name);
        let low_port = self.serve.ports.iter().any(|p| p.port < 1024);
        let as_root = self.host_network && (low_port || self.root);
        let user = if as_root { 0 } else { USER };
        let text = |quantity: &str| Quantity(quantity.to_owned());
        let mut node_selector = self.options.node_selector.clone();
        node_selector.extend(self.node.map(|node| ("kubernetes.io/hostname".to_owned(), node)));
        let tolerations = &self.options.tolerations;
        let pull_secret = self
            .options
            .pull_secret
            .as_ref()
            .map(|_| vec![LocalObjectReference { name: PULL_SECRET.to_owned() }]);
        let image = self.options.image.clone();
        let pull_policy = self.options.pull_policy.map(|policy| policy.as_str().to_owned());
        let container = |name: &str, serve: &Serve, command: Vec<String>| Container {
            name: name.into(),
            image: Some(image.clone()),
            image_pull_policy: pull_policy.clone(),
            command: Some(command),
            env: Some(vec![EnvVar {
                name: verdikt_protocol::IDENTITY_VARIABLE.into(),
                value: Some(identity.clone()),
                ..EnvVar::default()
            }]),
            ports: Some(container_ports(serve)),
            resources: Some(ResourceRequirements {
                requests: Some([("cpu".into(), text("5m")), ("memory".into(), text("16Mi"))].into()),
                limits: Some([("memory".into(), text("128Mi"))].into()),
                ..ResourceRequirements::default()
            }),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                read_only_root_filesystem: Some(true),
                run_as_non_root: Some(!as_root),
                capabilities: Some(Capabilities {
                    drop: Some(vec!["ALL".into()]),
                    add: as_root.then(|| vec!["NET_BIND_SERVICE".into()]),
                }),
                ..SecurityContext::default()
            }),
            ..Container::default()
        };
        let sysctl = |name: &str, value: &str| Sysctl { name: name.into(), value: value.into() };
        let mut sysctls = vec![sysctl("net.ipv4.ip_unprivileged_port_start", "0")];
        if self.pings {
            sysctls.push(sysctl("net.ipv4.ping_group_range", "0 2147483647"));
        }
        Pod {
            metadata: ObjectMeta {
                name: Some(self.name),
                namespace: Some(self.namespace),
                labels: Some(self.labels),
                annotations: (!self.annotations.is_empty()).then_some(self.annotations),
                ..ObjectMeta::default()
            },
            spec: Some(PodSpec {
                init_containers: (self.sidecar != Serve::default()).then(|| {
                    let mut command = command(&self.sidecar, 0, &[]);
                    // It has the pod's identity, too, and is asked for signs of life beside the main container.
                    command.push("--sidecar".to_owned());
                    let sidecar = container(SIDECAR, &self.sidecar, command);
                    vec![Container { restart_policy: Some("Always".into()), ..sidecar }]
                }),
                containers: vec![container(
                    CONTAINER,
                    &self.serve,
                    command(&self.serve, self.linger_s, &self.first),
                )],
                restart_policy: Some("Never".into()),
                termination_grace_period_seconds: Some(1),
                automount_service_account_token: Some(false),
                enable_service_links: Some(false),
                host_network: self.host_network.then_some(true),
                dns_policy: self.host_network.then(|| "ClusterFirstWithHostNet".into()),
                node_selector: (!node_selector.is_empty()).then_some(node_selector),
                tolerations: (!tolerations.is_empty()).then(|| tolerations.clone()),
                image_pull_secrets: pull_secret,
                security_context: Some(PodSecurityContext {
                    run_as_non_root: Some(!as_root),
                    run_as_user: Some(user),
                    run_as_group: Some(user),
                    seccomp_profile: Some(SeccompProfile {
                        type_: "RuntimeDefault".into(),
                        ..SeccompProfile::default()
                    }),
                    sysctls: (!self.host_network).then_some(sysctls),
                    ..PodSecurityContext::default()
                }),
                ..PodSpec::default()
            }),
            ..Pod::default()
        }
    }
}

/// `verdikt-probe serve --tcp 80,81 --udp 80`
fn command(serve: &Serve, linger_s: u16, first: &[First]) -> Vec<String> {
    let mut command = vec![BINARY.to_owned(), "serve".to_owned()];
    let mut option = |name: &str, values: Vec<String>| {
        if !values.is_empty() {
            command.extend([format!("--{name}"), values.join(",")]);
        }
    };
    for protocol in Protocol::OF_POLICIES {
        let ports = serve.ports.iter().filter(|port| port.protocol == protocol);
        option(protocol.as_str(), ports.map(|port| port.port.to_string()).collect());
    }
    option("http", serve.http.iter().map(u16::to_string).collect());
    option("linger", (linger_s > 0).then(|| format!("{linger_s}s")).into_iter().collect());
    let target = |First { identity, ip, port }: &First| {
        let address = std::net::SocketAddr::new(*ip, port.port);
        let identity = identity.as_ref().map(|identity| format!("{identity}=")).unwrap_or_default();
        format!("{identity}{address}/{}", port.protocol)
    };
    option("first", first.iter().map(target).collect());
    command
}

/// Declared ports: every named one, and the others without a name.
fn container_ports(serve: &Serve) -> Vec<ContainerPort> {
    let declare = |name: Option<&String>, port: &PortProtocol| ContainerPort {
        name: name.cloned(),
        container_port: i32::from(port.port),
        protocol: Some(port.protocol.kubernetes().to_owned()),
        ..ContainerPort::default()
    };
    let named: BTreeSet<&PortProtocol> = serve.names.values().collect();
    let http = serve.http.iter().map(|port| PortProtocol { port: *port, protocol: Protocol::Tcp });
    let all: BTreeSet<PortProtocol> =
        serve.ports.iter().copied().filter(|port| *port != PortProtocol::ICMP).chain(http).collect();
    let mut ports: Vec<ContainerPort> =
        serve.names.iter().map(|(name, port)| declare(Some(name), port)).collect();
    ports.extend(all.iter().filter(|port| !named.contains(port)).map(|port| declare(None, port)));
    ports
}

/// A pod's addresses, at most one of each family.
pub(crate) fn ips(pod: &Pod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else { return Vec::new() };
    let listed = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    let mut ips: Vec<IpAddr> = Vec::new();
    for ip in listed.chain(status.pod_ip.as_deref()).filter_map(|ip| ip.parse::<IpAddr>().ok()) {
        if !ips.iter().any(|have| Family::of(*have) == Family::of(ip)) {
            ips.push(ip);
        }
    }
    ips
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{PullPolicy, TolerationArg};

    fn serve() -> Serve {
        let port = |port, protocol| PortProtocol { port, protocol };
        Serve {
            ports: [port(80, Protocol::Tcp), port(81, Protocol::Tcp), port(53, Protocol::Udp)].into(),
            names: [("web".to_owned(), port(80, Protocol::Tcp))].into(),
            ..Serve::default()
        }
    }

    fn manifest(host_network: bool, options: &DeployOptions) -> Pod {
        ProbePod {
            namespace: "n".into(),
            name: "a".into(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            options,
            serve: serve(),
            node: Some("one".into()),
            host_network,
            root: false,
            sidecar: Serve::default(),
            linger_s: 0,
            pings: false,
            first: Vec::new(),
        }
        .manifest()
    }

    #[test]
    fn what_the_user_decides_is_in_the_manifest() {
        let toleration: TolerationArg = "dedicated=ci".parse().unwrap();
        let options = DeployOptions {
            image: "mirror.example/probe:1".into(),
            pull_policy: Some(PullPolicy::Never),
            tolerations: vec![toleration.0],
            node_selector: [("pool".to_owned(), "test".to_owned())].into(),
            ..DeployOptions::default()
        };
        let spec = manifest(false, &options).spec.unwrap();
        assert_eq!(spec.containers[0].image.as_deref(), Some("mirror.example/probe:1"));
        assert_eq!(spec.containers[0].image_pull_policy.as_deref(), Some("Never"));
        assert_eq!(spec.tolerations.unwrap()[0].key.as_deref(), Some("dedicated"));
        let nodes = spec.node_selector.unwrap();
        assert_eq!((nodes["pool"].as_str(), nodes["kubernetes.io/hostname"].as_str()), ("test", "one"));
        assert_eq!(spec.image_pull_secrets, None);
    }

    #[test]
    fn a_probe_pod_passes_pod_security_restricted() {
        let pod = manifest(false, &DeployOptions::default());
        let spec = pod.spec.unwrap();
        let container = &spec.containers[0];
        let security = container.security_context.as_ref().unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.run_as_non_root, Some(true));
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert_eq!(security.capabilities.as_ref().unwrap().drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(security.capabilities.as_ref().unwrap().add, None);
        let pod_security = spec.security_context.as_ref().unwrap();
        assert_eq!(pod_security.run_as_user, Some(USER));
        assert_eq!(pod_security.seccomp_profile.as_ref().unwrap().type_, "RuntimeDefault");
        assert_eq!(pod_security.sysctls.as_ref().unwrap()[0].name, "net.ipv4.ip_unprivileged_port_start");
        assert_eq!(
            container.command.as_ref().unwrap(),
            &["verdikt-probe", "serve", "--tcp", "80,81", "--udp", "53"]
        );
        let names: Vec<_> = container.ports.as_ref().unwrap().iter().map(|p| p.name.as_deref()).collect();
        assert_eq!(names, [Some("web"), None, None]);
    }

    #[test]
    fn a_host_network_pod_has_no_sysctl_and_only_the_capability_it_needs() {
        let pod = manifest(true, &DeployOptions::default());
        let spec = pod.spec.unwrap();
        assert_eq!(spec.host_network, Some(true));
        assert_eq!(spec.security_context.as_ref().unwrap().sysctls, None);
        let capabilities =
            spec.containers[0].security_context.as_ref().unwrap().capabilities.clone().unwrap();
        assert_eq!(capabilities.add, Some(vec!["NET_BIND_SERVICE".to_owned()]));
    }
}
