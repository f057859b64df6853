//! A sandbox and a kubectl that talks to it.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;
use verdikt_sandbox::{Config, Sandbox};

/// Two pods in a namespace, one of them behind a Service.
pub(crate) const WORLD: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: x}
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: x, labels: {app: a}}
spec: {containers: [{name: c, image: verdikt/probe, args: [serve, --tcp, '80'], ports: [{name: web, containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: x, labels: {app: b}}
spec: {containers: [{name: c, image: verdikt/probe, args: [serve, --tcp, '80']}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: x}
spec: {type: NodePort, selector: {app: a}, ports: [{port: 8080, targetPort: web}]}
";

/// The policy `x/p` with a spec in YAML's flow style. (kubectl before 1.33 takes whatever begins with `{` for JSON.)
pub(crate) fn policy(spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: x}}\nspec: {spec}\n"
    )
}

/// Whether there is a kubectl.
pub(crate) fn kubectl_exists() -> bool {
    Command::new("kubectl").args(["version", "--client"]).output().is_ok_and(|output| output.status.success())
}

/// A sandbox with its kubeconfig in a directory of its own.
pub(crate) struct Lab {
    runtime: tokio::runtime::Runtime,
    sandbox: Option<Sandbox>,
    home: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        let exe = std::env::current_exe().expect("the test knows its own file");
        let sandbox = runtime.block_on(Sandbox::start(Config::new(exe))).unwrap_or_else(|e| panic!("{e}"));
        let home = tempfile::tempdir().expect("there is a temporary directory");
        std::fs::write(home.path().join("kubeconfig"), sandbox.kubeconfig()).expect("it is writable");
        Self { runtime, sandbox: Some(sandbox), home }
    }

    /// Applies [`WORLD`] and waits until its pods are ready.
    pub(crate) fn world(&self) {
        self.feed(&["apply", "-f", "-"], WORLD);
        self.ok(&["wait", "-n", "x", "--for=condition=Ready", "pod", "--all", "--timeout=20s"]);
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new("kubectl")
            .args(arguments)
            .env("KUBECONFIG", self.home.path().join("kubeconfig"))
            .env("HOME", self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        // kubectl may end without reading its input.
        let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
        child.wait_with_output().expect("kubectl ends")
    }

    /// Runs kubectl, which must succeed; its output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.feed(arguments, "")
    }

    /// The same with an input.
    pub(crate) fn feed(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}\n{errors}\ninput:\n{input}",
            output.status
        );
        String::from_utf8(output.stdout).expect("kubectl writes UTF-8")
    }

    /// Whether kubectl succeeds.
    pub(crate) fn works(&self, arguments: &[&str]) -> bool {
        self.run(arguments, "").status.success()
    }

    /// Runs kubectl, which must fail; what it says.
    pub(crate) fn refused(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(!output.status.success(), "kubectl {arguments:?} succeeded with input:\n{input}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            self.runtime.block_on(sandbox.stop());
        }
    }
}
