//! Values of options: from text to what it means, or a sentence about what was expected.

use std::time::Duration;

use verdikt_model::policy_kind::{Standing, standing};
use verdikt_report::Format;
use verdikt_sandbox::Profile;

use crate::args::Deadline;

/// The first part of namespaces' names, which are DNS labels (RFC 1123) and need room for what follows.
pub(crate) fn namespace_prefix(text: &str) -> Result<String, String> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = text.starts_with(word) && text.ends_with(word) && text.chars().all(|c| word(c) || c == '-');
    if good && text.len() <= 30 {
        Ok(text.to_owned())
    } else {
        Err("expected at most 30 lower-case letters, digits and `-`, beginning and ending with a letter or digit".into())
    }
}

/// `KIND.GROUP` of a custom resource that is not a policy.
pub(crate) fn other_kind(text: &str) -> Result<String, String> {
    let Some((kind, group)) =
        text.split_once('.').filter(|(kind, group)| !kind.is_empty() && !group.is_empty())
    else {
        return Err("expected KIND.GROUP, such as HTTPRoute.gateway.networking.k8s.io".into());
    };
    match standing(group, kind) {
        Standing::Policy(_) => Err("that is a policy, which needs no permission".into()),
        Standing::Other => Ok(text.to_owned()),
        Standing::BuiltIn => {
            Err("every API server has that kind; verdikt applies only policies and custom resources".into())
        }
    }
}

/// `NAMESPACE/NAME`
pub(crate) fn namespaced(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("expected NAMESPACE/NAME".into()),
    }
}

/// A dataplane's name.
pub(crate) fn dataplane(text: &str) -> Result<String, String> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !text.is_empty() && text.len() <= 40 && text.chars().all(word) {
        Ok(text.to_owned())
    } else {
        Err("expected a name in lower-case letters, digits and `-`, such as cilium or kube-router".into())
    }
}

/// `HOST:PORT`, with an IPv6 address in brackets.
pub(crate) fn host_port(text: &str) -> Result<(String, u16), String> {
    let bad = || "expected HOST:PORT, an IPv6 address in brackets".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or_else(bad)?;
    if bare.is_empty() || bare == host && host.contains(':') {
        Err(bad())
    } else {
        Ok((bare.to_owned(), port))
    }
}

/// The id of a run, as `kubectl get ns -L verdikt.dev/run` shows it.
pub(crate) fn run_id(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("expected the id of a run: lower-case letters and digits".into())
    }
}

/// `KEY=VALUE`
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".into()),
    }
}

/// A duration such as `300ms`, `15s`, `2m` or `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let bad =
        || format!("`{text}` is no duration; expected a number and ms, s, m or h, such as 300ms or 15s");
    let number: f64 = number.parse().map_err(|_| bad())?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(bad()),
    };
    // A day bounds every limit of verdikt; more is a slip of the keyboard.
    if seconds > 86_400.0 {
        return Err(format!("`{text}` is more than a day"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| bad())
}

pub(crate) fn deadline(text: &str) -> Result<Deadline, String> {
    if text == "auto" {
        return Ok(Deadline::Auto);
    }
    let deadline = duration(text)?;
    if deadline < Duration::from_millis(10) {
        return Err(format!("`{text}` is too short to prove anything; the least is 10ms"));
    }
    Ok(Deadline::Fixed(deadline))
}

pub(crate) fn profile(text: &str) -> Result<Profile, String> {
    text.parse().map_err(|e| format!("{e}"))
}

pub(crate) fn format(text: &str) -> Result<Format, String> {
    text.parse().map_err(|e| format!("{e}"))
}
