//! The files of known deviations under `reports/known/`, compiled into the binary.

use verdikt_model::KnownDeviations;

use crate::{
    load::{Loaded, read_all},
    source::Source,
    topologies::Topologies,
};

include!(concat!(env!("OUT_DIR"), "/known.rs"));

/// What verdikt knows of dataplanes, each file with what is wrong with it; released ones have no findings. A run takes
/// them into account only where it is asked for.
pub fn known_deviations() -> Loaded {
    let source = |(name, text): &(&str, &str)| Source {
        name: KnownDeviations::built_in_source(name),
        text: (*text).to_owned(),
    };
    let sources: Vec<Source> = KNOWN.iter().map(source).collect();
    read_all(&sources, Topologies::default(), None)
}

#[cfg(test)]
mod tests {
    use verdikt_model::{Family, World, cells};

    use super::*;
    use crate::{catalogue, render};

    /// Each speaks of scenarios, steps and cells that there are: otherwise it would be known for ever and never seen.
    #[test]
    fn what_is_known_is_of_the_catalogue() {
        let loaded = known_deviations();
        assert!(loaded.diagnostics.is_empty(), "{}", render(&loaded.diagnostics, false, 120));
        assert!(!loaded.known.is_empty());
        let scenarios = catalogue().scenarios;
        for file in &loaded.known {
            assert!(file.versions.is_some(), "{}: of which versions was that measured?", file.name);
            for of in &file.deviations {
                let scenario = scenarios
                    .iter()
                    .find(|scenario| scenario.name == of.scenario)
                    .unwrap_or_else(|| panic!("{}: there is no scenario {}", file.name, of.scenario));
                if let Some(step) = &of.step {
                    assert!(
                        scenario.steps.iter().any(|s| s.name == *step),
                        "{}: no step {step}",
                        of.scenario
                    );
                }
                let world = World::synthetic(&scenario.topology);
                let cells = cells(&world, Family::ALL);
                for pattern in &of.cells {
                    // Pods that come later are not in the first world.
                    let late = scenario.topology.pods().any(|(_, _, pod)| pod.late);
                    let meant = cells.iter().any(|cell| pattern.matches(&world, cell));
                    assert!(meant || late, "{}: no cell is {pattern}", of.scenario);
                }
            }
        }
    }
}
