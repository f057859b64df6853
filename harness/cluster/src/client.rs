//! The connection: one client, calls bounded in time and number, and retried where that is safe.

use std::{fmt::Display, path::PathBuf, sync::Arc, time::Duration};

use kube::{Client, Config};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use crate::{
    answer,
    error::{ClusterError, chain},
    id::jitter,
    kubeconfig,
    patience::Patience,
};

/// Where to run.
#[derive(Debug, Clone)]
pub enum Target {
    /// A context of a kubeconfig. There is no default: a real cluster is used only when named.
    Context {
        /// Its name.
        name: String,
        /// The file; otherwise `$KUBECONFIG` or `~/.kube/config`.
        kubeconfig: Option<PathBuf>,
    },
    /// The cluster in which verdikt runs as a pod.
    InCluster,
    /// The embedded cluster, by its address and token.
    Sandbox {
        /// `http://127.0.0.1:PORT`
        url: String,
        /// Bearer token.
        token: String,
    },
}

/// Most retries of a call that the server answers with 500, which is more often a broken webhook than a bad moment.
const RETRIES: u32 = 5;
/// Most retries where nobody has answered so far: whoever mistyped an address wants to know.
const RETRIES_OF_FIRST_CONTACT: u32 = 3;
/// Pause before the first retry; doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(3);
/// Pause after 429 when the answer names none: what the API server's priority and fairness asks for.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// Most calls at once, by courtesy. A call that pauses keeps its place, so that this is also how many requests a
/// busy server sees during a pause that it has asked for.
const CALLS_AT_ONCE: usize = 24;

/// A cluster that answers.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    pub(crate) url: Arc<str>,
    pub(crate) target: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) patience: Patience,
    calls: Arc<Semaphore>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("target", &self.target)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Connects, and asks for the version to see that the API server answers and lets us in.
    ///
    /// # Errors
    /// Which part of the way is broken: kubeconfig, address, TLS, credentials.
    pub async fn connect(target: &Target) -> Result<Self, ClusterError> {
        // A second installation is refused, which is fine: the provider of the process stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A kubeconfig may be a pipe, and its plugin may ask its user: neither may hold up whoever waits for an interrupt.
        let (target, runtime) = (target.clone(), Handle::current());
        let making = tokio::task::spawn_blocking(move || runtime.block_on(client(&target)));
        let (client, url, name) = making.await.unwrap_or_else(|error| {
            let (what, cause) = ("set up the client".to_owned(), error.to_string());
            Err(ClusterError::Failed { what, cause })
        })?;
        let mut cluster = Self::from_client(answer::whole(client), &url, &name);
        let what = "read the API server's version";
        let ask = || async { cluster.client.apiserver_version().await };
        let version = cluster.attempts(what, cluster.patience.connect, Mode::FirstContact, ask).await?;
        cluster.version = version.git_version.into();
        Ok(cluster)
    }

    /// With other limits.
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Around a client that is known to work; for tests and for those who configure a client themselves.
    pub fn from_client(client: Client, url: &str, target: &str) -> Self {
        Self {
            client,
            url: url.into(),
            target: target.into(),
            version: "".into(),
            patience: Patience::default(),
            calls: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
        }
    }

    /// The client, for calls that this crate does not wrap.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What the cluster is called in records: `sandbox`, `in-cluster` or the context's name.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The API server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The API server's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Makes a call that may as well be made twice: at most [`CALLS_AT_ONCE`] at once, bounded by
    /// [`Patience::call`], and tried again after 429, 5xx, broken connections and silence.
    pub(crate) async fn call<T, F, Fut>(&self, what: impl Display, call: F) -> Result<T, ClusterError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = kube::Result<T>>,
    {
        self.attempts(&what.to_string(), self.patience.call, Mode::Repeatable, call).await
    }

    /// Like [`Self::call`], for a change on which verdicts rest. After silence it is not made again: the request that
    /// was not answered may still be on its way, and would undo what is done after it.
    pub(crate) async fn change<T, F, Fut>(&self, what: impl Display, call: F) -> Result<T, ClusterError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = kube::Result<T>>,
    {
        self.attempts(&what.to_string(), self.patience.call, Mode::Change, call).await
    }

    pub(crate) async fn attempts<T, F, Fut>(
        &self,
        what: &str,
        limit: Duration,
        mode: Mode,
        call: F,
    ) -> Result<T, ClusterError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = kube::Result<T>>,
    {
        let _permit = self.calls.acquire().await.expect("the semaphore is never closed");
        let started = Instant::now();
        let mut pause = RETRY_PAUSE;
        for attempt in 1.. {
            let left = limit.saturating_sub(started.elapsed()).min(limit / 2);
            let (error, again) = match timeout(left, call()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => {
                    let told = ClusterError::from_kube(&error, what, &self.url);
                    let again = again(&error, &told, attempt, mode);
                    (told, again)
                }
                Err(_) => {
                    let (what, url) = (what.to_owned(), self.url.to_string());
                    let error = ClusterError::Timeout { what, url, after: started.elapsed() };
                    (error, (mode != Mode::Change).then_some(Duration::ZERO))
                }
            };
            let Some(asked) = again else { return Err(error) };
            let wait = asked + jitter(pause);
            if started.elapsed() + wait >= limit {
                return Err(error);
            }
            sleep(wait).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
        unreachable!("the loop ends by returning")
    }
}

