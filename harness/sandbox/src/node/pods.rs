//! Pods and their containers: made, entered and removed by jobs of the pool.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Node,
    dns::{self, DnsServer},
    errors::{explained, explained_file, note},
    podnet::PodNet,
    pool::Worker,
    process::{Job, Owner},
};
use crate::wire::{Container, Exit, FromNode, Place};

/// The command that stands for the sandbox's name server.
pub(crate) const DNS: &str = "kube-dns";

/// How long killed processes may take to go.
const REAP: Duration = Duration::from_secs(10);

/// What a pod is asked to be.
pub(crate) struct Wanted {
    pub(crate) uid: String,
    pub(crate) place: Place,
    pub(crate) ips: Vec<IpAddr>,
    /// Its first container.
    pub(crate) container: Container,
}

/// A pod.
#[derive(Default)]
struct Pod {
    containers: HashMap<String, State>,
    /// `None` while its network is being made.
    network: Option<Network>,
    /// The job that makes it is done.
    made: bool,
    /// It is to go. Whoever finds it made takes it down.
    leaving: bool,
}

/// A container of a pod.
#[derive(Default)]
struct State {
    env: BTreeMap<String, String>,
    ready: bool,
    dns: Option<DnsServer>,
}

/// Where a pod's processes run.
#[derive(Clone)]
enum Network {
    Own(Arc<PodNet>),
    Node(u16),
    External,
}

/// All pods.
#[derive(Default)]
pub(crate) struct Pods {
    pods: Mutex<HashMap<String, Pod>>,
    /// Addresses that some pod has had.
    used: Mutex<HashSet<IpAddr>>,
}

impl Pods {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Pod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an address is used; whether it was before.
    fn reuses(&self, address: IpAddr) -> bool {
        !self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(address)
    }
}

impl Node {
    /// Begins to make a pod.
    pub(crate) fn add_pod(self: &Arc<Self>, wanted: Wanted) {
        let (uid, container) = (wanted.uid.clone(), wanted.container.name.clone());
        {
            let mut pods = self.pods.lock();
            if pods.contains_key(&uid) {
                drop(pods);
                let why = "a pod with this uid exists already".into();
                self.say(&FromNode::ContainerFailed { uid, container, why });
                return;
            }
            pods.insert(uid.clone(), Pod::default());
        }
        let node = Arc::clone(self);
        self.pool.run(move |worker| {
            let result = node.make_pod(&wanted, worker);
            if let Err(why) = result {
                node.say(&FromNode::ContainerFailed { uid: uid.clone(), container, why });
            }
            let leaving = {
                let mut pods = node.pods.lock();
                match pods.get_mut(&uid) {
                    Some(pod) => {
                        pod.made = true;
                        pod.leaving
                    }
                    None => false,
                }
            };
            if leaving {
                node.take_down(&uid, worker);
            }
        });
    }

    fn make_pod(self: &Arc<Self>, wanted: &Wanted, worker: &mut Worker) -> Result<(), String> {
        let network = match wanted.place {
            Place::Pod(number) => {
                for address in wanted.ips.iter().filter(|address| self.pods.reuses(**address)) {
                    // A connection that nodes remember of the last owner would pass policies.
                    for track in &worker.tracks {
                        if let Err(error) = track.forget(*address) {
                            note(format_args!("pod {}: {address}: {error}", wanted.uid));
                        }
                    }
                }
                let route =
                    worker.routes.get_mut(usize::from(number)).ok_or(format!("there is no node {number}"))?;
                let made = PodNet::make(number, &wanted.ips, self.fabric.ipv6, route);
                Network::Own(Arc::new(
                    made.map_err(|error| format!("the pod's network: {}", explained(&error)))?,
                ))
            }
            Place::Node(number) => Network::Node(number),
            Place::External => Network::External,
        };
        if let Some(pod) = self.pods.lock().get_mut(&wanted.uid) {
            pod.network = Some(network.clone());
            if pod.leaving {
                return Ok(());
            }
        }
        if !matches!(network, Network::Own(_)) {
            self.enter(&network)?;
        }
        self.start(&wanted.uid, &wanted.container)
    }

    /// Begins to start another container of a pod.
    pub(crate) fn add_container(self: &Arc<Self>, uid: String, container: Container) {
        let node = Arc::clone(self);
        self.pool.run(move |_| {
            let start = || {
                node.enter_pod(&uid)?;
                node.start(&uid, &container)
            };
            if let Err(why) = start() {
                node.say(&FromNode::ContainerFailed { uid, container: container.name, why });
            }
        });
    }

    /// Starts a container in the calling thread's network.
    fn start(self: &Arc<Self>, uid: &str, container: &Container) -> Result<(), String> {
        let name = &container.name;
        if let Some(pod) = self.pods.lock().get_mut(uid) {
            pod.containers.insert(name.clone(), State { env: container.env.clone(), ..State::default() });
        }
        if container.argv.first().is_some_and(|command| command == DNS) {
            let server =
                dns::start(&self.zone).map_err(|error| format!("the name server: {}", explained(&error)))?;
            self.with_container(uid, name, |state| state.dns = Some(server));
            if let Ok(mut log) = self.outputs.log(uid, name) {
                let _ = std::io::Write::write_all(&mut log, b"ready: cluster.local on port 53\n");
            }
            self.has_started(uid);
            self.is_ready(uid, name);
            return Ok(());
        }
        let quiet =
            File::open("/dev/null").map_err(|error| format!("open /dev/null: {}", explained(&error)))?;
        let [stdout, stderr] = self
            .outputs
            .add(uid, name)
            .map_err(|error| format!("the container's log: {}", explained_file(&error)))?;
        let owner = Owner { uid: uid.to_owned(), job: Job::Container(name.clone()) };
        self.has_started(uid);
        self.processes.start(owner, &container.argv, &container.env, [quiet.into(), stdout, stderr])
    }

