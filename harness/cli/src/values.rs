//! Values of options: from text to what it means, or a sentence about what was expected.

use std::time::Duration;

use verdikt_model::policy_kind::{Standing, standing};
use verdikt_report::Format;
use verdikt_runner::StatedDataplane;
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

/// `NAME[:VERSION[:MODE]]` of a dataplane; an empty part says nothing.
pub(crate) fn dataplane(text: &str) -> Result<StatedDataplane, String> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    let (version, mode) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 40 || !name.chars().all(word) {
        return Err("expected NAME[:VERSION[:MODE]], the name in lower-case letters, digits and `-`, such as cilium or \
                    kube-router:v2.11.0"
            .into());
    }
    let is_version = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    if version.len() > 60 || !version.chars().all(is_version) {
        return Err(format!(
            "`{version}` is not a version; expected letters, digits and `._+-`, such as v1.18.3"
        ));
    }
    let is_mode = |c: char| is_version(c) || ", /".contains(c);
    if mode.len() > 60 || !mode.chars().all(is_mode) || mode.trim() != mode {
        return Err(format!("`{mode}` is not a mode; expected words such as ebpf or `nftables, vxlan`"));
    }
    if let Some(more) = parts.next() {
        return Err(format!("`:{more}` is too much; expected NAME[:VERSION[:MODE]]"));
    }
    let said = |part: &str| (!part.is_empty()).then(|| part.to_owned());
    Ok(StatedDataplane { name: name.to_owned(), version: said(version), mode: said(mode) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataplane_has_a_name_and_perhaps_a_version_and_a_mode() {
        let of = |text: &str| {
            let StatedDataplane { name, version, mode } = dataplane(text).unwrap();
            (name, version.unwrap_or_default(), mode.unwrap_or_default())
        };
        let parts = |name: &str, version: &str, mode: &str| (name.into(), version.into(), mode.into());
        assert_eq!(of("kube-router"), parts("kube-router", "", ""));
        assert_eq!(of("kube-router:v2.11.0"), parts("kube-router", "v2.11.0", ""));
        assert_eq!(of("calico:v3.31.7:nftables, vxlan"), parts("calico", "v3.31.7", "nftables, vxlan"));
        assert_eq!(of("calico::ebpf"), parts("calico", "", "ebpf"));
        for (bad, why) in [
            ("", "expected NAME"),
            (":v1", "expected NAME"),
            ("Calico", "expected NAME"),
            ("calico:v 1", "`v 1` is not a version"),
            ("calico:v1:\u{1b}[2J", "is not a mode"),
            ("calico:v1: ebpf", "is not a mode"),
            ("calico:v1:ebpf:x", "`:x` is too much"),
        ] {
            let told = dataplane(bad).unwrap_err();
            assert!(told.contains(why), "{bad}: {told}");
        }
    }
}
