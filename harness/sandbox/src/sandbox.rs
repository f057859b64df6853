//! [`Sandbox`]: starts and stops the embedded cluster.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    api::{
        cluster::Cluster,
        controllers,
        kinds::Kind,
        node_api::NodeApi,
        object::{random, text},
        server,
    },
    node::explained,
    profile::Profile,
    scratch::{self, Scratch},
    spawn::{NodeError, PODS, spawn_node},
};

/// Name of the context in [`Sandbox::kubeconfig`].
pub const CONTEXT: &str = "verdikt-sandbox";

/// How long the cluster's DNS may take to become ready.
const DNS_READY: Duration = Duration::from_secs(20);

/// How long open connections may take to end when the sandbox stops.
const STOP: Duration = Duration::from_secs(1);

/// What sandbox to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The program that is started again as the node; its `main` must call [`crate::reexec()`] first.
    pub exe: PathBuf,
    /// How the dataplane behaves.
    pub profile: Profile,
    /// Where the API server listens; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// Bearer token; a random one when `None`.
    pub token: Option<String>,
}

impl Config {
    /// The default: reference profile, a free port on 127.0.0.1, a random token.
    pub fn new(exe: impl Into<PathBuf>) -> Self {
        Self {
            exe: exe.into(),
            profile: Profile::default(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
        }
    }
}

/// Why there is no sandbox. Faults of the set-up (exit code 3).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// No temporary directory.
    #[error("no temporary directory for the sandbox in {}: {source}; set TMPDIR to a folder that is writable and has room", parent.display())]
    Scratch {
        /// Where it was to be.
        parent: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The node could not be started.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The API server cannot listen.
    #[error("the sandbox's API server cannot listen on {listen}: {}", explained(source))]
    Listen {
        /// Where.
        listen: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The API server would be reachable from elsewhere.
    #[error(
        "the sandbox's API server speaks plain HTTP and listens on loopback only, not on {listen}; use 127.0.0.1 or ::1"
    )]
    NotLoopback {
        /// What was asked for.
        listen: SocketAddr,
    },
    /// The token cannot stand in a URL and a header.
    #[error("a sandbox token has 16 or more letters, digits, `-`, `_` or `.`")]
    Token,
    /// The cluster's DNS pod did not become ready.
    #[error("the sandbox's kube-dns did not become ready: {why}")]
    Dns {
        /// Its status.
        why: String,
    },
}

/// A bare loop of connects could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectLoopError {
    /// A source that does not exist.
    #[error("there is no pod {name} in namespace {namespace} of the sandbox")]
    NoSuchPod {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// A connect failed, or the node has ended.
    #[error("the bare loop of connects failed: {0}")]
    Failed(String),
}

/// What [`Sandbox::connect_loop`] measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectLoop {
    /// Connects that were answered.
    pub connects: u64,
    /// Wall time for all of them.
    pub time: Duration,
}

/// A running cluster. Dropping it kills the node and everything in it; [`Sandbox::stop`] also waits for the end.
pub struct Sandbox {
    cluster: Arc<Cluster>,
    address: SocketAddr,
    server: JoinHandle<()>,
    _scratch: Scratch,
}

impl Sandbox {
    /// Starts a cluster; when this returns, both nodes are up and DNS answers. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub async fn start(config: Config) -> Result<Self, SandboxError> {
        if !config.listen.ip().is_loopback() {
            return Err(SandboxError::NotLoopback { listen: config.listen });
        }
        let token = match config.token {
            Some(token) => check_token(token)?,
            None => random::<24>().iter().map(|b| format!("{b:02x}")).collect(),
        };
        scratch::sweep();
        let scratch = Scratch::create()
            .map_err(|source| SandboxError::Scratch { parent: std::env::temp_dir(), source })?;
        let listen = |source| SandboxError::Listen { listen: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let node = Arc::new(spawn_node(&config.exe, scratch.path()).await?);
        let sandbox = Self::with_node(node, config.profile, token, listener, address, scratch);
        sandbox.dns_ready().await?;
        Ok(sandbox)
    }

