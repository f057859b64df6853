//! Agent sessions over exec: through the API server and the kubelet, so that no policy can cut them.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::AttachParams};
use tokio::{
    io::AsyncReadExt,
    time::{Duration, timeout},
};

use crate::{
    agent::Agent,
    client::{Cluster, Mode},
    error::ClusterError,
    pods::{BINARY, CONTAINER},
    session::Session,
};

/// Buffers of the exec streams; kube's own 1 KiB would make every batch a hundred wake-ups.
const BUFFER: usize = 256 << 10;
/// How much of the agent's stderr is kept for messages.
const STDERR_KEPT: usize = 2048;

impl Cluster {
    /// The agent of a pod. Nothing is opened before it is first asked.
    pub fn agent(&self, namespace: &str, pod: &str) -> Agent {
        let (cluster, namespace, pod) = (self.clone(), namespace.to_owned(), pod.to_owned());
        let patience = self.patience;
        let open = Box::new(move || -> BoxFuture<'static, Result<Session, String>> {
            let (cluster, namespace, pod) = (cluster.clone(), namespace.clone(), pod.clone());
            Box::pin(async move { cluster.open_session(&namespace, &pod).await.map_err(|e| e.to_string()) })
        });
        Agent::new(open, patience)
    }

    /// Execs the agent in a pod.
    ///
    /// # Errors
    /// If the exec is refused or the agent does not greet us.
    pub async fn open_session(&self, namespace: &str, pod: &str) -> Result<Session, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("exec in pod {namespace}/{pod}");
        let params = AttachParams::default()
            .container(CONTAINER)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .tty(false)
            .max_stdin_buf_size(BUFFER)
            .max_stdout_buf_size(BUFFER)
            .max_stderr_buf_size(BUFFER);
        let open = || async { api.exec(pod, [BINARY, "agent"], &params).await };
        let mut process = self.attempts(&what, self.patience.open, Mode::Repeatable, open).await?;
        let failed = |cause: &str| ClusterError::Session {
            pod: format!("{namespace}/{pod}"),
            cause: cause.to_owned(),
        };
        let (Some(stdin), Some(stdout), Some(mut stderr), Some(status)) =
            (process.stdin(), process.stdout(), process.stderr(), process.take_status())
        else {
            return Err(failed("the exec has no streams"));
        };
        // Both outputs are drained at once: kube writes them from one loop, so a full pipe would stop everything.
        let said = Arc::new(Mutex::new(String::new()));
        let hear = Arc::clone(&said);
        let hearing = tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
                let mut said = hear.lock().expect("no holder of the lock panics");
                if said.len() < STDERR_KEPT {
                    said.push_str(&String::from_utf8_lossy(&buffer[..n]));
                }
            }
        });
        let epitaph = async move {
            let status = status.await;
            // The process keeps its connection open until here.
            drop(process);
            let _ = timeout(Duration::from_millis(100), hearing).await;
            let said = said.lock().expect("no holder of the lock panics").trim().to_owned();
            let ended = status.and_then(|s| s.message).unwrap_or_else(|| "the exec ended".into());
            Some(if said.is_empty() { ended } else { format!("{ended}: {said}") })
        };
        let hello = self.patience.hello;
        timeout(hello, Session::open(stdout, stdin, Box::pin(epitaph)))
            .await
            .unwrap_or_else(|_| Err(format!("the agent did not answer within {} s", hello.as_secs())))
            .map_err(|cause| failed(&cause))
    }
}
