//! [`NodeHandle`]: the API server's side of the talk with the node.
//!
//! Requests go to a writer task through a queue, so that no caller ever blocks; a reader task hands every answer to
//! whoever waits for it. When the node ends, everybody who waits is told so, with the reason.

use std::{
    collections::HashMap,
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    channel::{AsyncReceiver, AsyncSender},
    spawn::Process,
    wire::{Container, Exit, FromNode, Place, State, ToNode},
};

/// How long [`NodeHandle::stop`] waits before it kills.
const STOP: Duration = Duration::from_secs(5);

/// A running node. Clones share it; the node ends when [`NodeHandle::stop`] is called, when the last clone is
/// dropped, or when this process ends in whatever way.
#[derive(Clone)]
pub(crate) struct NodeHandle {
    shared: Arc<Shared>,
}

/// A command in a pod. Dropping it before it has ended kills the command.
pub(crate) struct ExecHandle {
    id: u64,
    shared: Arc<Shared>,
    answer: oneshot::Receiver<Result<i32, String>>,
    ended: bool,
}

/// What [`NodeHandle::connect_loop`] measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoopResult {
    /// Connects that were answered.
    pub(crate) connects: u64,
    /// Wall time.
    pub(crate) time: Duration,
}

/// What became of a container that was to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It runs and has said that it is ready.
    Ready,
    /// It has ended before it said so.
    Ended(Exit),
}

/// A container whose command has ended after it was ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerExit {
    /// The pod's uid.
    pub(crate) uid: String,
    /// The container's name.
    pub(crate) container: String,
    /// How.
    pub(crate) exit: Exit,
}

struct Shared {
    kernel: String,
    ipv6: bool,
    queue: mpsc::UnboundedSender<(ToNode, Vec<OwnedFd>)>,
    next: AtomicU64,
    waiting: Mutex<Waiting>,
    process: Arc<Process>,
}

type LoopAnswer = Result<LoopResult, String>;

/// Who waits for what.
#[derive(Default)]
struct Waiting {
    /// By pod and container.
    started: HashMap<(String, String), oneshot::Sender<Result<Begun, String>>>,
    gone: HashMap<String, Vec<oneshot::Sender<Result<(), String>>>>,
    execs: HashMap<u64, oneshot::Sender<Result<i32, String>>>,
    syncs: HashMap<u64, oneshot::Sender<Result<(), String>>>,
    loops: Vec<oneshot::Sender<LoopAnswer>>,
    exits: Option<mpsc::UnboundedSender<ContainerExit>>,
    /// Exits that came before anybody listened.
    early_exits: Vec<ContainerExit>,
    /// Set once the node has ended: why.
    dead: Option<String>,
}

