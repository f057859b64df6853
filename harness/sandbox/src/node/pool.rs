//! Threads that work in other network namespaces: each has a netlink socket into each node, and comes home after
//! every job, so that no namespace is kept alive by an idle thread.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use super::{
    errors::note,
    fabric::Fabric,
    netlink::{Conntrack, Route},
    netns::NetNs,
};

/// How many. Most of the work is under one lock of the kernel: more threads only wait for each other.
const THREADS: usize = 4;

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// What a job may use.
pub(crate) struct Worker {
    /// Sockets into the nodes' networks.
    pub(crate) routes: Vec<Route>,
    /// Sockets to the nodes' connection tracking.
    pub(crate) tracks: Vec<Conntrack>,
}

/// A pool of such threads, which live as long as the process.
#[derive(Clone)]
pub(crate) struct Pool {
    jobs: mpsc::Sender<Job>,
}

impl Pool {
    /// Starts the threads.
    pub(crate) fn start(fabric: &Arc<Fabric>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let home = Arc::new(NetNs::current()?);
        for number in 0..THREADS {
            let mut worker = Worker { routes: vec![], tracks: vec![] };
            for node in &fabric.nodes {
                worker.routes.push(node.inside(Route::open)?);
                worker.tracks.push(node.inside(Conntrack::open)?);
            }
            let (queue, home) = (Arc::clone(&queue), Arc::clone(&home));
            std::thread::Builder::new().name(format!("worker {number}")).spawn(move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    job(&mut worker);
                    if let Err(error) = home.enter() {
                        note(format_args!("a worker cannot come home and ends: {error}"));
                        return;
                    }
                }
            })?;
        }
        Ok(Self { jobs })
    }

    /// Queues a job.
    pub(crate) fn run(&self, job: impl FnOnce(&mut Worker) + Send + 'static) {
        // The threads never all end while there is a pool; a lost job would be answered by nobody, so say it.
        if self.jobs.send(Box::new(job)).is_err() {
            note(format_args!("no worker is left"));
        }
    }
}
