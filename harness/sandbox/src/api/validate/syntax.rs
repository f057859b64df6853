//! Syntax of names, labels and ports, with the API's explanations.

const NAME: &str = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?";

/// A DNS-1123 label of at most 63 characters.
pub(super) fn dns_label(text: &str) -> Result<(), String> {
    if text.len() > 63 {
        return Err("must be no more than 63 characters".into());
    }
    let ok = !text.is_empty() && ends_alphanumeric(text) && text.bytes().all(|b| lower(b) || b == b'-');
    ok.then_some(()).ok_or_else(|| {
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
         with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            .into()
    })
}

/// A DNS-1035 label of at most 63 characters, as a Service's name.
pub(super) fn dns_1035_label(text: &str) -> Result<(), String> {
    let ok = dns_label(text).is_ok() && text.starts_with(|c: char| c.is_ascii_lowercase());
    ok.then_some(()).ok_or_else(|| {
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
         character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation \
         is '[a-z]([-a-z0-9]*[a-z0-9])?')"
            .into()
    })
}

/// A DNS-1123 subdomain of at most 253 characters.
pub(super) fn dns_subdomain(text: &str) -> Result<(), String> {
    if text.len() > 253 {
        return Err("must be no more than 253 characters".into());
    }
    let ok = text.split('.').all(|part| {
        !part.is_empty() && ends_alphanumeric(part) && part.bytes().all(|b| lower(b) || b == b'-')
    });
    ok.then_some(()).ok_or_else(|| {
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
         and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            .into()
    })
}

/// A label's or annotation's key: `name` or `prefix/name`.
pub(super) fn qualified_name(key: &str) -> Result<(), String> {
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            if prefix.is_empty() {
                return Err("prefix part must be non-empty".into());
            }
            dns_subdomain(prefix).map_err(|why| format!("prefix part {why}"))?;
            name
        }
        None => key,
    };
    if name.is_empty() {
        return Err("name part must be non-empty".into());
    }
    if name.len() > 63 {
        return Err("name part must be no more than 63 characters".into());
    }
    (ends_alphanumeric(name) && name.bytes().all(named)).then_some(()).ok_or_else(|| {
        format!(
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
             alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '({NAME})')"
        )
    })
}

/// A label's value.
pub(super) fn label_value(value: &str) -> Result<(), String> {
    if value.len() > 63 {
        return Err("must be no more than 63 characters".into());
    }
    (value.is_empty() || ends_alphanumeric(value) && value.bytes().all(named)).then_some(()).ok_or_else(|| {
        format!(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
             validation is '({NAME})?')"
        )
    })
}

/// Everything that is wrong with a port's name.
pub(super) fn port_name(name: &str) -> Vec<&'static str> {
    let mut wrong = vec![];
    if name.len() > 15 {
        wrong.push("must be no more than 15 characters");
    }
    if name.is_empty() || !name.bytes().all(|b| lower(b) || b == b'-') {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)");
    }
    if name.contains("--") {
        wrong.push("must not contain consecutive hyphens");
    }
    if name.starts_with('-') || name.ends_with('-') {
        wrong.push("must not begin or end with a hyphen");
    }
    wrong
}

/// What is wrong with a port's number.
pub(super) fn port_number(port: i64) -> Option<&'static str> {
    (!(1..=65535).contains(&port)).then_some("must be between 1 and 65535, inclusive")
}

fn lower(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn named(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.".contains(&b)
}

fn ends_alphanumeric(text: &str) -> bool {
    let at = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    at(text.as_bytes().first()) && at(text.as_bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels() {
        assert!(dns_label("a-1").is_ok() && dns_label("A").is_err() && dns_label("-a").is_err());
        assert!(dns_label(&"a".repeat(64)).is_err());
        assert!(dns_subdomain("a.b-c").is_ok() && dns_subdomain("a..b").is_err());
        // A part of it may be longer than a label of DNS; only the whole has a limit.
        let long = |length: usize| "a".repeat(length);
        assert!(dns_subdomain(&long(64)).is_ok() && dns_subdomain(&long(253)).is_ok());
        assert!(dns_subdomain(&long(254)).is_err());
        assert!(qualified_name(&format!("{}/{}", long(253), long(63))).is_ok());
        assert!(qualified_name(&format!("{}/a", long(254))).is_err() && qualified_name(&long(64)).is_err());
        assert!(label_value(&long(63)).is_ok() && label_value(&long(64)).is_err());
        assert!(qualified_name("kubernetes.io/metadata.name").is_ok());
        assert!(
            qualified_name("/a").is_err()
                && qualified_name("a/b/c").is_err()
                && qualified_name("a b").is_err()
        );
        assert!(label_value("").is_ok() && label_value("a_b.C").is_ok() && label_value("a/b").is_err());
    }

    #[test]
    fn port_names_may_be_wrong_in_several_ways() {
        assert!(port_name("serve-80-tcp").is_empty());
        assert_eq!(port_name("80").len(), 1);
        assert_eq!(port_name("-A--b-sixteen-chars").len(), 4);
        assert!(port_number(0).is_some() && port_number(65535).is_none() && port_number(65536).is_some());
    }
}