impl NodeHandle {
    /// Starts the two tasks of a node that has said it is ready.
    pub(crate) fn new(
        (kernel, ipv6): (String, bool),
        mut receiver: AsyncReceiver,
        sender: AsyncSender,
        process: Arc<Process>,
    ) -> Self {
        let (queue, requests) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            kernel,
            ipv6,
            queue,
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            process: Arc::clone(&process),
        });
        tokio::spawn(write(sender, requests));
        let weak = Arc::downgrade(&shared);
        tokio::spawn(async move {
            let why = loop {
                match receiver.receive::<FromNode>().await {
                    Ok(Some((message, _))) => match weak.upgrade() {
                        Some(shared) => shared.lock().dispatch(message),
                        None => return,
                    },
                    Ok(None) => break process.epitaph().await,
                    // It went with messages unread. Its own last words say why.
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                        break process.epitaph().await;
                    }
                    Err(error) => break format!("its messages cannot be read: {error}"),
                }
            };
            if let Some(shared) = weak.upgrade() {
                shared.lock().bury(&format!("the sandbox's node has ended: {why}"));
            }
        });
        Self { shared }
    }

    /// The kernel's release.
    pub(crate) fn kernel(&self) -> &str {
        &self.shared.kernel
    }

    /// Whether the kernel has IPv6. Without it, IPv6 addresses of pods are ignored by the node.
    pub(crate) fn ipv6(&self) -> bool {
        self.shared.ipv6
    }

    /// Sends a message as it is; descriptors are closed here once they are sent.
    pub(crate) fn send(&self, message: ToNode, fds: Vec<OwnedFd>) -> Result<(), String> {
        self.shared.send(message, fds)
    }

    /// Makes a pod and waits until its first container is ready, or has ended. `ips` is empty unless the place is
    /// [`Place::Pod`].
    pub(crate) async fn add_pod(
        &self,
        uid: &str,
        place: Place,
        ips: Vec<IpAddr>,
        container: Container,
    ) -> Result<Begun, String> {
        let wait = self.expect(uid, &container);
        self.send(ToNode::AddPod { uid: uid.to_owned(), place, ips, container }, vec![])?;
        self.shared.answer(wait).await
    }

    /// Starts another container in a pod and waits until it is ready, or has ended.
    pub(crate) async fn add_container(&self, uid: &str, container: Container) -> Result<Begun, String> {
        let wait = self.expect(uid, &container);
        self.send(ToNode::AddContainer { uid: uid.to_owned(), container }, vec![])?;
        self.shared.answer(wait).await
    }

    fn expect(&self, uid: &str, container: &Container) -> oneshot::Receiver<Result<Begun, String>> {
        let (answer, wait) = oneshot::channel();
        self.shared.lock().started.insert((uid.to_owned(), container.name.clone()), answer);
        wait
    }

    /// Asks a container's command to end; the stream of exits tells when it has.
    pub(crate) fn terminate(&self, uid: &str, container: &str) -> Result<(), String> {
        self.send(ToNode::Terminate { uid: uid.to_owned(), container: container.to_owned() }, vec![])
    }

    /// Kills a pod and waits until it is gone. A pod that does not exist is gone already.
    pub(crate) async fn delete_pod(&self, uid: &str) -> Result<(), String> {
        let (answer, wait) = oneshot::channel();
        self.shared.lock().gone.entry(uid.to_owned()).or_default().push(answer);
        self.send(ToNode::DeletePod { uid: uid.to_owned() }, vec![])?;
        self.shared.answer(wait).await
    }

    /// Starts a command in a container of a pod; `stdio` are the ends that the command gets as stdin, stdout and stderr.
    pub(crate) fn exec(
        &self,
        (uid, container): (&str, &str),
        argv: Vec<String>,
        stdio: [OwnedFd; 3],
    ) -> Result<ExecHandle, String> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.shared.lock().execs.insert(id, sender);
        let (uid, container) = (uid.to_owned(), container.to_owned());
        self.send(ToNode::Exec { id, uid, container, argv }, stdio.into())?;
        Ok(ExecHandle { id, shared: Arc::clone(&self.shared), answer, ended: false })
    }

    /// Makes dataplane and DNS follow this state, the newest part of which the API accepted `age` ago, and waits
    /// until they do. What takes force later by the profile is then known and waits for its time. The caller
    /// coalesces.
    pub(crate) async fn sync(&self, state: State, age: Duration) -> Result<(), String> {
        let (answer, wait) = oneshot::channel();
        let generation = self.shared.next.fetch_add(1, Ordering::Relaxed);
        self.shared.lock().syncs.insert(generation, answer);
        self.send(ToNode::Sync { generation, age, state: Box::new(state) }, vec![])?;
        self.shared.answer(wait).await
    }

    /// Measures a bare loop of connects, see [`ToNode::ConnectLoop`].
    pub(crate) async fn connect_loop(
        &self,
        sources: Vec<String>,
        targets: Vec<(IpAddr, u16)>,
    ) -> Result<LoopResult, String> {
        let (answer, wait) = oneshot::channel();
        self.shared.lock().loops.push(answer);
        self.send(ToNode::ConnectLoop { sources, targets }, vec![])?;
        self.shared.answer(wait).await
    }

    /// The stream of containers whose command has ended. A second call takes the stream over.
    pub(crate) fn on_exit(&self) -> mpsc::UnboundedReceiver<ContainerExit> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut waiting = self.shared.lock();
        for exit in waiting.early_exits.drain(..) {
            // Cannot fail: the receiver is in this function.
            let _ = sender.send(exit);
        }
        waiting.exits = Some(sender);
        receiver
    }

    /// Ends the node and everything in it, and waits until it has gone.
    pub(crate) async fn stop(&self) {
        let _ = self.send(ToNode::Stop, vec![]);
        if tokio::time::timeout(STOP, self.ended()).await.is_err() {
            self.shared.process.kill();
            self.ended().await;
        }
    }

    /// Waits until the node has ended, for whatever reason, and says how.
    pub(crate) async fn ended(&self) -> String {
        self.shared.process.epitaph().await
    }
}

