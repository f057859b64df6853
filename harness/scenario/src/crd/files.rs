//! Definitions from files.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

use super::definitions::{Definition, Definitions};
use crate::{
    clean,
    load::{self, LoadError},
    source::{Lines, Source},
    yaml,
};

/// Definitions that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsError {
    /// A file or directory that cannot be read.
    #[error(transparent)]
    Unreadable(#[from] LoadError),
    /// A file that is no YAML.
    #[error("{place}: this is no YAML: {why}")]
    Syntax {
        /// File, line and column.
        place: String,
        /// What the reader says.
        why: String,
    },
    /// A path without any definition.
    #[error(
        "{path}: there is no CustomResourceDefinition (apiextensions.k8s.io/v1) in it; give the manifests that install the kinds, or what `kubectl get crd -o yaml` prints"
    )]
    None {
        /// The path as it was given.
        path: String,
    },
    /// A definition that an API server would refuse.
    #[error("{path}: the CustomResourceDefinition {name} cannot be read: {why}")]
    Malformed {
        /// The file.
        path: String,
        /// The definition's name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Two definitions of one kind that differ.
    #[error("{name} is defined in {first} and differently in {second}; give one of the two")]
    Twice {
        /// The definition's name.
        name: String,
        /// The first file.
        first: String,
        /// The second file.
        second: String,
    },
}

impl Definitions {
    /// Reads the CustomResourceDefinitions of files and directories (recursively, `*.yaml` and `*.yml`). Other
    /// documents are passed over; lists are looked into.
    ///
    /// # Errors
    /// A path that cannot be read or that holds no definition, and definitions that contradict each other.
    pub fn load(paths: &[PathBuf]) -> Result<Self, DefinitionsError> {
        let mut definitions = Self::default();
        let mut places = BTreeMap::new();
        for path in paths {
            let mut count = 0;
            for source in load::sources(path)? {
                count += definitions.read(&source, &mut places)?;
            }
            if count == 0 {
                return Err(DefinitionsError::None { path: load::shown(path) });
            }
        }
        Ok(definitions)
    }

    fn read(
        &mut self,
        source: &Source,
        places: &mut BTreeMap<String, String>,
    ) -> Result<usize, DefinitionsError> {
        let path = clean::line(&source.name);
        let documents = yaml::values(&source.text).map_err(|error| {
            let (line, column) =
                Lines::new(&source.text).place(&source.text, error.span.unwrap_or_default().start);
            let place = format!("{path}:{line}:{column}");
            DefinitionsError::Syntax { place, why: clean::message(&error.message) }
        })?;
        let mut count = 0;
        for document in documents.iter().flat_map(items) {
            let Some(definition) = Definition::read(document) else { continue };
            let definition = definition.map_err(|why| {
                let name =
                    document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("without a name");
                let (name, why) = (clean::word(name), clean::message(&why));
                DefinitionsError::Malformed { path: path.clone(), name, why }
            })?;
            count += 1;
            let name = definition.name.clone();
            if !self.add(definition) {
                let first = places.get(&name).cloned().unwrap_or_default();
                return Err(DefinitionsError::Twice { name: clean::word(&name), first, second: path });
            }
            places.entry(name).or_insert_with(|| path.clone());
        }
        Ok(count)
    }
}

/// The items of a list, or the document itself.
fn items(document: &Value) -> std::slice::Iter<'_, Value> {
    match document.get("items").and_then(Value::as_array) {
        Some(items) if document.get("kind").and_then(Value::as_str).is_some_and(|k| k.ends_with("List")) => {
            items.iter()
        }
        _ => std::slice::from_ref(document).iter(),
    }
}
