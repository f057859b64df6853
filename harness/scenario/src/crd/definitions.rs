//! Definitions, by group and kind.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::Deserialize;
use serde_json::Value;

use super::{
    defaults,
    schema::Schema,
    walk::{self, Fault},
};

/// CustomResourceDefinitions that objects of scenarios are checked against.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    by_kind: BTreeMap<(String, String), Definition>,
}

/// One CustomResourceDefinition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Definition {
    /// Its full name: `widgets.example.com`.
    pub(crate) name: String,
    /// Whether its objects have a namespace.
    pub(crate) namespaced: bool,
    group: String,
    kind: String,
    versions: BTreeMap<String, Version>,
    /// Whether fields that the schema does not know are kept.
    keeps_unknown: bool,
}

/// One version of a kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Version {
    /// Whether an API server serves it.
    pub(crate) served: bool,
    schema: Schema,
}

impl Definitions {
    /// The definition of a kind.
    pub(crate) fn get(&self, group: &str, kind: &str) -> Option<&Definition> {
        self.by_kind.get(&(group.to_owned(), kind.to_owned()))
    }

    /// The kinds of a group.
    pub(crate) fn kinds(&self, group: &str) -> impl Iterator<Item = &str> + Clone {
        self.by_kind.keys().filter(move |(of, _)| of == group).map(|(_, kind)| kind.as_str())
    }

    /// Adds a definition. `false`: there is another one of the same kind that differs.
    pub(super) fn add(&mut self, definition: Definition) -> bool {
        match self.by_kind.entry((definition.group.clone(), definition.kind.clone())) {
            Entry::Occupied(have) => *have.get() == definition,
            Entry::Vacant(place) => {
                place.insert(definition);
                true
            }
        }
    }
}

impl Definition {
    /// Reads a document; `None` when it is no CustomResourceDefinition.
    pub(super) fn read(document: &Value) -> Option<Result<Self, String>> {
        let is = |field: &str, value: &str| document.get(field).and_then(Value::as_str) == Some(value);
        if !is("kind", "CustomResourceDefinition") || !is("apiVersion", "apiextensions.k8s.io/v1") {
            return None;
        }
        Some(Self::from_document(document))
    }

    fn from_document(document: &Value) -> Result<Self, String> {
        let raw = RawDefinition::deserialize(document).map_err(|error| error.to_string())?;
        let spec = raw.spec;
        let namespaced = match spec.scope.as_str() {
            "Namespaced" => true,
            "Cluster" => false,
            other => return Err(format!("`{other}` is no scope")),
        };
        let mut versions = BTreeMap::new();
        for version in spec.versions {
            let Some(schema) = version.schema.and_then(|schema| schema.open_api_v3_schema) else {
                return Err(format!("version {} has no schema", version.name));
            };
            versions.insert(version.name, Version { served: version.served, schema });
        }
        Ok(Self {
            name: raw.metadata.name,
            namespaced,
            group: spec.group,
            kind: spec.names.kind,
            versions,
            keeps_unknown: spec.preserve_unknown_fields,
        })
    }

    /// The schema and state of a version.
    pub(crate) fn version(&self, name: &str) -> Option<&Version> {
        self.versions.get(name)
    }

    /// Versions that are served.
    pub(crate) fn served(&self) -> impl Iterator<Item = &str> + Clone {
        self.versions.iter().filter(|(_, version)| version.served).map(|(name, _)| name.as_str())
    }

    /// Everything that is wrong with an object of this kind.
    pub(crate) fn check(&self, version: &Version, object: &Value) -> Vec<Fault> {
        let mut object = object.clone();
        defaults::fill(&mut object, &version.schema);
        walk::object(&version.schema, &object, !self.keeps_unknown)
    }
}

#[derive(Deserialize)]
struct RawDefinition {
    metadata: RawMetadata,
    spec: RawSpec,
}

#[derive(Deserialize)]
struct RawMetadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpec {
    group: String,
    names: RawNames,
    scope: String,
    versions: Vec<RawVersion>,
    #[serde(default)]
    preserve_unknown_fields: bool,
}

#[derive(Deserialize)]
struct RawNames {
    kind: String,
}

#[derive(Deserialize)]
struct RawVersion {
    name: String,
    served: bool,
    schema: Option<RawSchema>,
}

#[derive(Deserialize)]
struct RawSchema {
    #[serde(rename = "openAPIV3Schema")]
    open_api_v3_schema: Option<Schema>,
}
