//! A node that runs nothing but host commands for exec, and a client for the server in front of it.

use std::{
    net::{IpAddr, Ipv4Addr},
    os::fd::OwnedFd,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::Request;
use futures::{FutureExt, future::BoxFuture};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

use crate::{
    api::node_api::{Begun, Connects, ContainerExit, Exec, NewPod, NodeApi},
    profile::Profile,
    sandbox::Sandbox,
    wire::{Container, Exit, State},
};

/// What a fake node was told.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    Sync(Box<State>),
    /// Pod and container.
    Start(String, String),
    /// Pod and container.
    Terminate(String, String),
    Delete(String),
}

/// A fake node. A container whose command is `fail` does not start, one whose command is `exit N` ends at once; one
/// whose command is `linger` does not end when it is asked to.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) told: Mutex<Vec<Told>>,
    exits: Mutex<Option<mpsc::UnboundedSender<ContainerExit>>>,
    /// Containers that do not end when they are asked to.
    lingering: Mutex<Vec<(String, String)>>,
    /// Notified when the node is to have ended.
    pub(super) death: tokio::sync::Notify,
}

impl Fake {
    /// Lets a container end.
    pub(super) fn exit(&self, uid: &str, container: &str, code: i32) {
        let exit = Exit { code, said: None };
        let exit = ContainerExit { uid: uid.to_owned(), container: container.to_owned(), exit };
        self.exits.lock().unwrap().as_ref().unwrap().send(exit).unwrap();
    }

    /// Whether it was told this.
    pub(super) fn was_told(&self, told: &Told) -> bool {
        self.told.lock().unwrap().contains(told)
    }

    fn start(&self, uid: String, container: Container) -> Result<Begun, String> {
        self.tell(Told::Start(uid.clone(), container.name.clone()));
        let argv: Vec<&str> = container.argv.iter().map(String::as_str).collect();
        match argv[..] {
            ["fail"] => return Err("no such command".into()),
            ["exit", code] => return Ok(Begun::Ended(Exit { code: code.parse().unwrap(), said: None })),
            ["linger"] => self.lingering.lock().unwrap().push((uid, container.name)),
            _ => {}
        }
        Ok(Begun::Ready)
    }

    /// The newest state.
    pub(super) fn state(&self) -> Option<State> {
        self.told.lock().unwrap().iter().rev().find_map(|told| match told {
            Told::Sync(state) => Some((**state).clone()),
            _ => None,
        })
    }

    fn tell(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }
}

impl NodeApi for Fake {
    fn kernel(&self) -> String {
        "6.0.0-fake".into()
    }

    fn ipv6(&self) -> bool {
        true
    }

    fn add_pod(&self, pod: NewPod) -> BoxFuture<'_, Result<Begun, String>> {
        let begun = self.start(pod.uid, pod.container);
        async move { begun }.boxed()
    }

    fn add_container(&self, uid: String, container: Container) -> BoxFuture<'_, Result<Begun, String>> {
        let begun = self.start(uid, container);
        async move { begun }.boxed()
    }

    fn terminate(&self, uid: &str, container: &str) -> Result<(), String> {
        let place = (uid.to_owned(), container.to_owned());
        self.tell(Told::Terminate(place.0.clone(), place.1.clone()));
        if !self.lingering.lock().unwrap().contains(&place) {
            self.exit(uid, container, 0);
        }
        Ok(())
    }

    fn delete_pod(&self, uid: String) -> BoxFuture<'_, Result<(), String>> {
        self.tell(Told::Delete(uid));
        async { Ok(()) }.boxed()
    }

    fn exec(
        &self,
        _: (&str, &str),
        argv: Vec<String>,
        [stdin, stdout, stderr]: [OwnedFd; 3],
    ) -> Result<Exec, String> {
        let mut child = tokio::process::Command::new(&argv[0])
            .args(&argv[1..])
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(stderr))
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("{}: {e}", argv[0]))?;
        Ok(async move { child.wait().await.map(|s| s.code().unwrap_or(137)).map_err(|e| e.to_string()) }
            .boxed())
    }

    fn sync(&self, state: State, _: Duration) -> BoxFuture<'_, Result<(), String>> {
        self.tell(Told::Sync(Box::new(state)));
        async { Ok(()) }.boxed()
    }

    fn connect_loop(
        &self,
        sources: Vec<String>,
        targets: Vec<(IpAddr, u16)>,
    ) -> BoxFuture<'_, Result<Connects, String>> {
        async move { Ok(((sources.len() * targets.len()) as u64, Duration::from_millis(1))) }.boxed()
    }

    fn exits(&self) -> mpsc::UnboundedReceiver<ContainerExit> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.exits.lock().unwrap() = Some(sender);
        receiver
    }

    fn ended(&self) -> BoxFuture<'_, String> {
        async {
            self.death.notified().await;
            "signal: 9".to_owned()
        }
        .boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// A server with a fake node, and a client for it.
pub(super) struct Lab {
    pub(super) sandbox: Sandbox,
    pub(super) node: Arc<Fake>,
    pub(super) client: kube::Client,
}

/// An answer: status code and body.
pub(super) type Answer = (u16, Value);

impl Lab {
    pub(super) async fn new() -> Self {
        Self::with(Profile::default()).await
    }

    /// With another profile than the reference.
    pub(super) async fn with(profile: Profile) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let node = Arc::new(Fake::default());
        let scratch = crate::scratch::Scratch::create().unwrap();
        std::fs::create_dir(scratch.path().join(crate::spawn::PODS)).unwrap();
        let sandbox =
            Sandbox::with_node(node.clone(), profile, "a-token-for-tests".into(), listener, address, scratch);
        let config = kube::config::Kubeconfig::from_yaml(&sandbox.kubeconfig()).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
        config.default_retry = false;
        Self { client: kube::Client::try_from(config).unwrap(), sandbox, node }
    }

    /// Sends a request; the content type and other headers are given as `Name: value`.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], vec![]).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[("Content-Type", "application/json")], body.to_string().into()).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, &[("Content-Type", "application/json")], body.to_string().into()).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], vec![]).await
    }

    /// A patch; `kind` is `merge`, `json`, `strategic-merge` or `apply`.
    pub(super) async fn patch(&self, kind: &str, path: &str, body: Value) -> Answer {
        let content = match kind {
            "apply" => "application/apply-patch+yaml".to_owned(),
            other => format!("application/{other}-patch+json"),
        };
        self.send("PATCH", path, &[("Content-Type", &content)], body.to_string().into()).await
    }

    /// Creates a namespace.
    pub(super) async fn namespace(&self, name: &str) {
        let (code, body) = self.post("/api/v1/namespaces", json!({"metadata": {"name": name}})).await;
        assert_eq!(code, 201, "{body}");
    }

    /// Creates a pod and waits until it has left the phase Pending.
    pub(super) async fn pod(&self, namespace: &str, pod: Value) -> Value {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let (code, created) = self.post(&path, pod).await;
        assert_eq!(code, 201, "{created}");
        let path = format!("{path}/{}", created["metadata"]["name"].as_str().unwrap());
        self.until(&path, |answer| answer.1["status"]["phase"] != "Pending").await.1
    }

    /// Asks until the answer is as wanted.
    pub(super) async fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        for _ in 0..500 {
            let answer = self.get(path).await;
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{path} did not become as wanted: {:?}", self.get(path).await);
    }
}

/// A pod that starts.
pub(super) fn pod(name: &str, labels: Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": 80}]}]},
    })
}

/// A policy with a spec.
pub(super) fn policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec})
}

/// Where the policies of `default` are.
pub(super) const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
