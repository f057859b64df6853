//! Known deviations as lists.

use std::fmt::Write;

use serde_json::{Value, json};
use verdikt_model::{KnownDeviation, KnownDeviations};

use crate::{
    escape::{NAME, SENTENCE, cut},
    json_text::json_line,
};

/// For people: a heading for each file, a line and a link for each deviation.
pub fn known_human(files: &[KnownDeviations]) -> String {
    let mut out = String::new();
    for file in files {
        let _ = writeln!(out, "{}: {}", cut(&file.name, NAME), cut(&of(file), SENTENCE));
        if file.deviations.is_empty() {
            out.push_str("  none known\n");
        }
        for known in &file.deviations {
            let _ = writeln!(out, "  {}: {}", cut(&what(known), SENTENCE), cut(&known.reason, SENTENCE));
            let _ = writeln!(out, "    {}", cut(&known.link, SENTENCE));
        }
    }
    out
}

/// For programs: one object a file.
pub fn known_json(files: &[KnownDeviations]) -> String {
    let entry = |known: &KnownDeviation| {
        json!({
            "scenario": known.scenario, "step": known.step,
            "cells": known.cells.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "checks": known.checks, "observed": known.observed,
            "reason": known.reason, "link": known.link,
            "versions": known.versions.as_ref().map(ToString::to_string),
            "expires": known.expires.map(|date| date.to_string()),
        })
    };
    let file = |file: &KnownDeviations| {
        json!({
            "name": file.name, "source": file.source, "dataplane": file.dataplane, "mode": file.mode,
            "versions": file.versions.as_ref().map(ToString::to_string),
            "deviations": file.deviations.iter().map(entry).collect::<Vec<_>>(),
        })
    };
    json_line(&files.iter().map(file).collect::<Value>()).expect("strings always serialise")
}

/// The dataplane, with mode and versions.
fn of(file: &KnownDeviations) -> String {
    let versions = file.versions.as_ref().map(ToString::to_string).unwrap_or_else(|| "all versions".into());
    let mode = file.mode.as_ref().map(|mode| format!(", mode {mode}")).unwrap_or_default();
    format!("{} {versions}{mode}", file.dataplane)
}

/// What is known, without why: `ports/named-port-on-egress, step web, x/a -> y/b, dropped, until 2026-12-31`
fn what(known: &KnownDeviation) -> String {
    let mut parts = vec![known.scenario.clone()];
    parts.extend(known.step.as_ref().map(|step| format!("step {step}")));
    parts.extend(known.checks.iter().map(|kind| format!("{kind} checks")));
    parts.extend(known.cells.iter().map(ToString::to_string));
    parts.extend(known.observed.map(|verdict| verdict.to_string()));
    parts.extend(known.versions.as_ref().map(|versions| format!("versions {versions}")));
    parts.extend(known.expires.map(|last| format!("until {last}")));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> KnownDeviations {
        let known = KnownDeviation {
            scenario: "ports/x".into(),
            step: Some("web".into()),
            cells: vec!["x/a -> y/b:80/tcp".parse().unwrap()],
            checks: vec![],
            observed: Some(verdikt_model::Verdict::Dropped),
            reason: "left \u{1b}[2J out".into(),
            link: "https://example.org/1".into(),
            versions: Some("<1.19".parse().unwrap()),
            expires: Some("2026-12-31".parse().unwrap()),
        };
        KnownDeviations {
            name: "mine".into(),
            dataplane: "cilium".into(),
            mode: Some("ebpf".into()),
            versions: None,
            deviations: vec![known],
            source: "known.yaml".into(),
        }
    }

    #[test]
    fn every_field_is_told_and_nothing_drives_the_terminal() {
        let empty = KnownDeviations { deviations: vec![], name: "other".into(), mode: None, ..file() };
        assert_eq!(
            known_human(&[file(), empty]),
            "mine: cilium all versions, mode ebpf\n  ports/x, step web, x/a -> y/b:80/tcp, dropped, versions <1.19, \
             until 2026-12-31: left \\u{1b}[2J out\n    https://example.org/1\nother: cilium all versions\n  none known\n"
        );
        let json: Value = serde_json::from_str(&known_json(&[file()])).unwrap();
        assert_eq!(json[0]["deviations"][0]["expires"], "2026-12-31");
        assert_eq!(json[0]["deviations"][0]["cells"][0], "x/a -> y/b:80/tcp");
    }
}