    pub(crate) fn with_node(
        node: Arc<dyn NodeApi>,
        profile: Profile,
        token: String,
        listener: TcpListener,
        address: SocketAddr,
        scratch: Scratch,
    ) -> Self {
        let cluster = Cluster::new(node, profile, token, scratch.path().join(PODS));
        controllers::start(&cluster);
        let server = server::serve(cluster.clone(), listener);
        Self { cluster, address, server, _scratch: scratch }
    }

    /// What the server works on, for tests.
    #[cfg(test)]
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Waits until the DNS pod runs.
    async fn dns_ready(&self) -> Result<(), SandboxError> {
        let store = &self.cluster.store;
        let mut changed = store.subscribe(Kind::Pod);
        let ready = async {
            loop {
                changed.borrow_and_update();
                let pod = store.get(Kind::Pod, "kube-system", "kube-dns");
                let phase = pod.as_ref().map_or("", |pod| text(&pod.value, "/status/phase"));
                match phase {
                    "Running" => return Ok(()),
                    "Failed" | "Succeeded" => {
                        let why = pod.as_ref().map_or("", |pod| text(&pod.value, "/status/message"));
                        return Err(format!("{phase}: {why}"));
                    }
                    _ => {}
                }
                if changed.changed().await.is_err() {
                    return Err("the sandbox stops".into());
                }
            }
        };
        match tokio::time::timeout(DNS_READY, ready).await {
            Ok(result) => result.map_err(|why| SandboxError::Dns { why }),
            Err(_) => Err(SandboxError::Dns { why: format!("not running after {} s", DNS_READY.as_secs()) }),
        }
    }

    /// URL of the API server: `http://127.0.0.1:PORT`. Requests need [`Sandbox::token`] as a bearer token.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bearer token.
    pub fn token(&self) -> &str {
        &self.cluster.token
    }

    /// A kubeconfig with one context, [`CONTEXT`]. Its server URL carries the token in the path as well, because
    /// kubectl sends no credentials over plain HTTP: keep it as secret as the token.
    pub fn kubeconfig(&self) -> String {
        let (url, token) = (self.url(), self.token());
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {CONTEXT}\n\
             clusters:\n- name: {CONTEXT}\n  cluster:\n    server: {url}/{}/{token}\n\
             users:\n- name: {CONTEXT}\n  user:\n    token: {token}\n\
             contexts:\n- name: {CONTEXT}\n  context:\n    cluster: {CONTEXT}\n    user: {CONTEXT}\n    namespace: default\n",
            server::TOKEN_SEGMENT
        )
    }

    /// Measures a bare loop of TCP connects from pods (namespace, name) to addresses, as a yardstick: every source
    /// connects to every target, with no agent and no protocol in between.
    ///
    /// # Errors
    /// When a source does not exist or a connect fails.
    pub async fn connect_loop(
        &self,
        sources: &[(String, String)],
        targets: &[(IpAddr, u16)],
    ) -> Result<ConnectLoop, ConnectLoopError> {
        let uid = |(namespace, name): &(String, String)| {
            self.cluster.store.get(Kind::Pod, namespace, name).map(|pod| pod.uid().to_owned()).ok_or_else(
                || ConnectLoopError::NoSuchPod { namespace: namespace.clone(), name: name.clone() },
            )
        };
        let uids = sources.iter().map(uid).collect::<Result<Vec<_>, _>>()?;
        let (connects, time) =
            self.cluster.node.connect_loop(uids, targets.to_vec()).await.map_err(ConnectLoopError::Failed)?;
        Ok(ConnectLoop { connects, time })
    }

    /// Stops everything and waits until it has ended.
    pub async fn stop(mut self) {
        self.cluster.stop.cancel();
        self.cluster.node.stop().await;
        if tokio::time::timeout(STOP, &mut self.server).await.is_err() {
            self.server.abort();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Ends controllers and streams; with the last of them the node's handle goes, and with it the node.
        self.cluster.stop.cancel();
        self.server.abort();
    }
}

fn check_token(token: String) -> Result<String, SandboxError> {
    let ok = token.len() >= 16 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if ok { Ok(token) } else { Err(SandboxError::Token) }
}
