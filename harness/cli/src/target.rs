//! From the command line's target to a cluster: a fresh sandbox of our own, or a real one.

use std::net::{Ipv4Addr, SocketAddr};

use verdikt_cluster::{Cluster, Target};
use verdikt_sandbox::{Config, Profile, Sandbox};

use crate::{
    args::{self, RealCluster},
    failure::Failure,
    limits,
};

/// A cluster, and the sandbox behind it when there is one.
pub(crate) struct Connected {
    pub(crate) cluster: Cluster,
    pub(crate) sandbox: Option<Sandbox>,
}

impl Connected {
    /// Ends the sandbox, if any, with everything in it.
    pub(crate) async fn close(self) {
        drop(self.cluster);
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
    }
}

/// Connects to what the command line names, where it must have the rights to work; without a name, to a fresh
/// sandbox.
pub(crate) async fn connect(target: &args::Target) -> Result<Connected, Failure> {
    if let Some(real) = real(target.context.as_deref(), target.in_cluster, target.kubeconfig.as_ref()) {
        let cluster = Cluster::connect(&real).await.map_err(Failure::setup)?;
        cluster.demand_rights(&target.namespace_prefix).await.map_err(Failure::setup)?;
        return Ok(Connected { cluster, sandbox: None });
    }
    connect_sandbox(target.sandbox.clone().unwrap_or_default()).await
}

/// Starts a sandbox in this process and connects to it.
pub(crate) async fn connect_sandbox(profile: Profile) -> Result<Connected, Failure> {
    let sandbox = start_sandbox(profile).await?;
    let cluster = match Cluster::connect(&sandbox_target(&sandbox)).await {
        Ok(cluster) => cluster,
        Err(error) => {
            sandbox.stop().await;
            return Err(Failure::setup(error));
        }
    };
    Ok(Connected { cluster, sandbox: Some(sandbox) })
}

/// The real cluster that was named, if one was.
pub(crate) fn named(cluster: &RealCluster) -> Option<Target> {
    real(cluster.context.as_deref(), cluster.in_cluster, cluster.kubeconfig.as_ref())
}

fn real(context: Option<&str>, in_cluster: bool, kubeconfig: Option<&std::path::PathBuf>) -> Option<Target> {
    match context {
        Some(name) => Some(Target::Context { name: name.to_owned(), kubeconfig: kubeconfig.cloned() }),
        None => in_cluster.then_some(Target::InCluster),
    }
}

/// How the runner reaches a sandbox.
pub(crate) fn sandbox_target(sandbox: &Sandbox) -> Target {
    Target::Sandbox { url: sandbox.url(), token: sandbox.token().to_owned() }
}

/// Starts a sandbox in this process, on a free port of the loopback address.
pub(crate) async fn start_sandbox(profile: Profile) -> Result<Sandbox, Failure> {
    limits::demand(limits::SANDBOX)?;
    // Through /proc, so that the sandbox starts even after the file was replaced or removed.
    let exe = std::env::current_exe().map_err(|e| {
        Failure::setup(format!("cannot find verdikt's own executable, which the sandbox needs: {e}"))
    })?;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Sandbox::start(Config { exe, profile, listen, token: None }).await.map_err(Failure::setup)
}
