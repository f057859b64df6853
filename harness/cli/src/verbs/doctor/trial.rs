//! The trial: one probe pod in one disposable namespace, as a run would make it, and removed again. Only that shows
//! whether nodes can pull the image, whether admission lets the pod in, and whether its agent can be spoken to.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use verdikt_cluster::{Cluster, ClusterError, Deployment, Hello, Node, Scope};
use verdikt_model::{NamespaceSpec, PodSpec, PortProtocol, Protocol, Serve, Topology};
use verdikt_runner::Stop;

use super::check::{Check, Status};
use crate::{args::Doctor, pods::deploy_options, ui::Ui};

/// Longest wait until the namespace is gone.
const GONE: Duration = Duration::from_secs(60);
/// How long something may still be on its way to being made after an interrupt.
const LATE: Duration = Duration::from_millis(300);

/// Names of the namespace and the pod.
const NAMESPACE: &str = "doctor";
const POD: &str = "probe";

pub(super) async fn trial(
    cluster: &Cluster,
    args: &Doctor,
    nodes: &[Node],
    ui: &Ui,
    stop: &Stop,
) -> Vec<Check> {
    let scope = Scope::new(&args.namespace_prefix);
    let namespace = scope.namespace(scope.run.as_str(), NAMESPACE);
    ui.remark(&format!(
        "trial: a pod in namespace {namespace}, which is removed again (--no-pod leaves it out)"
    ));
    let mut checks = tokio::select! {
        checks = try_pod(cluster, &scope, args, nodes) => checks,
        () = stop.stopped() => Vec::new(),
    };
    let late = if stop.is_stopped() { LATE } else { Duration::ZERO };
    match cluster.delete_run(&scope.run, &[], GONE, late).await {
        Ok(report) if report.left.is_empty() => {}
        Ok(report) => checks.push(left(&scope, report.left.join("; "))),
        Err(error) => checks.push(left(&scope, error.to_string())),
    }
    checks
}

fn left(scope: &Scope, what: String) -> Check {
    Check::failed("clean-up", what).mend(format!("verdikt clean --run {} with the same target", scope.run))
}

async fn try_pod(cluster: &Cluster, scope: &Scope, args: &Doctor, nodes: &[Node]) -> Vec<Check> {
    let image = &args.pods.image;
    let deployment = match deploy(cluster, scope, args, nodes).await {
        Ok(deployment) => deployment,
        Err(error) => {
            let check = Check::error(place_of(&error), Status::Failed, &error);
            return vec![check.evidence([format!("image {image}")])];
        }
    };
    let pod = deployment.pods.values().next();
    let node = pod.map(|pod| pod.node.clone()).unwrap_or_default();
    let mut checks = vec![
        Check::ok("image", format!("{image} runs on {node}")),
        Check::ok("Pod Security", "a probe pod passes the level restricted"),
    ];
    let real = deployment.names.real(NAMESPACE).unwrap_or_default();
    match cluster.open_session(real, POD).await {
        Ok(session) => {
            checks.push(Check::ok("exec", "the probe pod's agent answers"));
            checks.extend(agent_checks(session.hello()));
            session.quit().await;
        }
        Err(error) => checks.push(Check::error("exec", Status::Failed, &error).mend(
            error.mend().unwrap_or_else(|| {
                "exec goes through API server and kubelet by websocket: check proxies between them, and that the \
                 image is that of this release"
                    .to_owned()
            }),
        )),
    }
    checks
}

async fn deploy(
    cluster: &Cluster,
    scope: &Scope,
    args: &Doctor,
    nodes: &[Node],
) -> Result<Deployment, ClusterError> {
    let mut options = deploy_options(&args.pods);
    if let Some((namespace, name)) = &args.pods.image_pull_secret {
        options.pull_secret = Some(cluster.pull_secret(namespace, name).await?);
    }
    cluster.deploy(scope, scope.run.as_str(), &topology(), nodes, &options).await
}

/// Which check a pod that cannot be made or does not start fails.
fn place_of(error: &ClusterError) -> &'static str {
    let text = error.to_string();
    if matches!(error, ClusterError::Image { .. }) {
        "image"
    } else if text.contains("PodSecurity") {
        "Pod Security"
    } else if text.contains("SysctlForbidden") {
        "sysctl"
    } else {
        "probe pod"
    }
}

fn agent_checks(hello: &Hello) -> [Check; 2] {
    let servers: Vec<String> = hello.nameservers.iter().map(ToString::to_string).collect();
    let local = hello.nameservers.iter().any(|server| match server {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    });
    let note = if local { ": a cache on each node, to which policies for kube-dns do not apply" } else { "" };
    [
        match &hello.no_sctp {
            None => {
                Check::ok("SCTP", "sockets can be made; whether the dataplane knows it, the catalogue shows")
            }
            Some(why) => Check::missing("SCTP", format!("{why}; SCTP cells are skipped"))
                .mend("load the kernel module sctp on the nodes, if their kernel has it"),
        },
        if servers.is_empty() {
            Check::missing("name servers", "pods have none; cells by name cannot be measured".into())
        } else {
            Check::ok("name servers", format!("pods ask {}{note}", servers.join(", ")))
        },
    ]
}

/// One pod that listens on a port below 1024, as those of the catalogue do.
fn topology() -> Topology {
    let port = PortProtocol { port: 80, protocol: Protocol::Tcp };
    let pod = PodSpec { serve: Serve { ports: [port].into(), ..Serve::default() }, ..PodSpec::default() };
    let namespace = NamespaceSpec { pods: [(POD.to_owned(), pod)].into(), ..NamespaceSpec::default() };
    Topology { namespaces: BTreeMap::from([(NAMESPACE.to_owned(), namespace)]), ..Topology::default() }
}
