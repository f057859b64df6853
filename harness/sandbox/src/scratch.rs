//! The sandbox's temporary folder: locked while its process lives, so that the next start can sweep what a killed one
//! left. A lock, unlike a process id, means the same in every PID namespace, and a zombie holds none.
//!
//! ```text
//! verdikt-sandbox-XXXXXX/     0700, of its user
//!   .verdikt-sandbox          0600, locked; by what it says a folder is known as ours: without it nothing is ever swept
//!   node.log, pods/           the node's
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

const PREFIX: &str = "verdikt-sandbox-";
/// Name of the file by which a folder is known as ours.
const MARKER: &str = ".verdikt-sandbox";
/// What it says, to people as well.
const MARK: &str =
    "This folder belongs to a sandbox of verdikt. Once the sandbox has ended, the next one removes it.\n";

/// A folder of this process; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// Holds the lock.
    _marker: File,
}

impl Scratch {
    /// Makes a folder that its owner alone can enter, whatever the umask.
    pub(crate) fn create() -> io::Result<Self> {
        Self::create_in(&std::env::temp_dir())
    }

    fn create_in(parent: &Path) -> io::Result<Self> {
        let owner_only = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(PREFIX).permissions(owner_only).tempdir_in(parent)?;
        only_for_owner(folder.path(), 0o700)?;
        let mut marker = new_file(&folder.path().join(MARKER))?;
        // Locked before it says anything: until then no sweep takes the folder for one of ours.
        marker.try_lock()?;
        marker.write_all(MARK.as_bytes())?;
        Ok(Self { path: folder.keep(), _marker: marker })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the next start's sweep.
        let _ = remove(&self.path);
    }
}

/// Makes a folder that its owner alone can enter, whatever the umask.
pub(crate) fn new_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    only_for_owner(path, 0o700)
}

/// Makes a file that its owner alone can read and write, whatever the umask.
pub(crate) fn new_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// A umask can take away rights of the owner, too.
fn only_for_owner(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Removes the folders of this user's sandboxes that are no more. What cannot be removed stays.
pub(crate) fn sweep() {
    sweep_in(&std::env::temp_dir());
}

fn sweep_in(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_named = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // Not followed: a link of that name is not ours.
        if is_named
            && entry.metadata().is_ok_and(|meta| meta.is_dir() && is_mine(&meta))
            && let Some(marker) = marker(&entry.path())
            && marker.try_lock().is_ok()
        {
            let _ = remove(&entry.path());
        }
    }
}

fn is_mine(meta: &fs::Metadata) -> bool {
    meta.uid() == nix::unistd::geteuid().as_raw()
}

/// The marker of a folder, if it is one of ours.
fn marker(folder: &Path) -> Option<File> {
    // Whoever puts something else in its place must not be able to hold up the sweep.
    let flags = O_NOFOLLOW | O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(folder.join(MARKER)).ok()?;
    let meta = file.metadata().ok()?;
    if !meta.is_file() || !is_mine(&meta) || meta.len() != MARK.len() as u64 {
        return None;
    }
    let mut said = String::new();
    (&mut file).take(MARK.len() as u64).read_to_string(&mut said).ok()?;
    (said == MARK).then_some(file)
}

/// Removes one of our folders, the marker last: what is left when that is cut short is still known as ours.
fn remove(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == MARKER {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    fs::remove_file(folder.join(MARKER))?;
    fs::remove_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as a sandbox leaves it that was killed.
    fn dead(parent: &Path, name: &str) -> PathBuf {
        let folder = parent.join(format!("{PREFIX}{name}"));
        fs::create_dir_all(folder.join("pods")).unwrap();
        fs::write(folder.join(MARKER), MARK).unwrap();
        folder
    }

    #[test]
    fn only_folders_with_our_mark_and_without_a_living_process_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let own = Scratch::create_in(parent.path()).unwrap();
        let stale = dead(parent.path(), "stale");
        let names = ["empty", "notes", "linked", "piped", "said"];
        let users = names.map(|name| parent.path().join(format!("{PREFIX}{name}")));
        users.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        let [_, notes, linked, piped, said] = &users;
        fs::write(notes.join("thesis.txt"), "three years").unwrap();
        std::os::unix::fs::symlink(own.path().join(MARKER), linked.join(MARKER)).unwrap();
        nix::unistd::mkfifo(&piped.join(MARKER), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(said.join(MARKER), format!("{MARK}Not any more.\n")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let target = dead(elsewhere.path(), "target");
        let link = parent.path().join(format!("{PREFIX}link"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        sweep_in(parent.path());
        assert!(own.path().exists() && !stale.exists());
        assert!(users.iter().all(|folder| folder.exists()) && notes.join("thesis.txt").exists());
        assert!(link.exists() && target.join("pods").exists());
        let path = own.path().to_owned();
        drop(own);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_of_another_user_is_not_swept() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root can give a folder away");
            return;
        }
        let parent = tempfile::tempdir().unwrap();
        let (folder, marker) = (dead(parent.path(), "folder"), dead(parent.path(), "marker"));
        std::os::unix::fs::chown(&folder, Some(65534), None).unwrap();
        std::os::unix::fs::chown(marker.join(MARKER), Some(65534), None).unwrap();
        sweep_in(parent.path());
        assert!(folder.exists() && marker.exists());
    }
}
