//! What a verb needs of this process's limits, tried before it begins: where threads or descriptors run out half-way, the
//! runtime panics or waits for ever.

use std::{fs::File, io, sync::Mutex, thread};

use crate::failure::Failure;

/// Threads besides one a processor, and descriptors, without which no verb can talk to a cluster.
pub(crate) const CLUSTER: (usize, usize) = (4, 32);
/// What a sandbox needs, in this process and others, until it is up.
pub(crate) const SANDBOX: (usize, usize) = (20, 72);

/// Tries whether so many threads can be started, besides one a processor, and so many files be open.
pub(crate) fn demand((threads, files): (usize, usize)) -> Result<(), Failure> {
    let threads = threads + thread::available_parallelism().map_or(1, usize::from);
    try_files(files).map_err(|error| {
        Failure::setup(format!(
            "too few files may be open, verdikt needs {files} besides those open: {error}"
        ))
        .help("raise the limit (`ulimit -n 65536`, or fs.file-max)")
    })?;
    try_threads(threads).map_err(|error| {
        Failure::setup(format!(
            "too few threads may be started, verdikt needs {threads} besides those running: {error}"
        ))
        .help("raise the limit (`ulimit -u`, or the pids limit of the container)")
    })
}

fn try_files(count: usize) -> io::Result<()> {
    (0..count).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<_>>>().map(drop)
}

fn try_threads(count: usize) -> io::Result<()> {
    /// In bytes: they do nothing but wait.
    const STACK: usize = 64 << 10;
    let gate = Mutex::new(());
    thread::scope(|scope| {
        // All live at once: each waits for this.
        let held = gate.lock();
        let started = (0..count)
            .map(|_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || drop(gate.lock())))
            .collect::<io::Result<Vec<_>>>();
        drop(held);
        started.map(drop)
    })
}
