//! A sandbox with a proxy in front of it, and verdikt in front of both.

use std::path::{Path, PathBuf};

use tokio::runtime::Runtime;
use verdikt_sandbox::{Config, Profile, Sandbox};

use crate::{
    binary::{self, Said, file, said},
    proxy::{Proxy, Rules},
    role::Role,
};

/// The name of the context.
pub(crate) const CONTEXT: &str = "limited";

/// A sandbox; it ends with the test.
pub(crate) struct Lab {
    runtime: Runtime,
    sandbox: Option<Sandbox>,
    pub folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let config = Config {
            // Its node and pods are verdikt itself, started again.
            exe: PathBuf::from(env!("CARGO_BIN_EXE_verdikt")),
            profile: Profile::default(),
            listen: ([127, 0, 0, 1], 0).into(),
            token: None,
        };
        let sandbox = runtime.block_on(Sandbox::start(config)).unwrap_or_else(|e| panic!("no sandbox: {e}"));
        Self { runtime, sandbox: Some(sandbox), folder: tempfile::tempdir().unwrap() }
    }

    /// A proxy in front, with a kubeconfig that leads to it.
    pub(crate) fn limited(&self, role: Role, honest: bool) -> Limited {
        let sandbox = self.sandbox.as_ref().unwrap();
        let url = sandbox.url();
        let upstream = url.strip_prefix("http://").unwrap().parse().unwrap();
        let proxy = Proxy::start(upstream, Rules { role, honest });
        let server = format!("http://{}", proxy.address);
        let name = format!("config-{}", proxy.address.port());
        let kubeconfig =
            kubeconfig(self.folder.path(), &name, &format!("server: '{server}'"), sandbox.token());
        Limited { proxy, kubeconfig }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            self.runtime.block_on(sandbox.stop());
        }
    }
}

/// The way to a sandbox through a proxy.
pub(crate) struct Limited {
    pub proxy: Proxy,
    kubeconfig: PathBuf,
}

impl Limited {
    pub(crate) fn verdikt(&self, args: &[&str]) -> Said {
        through(&self.kubeconfig, args)
    }
}

/// Runs a verb of verdikt on the context of a kubeconfig.
pub(crate) fn through(kubeconfig: &Path, args: &[&str]) -> Said {
    let (verb, rest) = args.split_first().unwrap();
    let mut all = vec![*verb, "--context", CONTEXT, "--kubeconfig", kubeconfig.to_str().unwrap()];
    all.extend(rest);
    said(binary::verdikt(&all).output().unwrap())
}

/// A kubeconfig with one context.
pub(crate) fn kubeconfig(folder: &Path, name: &str, cluster: &str, token: &str) -> PathBuf {
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{{cluster}}}}}]\n\
         users: [{{name: u, user: {{token: '{token}'}}}}]\n\
         contexts: [{{name: {CONTEXT}, context: {{cluster: c, user: u}}}}]\n"
    );
    file(folder, name, &text)
}

/// The role that verdikt prints.
pub(crate) fn printed() -> Role {
    let said = binary::run(&["doctor", "--print-rbac"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    Role::parse(&said.stdout)
}

/// The same without what it marks as optional.
pub(crate) fn needed() -> Role {
    let mut role = printed();
    for right in verdikt_cluster::RIGHTS.iter().filter(|right| right.lost.is_some()) {
        for verb in right.verbs {
            role = role.without(right.group, right.resource, verb);
        }
    }
    role
}
