//! What the server needs of the node. The real one is [`NodeHandle`]; tests have another.

use std::{collections::BTreeMap, net::IpAddr, os::fd::OwnedFd, time::Duration};

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::{
    spawn::NodeHandle,
    wire::{Place, State},
};

/// A pod for the node to make.
#[derive(Debug, Clone)]
pub(crate) struct NewPod {
    /// Its uid.
    pub(crate) uid: String,
    /// Where.
    pub(crate) place: Place,
    /// Its addresses; empty unless the place is [`Place::Pod`].
    pub(crate) ips: Vec<IpAddr>,
    /// Its command.
    pub(crate) argv: Vec<String>,
    /// Its environment.
    pub(crate) env: BTreeMap<String, String>,
}

/// A command that runs in a pod; dropping it kills the command.
pub(crate) type Exec = BoxFuture<'static, Result<i32, String>>;

/// Connects that were answered, and the time they took together.
pub(crate) type Connects = (u64, Duration);

/// The node.
pub(crate) trait NodeApi: Send + Sync + 'static {
    /// Release of its kernel.
    fn kernel(&self) -> String;
    /// Whether its kernel has IPv6.
    fn ipv6(&self) -> bool;
    /// Makes a pod and starts its command; ready when it is `Ok`.
    fn add_pod(&self, pod: NewPod) -> BoxFuture<'_, Result<(), String>>;
    /// Ends a pod.
    fn delete_pod(&self, uid: String) -> BoxFuture<'_, Result<(), String>>;
    /// Starts a command; the descriptors become its stdin, stdout and stderr. The future is its exit code, or why it
    /// could not be started.
    fn exec(
        &self,
        uid: &str,
        argv: Vec<String>,
        env: BTreeMap<String, String>,
        stdio: [OwnedFd; 3],
    ) -> Result<Exec, String>;
    /// Brings dataplane and DNS up to date.
    fn sync(&self, state: State) -> BoxFuture<'_, Result<(), String>>;
    /// The bench's yardstick.
    fn connect_loop(
        &self,
        sources: Vec<String>,
        targets: Vec<(IpAddr, u16)>,
    ) -> BoxFuture<'_, Result<Connects, String>>;
    /// Pods whose command ended by itself: uid and exit code.
    fn exits(&self) -> mpsc::UnboundedReceiver<(String, i32)>;
    /// Waits until the node has ended, for whatever reason, and says how.
    fn ended(&self) -> BoxFuture<'_, String>;
    /// Ends the node and all that is in it.
    fn stop(&self) -> BoxFuture<'_, ()>;
}

impl NodeApi for NodeHandle {
    fn kernel(&self) -> String {
        Self::kernel(self).to_owned()
    }

    fn ipv6(&self) -> bool {
        Self::ipv6(self)
    }

    fn add_pod(&self, pod: NewPod) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { Self::add_pod(self, &pod.uid, pod.place, pod.ips, pod.argv, pod.env).await })
    }

    fn delete_pod(&self, uid: String) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { Self::delete_pod(self, &uid).await })
    }

    fn exec(
        &self,
        uid: &str,
        argv: Vec<String>,
        env: BTreeMap<String, String>,
        stdio: [OwnedFd; 3],
    ) -> Result<Exec, String> {
        let mut exec = Self::exec(self, uid, argv, env, stdio)?;
        Ok(Box::pin(async move { exec.wait().await }))
    }

    fn sync(&self, state: State) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(Self::sync(self, state))
    }

    fn connect_loop(
        &self,
        sources: Vec<String>,
        targets: Vec<(IpAddr, u16)>,
    ) -> BoxFuture<'_, Result<Connects, String>> {
        Box::pin(async move {
            let result = Self::connect_loop(self, sources, targets).await?;
            Ok((result.connects, result.time))
        })
    }

    fn exits(&self) -> mpsc::UnboundedReceiver<(String, i32)> {
        let mut from = self.on_pod_exited();
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(exit) = from.recv().await {
                if sender.send((exit.uid, exit.code)).is_err() {
                    break;
                }
            }
        });
        receiver
    }

    fn ended(&self) -> BoxFuture<'_, String> {
        Box::pin(Self::ended(self))
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(Self::stop(self))
    }
}
