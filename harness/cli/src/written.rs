//! The files that verdikt writes: each place is found and tried before there is anything to write, none is another's or
//! what is read, and each that could not be written is named.

use std::{
    fs::File,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use verdikt_report::Place;

use crate::failure::Failure;

/// A file that is to be written.
#[derive(Debug)]
pub(crate) struct Output {
    /// The option that names it.
    option: &'static str,
    path: PathBuf,
    pub(crate) place: Place,
}

impl Output {
    /// Finds its place. A file that is there stays as it is until the new one is whole.
    pub(crate) fn new(option: &'static str, path: &Path) -> Result<Self, Failure> {
        let place = Place::new(path).map_err(|error| cannot_write(path, &error))?;
        Ok(Self { option, path: path.to_owned(), place })
    }

    /// Refuses to write where something is read from.
    pub(crate) fn is_none_of(&self, inputs: &[PathBuf]) -> Result<(), Failure> {
        match inputs.iter().find(|input| self.place.is(input)) {
            Some(input) => Err(Failure::usage(format!(
                "{} {} would overwrite {}, which is read",
                self.option,
                self.path.display(),
                input.display()
            ))
            .help("name another file")),
            None => Ok(()),
        }
    }

    pub(crate) fn write(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.place.write(text).map_err(|error| cannot_write(&self.path, &error))
    }

    pub(crate) fn into_parts(self) -> (PathBuf, Place) {
        (self.path, self.place)
    }
}

/// Refuses two outputs in one place; standard output is one, too, where it is a file.
pub(crate) fn each_in_its_place(outputs: &[&Output]) -> Result<(), Failure> {
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata());
    for (index, one) in outputs.iter().enumerate() {
        let twice = |other: String| {
            Failure::usage(format!("{} {} and {other} are one file", one.option, one.path.display()))
                .help("each report needs a file of its own")
        };
        if let Some(other) = outputs[..index].iter().find(|other| other.place.is_same(&one.place)) {
            return Err(twice(format!("{} {}", other.option, other.path.display())));
        }
        if stdout.as_ref().is_ok_and(|stdout| one.place.is_open(stdout)) {
            return Err(twice("standard output".to_owned()));
        }
    }
    Ok(())
}

/// Why a file could not be written.
pub(crate) fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_outputs_in_one_place_are_refused_and_what_is_read_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("a", path("link")).unwrap();
        let output = |option, name: &str| Output::new(option, &path(name)).unwrap();
        let (a, link, b) = (output("--record", "a"), output("--export-html", "link"), output("-o", "b"));
        assert!(each_in_its_place(&[&a, &b]).is_ok());
        let said = each_in_its_place(&[&a, &b, &link]).unwrap_err().message;
        assert!(said.starts_with("--export-html") && said.ends_with("are one file"), "{said}");
        assert!(said.contains(" and --record "), "{said}");
        std::fs::write(path("a"), "read").unwrap();
        assert!(b.is_none_of(&[path("a")]).is_ok());
        let said = link.is_none_of(&[path("b"), path("a")]).unwrap_err().message;
        assert!(said.ends_with("/a, which is read"), "{said}");
        assert_eq!(std::fs::read_to_string(path("a")).unwrap(), "read");
    }
}
