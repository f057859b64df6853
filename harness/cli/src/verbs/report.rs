//! `verdikt report`: a report from a record, with no cluster.

use std::{io::Write, path::PathBuf};

use verdikt_model::{ExitCode, Record};
use verdikt_report::Claim;

use crate::{
    args::{Implementation, Report, ReportFormat},
    failure::{Failure, Outcome},
    records::read_record,
};

pub(super) fn report(args: &Report) -> Outcome {
    if args.format != ReportFormat::Conformance && args.implementation != Implementation::default() {
        return Err(Failure::usage(
            "--organization, --project, --url, --version and --contact are for --format conformance",
        ));
    }
    let mut records = Vec::new();
    for path in &args.records {
        let record = read_record(path)?;
        // Where several are side by side, it is their files that tell them apart; one is the same by whatever name.
        let name = match args.records.as_slice() {
            [_] => record.run.id.clone(),
            _ => path.file_stem().unwrap_or(path.as_os_str()).display().to_string(),
        };
        records.push((name, record));
    }
    write(args.output.as_ref(), &draw(args, &records)?)
}

/// The report as text. Each format takes what it can show: most one record.
fn draw(args: &Report, records: &[(String, Record)]) -> Result<Vec<u8>, Failure> {
    Ok(match args.format {
        ReportFormat::Html => verdikt_report::html(records).into(),
        ReportFormat::Markdown => verdikt_report::markdown(single(records)?).into(),
        ReportFormat::Conformance => conformance(single(records)?, args)?.into(),
        ReportFormat::Csv => verdikt_report::csv(single(records)?).into(),
        ReportFormat::Annotations => verdikt_report::annotations(single(records)?).into(),
        ReportFormat::Junit => verdikt_report::junit(single(records)?).into(),
        ReportFormat::Json => {
            let mut text = Vec::new();
            verdikt_report::write_record(single(records)?, &mut text)?;
            text
        }
    })
}

fn conformance(record: &Record, args: &Report) -> Result<String, Failure> {
    let Implementation { organization, project, url, version, contact } = args.implementation.clone();
    let claim = Claim { organization, project, url, version, contact };
    let catalogue = verdikt_scenario::catalogue().scenarios;
    verdikt_report::conformance(record, &claim, &catalogue).map_err(Failure::usage)
}

fn single(records: &[(String, Record)]) -> Result<&Record, Failure> {
    match records {
        [(_, record)] => Ok(record),
        _ => Err(Failure::usage(
            "this format shows one record\n  help: `verdikt merge` joins the records of one cluster",
        )),
    }
}

fn write(path: Option<&PathBuf>, text: &[u8]) -> Outcome {
    match path {
        Some(path) => std::fs::write(path, text)
            .map_err(|e| Failure::usage(format!("cannot write {}: {e}", path.display())))?,
        None => {
            let mut out = std::io::stdout().lock();
            out.write_all(text)?;
            out.flush()?;
        }
    }
    Ok(ExitCode::Ok)
}
