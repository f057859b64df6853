//! `verdikt report`: a report from a record, with no cluster.

use verdikt_model::{ExitCode, Record};
use verdikt_report::Claim;

use crate::{
    args::{Implementation, Report, ReportFormat},
    failure::{Failure, Outcome},
    inputs::read_record,
    terminal,
    written::Output,
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
    let mut output = args.output.as_ref().map(|path| Output::new("--output", path)).transpose()?;
    if let Some(output) = &output {
        output.is_none_of(&args.records)?;
    }
    let text = draw(args, &records)?;
    match &mut output {
        Some(output) => output.write(&text)?,
        None => terminal::print_bytes(&text),
    }
    Ok(ExitCode::Ok)
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
            verdikt_report::write_record(single(records)?, &mut text).map_err(Failure::internal)?;
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
        _ => Err(Failure::usage("this format shows one record")
            .help("`verdikt merge` joins the records of one cluster")),
    }
}