/// What a call is, and so when it is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Made twice it does no more than once.
    Repeatable,
    /// A request without an answer may take effect late; then it must not be made again.
    Change,
    /// Nobody has answered at this address so far: it may be the wrong one.
    FirstContact,
}

/// The pause that the server asks for before another attempt; `None` when there is to be none.
fn again(error: &kube::Error, told: &ClusterError, attempt: u32, mode: Mode) -> Option<Duration> {
    let kube::Error::Api(status) = error else {
        let cut = matches!(error, kube::Error::SerdeError(e) if e.is_eof());
        let away = matches!(told, ClusterError::Unreachable { .. });
        let patient = mode != Mode::FirstContact || attempt <= RETRIES_OF_FIRST_CONTACT;
        return ((cut || away) && patient).then_some(Duration::ZERO);
    };
    let asked = status.details.as_ref().map(|d| d.retry_after_seconds).filter(|s| *s > 0);
    let asked = asked.map(|s| Duration::from_secs(s.into()));
    match status.code {
        429 => Some(asked.unwrap_or(BUSY_PAUSE)),
        500 if attempt > RETRIES => None,
        500 | 502 | 503 => Some(asked.unwrap_or_default()),
        // Somebody before the API server had no answer.
        504 => (mode != Mode::Change).then(|| asked.unwrap_or_default()),
        _ => None,
    }
}

/// The client of a target, the address it goes to, and what the target is called.
async fn client(target: &Target) -> Result<(Client, String, String), ClusterError> {
    let (mut config, name) = match target {
        Target::Context { name, kubeconfig } => {
            (kubeconfig::from_context(name, kubeconfig.as_ref()).await?, name.clone())
        }
        Target::InCluster => (
            Config::incluster().map_err(|e| ClusterError::InCluster { cause: chain(&e) })?,
            "in-cluster".to_owned(),
        ),
        Target::Sandbox { url, token } => (from_url(url, token)?, "sandbox".to_owned()),
    };
    if config.root_cert.is_none() && !needs_roots(&config) {
        // Without this, kube looks for the machine's certificates whatever the address is, and fails where there
        // are none, as in an empty container.
        config.root_cert = Some(Vec::new());
    }
    // kube's own retries take up to 164 s in silence; ours are bounded and tell why.
    config.default_retry = false;
    config.connect_timeout = Some(Patience::default().connect);
    let url = shown(&config.cluster_url.to_string());
    let client =
        Client::try_from(config).map_err(|e| ClusterError::from_kube(&e, "set up the client", &url))?;
    Ok((client, url, name))
}

/// Whether there is a certificate to be judged.
fn needs_roots(config: &Config) -> bool {
    config.cluster_url.scheme_str() != Some("http") && !config.accept_invalid_certs
}

