//! The life of one pod.
//!
//! ```text
//! node and addresses ──► dataplane ──► init containers, sidecars ──► containers ──► all have ended ──► address freed
//!                                                                        │ deleted
//!                                                                        └─► SIGTERM … SIGKILL ──► gone
//! ```
//!
//! The dataplane learns of a pod before its first command starts, so that the pod is isolated before it can send
//! anything (statement N38). A container that has ended is not started again, whatever the restartPolicy.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::mpsc, time::sleep};

use super::{
    assign::{Placed, schedule},
    container::{Role, command, containers, pull},
    pod_status::{State, note},
    pods::Entry,
    state::{is_over, pod_ips},
};
use crate::{
    api::{
        cluster::Cluster,
        kinds::Kind,
        node_api::{Begun, NewPod},
        object::{Shared, items, text},
    },
    wire::{Exit, Place},
};

/// What a container waits for when its image cannot be had.
const NO_IMAGE: &str = "ImagePullBackOff";

/// How a container that was killed has ended.
const KILLED: Exit = Exit { code: 137, said: None };

/// A pod while it has a node.
struct Life {
    cluster: Arc<Cluster>,
    entry: Entry,
    placed: Placed,
    exits: mpsc::UnboundedReceiver<(String, Exit)>,
    /// The containers whose commands run, in the order in which they have started.
    running: Vec<(Role, String)>,
    /// The node has taken it down.
    down: bool,
}

/// Why a pod did not start.
enum Stopped {
    /// A container could not be started: its name, reason and message.
    Refused(String, &'static str, String),
    /// A container has ended without what it was there for.
    Failed,
}

/// The life of one pod.
pub(super) async fn live(
    cluster: Arc<Cluster>,
    entry: Entry,
    exits: mpsc::UnboundedReceiver<(String, Exit)>,
) {
    if let Some(placed) = schedule(&cluster, &entry).await {
        let mut life = Life {
            cluster: cluster.clone(),
            entry: entry.clone(),
            placed,
            exits,
            running: vec![],
            down: false,
        };
        tokio::select! {
            () = life.run() => {}
            () = cluster.stop.cancelled() => return,
        }
    }
    cluster.pods.forget(&entry.uid);
}

impl Life {
    async fn run(&mut self) {
        let entry = self.entry.clone();
        let started = tokio::select! {
            started = self.start() => started,
            // What has not started has nothing to bring to an end: it is killed.
            () = entry.ending() => return self.remove().await,
        };
        match started {
            Ok(()) => self.stay().await,
            Err(Stopped::Failed) => {}
            Err(Stopped::Refused(container, reason @ NO_IMAGE, why)) => {
                self.note(&container, &State::Waits(reason, &why));
                self.event("Warning", "Failed", &why);
                entry.ending().await;
            }
            Err(Stopped::Refused(container, reason, why)) => {
                // Nothing of it may run any more when the dataplane forgets it.
                self.kill().await;
                self.note(&container, &State::Refused(reason, &why));
                self.event("Warning", "Failed", &why);
            }
        }
        self.finish().await;
    }

    /// Brings the dataplane up to the pod, then starts its containers.
    async fn start(&mut self) -> Result<(), Stopped> {
        let pod = self.placed.pod.clone();
        let refused = |container: &Value, reason: &'static str, why: String| {
            Stopped::Refused(text(container, "/name").to_owned(), reason, why)
        };
        let known = self.cluster.syncer.reached(self.placed.pod.version()).await;
        for (number, (role, container)) in containers(&pod.value).enumerate() {
            if let Err(why) = &known {
                let why = format!("the dataplane refused the cluster's state: {why}");
                return Err(refused(container, "FailedCreatePodSandBox", why));
            }
            pull(container).map_err(|why| refused(container, NO_IMAGE, why))?;
            let command = command(&pod.value, container)
                .map_err(|why| refused(container, "CreateContainerConfigError", why))?;
            let (node, uid, name) = (&self.cluster.node, pod.uid().to_owned(), command.name.clone());
            let begun = if number == 0 {
                let place = self.placed.place;
                let ips = if matches!(place, Place::Pod(_)) { pod_ips(&pod.value) } else { vec![] };
                node.add_pod(NewPod { uid, place, ips, container: command }).await
            } else {
                node.add_container(uid, command).await
            };
            match begun.map_err(|why| refused(container, "RunContainerError", why))? {
                Begun::Ready => {
                    self.running.push((role, name.clone()));
                    self.note(&name, &State::Runs);
                    self.event("Normal", "Started", &format!("Started container {name}"));
                    if role == Role::Init {
                        self.until_ended(&name).await;
                    }
                }
                Begun::Ended(exit) => self.ended(&name, &exit).await,
            }
            if self.is_over() {
                return Err(Stopped::Failed);
            }
        }
        Ok(())
    }