    fn with_container<T>(&self, uid: &str, name: &str, f: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.pods.lock().get_mut(uid)?.containers.get_mut(name).map(f)
    }

    /// Asks a container's command to end.
    pub(crate) fn terminate(&self, uid: String, container: String) {
        match self.with_container(&uid, &container, |state| state.dns.take()).flatten() {
            // It is a thread and no process: nobody but us notices its end.
            Some(server) => {
                server.stop();
                let exit = Exit { code: 0, said: None };
                self.say(&FromNode::ContainerExited { uid, container, exit });
            }
            None => self.processes.terminate(&Owner { uid, job: Job::Container(container) }),
        }
    }

    /// Moves the calling thread into a pod's network.
    fn enter(&self, network: &Network) -> Result<(), String> {
        let space = match network {
            Network::Own(own) => &own.space,
            Network::Node(number) => {
                self.fabric.nodes.get(usize::from(*number)).ok_or(format!("there is no node {number}"))?
            }
            Network::External => &self.fabric.external,
        };
        space.enter().map_err(|error| explained(&error))
    }

    fn network(&self, uid: &str) -> Result<Network, String> {
        match self.pods.lock().get(uid) {
            Some(Pod { network: Some(network), leaving: false, .. }) => Ok(network.clone()),
            Some(Pod { leaving: true, .. }) => Err("the pod is being deleted".into()),
            Some(_) => Err("the pod has not started yet".into()),
            None => Err("there is no such pod".into()),
        }
    }

    /// Moves the calling thread into the network of a pod.
    pub(crate) fn enter_pod(&self, uid: &str) -> Result<(), String> {
        self.enter(&self.network(uid)?)
    }

    /// Begins to run a command in a pod.
    pub(crate) fn exec(
        self: &Arc<Self>,
        id: u64,
        (uid, container): (String, String),
        argv: Vec<String>,
        stdio: [OwnedFd; 3],
    ) {
        let node = Arc::clone(self);
        self.pool.run(move |_| {
            let start = || {
                node.enter_pod(&uid)?;
                let own = node
                    .with_container(&uid, &container, |state| state.env.clone())
                    .ok_or_else(|| format!("the pod has no container {container:?} that was started"))?;
                let owner = Owner { uid: uid.clone(), job: Job::Exec(id) };
                node.processes.start(owner, &argv, &own, stdio)
            };
            if let Err(why) = start() {
                node.say(&FromNode::Exited { id, code: Err(why) });
            }
        });
    }

    /// A container's command has said that it is ready.
    pub(crate) fn is_ready(&self, uid: &str, container: &str) {
        let was = self.with_container(uid, container, |state| std::mem::replace(&mut state.ready, true));
        if was == Some(false) {
            let (uid, container) = (uid.to_owned(), container.to_owned());
            self.say(&FromNode::ContainerReady { uid, container });
        }
    }

    /// A process has ended.
    pub(crate) fn has_ended(&self, owner: Owner, code: i32) {
        let container = match owner.job {
            Job::Exec(id) => return self.say(&FromNode::Exited { id, code: Ok(code) }),
            Job::Container(name) => name,
        };
        let uid = owner.uid;
        let ready = match self.pods.lock().get(&uid) {
            Some(pod) if !pod.leaving => pod.containers.get(&container).is_some_and(|state| state.ready),
            _ => return,
        };
        let said = (!ready).then(|| self.outputs.tail(&uid, &container));
        self.say(&FromNode::ContainerExited { uid, container, exit: Exit { code, said } });
    }

    /// Begins to remove a pod.
    pub(crate) fn delete_pod(self: &Arc<Self>, uid: String) {
        let mut pods = self.pods.lock();
        let Some(pod) = pods.get_mut(&uid) else {
            drop(pods);
            self.say(&FromNode::PodGone { uid });
            return;
        };
        let first = !std::mem::replace(&mut pod.leaving, true);
        if first && pod.made {
            drop(pods);
            let node = Arc::clone(self);
            self.pool.run(move |worker| node.take_down(&uid, worker));
        }
    }

    fn take_down(&self, uid: &str, worker: &mut Worker) {
        // A command that was just being started may slip in once: `leaving` lets no other follow.
        let end = std::time::Instant::now() + REAP;
        loop {
            self.processes.kill_pod(uid);
            if self.processes.wait_gone(uid, Duration::from_millis(200)) {
                break;
            }
            if std::time::Instant::now() > end {
                note(format_args!("processes of pod {uid} do not end"));
                break;
            }
        }
        let pod = self.pods.lock().remove(uid);
        if let Some(pod) = pod {
            for server in pod.containers.into_values().filter_map(|state| state.dns) {
                server.stop();
            }
            if let Some(Network::Own(own)) = &pod.network
                && let Some(route) = worker.routes.get_mut(usize::from(own.node()))
                && let Err(error) = own.unroute(route)
            {
                note(format_args!("pod {uid}: {error}"));
            }
        }
        self.say(&FromNode::PodGone { uid: uid.to_owned() });
    }
}
