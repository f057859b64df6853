//! Why a push failed: which registry, what it said, and the mend.

use std::{error::Error, fmt::Write};

use oci_client::errors::{OciDistributionError, OciEnvelope};

use crate::{Credentials, Reference};

/// Longest answer of a registry that is shown, in characters; some send pages of HTML.
const SHOWN: usize = 300;

/// A push that failed. What the registry said may hold anything: escape it before a terminal sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot push to {registry}: {said}")]
pub struct PushError {
    /// `host` or `host:port`.
    pub registry: String,
    /// What happened, in the registry's words where it has said something.
    pub said: String,
    /// What to do.
    pub help: String,
}

impl PushError {
    pub(crate) fn new(name: &Reference, credentials: &Credentials, error: OciDistributionError) -> Self {
        let registry = name.registry().to_owned();
        let (said, help) = match error {
            // URLs hold upload sessions and tokens, and the name of the registry says enough.
            OciDistributionError::RequestError(e) => unreachable(&registry, &chain(&e.without_url())),
            OciDistributionError::AuthenticationFailure(answer) => {
                (format!("it gives no access: {}", words(&answer)), login(&registry, credentials))
            }
            OciDistributionError::ServerError { code, message, .. } => {
                let said = words(&message);
                // The words of Go's HTTP server, in which most registries are written.
                let help = if said.contains("HTTP request to an HTTPS server") {
                    "leave out --plain-http; for a certificate of its own there are SSL_CERT_FILE and --insecure".to_owned()
                } else {
                    mend(code, name, credentials)
                };
                (format!("it answers {code}: {said}"), help)
            }
            other => (other.to_string(), "is this the address of a container registry?".to_owned()),
        };
        Self { registry, said, help }
    }
}

/// Whether an error is one of the connection, before the registry has said anything.
pub(crate) fn is_unreachable(error: &OciDistributionError) -> bool {
    matches!(error, OciDistributionError::RequestError(e) if e.status().is_none())
}

/// An error with its causes, without those that only repeat it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            let _ = write!(text, ": {next}");
        }
        cause = error.source();
    }
    text
}

fn unreachable(registry: &str, chain: &str) -> (String, String) {
    let help = if chain.contains("InvalidContentType") {
        format!("{registry} speaks plain HTTP; pass --plain-http if that is meant")
    } else if chain.contains("No CA certificates") {
        "install the package ca-certificates, or name a file with certificate authorities in SSL_CERT_FILE"
            .to_owned()
    } else if chain.contains("certificate") {
        "name the registry's certificate authority in SSL_CERT_FILE, or pass --insecure to trust anybody"
            .to_owned()
    } else {
        format!("does `{registry}` name a registry that this machine reaches? HTTPS_PROXY is obeyed")
    };
    (format!("no connection: {chain}"), help)
}

fn mend(code: u16, name: &Reference, credentials: &Credentials) -> String {
    let (registry, repository) = (name.registry(), name.repository());
    match (code, credentials) {
        (401, _) | (403, Credentials::Anonymous) => login(registry, credentials),
        (403, Credentials::User { name, .. }) => {
            format!("may `{name}` push to `{repository}`? Ask for that right, or push under another name")
        }
        (404, _) => format!(
            "is `{registry}` a registry, and has it a place for `{repository}`? Some want a project made first"
        ),
        (429 | 500.., _) => "this is the registry's own trouble; try again later".to_owned(),
        _ => format!("does `{registry}` take OCI images under `{repository}`?"),
    }
}

fn login(registry: &str, credentials: &Credentials) -> String {
    match credentials {
        Credentials::Anonymous => {
            format!("log in with `docker login {registry}`, or pass --username and --password-stdin")
        }
        Credentials::User { name, .. } => {
            format!(
                "it does not take these credentials of `{name}`; are they current and meant for {registry}?"
            )
        }
    }
}

/// What a registry has answered: its errors if they are as the specification wants them, else the first line.
fn words(answer: &str) -> String {
    let text = match serde_json::from_str::<OciEnvelope>(answer) {
        Ok(envelope) if !envelope.errors.is_empty() => {
            let errors = envelope.errors.iter().map(|error| {
                let code = serde_json::to_value(&error.code).unwrap_or_default();
                let code = code.as_str().unwrap_or("unknown").to_owned();
                if error.message.is_empty() { code } else { format!("{code}: {}", error.message) }
            });
            errors.collect::<Vec<_>>().join(", ")
        }
        _ => answer.trim().lines().next().unwrap_or_default().trim_end().to_owned(),
    };
    if text.is_empty() {
        return "(no explanation)".to_owned();
    }
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_registry() {
        let denied = r#"{"errors":[{"code":"DENIED","message":"not yours"},{"code":"ODD"}]}"#;
        assert_eq!(words(denied), "DENIED: not yours, ODD");
        assert_eq!(words("  <html>\n<p>Nginx"), "<html>");
        assert_eq!(words(""), "(no explanation)");
        assert_eq!(words(&"x".repeat(10_000)).len(), SHOWN);
    }
}
