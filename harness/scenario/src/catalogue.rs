//! The built-in catalogue: the files under `scenarios/`, compiled into the binary.

use std::sync::OnceLock;

use crate::{
    crd::Definitions,
    document::File,
    load::{Loaded, read_all},
    source::Source,
    topologies::Topologies,
};

include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// The scenarios that verdikt brings along. Their source is `catalogue:PATH`.
///
/// The diagnostics are those that `lint` of the same files would give. A released catalogue has none.
pub fn catalogue() -> Loaded {
    read(None)
}

/// Like [`catalogue()`], and checks objects of other kinds against their definitions.
pub fn catalogue_against(definitions: &Definitions) -> Loaded {
    read(Some(definitions))
}

fn read(definitions: Option<&Definitions>) -> Loaded {
    read_all(&sources(""), Topologies::default(), definitions)
}

/// The shared topologies of the catalogue.
pub(crate) fn topologies() -> Topologies {
    static ONCE: OnceLock<Topologies> = OnceLock::new();
    ONCE.get_or_init(|| {
        let mut topologies = Topologies::default();
        for source in sources("topologies/") {
            for (name, _, topology) in File::open(&source).topologies() {
                topologies.insert(name, topology);
            }
        }
        topologies
    })
    .clone()
}

fn sources(prefix: &str) -> Vec<Source> {
    FILES
        .iter()
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, text)| Source { name: format!("catalogue:{name}"), text: (*text).to_owned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use verdikt_oracle::STATEMENTS;

    use super::*;
    use crate::render;

    #[test]
    fn the_catalogue_has_no_findings() {
        let loaded = catalogue();
        assert!(loaded.diagnostics.is_empty(), "{}", render(&loaded.diagnostics, false, 120));
        assert!(!loaded.scenarios.is_empty());
        assert!(loaded.scenarios.iter().all(|s| s.source.starts_with("catalogue:")));
    }

    #[test]
    fn every_statement_that_can_be_tested_has_a_scenario() {
        let loaded = catalogue();
        let named: BTreeSet<&str> =
            loaded.scenarios.iter().flat_map(|s| &s.clauses).map(String::as_str).collect();
        let missing: Vec<&str> = STATEMENTS
            .iter()
            .filter(|statement| statement.untestable.is_none() && !named.contains(statement.name))
            .map(|statement| statement.name)
            .collect();
        assert!(missing.is_empty(), "no scenario tests {missing:?}");
    }

    #[test]
    fn the_shared_topologies_are_as_documented() {
        let topologies = topologies();
        let three = topologies.get("three-by-three").unwrap();
        assert_eq!(three.pods().count(), 9);
        assert!(three.pods().all(|(_, name, pod)| pod.serve.ports.len() == 4
            && pod.serve.names.len() == 4
            && pod.labels.get("pod").map(String::as_str) == Some(name)));
        let two = topologies.get("two-by-two").unwrap();
        assert_eq!(two.pods().count(), 4);
        assert!(two.pods().all(|(_, _, pod)| pod.serve.ports.len() == 3));
        assert!(two.namespaces.iter().all(|(name, ns)| ns.labels.get("ns") == Some(name)));
    }
}