    /// Waits until the containers proper have ended, by themselves or because the pod is deleted; then ends the
    /// sidecars, the last one first.
    async fn stay(&mut self) {
        let entry = self.entry.clone();
        let mut asked = false;
        while self.running.iter().any(|(role, _)| *role == Role::Main) {
            tokio::select! {
                Some((name, exit)) = self.exits.recv() => self.ended(&name, &exit).await,
                () = entry.ending(), if !asked => {
                    asked = true;
                    let mut mains = self.running.iter().filter(|(role, _)| *role == Role::Main);
                    if !mains.all(|(_, name)| self.terminate(name)) {
                        return;
                    }
                }
                () = entry.expired() => return,
            }
        }
        let own =
            self.placed.pod.value.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
        let patience = sleep(Duration::from_secs(own.unwrap_or(30)));
        tokio::pin!(patience);
        while let Some((_, name)) = self.running.last().cloned() {
            if !self.terminate(&name) {
                return;
            }
            tokio::select! {
                () = self.until_ended(&name) => {}
                () = entry.expired() => return,
                () = &mut patience => return,
            }
        }
    }

    /// Waits for the end of one container.
    async fn until_ended(&mut self, container: &str) {
        while self.running.iter().any(|(_, name)| name == container) {
            let Some((name, exit)) = self.exits.recv().await else { return };
            self.ended(&name, &exit).await;
        }
    }

    /// Asks a container to end; whether there is a node that can be asked. Without one nothing runs, and no end will
    /// be told.
    fn terminate(&self, container: &str) -> bool {
        let asked = self.cluster.node.terminate(&self.entry.uid, container);
        if let Err(why) = &asked {
            self.event("Warning", "FailedKillPod", why);
        }
        asked.is_ok()
    }

    /// A container has ended.
    async fn ended(&mut self, container: &str, exit: &Exit) {
        self.running.retain(|(_, name)| name != container);
        let last = self.object().is_some_and(|pod| {
            let mut after = pod.value.clone();
            note(&mut after, container, &State::Ended(exit));
            is_over(&after)
        });
        if last {
            // Commands beside it end with it; the dataplane forgets a pod that is over.
            self.kill().await;
        }
        let pod = self.note(container, &State::Ended(exit));
        // Nobody asks how a pod ended that is deleted.
        if pod.is_some_and(|pod| !pod.terminating()) {
            let kind = if exit.code == 0 { "Normal" } else { "Warning" };
            let message = format!("Container {container} ended with exit code {}", exit.code);
            self.event(kind, "Exited", &message);
        }
    }

    /// Ends what is left of the pod; one that is not deleted yet stays as an object, without its address.
    async fn finish(&mut self) {
        self.kill().await;
        for (_, name) in std::mem::take(&mut self.running) {
            self.ended(&name, &KILLED).await;
        }
        if self.is_over() {
            self.placed.free(&self.cluster);
        }
        self.entry.ending().await;
        self.remove().await;
    }

    async fn kill(&mut self) {
        if self.down {
            return;
        }
        self.down = true;
        if let Err(why) = self.cluster.node.delete_pod(self.entry.uid.clone()).await {
            self.event("Warning", "FailedKillPod", &why);
        }
    }

    /// Kills the pod and removes its object, once nobody holds it by a finaliser.
    async fn remove(&mut self) {
        self.kill().await;
        let entry = &self.entry;
        let mut changed = self.cluster.store.subscribe(Kind::Pod);
        loop {
            changed.borrow_and_update();
            let over = self.cluster.store.write(|tx| {
                match tx.get(Kind::Pod, &entry.namespace, &entry.name).filter(|pod| pod.uid() == entry.uid) {
                    Some(pod) if !items(&pod.value, "/metadata/finalizers").is_empty() => false,
                    Some(_) => tx.remove(Kind::Pod, &entry.namespace, &entry.name).is_some(),
                    None => true,
                }
            });
            if over {
                break;
            }
            // The sender lives as long as the store.
            let _ = changed.changed().await;
        }
        self.placed.free(&self.cluster);
    }

    /// The pod as it is now, if it is still there.
    fn object(&self) -> Option<Shared> {
        let pod = self.cluster.store.get(Kind::Pod, &self.entry.namespace, &self.entry.name)?;
        (pod.uid() == self.entry.uid).then_some(pod)
    }

    fn is_over(&self) -> bool {
        self.object().is_some_and(|pod| is_over(&pod.value))
    }

    fn note(&self, container: &str, state: &State<'_>) -> Option<Shared> {
        modify(&self.cluster, &self.entry, |pod| note(pod, container, state))
    }

    fn event(&self, kind: &str, reason: &str, message: &str) {
        self.cluster.event(&self.placed.pod.value, kind, reason, message, "kubelet");
    }
}

/// Changes a pod, if it is still there.
pub(super) fn modify(cluster: &Cluster, entry: &Entry, f: impl FnOnce(&mut Value)) -> Option<Shared> {
    cluster.store.write(|tx| {
        tx.modify(Kind::Pod, &entry.namespace, &entry.name, |pod| {
            let same = text(pod, "/metadata/uid") == entry.uid;
            if same {
                f(pod);
            }
            same
        })
    })
}
