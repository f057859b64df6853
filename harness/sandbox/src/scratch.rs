//! The sandbox's temporary directory: locked while its process lives, so that the next start can sweep what a killed
//! one left. A lock, unlike a process id, means the same in every PID namespace, and a zombie holds none.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use tempfile::TempDir;

const PREFIX: &str = "verdikt-sandbox-";
/// Tries until a directory is locked before another process's sweep takes it for a dead one's.
const TRIES: usize = 16;

/// A directory of this process; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: TempDir,
    /// Holds the lock.
    _lock: File,
}

impl Scratch {
    /// Makes a directory, readable by its owner alone.
    pub(crate) fn create() -> io::Result<Self> {
        Self::create_in(&std::env::temp_dir())
    }

    fn create_in(parent: &Path) -> io::Result<Self> {
        for _ in 0..TRIES {
            let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            // Swept between its creation and here: made again.
            let Ok(lock) = File::open(directory.path()) else { continue };
            if lock.try_lock().is_ok() && directory.path().is_dir() {
                return Ok(Self { directory, _lock: lock });
            }
        }
        Err(io::Error::other("other processes keep removing it"))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes the directories of this user's processes that are no more. What cannot be removed stays.
pub(crate) fn sweep() {
    sweep_in(&std::env::temp_dir());
}

fn sweep_in(parent: &Path) {
    let me = nix::unistd::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            continue;
        }
        // Not followed: a link of that name is not ours.
        let ours = entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == me);
        if let (true, Ok(lock)) = (ours, File::open(entry.path()))
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_without_a_living_process_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let own = Scratch::create_in(parent.path()).unwrap();
        let stale = parent.path().join("verdikt-sandbox-abc");
        let other = parent.path().join("verdikt-other");
        fs::create_dir_all(stale.join("pods")).unwrap();
        fs::create_dir(&other).unwrap();
        sweep_in(parent.path());
        assert!(own.path().exists() && other.exists() && !stale.exists());
        let path = own.path().to_owned();
        drop(own);
        assert!(!path.exists());
    }
}
