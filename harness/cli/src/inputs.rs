//! What verdikt reads of others' files: never more than a limit, and never so that an interrupt has to wait.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use tokio::sync::oneshot;
use verdikt_model::{Record, SCHEMA};

use crate::failure::Failure;

const MIB: u64 = 1 << 20;
/// Largest record: some two million cells.
const RECORD: u64 = 512 * MIB;
/// Longest password.
const PASSWORD: u64 = 64 << 10;

/// Reads a record.
pub(crate) fn read_record(path: &Path) -> Result<Record, Failure> {
    let shown = path.display();
    let text = read_file(path, RECORD)
        .map_err(|e| Failure::usage(format!("cannot read the record {shown}: {e}")))?
        .ok_or_else(|| {
            Failure::usage(format!("{shown} is larger than the {} MiB that a record may have", RECORD / MIB))
        })?;
    let record: Record = serde_json::from_slice(&text).map_err(|e| {
        Failure::usage(format!("{shown} is no record of verdikt: {e}"))
            .help("`verdikt run --record FILE` writes one")
    })?;
    if record.schema != SCHEMA {
        return Err(Failure::usage(format!(
            "{shown} is a record of schema `{}`; this version of verdikt reads `{SCHEMA}`",
            record.schema
        )));
    }
    Ok(record)
}

/// Standard input without the line break that `echo` has put at its end.
pub(crate) fn password() -> Result<String, Failure> {
    let bad = |why: String| Failure::usage(format!("--password-stdin: standard input {why}"));
    let text = bounded(io::stdin().lock(), PASSWORD)
        .map_err(|e| bad(format!("cannot be read: {e}")))?
        .ok_or_else(|| bad(format!("is longer than the {} KiB that a password may have", PASSWORD >> 10)))?;
    let text = String::from_utf8(text).map_err(|_| bad("is no UTF-8 text".into()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(bad("has no password".into())),
        password => Ok(password.to_owned()),
    }
}

/// A file's bytes; `None` when there are more than `limit`.
fn read_file(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    // What says of itself that it is too large is not read first.
    if file.metadata()?.len() > limit {
        return Ok(None);
    }
    bounded(file, limit)
}

fn bounded(from: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Reads, or writes, where an interrupt need not wait for it: a pipe to which nobody writes, or from which nobody reads.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new()
        .name("verdikt-files".into())
        .spawn(move || tell.send(work()))
        .map_err(|error| Failure::setup(format!("cannot start a thread: {error}")))?;
    // It says itself why it panicked.
    told.await.unwrap_or_else(|_| Err(Failure::internal("a part of verdikt panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_the_limit() {
        assert_eq!(bounded(io::repeat(0), 3).unwrap(), None);
        assert_eq!(bounded(&b"abc"[..], 3).unwrap(), Some(b"abc".to_vec()));
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(RECORD + 1).unwrap();
        let said = read_record(file.path()).unwrap_err().message;
        assert!(said.ends_with("is larger than the 512 MiB that a record may have"), "{said}");
    }
}
