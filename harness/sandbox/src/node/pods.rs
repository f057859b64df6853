//! Pods: made, entered and removed by jobs of the pool.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Node,
    dns::{self, DnsServer},
    podnet::PodNet,
    pool::Worker,
    process::{Job, Owner},
};
use crate::wire::{FromNode, Place};

/// The command that stands for the sandbox's name server.
pub(crate) const DNS: &str = "kube-dns";

/// How long killed processes may take to go.
const REAP: Duration = Duration::from_secs(10);

/// What a pod is asked to be.
pub(crate) struct Wanted {
    pub(crate) uid: String,
    pub(crate) place: Place,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
}

/// A pod.
#[derive(Default)]
struct Pod {
    env: BTreeMap<String, String>,
    /// `None` while its network is being made.
    network: Option<Network>,
    /// The job that makes it is done.
    made: bool,
    ready: bool,
    /// It is to go. Whoever finds it made takes it down.
    leaving: bool,
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
}

impl Pods {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Pod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Begins to make a pod.
    pub(crate) fn add_pod(self: &Arc<Self>, wanted: Wanted) {
        let fresh = Pod { env: wanted.env.clone(), ..Pod::default() };
        let uid = wanted.uid.clone();
        {
            let mut pods = self.pods.lock();
            if pods.contains_key(&uid) {
                drop(pods);
                self.say(&FromNode::PodFailed { uid, why: "a pod with this uid exists already".into() });
                return;
            }
            pods.insert(uid.clone(), fresh);
        }
        let node = Arc::clone(self);
        self.pool.run(move |worker| {
            let result = node.make_pod(&wanted, worker);
            if let Err(why) = result {
                node.say(&FromNode::PodFailed { uid: uid.clone(), why });
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
        let uid = &wanted.uid;
        let network = match wanted.place {
            Place::Pod(number) => {
                let route =
                    worker.routes.get_mut(usize::from(number)).ok_or(format!("there is no node {number}"))?;
                let made = PodNet::make(number, &wanted.ips, self.fabric.ipv6, route);
                Network::Own(Arc::new(made.map_err(|error| format!("the pod's network: {error}"))?))
            }
            Place::Node(number) => Network::Node(number),
            Place::External => Network::External,
        };
        if let Some(pod) = self.pods.lock().get_mut(uid) {
            pod.network = Some(network.clone());
            if pod.leaving {
                return Ok(());
            }
        }
        if !matches!(network, Network::Own(_)) {
            self.enter(&network)?;
        }
        if wanted.argv.first().is_some_and(|command| command == DNS) {
            let server = dns::start(&self.zone).map_err(|error| format!("the name server: {error}"))?;
            if let Some(pod) = self.pods.lock().get_mut(uid) {
                pod.dns = Some(server);
            }
            if let Ok(mut log) = self.outputs.log(uid) {
                let _ = std::io::Write::write_all(&mut log, b"ready: cluster.local on port 53\n");
            }
            self.is_ready(uid);
            return Ok(());
        }
        let quiet = File::open("/dev/null").map_err(|error| format!("open /dev/null: {error}"))?;
        let [stdout, stderr] = self.outputs.add(uid).map_err(|error| format!("the pod's log: {error}"))?;
        let owner = Owner { uid: uid.clone(), job: Job::Main };
        self.processes.start(
            owner,
            &wanted.argv,
            [&wanted.env, &BTreeMap::new()],
            [quiet.into(), stdout, stderr],
        )
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
        space.enter().map_err(|error| error.to_string())
    }

    fn network(&self, uid: &str) -> Result<(Network, BTreeMap<String, String>), String> {
        match self.pods.lock().get(uid) {
            Some(Pod { network: Some(network), leaving: false, env, .. }) => {
                Ok((network.clone(), env.clone()))
            }
            Some(Pod { leaving: true, .. }) => Err("the pod is being deleted".into()),
            Some(_) => Err("the pod has not started yet".into()),
            None => Err("there is no such pod".into()),
        }
    }

    /// Moves the calling thread into the network of a pod.
    pub(crate) fn enter_pod(&self, uid: &str) -> Result<(), String> {
        self.enter(&self.network(uid)?.0)
    }

    /// Begins to run a command in a pod.
    pub(crate) fn exec(
        self: &Arc<Self>,
        id: u64,
        uid: String,
        argv: Vec<String>,
        env: BTreeMap<String, String>,
        stdio: [OwnedFd; 3],
    ) {
        let node = Arc::clone(self);
        self.pool.run(move |_| {
            let start = || {
                let (network, own) = node.network(&uid)?;
                node.enter(&network)?;
                let owner = Owner { uid: uid.clone(), job: Job::Exec(id) };
                node.processes.start(owner, &argv, [&own, &env], stdio)
            };
            if let Err(why) = start() {
                node.say(&FromNode::Exited { id, code: Err(why) });
            }
        });
    }

    /// A pod's command has said that it is ready.
    pub(crate) fn is_ready(&self, uid: &str) {
        let mut pods = self.pods.lock();
        if let Some(pod) = pods.get_mut(uid)
            && !pod.ready
        {
            pod.ready = true;
            drop(pods);
            self.say(&FromNode::PodStarted { uid: uid.to_owned() });
        }
    }

    /// A process has ended.
    pub(crate) fn has_ended(&self, owner: Owner, code: i32) {
        match owner.job {
            Job::Exec(id) => self.say(&FromNode::Exited { id, code: Ok(code) }),
            Job::Main => {
                let state = self.pods.lock().get(&owner.uid).map(|pod| (pod.leaving, pod.ready));
                match state {
                    Some((false, true)) => self.say(&FromNode::PodExited { uid: owner.uid, code }),
                    Some((false, false)) => {
                        let tail = self.outputs.tail(&owner.uid);
                        let why = format!("the command ended with code {code} before it was ready: {tail}");
                        self.say(&FromNode::PodFailed { uid: owner.uid, why });
                    }
                    _ => {}
                }
            }
        }
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
                eprintln!("processes of pod {uid} do not end");
                break;
            }
        }
        let pod = self.pods.lock().remove(uid);
        if let Some(pod) = pod {
            if let Some(server) = pod.dns {
                server.stop();
            }
            if let Some(Network::Own(own)) = &pod.network
                && let Some(route) = worker.routes.get_mut(usize::from(own.node()))
                && let Err(error) = own.unroute(route)
            {
                eprintln!("pod {uid}: {error}");
            }
        }
        self.say(&FromNode::PodGone { uid: uid.to_owned() });
    }
}
