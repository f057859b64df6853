//! The sandbox's temporary directory: named after the process, so that the next start can sweep what a killed one left.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use tempfile::TempDir;

const PREFIX: &str = "verdikt-sandbox-";

/// Makes a directory for this process, readable by its owner alone.
pub(crate) fn create() -> io::Result<TempDir> {
    create_in(&std::env::temp_dir())
}

fn create_in(parent: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir_in(parent)
}

/// Removes the directories of this user's processes that are no more. What cannot be removed stays.
pub(crate) fn sweep() {
    sweep_in(&std::env::temp_dir());
}

fn sweep_in(parent: &Path) {
    let me = nix::unistd::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(owner) else { continue };
        // Not followed: a link of that name is not ours.
        let ours = entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == me);
        if ours && !Path::new(&format!("/proc/{pid}")).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The process id in a directory's name.
fn owner(name: &str) -> Option<u32> {
    let (pid, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    (!rest.is_empty()).then(|| pid.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_dead_processes_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let own = create_in(parent.path()).unwrap();
        // Above any possible process id.
        let stale = parent.path().join("verdikt-sandbox-4194399-abc");
        let other = parent.path().join("verdikt-sandbox-nobody");
        fs::create_dir_all(stale.join("pods")).unwrap();
        fs::create_dir(&other).unwrap();
        sweep_in(parent.path());
        assert!(own.path().exists() && other.exists() && !stale.exists());
    }
}
