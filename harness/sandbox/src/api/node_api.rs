//! What the server needs of the node. The real one is [`NodeHandle`]; tests have another.

use std::{net::IpAddr, os::fd::OwnedFd, time::Duration};

use futures::future::BoxFuture;
use tokio::sync::mpsc;

pub(crate) use crate::handle::{Begun, ContainerExit};
use crate::{
    spawn::NodeHandle,
    wire::{Container, Place, State},
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
    /// Its first container.
    pub(crate) container: Container,
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
    /// Makes a pod and starts its first container.
    fn add_pod(&self, pod: NewPod) -> BoxFuture<'_, Result<Begun, String>>;
    /// Starts another container in a pod.
    fn add_container(&self, uid: String, container: Container) -> BoxFuture<'_, Result<Begun, String>>;
    /// Asks a container's command to end; [`NodeApi::exits`] tells when it has.
    fn terminate(&self, uid: &str, container: &str) -> Result<(), String>;
    /// Kills a pod.
    fn delete_pod(&self, uid: String) -> BoxFuture<'_, Result<(), String>>;
    /// Starts a command in a container (pod's uid, name); the descriptors become its stdin, stdout and stderr. The future is its exit code, or why it
    /// could not be started.
    fn exec(&self, place: (&str, &str), argv: Vec<String>, stdio: [OwnedFd; 3]) -> Result<Exec, String>;
    /// Brings dataplane and DNS up to date; the newest part of the state was accepted `age` ago.
    fn sync(&self, state: State, age: Duration) -> BoxFuture<'_, Result<(), String>>;
    /// The bench's yardstick.
    fn connect_loop(
        &self,
        sources: Vec<String>,
        targets: Vec<(IpAddr, u16)>,
    ) -> BoxFuture<'_, Result<Connects, String>>;
    /// Containers whose command has ended after it was ready.
    fn exits(&self) -> mpsc::UnboundedReceiver<ContainerExit>;
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

    fn add_pod(&self, pod: NewPod) -> BoxFuture<'_, Result<Begun, String>> {
        Box::pin(async move { Self::add_pod(self, &pod.uid, pod.place, pod.ips, pod.container).await })
    }

    fn add_container(&self, uid: String, container: Container) -> BoxFuture<'_, Result<Begun, String>> {
        Box::pin(async move { Self::add_container(self, &uid, container).await })
    }

    fn terminate(&self, uid: &str, container: &str) -> Result<(), String> {
        Self::terminate(self, uid, container)
    }

    fn delete_pod(&self, uid: String) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { Self::delete_pod(self, &uid).await })
    }

    fn exec(&self, place: (&str, &str), argv: Vec<String>, stdio: [OwnedFd; 3]) -> Result<Exec, String> {
        let mut exec = Self::exec(self, place, argv, stdio)?;
        Ok(Box::pin(async move { exec.wait().await }))
    }

    fn sync(&self, state: State, age: Duration) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(Self::sync(self, state, age))
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

    fn exits(&self) -> mpsc::UnboundedReceiver<ContainerExit> {
        self.on_exit()
    }

    fn ended(&self) -> BoxFuture<'_, String> {
        Box::pin(Self::ended(self))
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(Self::stop(self))
    }
}
