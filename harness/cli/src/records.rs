//! Records from files.

use std::{fs, path::Path};

use verdikt_model::{Record, SCHEMA};

use crate::failure::Failure;

/// Reads a record.
pub(crate) fn read_record(path: &Path) -> Result<Record, Failure> {
    let shown = path.display();
    let text = fs::read(path).map_err(|e| Failure::usage(format!("cannot read the record {shown}: {e}")))?;
    let record: Record = serde_json::from_slice(&text).map_err(|e| {
        Failure::usage(format!(
            "{shown} is no record of verdikt: {e}\n  help: `verdikt run --record FILE` writes one"
        ))
    })?;
    if record.schema != SCHEMA {
        return Err(Failure::usage(format!(
            "{shown} is a record of schema `{}`; this version of verdikt reads `{SCHEMA}`",
            record.schema
        )));
    }
    Ok(record)
}
