//! Syntax of names and labels, as the Kubernetes API checks it.

use std::collections::BTreeMap;

use crate::{
    clean,
    decode::{Entries, Findings},
    diagnostic::Finding,
    span::At,
};

/// What a name is for; each has its own syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// A namespace's logical name. Shorter than the API's 63 characters, because the run's prefix comes before it.
    Namespace,
    /// A pod's logical name.
    Pod,
    /// A Service's name, which also starts with a letter.
    Service,
    /// A shared topology's name.
    Topology,
    /// Any object's name: a DNS subdomain.
    Object,
    /// A container port's name.
    Port,
}

/// Longest logical name of a namespace.
const LONGEST_NAMESPACE: usize = 40;
/// Longest name that is one label of DNS, longest label value, and longest label key behind its prefix.
const LONGEST_LABEL: usize = 63;
/// Longest name of several parts, and longest prefix of a label key.
const LONGEST_SUBDOMAIN: usize = 253;

impl Name {
    /// Reports a name that the API would refuse; tells whether it is a good one.
    pub(crate) fn check(self, name: &At<String>, findings: &mut Findings) -> bool {
        let Some(why) = self.fault(&name.value) else { return true };
        let lower = name.value.to_lowercase().replace(['_', ' ', '.'], "-");
        let mut finding = Finding::error(
            "scenario/invalid-name",
            name.span,
            format!("`{}` cannot name {}: {why}", clean::word(&name.value), self.what()),
        );
        if lower != name.value && self.fault(&lower).is_none() {
            finding = finding.help(format!("write `{lower}`"));
        }
        findings.push(finding);
        false
    }

    fn what(self) -> &'static str {
        match self {
            Self::Namespace => "a namespace",
            Self::Pod => "a pod",
            Self::Service => "a service",
            Self::Topology => "a topology",
            Self::Object => "an object",
            Self::Port => "a port",
        }
    }

    fn fault(self, name: &str) -> Option<String> {
        let longest = match self {
            Self::Namespace => LONGEST_NAMESPACE,
            Self::Object => LONGEST_SUBDOMAIN,
            Self::Port => 15,
            _ => LONGEST_LABEL,
        };
        if name.is_empty() {
            return Some("it is empty".into());
        }
        if name.len() > longest {
            return Some(format!("it is longer than {longest} characters"));
        }
        let parts_are_good = match self {
            Self::Object => name.split('.').all(is_dns_part),
            _ => is_dns_part(name),
        };
        if !parts_are_good {
            return Some(match self {
                Self::Object => {
                    "it must be lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of \
                     each part"
                        .into()
                }
                _ => "it must be lower-case letters, digits and `-`, with a letter or digit at both ends".into(),
            });
        }
        match self {
            Self::Service if !name.starts_with(|c: char| c.is_ascii_lowercase()) => {
                Some("it must start with a letter".into())
            }
            Self::Port if !name.contains(|c: char| c.is_ascii_lowercase()) => {
                Some("it must hold at least one letter".into())
            }
            Self::Port if name.contains("--") => Some("it must not hold `--`".into()),
            Self::Namespace if is_reserved(name) => {
                Some("the word is reserved for endpoints and namespaces of the cluster".into())
            }
            _ => None,
        }
    }
}

/// Whether a scenario's namespace may not have this name.
pub(crate) fn is_reserved(name: &str) -> bool {
    verdikt_model::EndpointName::is_reserved_namespace(name) || name.starts_with("kube-")
}

/// Whether a text can stand between two dots of a DNS name. The API asks for no length of such a part, only of the whole.
fn is_dns_part(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else { return false };
    inner(first) && inner(last) && text.bytes().all(|b| inner(b) || b == b'-')
}

/// What is wrong with a label key.
pub(crate) fn label_key_fault(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if let Some(prefix) = prefix {
        if prefix.len() > LONGEST_SUBDOMAIN {
            return Some(format!("the part before `/` is longer than {LONGEST_SUBDOMAIN} characters"));
        }
        if !prefix.split('.').all(is_dns_part) {
            return Some("the part before `/` must be a DNS name".into());
        }
    }
    if name.is_empty() {
        return Some("it is empty".into());
    }
    label_word_fault(name)
}

/// What is wrong with a label value. Empty is good.
pub(crate) fn label_value_fault(value: &str) -> Option<String> {
    if value.is_empty() { None } else { label_word_fault(value) }
}

fn label_word_fault(word: &str) -> Option<String> {
    if word.len() > LONGEST_LABEL {
        return Some(format!("it is longer than {LONGEST_LABEL} characters"));
    }
    let ends = |c: Option<u8>| c.is_some_and(|b| b.is_ascii_alphanumeric());
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if ends(word.bytes().next()) && ends(word.bytes().last()) && word.bytes().all(inner) {
        return None;
    }
    Some("it must be letters, digits, `-`, `_` and `.`, with a letter or digit at both ends".into())
}

