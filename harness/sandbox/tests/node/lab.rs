//! A node with pods in it, and probes between them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    handle::Begun,
    plan,
    spawn::{NodeHandle, spawn_node},
    wire::{Container, Place, PodState, ServicePortState, ServiceState, State},
};

/// Name of the one container that most pods have.
pub(crate) const MAIN: &str = "c";

/// What an agent says at the end of a batch.
const DONE: &str = r#""op":"done""#;

/// A container with this command.
pub(crate) fn container(argv: &[&str]) -> Container {
    let argv = argv.iter().map(ToString::to_string).collect();
    Container { name: MAIN.into(), argv, env: BTreeMap::new() }
}

/// A running node.
pub(crate) struct Lab {
    pub(crate) node: NodeHandle,
    pub(crate) scratch: TempDir,
    pub(crate) state: State,
    next: [u16; 2],
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Result<i32, String>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let node = match spawn_node(Path::new("/proc/self/exe"), scratch.path()).await {
            Ok(node) => node,
            Err(error) => panic!("there is no node: {error}"),
        };
        let state = State::default();
        Self { node, scratch, state, next: [1, 1] }
    }

    /// Chooses addresses for a pod on a node, writes it into the state, and returns how to start it.
    pub(crate) fn pod(&mut self, namespace: &str, name: &str, node: u16) -> PodState {
        let number = &mut self.next[usize::from(node)];
        let ips = plan::pod_ips(node, *number).to_vec();
        *number += 1;
        let pod = PodState {
            uid: format!("{namespace}-{name}"),
            namespace: namespace.into(),
            name: name.into(),
            place: Place::Pod(node),
            labels: BTreeMap::from([("pod".into(), name.into())]),
            ips,
            ports: [("web", 80), ("alt", 81), ("", 53)]
                .map(|(name, port)| (name.into(), "TCP".into(), port))
                .into(),
            terminating: false,
        };
        self.state
            .namespaces
            .entry(namespace.into())
            .or_insert_with(|| BTreeMap::from([("kubernetes.io/metadata.name".into(), namespace.into())]));
        self.state.pods.push(pod.clone());
        pod
    }

    /// Starts a pod that serves TCP 53, 80 and 81, and UDP 80.
    pub(crate) async fn start(&self, pod: &PodState) {
        let argv = ["verdikt-probe", "serve", "--tcp", "53,80,81", "--udp", "80"];
        let env = BTreeMap::from([(
            verdikt_protocol::IDENTITY_VARIABLE.to_owned(),
            format!("{}/{}", pod.namespace, pod.name),
        )]);
        let ips = if matches!(pod.place, Place::Pod(_)) { pod.ips.clone() } else { vec![] };
        let container = Container { env, ..container(&argv) };
        let started = self.node.add_pod(&pod.uid, pod.place, ips, container).await;
        assert_eq!(started, Ok(Begun::Ready), "{}", pod.uid);
    }

    /// Makes and starts a pod.
    pub(crate) async fn add(&mut self, namespace: &str, name: &str, node: u16) -> PodState {
        let pod = self.pod(namespace, name, node);
        self.start(&pod).await;
        pod
    }

    /// A pod in a node's own network.
    pub(crate) async fn add_host(&mut self, name: &str, place: Place) -> PodState {
        let mut pod = self.pod("host", name, 0);
        pod.place = place;
        pod.ips = match place {
            Place::Node(node) => plan::node_ips(node).to_vec(),
            _ => plan::external_ips(1).to_vec(),
        };
        *self.state.pods.last_mut().unwrap() = pod.clone();
        self.start(&pod).await;
        pod
    }

    pub(crate) async fn sync(&self) {
        self.node.sync(self.state.clone(), Duration::ZERO).await.unwrap();
    }

    /// Adds a policy.
    pub(crate) fn policy(&mut self, namespace: &str, spec: Value) {
        let name = format!("p{}", self.state.policies.len());
        self.state.policies.push(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        }));
    }

    /// Adds a Service with one port to port 80 of these pods.
    pub(crate) fn service(&mut self, name: &str, number: u16, port: (u16, Option<u16>), pods: &[&PodState]) {
        let node = |pod: &PodState| match pod.place {
            Place::Pod(node) | Place::Node(node) => node,
            Place::External => 0,
        };
        self.state.services.push(ServiceState {
            namespace: "x".into(),
            name: name.into(),
            selector: pods.iter().take(1).flat_map(|pod| pod.labels.clone()).collect(),
            cluster_ips: plan::service_ips(number).to_vec(),
            external_name: None,
            hostnames: BTreeMap::new(),
            pod_ips: pods.iter().flat_map(|pod| pod.ips.clone()).collect(),
            ports: vec![ServicePortState {
                name: "web".into(),
                protocol: "TCP".into(),
                port: port.0,
                target: IntOrString::Int(80),
                node_port: port.1,
                backends: pods.iter().flat_map(|pod| pod.ips.iter().map(|ip| (*ip, 80, node(pod)))).collect(),
            }],
            local: false,
        });
    }

    pub(crate) async fn exec(&self, pod: &PodState, argv: &[&str]) -> Said {
        self.exec_with(pod, argv, vec![], 0).await
    }

    /// The same with something on its standard input, which ends when so many batches are done: an agent does not
    /// work on for long after that.
    async fn exec_with(&self, pod: &PodState, argv: &[&str], input: Vec<u8>, batches: usize) -> Said {
        let (stdin, feed) = nix::unistd::pipe().unwrap();
        let (out, stdout) = nix::unistd::pipe().unwrap();
        let (err, stderr) = nix::unistd::pipe().unwrap();
        let argv = argv.iter().map(ToString::to_string).collect();
        let mut exec = self.node.exec((&pod.uid, MAIN), argv, [stdin, stdout, stderr]).unwrap();
        let (working, end) = std::sync::mpsc::channel::<()>();
        let mut working = (batches > 0).then_some(working);
        let out = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            let mut done = 0;
            let mut reader = BufReader::new(File::from(out));
            while reader.read_line(&mut text).unwrap() > 0 {
                done += usize::from(text.lines().next_back().is_some_and(|line| line.contains(DONE)));
                if done == batches {
                    drop(working.take());
                }
            }
            text
        });
        let err = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            File::from(err).read_to_string(&mut text).unwrap();
            text
        });
        tokio::task::spawn_blocking(move || {
            let mut feed = File::from(feed);
            // A command that ends early does not read it all.
            let _ = feed.write_all(&input);
            // Nothing is ever sent: this returns when the reader has all that it waits for, or has met the end.
            let _ = end.recv();
        });
        let code = exec.wait().await;
        Said { code, out: out.await.unwrap(), err: err.await.unwrap() }
    }

    /// What comes of a probe: `allowed`, `dropped`, `rejected` or `error: …`.
    pub(crate) async fn probe(&self, from: &PodState, to: IpAddr, port: u16, protocol: &str) -> String {
        let to = SocketAddr::new(to, port).to_string();
        let argv =
            ["verdikt-probe", "connect", &to, "--protocol", protocol, "--deadline", "250ms", "-o", "json"];
        let said = self.exec(from, &argv).await;
        let result: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
        match result["verdict"].as_str() {
            Some("error") | None => format!("error: {said:?}"),
            Some(verdict) => verdict.to_owned(),
        }
    }

    /// Many TCP probes by one agent, in batches of 64 an address, one batch after another; how many had which verdict.
    pub(crate) async fn storm(
        &self,
        from: &PodState,
        to: &[IpAddr],
        port: u16,
        batches: usize,
    ) -> BTreeMap<String, usize> {
        let probe = |number: usize| json!({"n": number, "to": {"ip": to[number % to.len()]}, "port": port, "transport": "tcp"});
        let probes: Vec<Value> = (0..64 * to.len()).map(probe).collect();
        let session: String = (0..batches)
            .map(|batch| json!({"op": "probe", "batch": batch, "deadlineMs": 20, "probes": probes}))
            .map(|request| format!("{request}\n"))
            .collect();
        let said = self.exec_with(from, &["verdikt-probe", "agent"], session.into(), batches).await;
        assert_eq!(said.code, Ok(0), "{} {}", said.err, said.out.lines().last().unwrap_or_default());
        let mut verdicts = BTreeMap::new();
        for line in said.out.lines() {
            let reply: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{said:?}"));
            for result in reply["results"].as_array().into_iter().flatten() {
                *verdicts.entry(result["verdict"].as_str().unwrap_or("none").to_owned()).or_default() += 1;
            }
        }
        verdicts
    }

    /// Who answers a TCP connect, and whom it saw, as the probe says it in human words.
    pub(crate) async fn who(&self, from: &PodState, to: IpAddr, port: u16) -> String {
        let to = SocketAddr::new(to, port).to_string();
        self.exec(from, &["verdikt-probe", "connect", &to, "--deadline", "500ms"]).await.out
    }

    /// Expects the same of both families, over TCP.
    pub(crate) async fn expect(&self, from: &PodState, to: &PodState, port: u16, verdict: &str) {
        for ip in &to.ips {
            let seen = self.probe(from, *ip, port, "tcp").await;
            assert_eq!(seen, verdict, "{} -> {} ({ip}) port {port}", from.uid, to.uid);
        }
    }

    /// Ends the node, which must go quickly.
    pub(crate) async fn stop(self) {
        let start = Instant::now();
        self.node.stop().await;
        assert!(start.elapsed() < Duration::from_secs(2), "the node took {:?} to stop", start.elapsed());
    }
}