impl ExecHandle {
    /// Waits for the end: exit code, or 128 + signal. `Err` when the command could not be started.
    pub(crate) async fn wait(&mut self) -> Result<i32, String> {
        let answer = (&mut self.answer).await;
        self.ended = true;
        answer.unwrap_or_else(|_| Err(self.shared.why()))
    }

    /// Kills the command; [`ExecHandle::wait`] then answers 137.
    pub(crate) fn kill(&self) {
        let _ = self.shared.send(ToNode::Kill { id: self.id }, vec![]);
    }
}

impl Drop for ExecHandle {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn why(&self) -> String {
        self.lock().dead.clone().unwrap_or_else(|| "the sandbox's node gave no answer".into())
    }

    fn send(&self, message: ToNode, fds: Vec<OwnedFd>) -> Result<(), String> {
        if let Some(why) = &self.lock().dead {
            return Err(why.clone());
        }
        self.queue.send((message, fds)).map_err(|_| self.why())
    }

    async fn answer<T>(&self, wait: oneshot::Receiver<Result<T, String>>) -> Result<T, String> {
        wait.await.unwrap_or_else(|_| Err(self.why()))
    }
}

impl Waiting {
    /// Hands an answer to whoever waits. An answer for which nobody waits any more is dropped.
    fn dispatch(&mut self, message: FromNode) {
        match message {
            FromNode::ContainerReady { uid, container } => {
                self.started.remove(&(uid, container)).map(|answer| answer.send(Ok(Begun::Ready)));
            }
            FromNode::ContainerFailed { uid, container, why } => {
                self.started.remove(&(uid, container)).map(|answer| answer.send(Err(why)));
            }
            FromNode::PodGone { uid } => {
                for (_, answer) in self.started.extract_if(|(pod, _), _| *pod == uid) {
                    let _ = answer.send(Err("deleted while it was starting".into()));
                }
                for answer in self.gone.remove(&uid).unwrap_or_default() {
                    let _ = answer.send(Ok(()));
                }
            }
            FromNode::Exited { id, code } => {
                self.execs.remove(&id).map(|answer| answer.send(code));
            }
            FromNode::Synced { generation, error } => {
                self.syncs.remove(&generation).map(|answer| answer.send(error.map_or(Ok(()), Err)));
            }
            FromNode::LoopDone { connects, micros, error } => {
                if !self.loops.is_empty() {
                    let result = LoopResult { connects, time: Duration::from_micros(micros) };
                    let _ = self.loops.remove(0).send(error.map_or(Ok(result), Err));
                }
            }
            FromNode::ContainerExited { uid, container, exit } => {
                let key = (uid, container);
                if let Some(answer) = self.started.remove(&key) {
                    let _ = answer.send(Ok(Begun::Ended(exit)));
                    return;
                }
                let (uid, container) = key;
                let exit = ContainerExit { uid, container, exit };
                match &self.exits {
                    Some(exits) => {
                        let _ = exits.send(exit);
                    }
                    None => self.early_exits.push(exit),
                }
            }
            // Both come before there is a handle.
            FromNode::Ready { .. } | FromNode::Broken { .. } => {}
        }
    }

    /// Tells everybody that no answer will come.
    fn bury(&mut self, why: &str) {
        // Dropping the senders wakes their receivers, which then read `dead`.
        *self = Self { dead: Some(why.to_owned()), ..Self::default() };
    }
}

/// Sends what is queued until the last handle is dropped, then closes the connection both ways.
async fn write(mut sender: AsyncSender, mut requests: mpsc::UnboundedReceiver<(ToNode, Vec<OwnedFd>)>) {
    while let Some((message, fds)) = requests.recv().await {
        if sender.send(&message, fds).await.is_err() {
            // The node has ended; the reader task learns why.
            break;
        }
    }
    sender.shut();
}
