//! Files and directories to scenarios and known deviations.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use verdikt_model::{KnownDeviations, Scenario};

use crate::{
    clean,
    crd::Definitions,
    diagnostic::Diagnostic,
    document::{File, LARGEST_FILE, duplicate},
    source::{Lines, Source},
    topologies::Topologies,
};

/// What was read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Scenarios without errors, in the order of the files.
    pub scenarios: Vec<Scenario>,
    /// Known deviations without errors, in the order of the files.
    pub known: Vec<KnownDeviations>,
    /// Everything that is wrong with the files.
    pub diagnostics: Vec<Diagnostic>,
    /// Files of folders that could not be read; the others were.
    pub unreadable: Vec<LoadError>,
}

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file or directory.
    #[error(
        "{path}: there is no such file or directory; give a file, a directory of them, or, for scenarios, `-` for standard input"
    )]
    NotFound {
        /// The path as it was given.
        path: String,
    },
    /// The system refused to read it.
    #[error("{path}: cannot be read: {source}")]
    Unreadable {
        /// The path as it was given.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It is larger than [`LARGEST_FILE`].
    #[error(
        "{path}: the file is larger than {} MiB and no scenario; split it into one file a scenario, or check the path",
        LARGEST_FILE / 1024 / 1024
    )]
    TooLarge {
        /// The path as it was given.
        path: String,
    },
    /// It is no UTF-8.
    #[error("{path}: the file is no UTF-8 text (byte {offset}); save it as UTF-8")]
    NotText {
        /// The path as it was given.
        path: String,
        /// Bytes that are good.
        offset: usize,
    },
    /// It is neither a file nor a directory.
    #[error("{path}: this is neither a file nor a directory")]
    NotAFile {
        /// The path as it was given.
        path: String,
    },
    /// A directory without YAML files.
    #[error("{path}: the directory holds no file named *.yaml or *.yml")]
    NoFiles {
        /// The path as it was given.
        path: String,
    },
}

/// Reads files, directories (recursively, `*.yaml` and `*.yml`, in order of their names) and `-` (standard input).
///
/// Topologies of any of the files can be named by scenarios of all of them; the catalogue's are there too, unless a
/// file has one of the same name. Scenario names must be unique over all files.
///
/// # Errors
/// A path that cannot be read. What is wrong inside a file is a diagnostic, not an error, and a file of a folder that cannot
/// be read keeps the others from nothing.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, LoadError> {
    let (sources, unreadable) = all_sources(paths)?;
    Ok(Loaded { unreadable, ..read_all(&sources, Topologies::builtin(), None) })
}

/// Like [`load()`], and checks objects of other kinds against their definitions.
///
/// # Errors
/// As [`load()`].
pub fn load_against(paths: &[PathBuf], definitions: &Definitions) -> Result<Loaded, LoadError> {
    let (sources, unreadable) = all_sources(paths)?;
    Ok(Loaded { unreadable, ..read_all(&sources, Topologies::builtin(), Some(definitions)) })
}

/// The texts of all files, and the files of folders that cannot be read.
fn all_sources(paths: &[PathBuf]) -> Result<(Vec<Source>, Vec<LoadError>), LoadError> {
    let (mut sources, mut unreadable) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for path in paths {
        if path.as_os_str() == "-" {
            sources.push(read(io::stdin().lock(), "-")?);
            continue;
        }
        for file in files(path)? {
            // A file given twice, directly or through its directory, is read once.
            if !seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) {
                continue;
            }
            match read_file(&file) {
                Ok(source) => sources.push(source),
                Err(error) if file == *path => return Err(error),
                Err(error) => unreadable.push(error),
            }
        }
    }
    Ok((sources, unreadable))
}

/// The text of a file, or of the files of a directory.
pub(crate) fn sources(path: &Path) -> Result<Vec<Source>, LoadError> {
    files(path)?.iter().map(|file| read_file(file)).collect()
}

