//! `verdikt schema`

use verdikt_model::ExitCode;

use crate::{args::SchemaOf, failure::Outcome, terminal};

pub(super) fn schema(of: SchemaOf) -> Outcome {
    let schema = match of {
        SchemaOf::Scenario => verdikt_scenario::scenario_schema(),
        SchemaOf::KnownDeviations => verdikt_scenario::known_deviations_schema(),
        SchemaOf::Record => verdikt_report::record_schema(),
    };
    terminal::print(&format!("{schema:#}\n"));
    Ok(ExitCode::Ok)
}