/// An address without what is secret in it: a user's name and password, and the sandbox's token.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let path = path.split("/token/").next().unwrap_or(path).trim_end_matches('/');
    if scheme.is_empty() { format!("{host}{path}") } else { format!("{scheme}://{host}{path}") }
}

fn from_url(url: &str, token: &str) -> Result<Config, ClusterError> {
    let uri =
        url.parse().map_err(|e| ClusterError::Unreachable { url: url.into(), cause: format!("{e}") })?;
    let mut config = Config::new(uri);
    config.auth_info.token = Some(token.to_owned().into());
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn cluster() -> Cluster {
        let config = Config::new("http://127.0.0.1:9".parse().unwrap());
        Cluster::from_client(Client::try_from(config).unwrap(), "http://127.0.0.1:9", "test")
    }

    fn api(code: u16) -> kube::Error {
        kube::Error::Api(kube::core::Status::failure("busy", "").with_code(code).boxed())
    }

    /// How often a call is made that is always answered so, and how long it takes.
    async fn tries(answer: fn() -> kube::Error) -> (u32, Duration) {
        let (calls, started) = (AtomicU32::new(0), Instant::now());
        let result = cluster()
            .call::<(), _, _>("do it", || async {
                calls.fetch_add(1, Ordering::Relaxed);
                Err(answer())
            })
            .await;
        assert!(result.is_err());
        (calls.into_inner(), started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_again_within_a_bound() {
        assert_eq!(tries(|| api(404)).await.0, 1);
        assert_eq!(tries(|| api(422)).await.0, 1);
        assert_eq!(tries(|| api(500)).await.0, RETRIES + 1);
        let limit = Patience::default().call;
        for answer in [|| api(429), || api(503), reset] {
            let (calls, took) = tries(answer).await;
            assert!((7..30).contains(&calls), "{calls}");
            assert!(took <= limit && took > limit / 2, "{took:?}");
        }
    }

    /// A server that cuts the first connections in the middle of the handshake, as a load balancer does while the API
    /// server behind it starts again, and then serves. Gives its address and how often it was met.
    fn behind_a_balancer(cut: u32) -> (String, Arc<AtomicU32>) {
        use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
        use std::io::{Read, Write};
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificate = CertificateDer::from_pem_slice(SERVER).unwrap();
        let key = include_bytes!("../../cli/tests/rights/tls/server.key");
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::from_pem_slice(key).unwrap())
            .unwrap();
        let (config, met) = (Arc::new(config), Arc::new(AtomicU32::new(0)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let count = Arc::clone(&met);
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                if count.fetch_add(1, Ordering::Relaxed) < cut {
                    // In good order, after the client's first words.
                    let _ = client.read(&mut [0; 4096]);
                    continue;
                }
                let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = rustls::StreamOwned::new(session, client);
                // Whoever does not trust us sends no request.
                if stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
                    let body = r#"{"major":"1","minor":"33","gitVersion":"v1.33.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
                    let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
                }
            }
        });
        (url, met)
    }

    const SERVER: &[u8] = include_bytes!("../../cli/tests/rights/tls/server.pem");
    const OTHER: &[u8] = include_bytes!("../../cli/tests/rights/tls/other-ca.pem");

    async fn version(url: &str, ca: &[u8]) -> Result<String, ClusterError> {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let mut config = Config::new(url.parse().unwrap());
        config.default_retry = false;
        config.root_cert = Some(vec![CertificateDer::from_pem_slice(ca).unwrap().to_vec()]);
        let cluster = Cluster::from_client(Client::try_from(config).unwrap(), url, "test");
        cluster.call("ask", || cluster.client.apiserver_version()).await.map(|info| info.git_version)
    }

    #[tokio::test]
    async fn a_handshake_that_is_cut_is_tried_again_and_a_wrong_certificate_is_not() {
        let (url, met) = behind_a_balancer(4);
        assert_eq!(version(&url, SERVER).await.unwrap(), "v1.33.0");
        assert_eq!(met.load(Ordering::Relaxed), 5);
        let (url, met) = behind_a_balancer(0);
        let error = version(&url, OTHER).await.unwrap_err();
        assert!(matches!(error, ClusterError::Tls { .. }), "{error}");
        assert_eq!(met.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_authority_that_a_kubeconfig_names_is_the_one_that_counts() {
        let connect = async |ca: &[u8]| {
            let (url, _) = behind_a_balancer(0);
            let ca_file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(ca_file.path(), ca).unwrap();
            let file = tempfile::NamedTempFile::new().unwrap();
            let ca = ca_file.path().display();
            std::fs::write(
                file.path(),
                format!(
                    "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: '{url}', certificate-authority: {ca}}}}}]\n\
                     users: [{{name: u, user: {{token: t}}}}]\ncontexts: [{{name: a, context: {{cluster: c, user: u}}}}]\n"
                ),
            )
            .unwrap();
            let target = Target::Context { name: "a".into(), kubeconfig: Some(file.path().into()) };
            let (client, ..) = client(&target).await?;
            let cluster = Cluster::from_client(client, &url, "test");
            cluster.call("ask", || cluster.client.apiserver_version()).await.map(|info| info.git_version)
        };
        assert_eq!(connect(SERVER).await.unwrap(), "v1.33.0");
        assert!(matches!(connect(OTHER).await, Err(ClusterError::Tls { .. })));
    }

    fn reset() -> kube::Error {
        kube::Error::Service(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)))
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_that_the_server_asks_for_is_made() {
        let busy = || {
            let mut status = kube::core::Status::failure("busy", "").with_code(503);
            status.details = serde_json::from_str(r#"{"retryAfterSeconds": 7}"#).unwrap();
            kube::Error::Api(status.boxed())
        };
        // At 0, 7, 14, 21 and 28 s, and a little later each time.
        assert_eq!(tries(busy).await.0, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_recovers() {
        let calls = AtomicU32::new(0);
        let cluster = cluster();
        let answer = cluster.call("do it", || async {
            if calls.fetch_add(1, Ordering::Relaxed) < 2 { Err(api(500)) } else { Ok(7) }
        });
        assert_eq!(answer.await.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_asked_again_but_not_to_change_anything() {
        let calls = AtomicU32::new(0);
        let silent = || {
            calls.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<kube::Result<()>>()
        };
        let result = cluster().call("do it", silent).await;
        assert!(matches!(result, Err(ClusterError::Timeout { .. })), "{result:?}");
        assert_eq!(calls.swap(0, Ordering::Relaxed), 2);
        let result = cluster().change("do it", silent).await;
        assert!(matches!(result, Err(ClusterError::Timeout { .. })), "{result:?}");
        assert_eq!(calls.into_inner(), 1);
    }

    #[tokio::test]
    async fn mistakes_in_the_kubeconfig_are_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: [{name: kind-a, context: {cluster: a, user: a}}]\n",
        )
        .unwrap();
        let target =
            |name: &str, path: PathBuf| Target::Context { name: name.into(), kubeconfig: Some(path) };
        let error = Cluster::connect(&target("prod", file.path().into())).await.unwrap_err();
        assert!(error.to_string().contains("known contexts: kind-a"), "{error}");
        let error = Cluster::connect(&target("kind-a", file.path().into())).await.unwrap_err();
        assert!(matches!(error, ClusterError::Kubeconfig { .. }), "{error}");
        let error = Cluster::connect(&target("a", "/nonexistent/config".into())).await.unwrap_err();
        assert!(matches!(error, ClusterError::Kubeconfig { .. }), "{error}");
    }

    #[test]
    fn addresses_are_shown_without_secrets() {
        assert_eq!(shown("https://u:p@h:6443/k8s/clusters/c-1/"), "https://h:6443/k8s/clusters/c-1");
        assert_eq!(shown("http://127.0.0.1:80/token/0123"), "http://127.0.0.1:80");
    }

    #[tokio::test]
    async fn a_dead_address_is_unreachable() {
        let target = Target::Sandbox { url: "http://127.0.0.1:1".into(), token: "t".into() };
        let error = Cluster::connect(&target).await.unwrap_err();
        assert!(matches!(error, ClusterError::Unreachable { .. }), "{error}");
    }
}
