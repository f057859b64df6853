//! `verdikt man`

use std::path::Path;

use clap::CommandFactory;
use verdikt_model::ExitCode;

use crate::{
    args::Cli,
    failure::{Failure, Outcome},
};

pub(super) fn man(directory: &Path) -> Outcome {
    write(directory)
        .map_err(|e| Failure::usage(format!("cannot write manual pages to {}: {e}", directory.display())))?;
    Ok(ExitCode::Ok)
}

/// Writes all pages beside their places, then puts them there, so that none is left half.
fn write(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let fresh = tempfile::tempdir_in(directory)?;
    clap_mangen::generate_to(Cli::command(), fresh.path())?;
    for page in std::fs::read_dir(fresh.path())? {
        let page = page?;
        std::fs::rename(page.path(), directory.join(page.file_name()))?;
    }
    fresh.close()
}
