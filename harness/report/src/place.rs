//! Where a file is written to: found, and tried, before there is anything to write.
//!
//! A file is replaced as a whole, so that neither a full disk nor a kill leaves half of one. Where a folder takes no new
//! files, but has this one and lets it be written, and where the path is a pipe or a device, the text is written through.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Seek, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use crate::replace::{Folder, Fresh};

/// What must fit for the rest to have a chance: a disk that is full already takes less.
static TRIAL: [u8; 64 << 10] = [0; 64 << 10];
/// Longest chain of symbolic links that is followed, as in the kernel.
const LINKS: usize = 40;

/// A place for a file.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A file that is replaced, or that is not there yet.
    File(Folder),
    /// What is written through: a pipe, a device, or a file in a folder that takes no other.
    Stream(File),
}

impl Place {
    /// Finds the place, through symbolic links, and sees whether it can be written to. A file that is there stays as it is.
    /// Waits where a pipe has no reader yet.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn new(path: &Path) -> io::Result<Self> {
        let there = match path.metadata() {
            Ok(there) => Some(there),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if there.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(ErrorKind::IsADirectory.into());
        }
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return Self::through(path, path.to_owned());
        }
        let place = follow(path)?;
        if there.is_some() {
            // One that may not be written is not replaced either.
            OpenOptions::new().write(true).open(&place)?;
        }
        let folder = place.parent().ok_or(ErrorKind::InvalidFilename)?.to_owned();
        match Folder::open(folder) {
            Ok(folder) => {
                folder.create()?.file.write_all(&TRIAL)?;
                Ok(Self { path: place, kind: Kind::File(folder) })
            }
            Err(_) if there.is_some() => Self::through(path, place),
            Err(error) => Err(error),
        }
    }

    fn through(path: &Path, place: PathBuf) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        // No byte: a full device refuses even that, and any other does not notice.
        if file.metadata()?.file_type().is_char_device() {
            let _ = file.write(&[])?;
        }
        Ok(Self { path: place, kind: Kind::Stream(file) })
    }

    /// Writes the whole text: all of it is there then, or nothing has changed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, text: &[u8]) -> io::Result<()> {
        match &mut self.kind {
            Kind::Stream(file) => through(file, text),
            Kind::File(folder) => {
                let mut fresh = folder.create()?;
                fresh.file.write_all(text)?;
                match self.replace(fresh) {
                    // A file that was mounted by itself cannot be replaced.
                    Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                        through(&mut OpenOptions::new().write(true).open(&self.path)?, text)
                    }
                    replaced => replaced.map(drop),
                }
            }
        }
    }

    /// Whether both are one file, by whatever names. What swallows everything is nobody's file.
    pub fn is_same(&self, other: &Self) -> bool {
        self.is(&other.path)
    }

    /// Whether this path leads here.
    pub fn is(&self, path: &Path) -> bool {
        match (self.path.metadata(), path.metadata()) {
            (Ok(here), Ok(there)) => is_one(&here, &there),
            _ => follow(path).is_ok_and(|there| there == self.path),
        }
    }

    /// Whether this open file is here.
    pub fn is_open(&self, file: &fs::Metadata) -> bool {
        self.path.metadata().is_ok_and(|here| here.is_file() && is_one(&here, file))
    }

    /// What is written once, at the end, because it cannot be replaced.
    pub(crate) fn stream(&mut self) -> Option<&mut File> {
        match &mut self.kind {
            Kind::Stream(file) => Some(file),
            Kind::File(_) => None,
        }
    }

    /// A new file that can take this place; none for a stream.
    pub(crate) fn fresh(&self) -> io::Result<Option<Fresh>> {
        match &self.kind {
            Kind::Stream(_) => Ok(None),
            Kind::File(folder) => folder.create().map(Some),
        }
    }

    /// Puts a file here. Gives it back, still open.
    pub(crate) fn replace(&self, fresh: Fresh) -> io::Result<File> {
        let Kind::File(folder) = &self.kind else { return Err(ErrorKind::Unsupported.into()) };
        if let Ok(old) = self.path.metadata() {
            // Who could not read it shall not be able to now.
            fresh.file.set_permissions(old.permissions())?;
        }
        folder.publish(fresh, &self.path)
    }
}

/// Writes all, over whatever a file has held.
pub(crate) fn through(file: &mut File, text: &[u8]) -> io::Result<()> {
    if file.metadata()?.is_file() {
        file.set_len(0)?;
        file.rewind()?;
    }
    file.write_all(text)?;
    file.flush()
}

fn is_one(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    let null = |of: &fs::Metadata| of.file_type().is_char_device() && of.rdev() == NULL;
    (a.dev(), a.ino()) == (b.dev(), b.ino()) && !null(a)
}

/// The device number of /dev/null, 1:3.
const NULL: u64 = 0x103;

/// The absolute path at the end of all symbolic links, of a file that need not be there, in a folder that is.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let name = path.file_name().ok_or(ErrorKind::InvalidFilename)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Absolute, so that the file lands there even if the process changes its folder.
        let place = folder.canonicalize()?.join(name);
        match fs::read_link(&place) {
            Ok(target) => path = place.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => return Ok(place),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_that_is_there_stays_until_the_new_text_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report");
        Place::new(&path).unwrap();
        assert_eq!(names(folder.path()), 0);
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut place = Place::new(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        place.write(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), 1);
    }

    #[test]
    fn a_link_stays_one_and_one_that_leads_nowhere_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        symlink("later", path("hop")).unwrap();
        symlink("hop", path("link")).unwrap();
        Place::new(&path("link")).unwrap().write(b"x").unwrap();
        assert!(path("link").is_symlink() && path("hop").is_symlink());
        assert_eq!(fs::read_to_string(path("later")).unwrap(), "x");
        symlink("no/such/folder", path("astray")).unwrap();
        assert_eq!(Place::new(&path("astray")).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(path("astray").is_symlink());
        symlink("round", path("round")).unwrap();
        assert!(Place::new(&path("round")).is_err());
    }

    #[test]
    fn one_file_is_one_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        symlink("later", path("link")).unwrap();
        let place = |name: &str| Place::new(&path(name)).unwrap();
        assert!(place("later").is_same(&place("link")));
        assert!(place("later").is_same(&place("sub/../later")));
        assert!(!place("later").is_same(&place("other")));
        fs::write(path("later"), "").unwrap();
        fs::hard_link(path("later"), path("twin")).unwrap();
        assert!(place("twin").is_same(&place("link")) && place("twin").is(&path("later")));
        let null = || Place::new(Path::new("/dev/null")).unwrap();
        assert!(!null().is(Path::new("/dev/null")));
    }

    #[test]
    fn a_full_device_is_found_out_before_there_is_anything_to_write() {
        assert_eq!(Place::new(Path::new("/dev/full")).unwrap_err().kind(), ErrorKind::StorageFull);
        let mut null = Place::new(Path::new("/dev/null")).unwrap();
        null.write(b"x").unwrap();
    }

    #[test]
    fn a_file_in_a_folder_that_takes_no_other_is_written_through() {
        // A file that may be written, the name of this thread, in a folder that takes no files, whoever asks.
        let path = Path::new("/proc/thread-self/comm");
        Place::new(path).unwrap().write(b"written").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "written\n");
    }
}
