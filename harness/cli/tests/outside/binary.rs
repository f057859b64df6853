//! The built binary, run as a user would.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// What a finished command said.
pub(crate) struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// `verdikt` with no environment but a PATH that holds nothing.
pub(crate) fn verdikt(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verdikt"));
    command.args(args).env_clear().env("PATH", "/nonexistent").stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Said {
    said(verdikt(args).output().expect("verdikt starts"))
}

/// Output as text.
pub(crate) fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A scenario file in a folder of its own.
pub(crate) fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a temporary file can be written");
    path
}

/// A scenario with two pods and one policy, in which `from` stands for `to`.
pub(crate) fn scenario(from: &str, to: &str) -> String {
    let text = r#"apiVersion: verdikt.dev/v1alpha1
kind: Scenario
metadata:
  name: test/one
spec:
  summary: Nobody reaches x/a
  topology:
    namespaces:
      x:
        pods:
          a: {labels: {app: a}}
          b: {labels: {app: b}}
    serve: {tcp: [80]}
  steps:
    - name: deny
      apply:
        - apiVersion: networking.k8s.io/v1
          kind: NetworkPolicy
          metadata: {name: deny, namespace: x}
          spec:
            podSelector: {matchLabels: {app: a}}
            policyTypes: [Ingress]
            ingress: []
      expect:
        deny: ["x/b -> x/a:80/tcp"]
"#;
    assert!(from.is_empty() || text.contains(from), "the template has no `{from}`");
    if from.is_empty() { text.to_owned() } else { text.replacen(from, to, 1) }
}
