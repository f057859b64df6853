//! Known deviations.

use std::str::FromStr;

use jiff::civil::Date;
use verdikt_model::{CellPattern, CheckWord, KnownDeviation, KnownDeviations, Verdict, VersionRange};

use super::{names::Name, steps::bad_pattern};
use crate::{
    clean,
    decode::Findings,
    diagnostic::Finding,
    raw::{RawKnownDeviation, RawKnownDeviations},
    span::At,
    suggest,
};

/// Checks a document and makes the model of it; `None` when a finding stands in the way.
pub(crate) fn known(
    raw: &RawKnownDeviations,
    source: &str,
    findings: &mut Findings,
) -> Option<KnownDeviations> {
    let errors = findings.errors();
    let plane = &raw.spec.dataplane;
    Name::Object.check(&raw.metadata.name, findings);
    Name::Object.check(&plane.name, findings);
    if let Some(mode) = &plane.mode {
        filled(mode, "the mode", findings);
    }
    let versions = parsed(plane.versions.as_ref(), versions, findings);
    let deviations = raw.spec.deviations.iter().map(|raw| deviation(raw, findings)).collect();
    (findings.errors() == errors).then(|| KnownDeviations {
        name: raw.metadata.name.value.clone(),
        dataplane: plane.name.value.clone(),
        mode: plane.mode.as_ref().map(|at| at.value.clone()),
        versions,
        deviations,
        source: source.to_owned(),
    })
}

fn deviation(raw: &RawKnownDeviation, findings: &mut Findings) -> KnownDeviation {
    filled(&raw.scenario, "the scenario", findings);
    if let Some(step) = &raw.step {
        filled(step, "the step", findings);
    }
    filled(&raw.reason, "the reason", findings);
    link(&raw.link, findings);
    let mut cells = Vec::new();
    for text in &raw.cells {
        match text.value.parse::<CellPattern>() {
            Ok(pattern) => cells.push(pattern),
            Err(error) => findings.push(bad_pattern(text, &error)),
        }
    }
    let checks = raw.checks.iter().filter_map(|text| check(text, findings)).collect();
    let observed = parsed(raw.observed.as_ref(), observed, findings);
    if let (Some(at), Some(of)) = (&raw.observed, raw.checks.first()) {
        findings.push(
            Finding::error(
                "known/observed-of-checks",
                at.span,
                "`observed` is of cells, and this is of checks",
            )
            .also(of.span, "checks")
            .help("remove it, or write a second deviation for the cells"),
        );
    }
    KnownDeviation {
        scenario: raw.scenario.value.clone(),
        step: raw.step.as_ref().map(|at| at.value.clone()),
        cells,
        checks,
        observed,
        reason: raw.reason.value.trim().to_owned(),
        link: raw.link.value.clone(),
        versions: parsed(raw.versions.as_ref(), versions, findings),
        expires: parsed(raw.expires.as_ref(), date, findings),
    }
}

/// A value that need not be there.
fn parsed<T>(
    raw: Option<&At<String>>,
    parse: impl FnOnce(&At<String>) -> Result<T, Finding>,
    findings: &mut Findings,
) -> Option<T> {
    parse(raw?).map_err(|finding| findings.push(finding)).ok()
}

fn filled(text: &At<String>, what: &str, findings: &mut Findings) {
    if text.value.trim().is_empty() {
        findings.push(Finding::error("scenario/missing-field", text.span, format!("{what} is empty")));
    }
}

fn link(text: &At<String>, findings: &mut Findings) {
    let host = text.value.strip_prefix("https://").and_then(|rest| rest.split('/').next());
    let good = host.is_some_and(|host| host.contains('.')) && !text.value.contains(char::is_whitespace);
    if !good {
        findings.push(
            Finding::error(
                "known/invalid-link",
                text.span,
                format!("`{}` is no link", clean::word(&text.value)),
            )
            .help("write where it is told, as in https://github.com/cilium/cilium/issues/30003"),
        );
    }
}

fn versions(text: &At<String>) -> Result<VersionRange, Finding> {
    VersionRange::from_str(&text.value).map_err(|error| {
        Finding::error(
            "known/invalid-versions",
            text.span,
            format!("`{}` is no range of versions: {}", clean::word(&text.value), clean::word(&error.why)),
        )
        .help("write for example \">=1.16, <1.20\" or \"=1.18.3\"")
    })
}

fn date(text: &At<String>) -> Result<Date, Finding> {
    // The parser takes times and other spellings, too.
    let date = text.value.parse::<Date>().ok().filter(|date| date.to_string() == text.value);
    date.ok_or_else(|| {
        Finding::error("known/invalid-date", text.span, format!("`{}` is no date", clean::word(&text.value)))
            .help("write year, month and day, as in 2026-12-31")
    })
}

fn observed(text: &At<String>) -> Result<Verdict, Finding> {
    const VERDICTS: [Verdict; 3] = [Verdict::Allowed, Verdict::Dropped, Verdict::Rejected];
    VERDICTS.into_iter().find(|verdict| verdict.as_str() == text.value).ok_or_else(|| {
        let finding = Finding::error(
            "known/unknown-verdict",
            text.span,
            format!("`{}` is nothing that a deviation can show", clean::word(&text.value)),
        );
        match text.value.as_str() {
            "error" => finding.help("what could not be measured is never a known deviation"),
            word => finding.maybe_help(suggest::help(word, "verdicts", VERDICTS.map(Verdict::as_str))),
        }
    })
}

fn check(text: &At<String>, findings: &mut Findings) -> Option<CheckWord> {
    let kinds = CheckWord::ALL.iter().copied();
    let found = kinds.clone().find(|kind| kind.as_str() == text.value);
    if found.is_none() {
        findings.push(
            Finding::error(
                "known/unknown-check",
                text.span,
                format!("`{}` is no kind of check that can be wrong", clean::word(&text.value)),
            )
            .maybe_help(suggest::help(&text.value, "kinds", kinds.map(CheckWord::as_str))),
        );
    }
    found
}
