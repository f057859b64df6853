//! Large matrices.

use std::time::{Duration, Instant};

use serde_json::json;
use verdikt_model::{Expectation, Family, NamespaceSpec, PodSpec, Topology, World, cells};
use verdikt_oracle::Oracle;

use crate::common::{policy, serve};

/// 200 pods in one namespace, one port.
fn large() -> World {
    let mut pod = PodSpec { serve: serve(), ..PodSpec::default() };
    pod.serve.ports.retain(|port| port.to_string() == "80/tcp");
    let namespace = NamespaceSpec {
        pods: (0..200).map(|n| (format!("p{n}"), pod.clone())).collect(),
        ..NamespaceSpec::default()
    };
    let mut world = World::synthetic(&Topology {
        namespaces: [("x".to_owned(), namespace)].into(),
        ..Topology::default()
    });
    world.policies = vec![policy("x/deny", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))];
    world
}

/// A release build takes a few milliseconds; the limit is for an unoptimised one on a busy machine, and still
/// catches selectors matched per cell.
#[test]
fn forty_thousand_cells_under_deny_all() {
    let world = large();
    let cells = cells(&world, &[Family::Ipv4]);
    assert_eq!(cells.len(), 40_000);
    let start = Instant::now();
    let oracle = Oracle::new(&world);
    let allowed = cells.iter().filter(|cell| oracle.expect(cell) == Expectation::Allow).count();
    let taken = start.elapsed();
    eprintln!("40,000 cells in {taken:?}");
    assert_eq!(allowed, 200, "only itself");
    assert!(taken < Duration::from_secs(2), "{taken:?}");
}
