//! Replaces a file as a whole: whoever opens it, at whatever moment, finds the old text or the new one.
//!
//! The new text is written to a file without a name (`O_TMPFILE`), which gets a name only to be renamed over the old
//! one. A process that is killed leaves nothing behind but in the moment between these two calls; what it leaves
//! then, the next [`Folder::open`] sweeps. Where the file system has no nameless files, the name is there from the
//! start.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

const PREFIX: &str = ".verdikt-";
const SUFFIX: &str = ".tmp";

/// A folder in which files are replaced.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    nameless: bool,
}

/// A file on its way to its name.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// Open for reading and writing.
    pub(crate) file: File,
    name: Option<Named>,
}

/// The name of a file that is not in its place yet; it is removed when it is dropped. After the file was renamed there is
/// nothing of this name.
#[derive(Debug)]
struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Folder {
    /// Checks that files can be made here, and sweeps what killed processes left.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        sweep(&path);
        let mut folder = Self { path, nameless: true };
        let probe = folder.temporary();
        folder.nameless = folder.create().and_then(|fresh| link(&fresh.file, &probe)).is_ok();
        if folder.nameless {
            fs::remove_file(&probe)?;
        } else {
            folder.create()?;
        }
        Ok(folder)
    }

    /// A new, empty file.
    pub(crate) fn create(&self) -> io::Result<Fresh> {
        if self.nameless {
            return Ok(Fresh { file: nameless(&self.path)?, name: None });
        }
        let name = self.temporary();
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&name)?;
        Ok(Fresh { file, name: Some(Named(name)) })
    }

    /// Puts a file in the place of `path`, which lies in this folder. Gives the file back, still open.
    pub(crate) fn publish(&self, fresh: Fresh, path: &Path) -> io::Result<File> {
        let Fresh { file, name } = fresh;
        let name = match name {
            Some(name) => name,
            None => {
                let name = self.temporary();
                link(&file, &name)?;
                Named(name)
            }
        };
        fs::rename(&name.0, path)?;
        Ok(file)
    }

    fn temporary(&self) -> PathBuf {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("{PREFIX}{}-{n}{SUFFIX}", process::id()))
    }
}

#[cfg(target_os = "linux")]
fn nameless(folder: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flag = nix::fcntl::OFlag::O_TMPFILE.bits();
    OpenOptions::new().read(true).write(true).mode(0o666).custom_flags(flag).open(folder)
}

#[cfg(target_os = "linux")]
fn link(file: &File, name: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    let follow = nix::fcntl::AtFlags::AT_SYMLINK_FOLLOW;
    let here = nix::fcntl::AT_FDCWD;
    Ok(nix::unistd::linkat(here, source.as_str(), here, name, follow)?)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Removes temporary files of processes that are gone. What cannot be removed does no harm.
fn sweep(folder: &Path) {
    if !Path::new("/proc/self").exists() {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('-'))
            .and_then(|(process, _)| process.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_text_stays_until_the_new_one_is_whole() {
        for nameless in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("record.json");
            fs::write(&path, "old").unwrap();
            let mut place = Folder::open(folder.path().to_owned()).unwrap();
            assert_eq!(names(folder.path()), ["record.json"]);
            place.nameless &= nameless;
            let mut fresh = place.create().unwrap();
            fresh.file.write_all(b"new").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
            let mut file = place.publish(fresh, &path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "new");
            assert_eq!(names(folder.path()), ["record.json"]);
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "new");
            // One that is given up leaves nothing.
            drop(place.create().unwrap());
            assert_eq!(names(folder.path()), ["record.json"]);
        }
    }

    #[test]
    fn leftovers_of_dead_processes_are_swept_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let alive = format!(".verdikt-{}-9.tmp", process::id());
        for name in [".verdikt-4194999-0.tmp", &alive, ".verdikt-x.tmp", "mine"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        Folder::open(folder.path().to_owned()).unwrap();
        let mut left = vec![alive, ".verdikt-x.tmp".to_owned(), "mine".to_owned()];
        left.sort();
        assert_eq!(names(folder.path()), left);
    }

    #[test]
    fn a_folder_that_takes_no_files_is_an_error() {
        assert!(Folder::open("/proc".into()).is_err());
        assert!(Folder::open("/nowhere/at/all".into()).is_err());
    }
}
