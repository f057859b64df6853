//! The image's only layer: the agent and the folders above it.

use tar::{EntryType, Header};

use crate::BINARY;

/// Folder of the agent. It is on the search path that runtimes use where an image names none.
const FOLDERS: [&str; 2] = ["usr/", "usr/bin/"];

/// The layer, not compressed: what a compressor makes of it would depend on that compressor's version.
pub(crate) fn layer(binary: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::with_capacity(binary.len() + 8192));
    for folder in FOLDERS {
        append(&mut tar, EntryType::Directory, 0o755, folder, &[]);
    }
    append(&mut tar, EntryType::Regular, 0o755, &format!("{}{BINARY}", FOLDERS[1]), binary);
    tar.into_inner().expect("a vector takes everything")
}

/// Appends an entry of root's, as old as time itself.
pub(crate) fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    kind: EntryType,
    mode: u32,
    path: &str,
    contents: &[u8],
) {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(contents.len() as u64);
    tar.append_data(&mut header, path, contents).expect("a vector takes everything, and the path is short");
}
