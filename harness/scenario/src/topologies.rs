//! Shared topologies, by name.

use std::collections::BTreeMap;

use verdikt_model::Topology;

/// The topologies that scenarios can refer to by name.
#[derive(Debug, Clone, Default)]
pub struct Topologies {
    by_name: BTreeMap<String, Topology>,
}

impl Topologies {
    /// The ones of the built-in catalogue: `three-by-three`, `two-by-two`.
    pub fn builtin() -> Self {
        crate::catalogue::topologies()
    }

    /// A topology by its name.
    pub fn get(&self, name: &str) -> Option<&Topology> {
        self.by_name.get(name)
    }

    /// Adds a topology; one of the same name is replaced and returned.
    pub fn insert(&mut self, name: impl Into<String>, topology: Topology) -> Option<Topology> {
        self.by_name.insert(name.into(), topology)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.by_name.keys().map(String::as_str)
    }
}