/// Label prefixes of which a scenario cannot know the values that its pods and namespaces will have.
const RESERVED: [&str; 2] = ["verdikt.dev/", "pod-security.kubernetes.io/"];

/// Reports a bad key of a label that pods or namespaces carry, or that selects them.
pub(crate) fn check_deployed_label_key(key: &At<String>, findings: &mut Findings) {
    if let Some(prefix) = RESERVED.iter().find(|prefix| key.value.starts_with(**prefix)) {
        findings.push(Finding::error(
            "scenario/reserved-label",
            key.span,
            format!("labels below `{prefix}` are set by verdikt on what it deploys; use another key"),
        ));
    }
    check_label_key(key, findings);
}

/// Reports a bad label key.
fn check_label_key(key: &At<String>, findings: &mut Findings) {
    if let Some(why) = label_key_fault(&key.value) {
        findings.push(Finding::error(
            "scenario/invalid-label",
            key.span,
            format!("`{}` is no label key: {why}", clean::word(&key.value)),
        ));
    }
}

/// Reports a bad key of an annotation: as of a label, but its prefix may have upper case.
pub(crate) fn check_annotation_key(key: &At<String>, findings: &mut Findings) {
    if let Some(why) = label_key_fault(&key.value.to_lowercase()) {
        findings.push(Finding::error(
            "scenario/invalid-label",
            key.span,
            format!("`{}` cannot be the key of an annotation: {why}", clean::word(&key.value)),
        ));
    }
}

/// Reports a bad label value. Values with a variable are not checked.
pub(crate) fn check_label_value(value: &At<String>, findings: &mut Findings) {
    if let Some(why) = label_value_fault(&value.value)
        && !value.value.contains("${")
    {
        findings.push(Finding::error(
            "scenario/invalid-label",
            value.span,
            format!("`{}` is no label value: {why}", clean::word(&value.value)),
        ));
    }
}

/// Checks labels and makes a map of them.
pub(crate) fn check_labels(
    labels: &Entries<At<String>>,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    labels_with(check_label_key, labels, findings)
}

/// The same for labels that pods or namespaces carry, or that select them.
pub(crate) fn check_deployed_labels(
    labels: &Entries<At<String>>,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    labels_with(check_deployed_label_key, labels, findings)
}

fn labels_with(
    check_key: fn(&At<String>, &mut Findings),
    labels: &Entries<At<String>>,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    labels
        .iter()
        .map(|(key, value)| {
            check_key(key, findings);
            check_label_value(value, findings);
            (key.value.clone(), value.value.clone())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(length: usize) -> String {
        "a".repeat(length)
    }

    /// Lengths are those of the API server: 253 for a policy, in whatever parts, 63 for what becomes one label of DNS.
    #[test]
    fn names() {
        for (kind, name, good) in [
            (Name::Namespace, "x", true),
            (Name::Namespace, "kube-x", false),
            (Name::Namespace, "node", false),
            (Name::Namespace, "default", true),
            (Name::Namespace, "X", false),
            (Name::Namespace, "-x", false),
            (Name::Pod, "0a", true),
            (Name::Service, "0a", false),
            (Name::Object, "a.b-c", true),
            (Name::Object, "a..b", false),
            (Name::Object, "a.-b", false),
            (Name::Object, &long(64), true),
            (Name::Object, &format!("{}.b", long(251)), true),
            (Name::Object, &long(253), true),
            (Name::Object, &long(254), false),
            (Name::Pod, &long(63), true),
            (Name::Pod, &long(64), false),
            (Name::Service, &long(63), true),
            (Name::Service, &long(64), false),
            (Name::Namespace, &long(40), true),
            (Name::Namespace, &long(41), false),
            (Name::Port, "serve-80-tcp", true),
            (Name::Port, "80", false),
            (Name::Port, "much-too-long-name", false),
        ] {
            assert_eq!(kind.fault(name).is_none(), good, "{kind:?} {name}");
        }
    }

    #[test]
    fn labels() {
        for (key, good) in [
            ("a", true),
            ("a.b/c_d", true),
            ("a/b/c", false),
            ("/a", false),
            ("-a", false),
            ("", false),
            ("A_b", true),
            (&format!("{}.io/x", long(64)), true),
            (&format!("{}/x", long(253)), true),
            (&format!("{}/x", long(254)), false),
            (&format!("a.io/{}", long(63)), true),
            (&format!("a.io/{}", long(64)), false),
            ("A.io/x", false),
        ] {
            assert_eq!(label_key_fault(key).is_none(), good, "{key}");
        }
        for (value, good) in
            [("", true), ("a b", false), ("a-", false), ("v1.0", true), (&long(63), true), (&long(64), false)]
        {
            assert_eq!(label_value_fault(value).is_none(), good, "{value}");
        }
    }
}
