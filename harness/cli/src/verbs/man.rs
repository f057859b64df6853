//! `verdikt man`

use std::path::Path;

use clap::CommandFactory;
use verdikt_model::ExitCode;

use crate::{
    args::Cli,
    failure::{Failure, Outcome},
};

pub(super) fn man(directory: &Path) -> Outcome {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|e| Failure::usage(format!("cannot write manual pages to {}: {e}", directory.display())))?;
    Ok(ExitCode::Ok)
}