/// The file itself, or the files of a directory.
fn files(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let metadata = fs::metadata(path).map_err(|error| failed(path, error))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    walk(path, &mut files)?;
    if files.is_empty() {
        return Err(LoadError::NoFiles { path: shown(path) });
    }
    Ok(files)
}

/// Reads several sources together.
pub(crate) fn read_all(
    sources: &[Source],
    mut topologies: Topologies,
    definitions: Option<&Definitions>,
) -> Loaded {
    let mut files: Vec<File<'_>> = sources.iter().map(File::open).collect();
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for (file, source) in files.iter_mut().zip(sources) {
        for (name, span, topology) in file.topologies() {
            if let Some(first) = taken.get(&name) {
                file.push(duplicate("topology", &name, span).help(format!("it is also in {first}")));
            } else {
                taken.insert(name.clone(), place(source, span.start));
                topologies.insert(name, topology);
            }
        }
    }
    let mut loaded = Loaded::default();
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let mut taken_known: BTreeMap<String, String> = BTreeMap::new();
    for (mut file, source) in files.into_iter().zip(sources) {
        for (scenario, span) in file.scenarios(&topologies, definitions) {
            if let Some(first) = taken.get(&scenario.name) {
                file.push(duplicate("scenario", &scenario.name, span).help(format!(
                    "it is also in {first}; names must be unique in a run, rename one of the two"
                )));
            } else {
                taken.insert(scenario.name.clone(), place(source, span.start));
                loaded.scenarios.push(scenario);
            }
        }
        for (known, span) in file.known() {
            if let Some(first) = taken_known.get(&known.name) {
                file.push(duplicate("deviations", &known.name, span).help(format!("it is also in {first}")));
            } else {
                taken_known.insert(known.name.clone(), place(source, span.start));
                loaded.known.push(known);
            }
        }
        loaded.diagnostics.extend(file.diagnostics());
    }
    loaded
}

fn place(source: &Source, byte: usize) -> String {
    let (line, column) = Lines::new(&source.text).place(&source.text, byte);
    format!("{}:{line}:{column}", source.name)
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let mut entries: Vec<fs::DirEntry> =
        fs::read_dir(dir).and_then(Iterator::collect).map_err(|error| failed(dir, error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| failed(&path, error))?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        // Links to directories are not followed: they could lead round in a circle.
        if kind.is_dir() && !hidden {
            walk(&path, files)?;
        } else if !kind.is_dir()
            && !hidden
            && path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml")
            && path.is_file()
        {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<Source, LoadError> {
    let metadata = fs::metadata(path).map_err(|error| failed(path, error))?;
    if metadata.len() > LARGEST_FILE as u64 {
        return Err(LoadError::TooLarge { path: shown(path) });
    }
    if metadata.is_dir() {
        return Err(LoadError::NotAFile { path: shown(path) });
    }
    let file = fs::File::open(path).map_err(|error| failed(path, error))?;
    read(file, &path.to_string_lossy())
}

/// Reads a text, but never more than [`LARGEST_FILE`].
fn read(reader: impl Read, name: &str) -> Result<Source, LoadError> {
    let path = || clean::line(name);
    let mut bytes = Vec::new();
    reader
        .take(LARGEST_FILE as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| LoadError::Unreadable { path: path(), source })?;
    if bytes.len() > LARGEST_FILE {
        return Err(LoadError::TooLarge { path: path() });
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| LoadError::NotText { path: path(), offset: error.utf8_error().valid_up_to() })?;
    Ok(Source { name: name.to_owned(), text })
}

fn failed(path: &Path, source: io::Error) -> LoadError {
    match source.kind() {
        io::ErrorKind::NotFound => LoadError::NotFound { path: shown(path) },
        _ => LoadError::Unreadable { path: shown(path), source },
    }
}

pub(crate) fn shown(path: &Path) -> String {
    clean::line(&path.to_string_lossy())
}
