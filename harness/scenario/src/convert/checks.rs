//! What a step measures besides cells.

use verdikt_model::{CellPattern, Check, CheckExpect, CheckKind, CheckWord};

use super::steps::bad_pattern;
use crate::{
    clean,
    decode::Findings,
    diagnostic::Finding,
    raw::RawCheck,
    span::{At, Span},
};

/// How long a held connection is watched by default once its step is as expected.
const HOLD_MS: u32 = 1000;
/// Longest time for which one can be watched.
const MOST_HOLD_MS: u32 = 600_000;
/// Bytes of a transfer by default, and most.
const TRANSFER: u32 = 1 << 20;
const MOST_TRANSFER: u32 = 1 << 30;

/// Reads a step's checks. `at`: the step. With the place of each one's pattern.
pub(super) fn checks(raw: &[RawCheck], at: Span, findings: &mut Findings) -> (Vec<Check>, Vec<Span>) {
    raw.iter().filter_map(|raw| check(raw, at, findings)).unzip()
}

fn check(raw: &RawCheck, at: Span, findings: &mut Findings) -> Option<(Check, Span)> {
    let forms = [
        (CheckWord::Hold, &raw.hold),
        (CheckWord::First, &raw.first),
        (CheckWord::Sample, &raw.sample),
        (CheckWord::Transfer, &raw.transfer),
        (CheckWord::Http, &raw.http),
    ];
    let mut given = forms.into_iter().filter_map(|(word, text)| Some((word, text.as_ref()?)));
    let Some((word, text)) = given.next() else {
        findings.push(
            Finding::error(
                "scenario/missing-field",
                at,
                "a check says neither hold, first, sample, transfer nor http",
            )
            .help("write for example `- hold: \"x/a -> y/b:80/tcp\"`"),
        );
        return None;
    };
    if let Some((second, also)) = given.next() {
        findings.push(Finding::error(
            "scenario/invalid-check",
            also.span,
            format!("a check measures one thing, and this one says {word} and {second}"),
        ));
        return None;
    }
    foreign_fields(raw, word, findings);
    let pattern = match text.value.parse::<CellPattern>() {
        Ok(pattern) => pattern,
        Err(error) => {
            findings.push(bad_pattern(text, &error));
            return None;
        }
    };
    let kind = match word {
        CheckWord::Hold => CheckKind::Hold {
            for_ms: bounded(raw.for_ms.as_ref(), HOLD_MS, MOST_HOLD_MS, "milliseconds", findings),
        },
        CheckWord::First => CheckKind::First,
        CheckWord::Sample => CheckKind::Sample,
        CheckWord::Transfer => CheckKind::Transfer {
            bytes: bounded(raw.bytes.as_ref(), TRANSFER, MOST_TRANSFER, "bytes", findings).into(),
        },
        CheckWord::Http => http(raw, findings),
    };
    let expect = match &raw.expect {
        None => default(word, text.span, findings)?,
        Some(raw) => stated(word, &raw.0, findings)?,
    };
    Some((Check { kind, pattern, expect }, text.span))
}

/// Fields that belong to another kind of check.
fn foreign_fields(raw: &RawCheck, word: CheckWord, findings: &mut Findings) {
    let fields = [
        ("forMs", CheckWord::Hold, raw.for_ms.as_ref().map(|at| at.span)),
        ("bytes", CheckWord::Transfer, raw.bytes.as_ref().map(|at| at.span)),
        ("method", CheckWord::Http, raw.method.as_ref().map(|at| at.span)),
        ("path", CheckWord::Http, raw.path.as_ref().map(|at| at.span)),
    ];
    for (field, of, span) in fields {
        if let Some(span) = span.filter(|_| of != word) {
            findings.push(Finding::error(
                "scenario/invalid-check",
                span,
                format!("`{field}` belongs to a {of} check, and this is a {word} check"),
            ));
        }
    }
}

fn bounded(raw: Option<&At<u32>>, default: u32, most: u32, unit: &str, findings: &mut Findings) -> u32 {
    let Some(at) = raw else { return default };
    if at.value == 0 || at.value > most {
        findings.push(Finding::error(
            "scenario/wrong-type",
            at.span,
            format!("{} {unit} make no sense here; expected 1 to {most}", at.value),
        ));
    }
    at.value
}

fn http(raw: &RawCheck, findings: &mut Findings) -> CheckKind {
    let method = raw.method.as_ref().map_or("GET", |at| at.value.as_str());
    let path = raw.path.as_ref().map_or("/", |at| at.value.as_str());
    if let Some(at) = raw
        .method
        .as_ref()
        .filter(|at| at.value.is_empty() || !at.value.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'))
    {
        let message = format!("`{}` is no HTTP method", clean::word(&at.value));
        findings.push(Finding::error("scenario/invalid-check", at.span, message).help("write GET, POST, …"));
    }
    if let Some(at) = raw
        .path
        .as_ref()
        .filter(|at| !at.value.starts_with('/') || !at.value.bytes().all(|b| b.is_ascii_graphic()))
    {
        let message = format!("`{}` is no path of HTTP", clean::word(&at.value));
        let help = "it begins with `/` and has neither spaces nor control characters";
        findings.push(Finding::error("scenario/invalid-check", at.span, message).help(help));
    }
    CheckKind::Http { method: method.to_owned(), path: path.to_owned() }
}

/// What a check without `expect` expects.
fn default(word: CheckWord, at: Span, findings: &mut Findings) -> Option<CheckExpect> {
    match word {
        CheckWord::First | CheckWord::Transfer => Some(CheckExpect::Derived),
        CheckWord::Hold | CheckWord::Sample => Some(CheckExpect::Either),
        CheckWord::Http => {
            findings.push(
                Finding::error("scenario/missing-field", at, "an http check needs `expect`")
                    .help("write a status, allow, deny or either"),
            );
            None
        }
    }
}

fn stated(word: CheckWord, at: &At<String>, findings: &mut Findings) -> Option<CheckExpect> {
    use CheckExpect::{Allow, Closed, Cut, Deny, Derived, Either, Status, Survives};
    let expect = match CheckExpect::parse(&at.value) {
        Ok(expect) => expect,
        Err(error) => {
            let message = format!("`{}` is no {}", clean::word(&error.word), error.what);
            let help = format!("expected one of {}", error.expected);
            findings.push(Finding::error("scenario/unknown-word", at.span, message).help(help));
            return None;
        }
    };
    let fits = matches!(
        (word, expect),
        (_, Either)
            | (CheckWord::Hold, Survives | Cut)
            | (CheckWord::First, Closed | Allow | Derived)
            | (CheckWord::Sample, Closed)
            | (CheckWord::Transfer, Allow | Deny | Derived)
            | (CheckWord::Http, Allow | Deny | Status(_))
    );
    if !fits {
        findings.push(
            Finding::error(
                "scenario/unknown-word",
                at.span,
                format!("a {word} check cannot expect `{expect}`"),
            )
            .help(match word {
                CheckWord::Hold => "expected one of survives, cut, either",
                CheckWord::First => "expected one of closed, allow, derived, either",
                CheckWord::Sample => "expected one of closed, either; without `expect` it is recorded",
                CheckWord::Transfer => "expected one of allow, deny, derived, either",
                CheckWord::Http => "expected a status, allow, deny or either",
            }),
        );
        return None;
    }
    Some(expect)
}
