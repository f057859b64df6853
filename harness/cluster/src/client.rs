//! The connection: one client, calls bounded in time and number, and retried where that is safe.

use std::{fmt::Display, path::PathBuf, sync::Arc, time::Duration};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use crate::{
    error::{ClusterError, chain, is_connection_failure, kubeconfig_path},
    id::jitter,
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

/// Longest time for one call.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Longest time for the first call, which only asks for the version.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Most retries of one call.
const RETRIES: u32 = 5;
/// Pause before the first retry; doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(3);
/// Pause after 429 when the answer names none: what the API server's priority and fairness asks for.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// Most calls at once, by courtesy.
const CALLS_AT_ONCE: usize = 24;

/// A cluster that answers.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    pub(crate) url: Arc<str>,
    pub(crate) target: Arc<str>,
    pub(crate) version: Arc<str>,
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
        let (mut config, name) = match target {
            Target::Context { name, kubeconfig } => {
                (from_context(name, kubeconfig.as_ref()).await?, name.clone())
            }
            Target::InCluster => (
                Config::incluster().map_err(|e| ClusterError::InCluster { cause: chain(&e) })?,
                "in-cluster".to_owned(),
            ),
            Target::Sandbox { url, token } => (from_url(url, token)?, "sandbox".to_owned()),
        };
        // kube's own retries take up to 164 s in silence; ours are bounded and tell why.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_LIMIT);
        let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client =
            Client::try_from(config).map_err(|e| ClusterError::from_kube(&e, "set up the client", &url))?;
        let mut cluster = Self::from_client(client, &url, &name);
        let what = "read the API server's version";
        let version = timeout(CONNECT_LIMIT, cluster.client.apiserver_version())
            .await
            .map_err(|_| ClusterError::Timeout { what: what.into(), url: url.clone(), after: CONNECT_LIMIT })?
            .map_err(|e| ClusterError::from_kube(&e, what, &url))?;
        cluster.version = version.git_version.into();
        Ok(cluster)
    }

    /// Around a client that is known to work; for tests and for those who configure a client themselves.
    pub fn from_client(client: Client, url: &str, target: &str) -> Self {
        Self {
            client,
            url: url.into(),
            target: target.into(),
            version: "".into(),
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

    /// The API server's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Makes a call: at most [`CALLS_AT_ONCE`] at once, each bounded by [`CALL_LIMIT`], with a bounded number of
    /// retries after 429, 5xx and broken connections.
    pub(crate) async fn call<T, F, Fut>(&self, what: impl Display, call: F) -> Result<T, ClusterError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = kube::Result<T>>,
    {
        self.call_counted(what, call).await.map(|(value, _)| value)
    }

    /// Like [`Self::call`]; tells also how often it was tried, because a retried create may meet its own object.
    pub(crate) async fn call_counted<T, F, Fut>(
        &self,
        what: impl Display,
        call: F,
    ) -> Result<(T, u32), ClusterError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = kube::Result<T>>,
    {
        let _permit = self.calls.acquire().await.expect("the semaphore is never closed");
        let started = Instant::now();
        let mut pause = RETRY_PAUSE;
        for attempt in 1.. {
            let left = CALL_LIMIT.saturating_sub(started.elapsed());
            let error = match timeout(left, call()).await {
                Ok(Ok(value)) => return Ok((value, attempt)),
                Ok(Err(error)) => error,
                Err(_) => {
                    return Err(ClusterError::Timeout {
                        what: what.to_string(),
                        url: self.url.to_string(),
                        after: CALL_LIMIT,
                    });
                }
            };
            let wait = match retry_after(&error) {
                Some(asked) if attempt <= RETRIES => asked.unwrap_or_else(|| jitter(pause)),
                _ => return Err(ClusterError::from_kube(&error, &what.to_string(), &self.url)),
            };
            if started.elapsed() + wait >= CALL_LIMIT {
                return Err(ClusterError::from_kube(&error, &what.to_string(), &self.url));
            }
            sleep(wait).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
        unreachable!("the loop ends by returning")
    }
}

/// Whether a call may be tried again after this error, and after how long if the server says so.
fn retry_after(error: &kube::Error) -> Option<Option<Duration>> {
    match error {
        kube::Error::Api(status) => {
            let asked = status.details.as_ref().map(|d| d.retry_after_seconds).filter(|s| *s > 0);
            let asked = asked.map(|s| Duration::from_secs(u64::from(s)));
            match status.code {
                429 => Some(Some(asked.unwrap_or(BUSY_PAUSE))),
                500 | 502..=504 => Some(asked),
                _ => None,
            }
        }
        kube::Error::HyperError(_) | kube::Error::Service(_) => {
            is_connection_failure(&chain(error)).then_some(None)
        }
        _ => None,
    }
}

async fn from_context(name: &str, path: Option<&PathBuf>) -> Result<Config, ClusterError> {
    let file = kubeconfig_path(path);
    let bad = |cause: String| ClusterError::Kubeconfig { path: file.clone(), cause };
    let kubeconfig = match path {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    }
    .map_err(|e| bad(chain(&e)))?;
    if !kubeconfig.contexts.iter().any(|context| context.name == name) {
        let known = kubeconfig.contexts.iter().map(|c| c.name.clone()).collect();
        return Err(ClusterError::UnknownContext { context: name.into(), path: file.clone(), known });
    }
    let options = KubeConfigOptions { context: Some(name.into()), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| bad(chain(&e)))
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

    #[tokio::test(start_paused = true)]
    async fn busy_answers_are_retried_within_a_bound() {
        for (code, calls_expected) in [(503, RETRIES + 1), (429, RETRIES + 1), (404, 1), (422, 1)] {
            let calls = AtomicU32::new(0);
            let result = cluster()
                .call::<(), _, _>("do it", || async {
                    calls.fetch_add(1, Ordering::Relaxed);
                    Err(api(code))
                })
                .await;
            assert!(result.is_err());
            assert_eq!(calls.load(Ordering::Relaxed), calls_expected, "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_recovers_says_how_often_it_was_tried() {
        let calls = AtomicU32::new(0);
        let (value, attempts) = cluster()
            .call_counted("do it", || async {
                if calls.fetch_add(1, Ordering::Relaxed) < 2 { Err(api(500)) } else { Ok(7) }
            })
            .await
            .unwrap();
        assert_eq!((value, attempts), (7, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_a_timeout() {
        let result = cluster().call::<(), _, _>("do it", std::future::pending).await;
        assert!(matches!(result, Err(ClusterError::Timeout { .. })), "{result:?}");
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

    #[tokio::test]
    async fn a_dead_address_is_unreachable() {
        let target = Target::Sandbox { url: "http://127.0.0.1:1".into(), token: "t".into() };
        let error = Cluster::connect(&target).await.unwrap_err();
        assert!(matches!(error, ClusterError::Unreachable { .. }), "{error}");
    }
}
