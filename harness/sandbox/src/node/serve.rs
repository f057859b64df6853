//! From the first instruction to the message loop.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak, mpsc},
    thread,
    time::Instant,
};

use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        stat::{Mode, umask},
    },
    unistd::{Pid, dup2_stdin},
};

use super::{
    dataplane::{Dataplane, Scene},
    dns::SharedZone,
    enter::{self, Role},
    errors::{Obstacle, doing, note},
    fabric::Fabric,
    follow::{News, follow},
    output::Outputs,
    pods::{Pods, Wanted},
    pool::Pool,
    process::{Processes, RESOLV_CONF},
};
use crate::{
    channel::{Blocking, BlockingSender},
    plan,
    wire::{FromNode, ToNode},
};

/// Everything that the node's threads share.
pub(crate) struct Node {
    pub(super) fabric: Arc<Fabric>,
    pub(super) pool: Pool,
    pub(super) processes: Processes,
    pub(super) outputs: Arc<Outputs>,
    pub(super) zone: SharedZone,
    pub(super) pods: Pods,
    pub(super) news: mpsc::Sender<News>,
    answers: Arc<Mutex<BlockingSender>>,
}

impl Node {
    /// Sends an answer. When nobody listens any more, the node is about to end.
    pub(super) fn say(&self, message: &FromNode) {
        let _ = self.answers.lock().unwrap_or_else(PoisonError::into_inner).send(message);
    }
}

/// The node's `main`: `args` are the pid of the process that started it and the folder that is to be its working
/// directory; the connection is standard input. There must be a single thread.
pub(crate) fn main(args: Vec<OsString>) -> u8 {
    let (Some(parent), Some(folder)) = (
        args.first().and_then(|pid| pid.to_str()?.parse().ok()).map(Pid::from_raw),
        args.get(1).map(PathBuf::from),
    ) else {
        note(format_args!("this is the sandbox's node; verdikt starts it by itself"));
        return 2;
    };
    let mut channel = match take_connection() {
        Ok(channel) => Some(channel),
        Err(error) => {
            note(format_args!("the node has no connection: {error}"));
            return 3;
        }
    };
    // What the node writes is for its user alone. It goes by relative paths: only root may be able to come to the folder.
    umask(Mode::from_bits_truncate(0o077));
    if let Err(error) = std::env::set_current_dir(&folder) {
        note(format_args!("the node cannot work in {}: {error}", folder.display()));
        return 3;
    }
    let role = enter::enter(parent, || drop(channel.take()));
    let Some(mut channel) = channel else {
        // The outer process has closed its copy.
        return match role {
            Ok(Role::Outer(code)) => code,
            _ => 70,
        };
    };
    let node = role.and_then(|_| set_up(&channel));
    match node {
        Ok(node) => {
            let kernel = nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned());
            node.say(&FromNode::Ready { kernel: kernel.unwrap_or_default(), ipv6: node.fabric.ipv6 });
            listen(&node, &mut channel)
        }
        Err(Obstacle { cause, why, mend }) => {
            note(format_args!("{why}\n{mend}"));
            if let Ok(mut sender) = channel.sender() {
                let _ = sender.send(&FromNode::Broken { cause, why, mend });
            }
            3
        }
    }
}

/// Takes the connection off standard input.
fn take_connection() -> io::Result<Blocking> {
    let connection: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(Blocking::new(connection))
}

fn set_up(channel: &Blocking) -> Result<Arc<Node>, Obstacle> {
    raise_limits();
    let plain = |error: io::Error| Obstacle::new(&error);
    let fabric = Arc::new(Fabric::make().map_err(plain)?);
    let mut dataplane = Dataplane::open(Arc::clone(&fabric)).map_err(plain)?;
    dataplane.apply(&Scene::default()).map_err(|error| Obstacle::nftables(&error))?;
    for node in &fabric.nodes {
        node.inside(super::dataplane::tune_connection_tracking).map_err(plain)?;
    }

    let servers: Vec<String> = plan::service_ips(plan::DNS_SERVICE)
        .iter()
        .filter(|address| fabric.ipv6 || address.is_ipv4())
        .map(|address| format!("nameserver {address}\n"))
        .collect();
    fs::write(RESOLV_CONF, servers.concat())
        .map_err(|error| Obstacle::file(&doing("write resolv.conf", error)))?;

    let answers = Arc::new(Mutex::new(channel.sender().map_err(plain)?));
    let zone = SharedZone::default();
    let pool = Pool::start(&fabric).map_err(plain)?;
    let processes = Processes::new().map_err(plain)?;
    // The reader of outputs and the node know each other; no pod exists before both do.
    let own: Arc<OnceLock<Weak<Node>>> = Arc::default();
    let known = Arc::clone(&own);
    let outputs = Outputs::start(move |uid, container| {
        if let Some(node) = known.get().and_then(Weak::upgrade) {
            node.is_ready(uid, container);
        }
    })
    .map_err(plain)?;
    let (news, queue) = mpsc::channel();
    let node =
        Arc::new(Node { fabric, pool, processes, outputs, zone, pods: Pods::default(), news, answers });
    let _ = own.set(Arc::downgrade(&node));
    let syncer = Arc::clone(&node);
    thread::Builder::new()
        .name("dataplane".into())
        .spawn(move || follow(&syncer, dataplane, &queue))
        .map_err(|error| plain(doing("start a thread", error)))?;
    let reaper = Arc::clone(&node);
    thread::Builder::new()
        .name("reaper".into())
        .spawn(move || reaper.processes.reap(|owner, code| reaper.has_ended(owner, code)))
        .map_err(|error| plain(doing("start a thread", error)))?;
    Ok(node)
}

/// As many open files as we may have: three a pod.
fn raise_limits() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // What the limit is without it shows when it is reached.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// Does what is asked until the connection ends, and then ends the process, and with it all others.
fn listen(node: &Arc<Node>, channel: &mut Blocking) -> u8 {
    loop {
        let (message, fds) = match channel.receive::<ToNode>() {
            Ok(Some(message)) => message,
            Ok(None) => return 0,
            Err(error) => {
                note(format_args!("the node cannot read: {error}"));
                return 70;
            }
        };
        match message {
            ToNode::AddPod { uid, place, ips, container } => {
                node.add_pod(Wanted { uid, place, ips, container })
            }
            ToNode::AddContainer { uid, container } => node.add_container(uid, container),
            ToNode::Terminate { uid, container } => node.terminate(uid, container),
            ToNode::DeletePod { uid } => node.delete_pod(uid),
            ToNode::Exec { id, uid, container, argv } => match <[OwnedFd; 3]>::try_from(fds) {
                Ok(stdio) => node.exec(id, (uid, container), argv, stdio),
                Err(fds) => {
                    let why = format!("{} descriptors came along, not 3", fds.len());
                    node.say(&FromNode::Exited { id, code: Err(why) });
                }
            },
            ToNode::Kill { id } => node.processes.kill_exec(id),
            ToNode::Sync { generation, age, state } => {
                let accepted = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
                if node.news.send(News::State { generation, accepted, state }).is_err() {
                    let error = Some("the dataplane's thread has ended; see the node's log".into());
                    node.say(&FromNode::Synced { generation, error });
                }
            }
            ToNode::ConnectLoop { sources, targets } => node.connect_loop(sources, targets),
            ToNode::Stop => return 0,
        }
    }
}
