//! What the runner tells the reporters. The only channel between the two.

use crate::{
    known::DeviationRecord,
    record::{Environment, RunInfo, ScenarioRecord, Summary},
};

/// One event of a run, in the order in which it happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The target answers and the scenarios are chosen.
    RunStarted {
        /// Id, start and command of the run.
        run: RunInfo,
        /// Where it runs.
        environment: Box<Environment>,
        /// How many scenarios will run.
        scenarios: usize,
        /// How many run at once.
        lanes: usize,
    },
    /// Before [`Event::RunStarted`]: what is being looked at, as in `whether the cluster enforces NetworkPolicy`.
    Checking {
        /// What.
        what: String,
    },
    /// A scenario begins.
    ScenarioStarted {
        /// Its name.
        name: String,
    },
    /// A scenario has got on: text for a progress line, such as `step and: 81 cells, 9 not yet as expected`.
    Progress {
        /// The scenario.
        name: String,
        /// What it is doing.
        what: String,
    },
    /// Cells of a scenario have been probed once.
    Swept {
        /// The scenario.
        name: String,
        /// How many cells.
        cells: usize,
        /// From the first request to the last result.
        duration: std::time::Duration,
    },
    /// A scenario has ended.
    ScenarioFinished {
        /// Its record.
        record: Box<ScenarioRecord>,
    },
    /// Something a user should know that is no result.
    Warning {
        /// One sentence, and what to do.
        message: String,
    },
    /// An interrupt was taken; scenarios are stopped and what was made is removed.
    Interrupted,
    /// The run has ended and its namespaces are gone (or kept on purpose, which a warning says).
    RunFinished {
        /// With its duration.
        run: RunInfo,
        /// Counts.
        summary: Summary,
        /// What became of known deviations.
        deviations: Vec<DeviationRecord>,
    },
}
