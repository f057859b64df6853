//! `verdikt sandbox up`, then a real kubectl. Left out, with a word on standard error, where there is none.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::binary::{self, Said, said};

/// A sandbox that is up, in a runtime folder of its own, and goes down with the test.
struct Up {
    runtime: tempfile::TempDir,
    kubectl: PathBuf,
}

impl Up {
    fn new() -> Option<Self> {
        let kubectl = std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|folder| folder.join("kubectl"))
            .find(|file| file.is_file());
        let Some(kubectl) = kubectl else {
            eprintln!("left out: there is no kubectl in PATH");
            return None;
        };
        let up = Self { runtime: tempfile::tempdir().unwrap(), kubectl };
        let said = up.verdikt(&["sandbox", "up"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        Some(up)
    }

    fn verdikt(&self, args: &[&str]) -> Said {
        said(binary::verdikt(args).env("XDG_RUNTIME_DIR", self.runtime.path()).output().unwrap())
    }

    fn kubeconfig(&self) -> PathBuf {
        self.runtime.path().join("verdikt/kubeconfig")
    }

    fn kubectl(&self, args: &[&str], stdin: &str) -> Said {
        use std::io::Write;
        let mut child = Command::new(&self.kubectl)
            .args(args)
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.runtime.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        said(child.wait_with_output().unwrap())
    }

    /// kubectl that must succeed.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        self.ok_with(args, "")
    }

    #[track_caller]
    fn ok_with(&self, args: &[&str], stdin: &str) -> String {
        let said = self.kubectl(args, stdin);
        assert_eq!(said.code, 0, "kubectl {args:?}\n{}\n{}", said.stdout, said.stderr);
        said.stdout
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let said = self.verdikt(&["sandbox", "down"]);
        if !std::thread::panicking() {
            assert_eq!(said.code, 0, "{}", said.stderr);
            assert!(!exists(&self.kubeconfig()), "the kubeconfig is left");
        }
    }
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

const PODS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: Pod
metadata: {name: front, namespace: shop, labels: {app: front}}
spec:
  containers:
    - name: probe
      image: verdikt-probe
      command: [verdikt-probe, serve, --tcp, "8080", --identity, shop/front]
---
apiVersion: v1
kind: Pod
metadata: {name: back, namespace: shop, labels: {app: back}}
spec:
  containers:
    - name: probe
      image: verdikt-probe
      command: [verdikt-probe, serve, --tcp, "8080", --identity, shop/back]
      ports: [{name: web, containerPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: back, namespace: shop}
spec:
  selector: {app: back}
  ports: [{port: 80, targetPort: web}]
"#;

const POLICY: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: back, namespace: shop}
spec:
  podSelector: {matchLabels: {app: back}}
  ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}}]}]
"#;

#[test]
fn a_real_kubectl_works_and_a_policy_changes_what_exec_reaches() {
    let Some(up) = Up::new() else { return };
    assert!(up.ok(&["version"]).contains("Server Version"));
    for kind in ["nodes", "ns", "pods", "svc", "netpol"] {
        up.ok(&["get", kind, "-A", "-o", "wide"]);
    }
    let nodes = up.ok(&["get", "nodes", "-o", "wide"]);
    assert!(nodes.contains("sandbox-1") && nodes.contains("sandbox-2") && nodes.contains("Ready"), "{nodes}");
    let resources = up.ok(&["api-resources"]);
    assert!(resources.contains("networkpolicies") && resources.contains("netpol"), "{resources}");
    assert_eq!(up.ok(&["auth", "can-i", "create", "pods"]).trim(), "yes");

    let applied = up.ok_with(&["apply", "-f", "-"], PODS);
    assert!(applied.contains("pod/back created"), "{applied}");
    let again = up.ok_with(&["apply", "-f", "-"], PODS);
    assert!(again.contains("pod/back unchanged"), "{again}");
    up.ok(&["-n", "shop", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=30s"]);
    let pods = up.ok(&["-n", "shop", "get", "pods", "-o", "wide"]);
    assert!(pods.contains("Running") && pods.contains("10.244."), "{pods}");
    assert!(up.ok(&["-n", "shop", "logs", "back"]).contains("ready"));

    let ip = up.ok(&["-n", "shop", "get", "pod", "back", "-o", "jsonpath={.status.podIP}"]);
    let service = up.ok(&["-n", "shop", "get", "svc", "back", "-o", "jsonpath={.spec.clusterIP}"]);
    let connect = |target: &str| {
        up.kubectl(
            &["-n", "shop", "exec", "front", "--", "verdikt-probe", "connect", target, "--deadline", "500ms"],
            "",
        )
    };
    let reached = connect(&format!("{ip}:8080"));
    assert_eq!(reached.code, 0, "{}{}", reached.stdout, reached.stderr);
    assert!(reached.stdout.contains("allowed") && reached.stdout.contains("shop/back"), "{}", reached.stdout);
    assert_eq!(connect(&format!("{service}:80")).code, 0, "through the Service");

    up.ok_with(&["apply", "--server-side", "-f", "-"], POLICY);
    // Enforcement follows the API's answer; the agent's first probe may be quicker.
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let denied = loop {
        let denied = connect(&format!("{ip}:8080"));
        if denied.code == 1 || std::time::Instant::now() > limit {
            break denied;
        }
    };
    assert_eq!(denied.code, 1, "{}{}", denied.stdout, denied.stderr);
    assert!(denied.stdout.contains("dropped"), "{}", denied.stdout);
    assert_eq!(connect(&format!("{service}:80")).code, 1, "through the Service");

    up.ok(&["-n", "shop", "label", "pod", "front", "app=nobody", "--overwrite"]);
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while connect(&format!("{ip}:8080")).code != 0 {
        assert!(std::time::Instant::now() < limit, "the label changes nothing");
    }
    let shell = up.kubectl(&["-n", "shop", "exec", "front", "--", "sh"], "");
    assert_ne!(shell.code, 0);
    assert!(shell.stderr.contains("verdikt-probe"), "{}", shell.stderr);

    let bad = POLICY.replace("ingress: [", "ingress: [{ports: [{port: 70000}]}, ");
    let refused = up.kubectl(&["apply", "-f", "-"], &bad);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("between 1 and 65535"), "{}", refused.stderr);

    up.ok(&["delete", "ns", "shop", "--timeout=30s"]);
    let gone = up.kubectl(&["get", "ns", "shop"], "");
    assert!(gone.stderr.contains("NotFound"), "{}", gone.stderr);
}

#[test]
fn up_twice_is_one_sandbox_and_down_twice_is_quiet() {
    let Some(up) = Up::new() else { return };
    let status = up.verdikt(&["sandbox", "status"]);
    assert_eq!(status.code, 0);
    let again = up.verdikt(&["sandbox", "up"]);
    assert_eq!((again.code, again.stdout), (0, status.stdout));
    let other = up.verdikt(&["sandbox", "up", "flannel"]);
    assert_eq!(other.code, 2, "{}", other.stderr);
    assert_eq!(
        up.verdikt(&["sandbox", "kubeconfig"]).stdout,
        std::fs::read_to_string(up.kubeconfig()).unwrap()
    );
    assert_eq!(up.verdikt(&["sandbox", "down"]).code, 0);
    assert_eq!(up.verdikt(&["sandbox", "status"]).code, 3);
    assert_eq!(up.verdikt(&["sandbox", "down"]).code, 0);
    assert_eq!(up.verdikt(&["sandbox", "kubeconfig"]).code, 3);
}
