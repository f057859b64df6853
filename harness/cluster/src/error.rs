//! What can go wrong between verdikt and a cluster, in words that a user can act on.

use std::{path::PathBuf, time::Duration};

use crate::{
    answer::TooLong,
    mend,
    rights::{self, Denial},
};

/// A failure of the cluster or of the way to it. Each message says what failed, why, and how to mend it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig has no such context.
    #[error("no context `{context}` in {path}; known contexts: {}; {}", or_none(known), mend::CONTEXT)]
    UnknownContext {
        /// What was asked for.
        context: String,
        /// Where it was looked for.
        path: String,
        /// What is there.
        known: Vec<String>,
    },
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig {path}: {cause}; {}", mend::KUBECONFIG)]
    Kubeconfig {
        /// Which file, or files.
        path: String,
        /// Why.
        cause: String,
    },
    /// verdikt does not run inside a cluster.
    #[error("--in-cluster needs a pod with a service account: {cause}; {}", mend::IN_CLUSTER)]
    InCluster {
        /// What is missing.
        cause: String,
    },
    /// Nobody answers at the API server's address.
    #[error("cannot reach the API server at {url}: {cause}; {}", mend::UNREACHABLE)]
    Unreachable {
        /// Address of the API server.
        url: String,
        /// Why.
        cause: String,
    },
    /// An answer has no end, or a far one.
    #[error("the API server at {url} answers more than {} MiB to: {what}; {}", limit >> 20, mend::TOO_LONG)]
    TooLong {
        /// The call.
        what: String,
        /// Address of the API server.
        url: String,
        /// Most bytes that are read.
        limit: usize,
    },
    /// A certificate was presented and is not accepted: the API server's, or ours.
    #[error("TLS to the API server at {url} failed: {cause}; {}", mend::TLS)]
    Tls {
        /// Address of the API server.
        url: String,
        /// Why.
        cause: String,
    },
    /// The API server does not know us.
    #[error("the API server at {url} refuses the credentials: {cause}; {}", mend::CREDENTIALS)]
    Unauthorized {
        /// Address of the API server.
        url: String,
        /// Why.
        cause: String,
    },
    /// The API server knows us, but does not let us.
    #[error("not allowed to {what}: {cause}; {}", mend_of_denial(cause))]
    Forbidden {
        /// The call: `create namespace verdikt-k3f9q0a-x`.
        what: String,
        /// The API server's words.
        cause: String,
    },
    /// Rights that every run needs are not there.
    #[error("not allowed to: {}; {}", rights.join(", "), rights::mend(user.as_deref()))]
    MissingRights {
        /// `create/get pods/exec`
        rights: Vec<String>,
        /// As whom the API server knows us, if it tells.
        user: Option<String>,
    },
    /// There is no such object.
    #[error("cannot {what}: {cause}")]
    NotFound {
        /// The call.
        what: String,
        /// The API server's words.
        cause: String,
    },
    /// The object is there already.
    #[error("cannot {what}: {cause}")]
    AlreadyExists {
        /// The call.
        what: String,
        /// The API server's words.
        cause: String,
    },
    /// The API server refuses the object (4xx): invalid, denied by an admission controller, …
    #[error("the API server refuses to {what}: {cause}{}", mend::after(cause))]
    Refused {
        /// The call.
        what: String,
        /// HTTP status.
        code: u16,
        /// The API server's words.
        cause: String,
    },
    /// A call had no answer in time.
    #[error("no answer within {} s to: {what}; the API server at {url} is overloaded or cut off", after.as_secs())]
    Timeout {
        /// The call.
        what: String,
        /// Address of the API server.
        url: String,
        /// Limit.
        after: Duration,
    },
    /// A call failed, after retries where they make sense.
    #[error("cannot {what}: {cause}")]
    Failed {
        /// The call.
        what: String,
        /// Why.
        cause: String,
    },
    /// The nodes cannot get the probe image.
    #[error("the probe image cannot be pulled: {pod}; {}", mend::IMAGE)]
    Image {
        /// Pod, condition, event.
        pod: String,
    },
    /// Probe pods did not become ready.
    #[error("probe pods are not ready after {} s: {}{}", after.as_secs(), pods.join("; "), mend::after(&pods.join("; ")))]
    NotReady {
        /// How long was waited.
        after: Duration,
        /// One sentence for each of the first few: pod, condition, event.
        pods: Vec<String>,
    },
    /// A topology asks for more than the cluster has.
    #[error("this cluster cannot hold the topology: {0}")]
    Topology(String),
    /// No kind of this name is served.
    #[error("the cluster serves no kind {kind} in {api_version}")]
    NoSuchKind {
        /// `cilium.io/v2`
        api_version: String,
        /// `CiliumNetworkPolicy`
        kind: String,
    },
    /// An agent session could not be opened or used.
    #[error("no agent session in pod {pod}: {cause}")]
    Session {
        /// Real namespace and name.
        pod: String,
        /// Why.
        cause: String,
    },
    /// A variable or name in an object has no meaning here.
    #[error("{0}")]
    Object(String),
}

impl ClusterError {
    /// Whether every further call would fail alike: nothing can be set up on this cluster.
    pub const fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::UnknownContext { .. }
                | Self::Kubeconfig { .. }
                | Self::InCluster { .. }
                | Self::Unreachable { .. }
                | Self::Tls { .. }
                | Self::Unauthorized { .. }
                | Self::Forbidden { .. }
                | Self::MissingRights { .. }
                | Self::Image { .. }
        )
    }

    /// What to do about it: the end of its message. `None` where nothing is known.
    pub fn mend(&self) -> Option<String> {
        Some(match self {
            Self::UnknownContext { .. } => mend::CONTEXT.to_owned(),
            Self::Kubeconfig { .. } => mend::KUBECONFIG.to_owned(),
            Self::InCluster { .. } => mend::IN_CLUSTER.to_owned(),
            Self::Unreachable { .. } => mend::UNREACHABLE.to_owned(),
            Self::TooLong { .. } => mend::TOO_LONG.to_owned(),
            Self::Tls { .. } => mend::TLS.to_owned(),
            Self::Unauthorized { .. } => mend::CREDENTIALS.to_owned(),
            Self::Forbidden { cause, .. } => mend_of_denial(cause),
            Self::MissingRights { user, .. } => rights::mend(user.as_deref()),
            Self::Image { .. } => mend::IMAGE.to_owned(),
            Self::NotReady { pods, .. } => mend::of_pod(&pods.join("; "))?.to_owned(),
            Self::Refused { cause, .. } => mend::of_pod(cause)?.to_owned(),
            _ => return None,
        })
    }

    /// Whether the object is missing.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// From an error of the client, for a call to the API server at `url`.
    pub(crate) fn from_kube(error: &kube::Error, what: &str, url: &str) -> Self {
        let (what, url) = (what.to_owned(), url.to_owned());
        match error {
            kube::Error::Api(status) => {
                let cause = status_text(status);
                match status.code {
                    401 => Self::Unauthorized { url, cause },
                    // Admission (Pod Security, quotas, webhooks) answers 403 as well, and no right mends that.
                    403 if Denial::read(&cause).is_none() => Self::Refused { what, code: 403, cause },
                    403 => Self::Forbidden { what, cause },
                    404 => Self::NotFound { what, cause },
                    409 if status.is_already_exists() => Self::AlreadyExists { what, cause },
                    code @ 400..=499 => Self::Refused { what, code, cause },
                    _ => Self::Failed { what, cause },
                }
            }
            kube::Error::Auth(_) => Self::Unauthorized { url, cause: chain(error) },
            kube::Error::RustlsTls(_) | kube::Error::TlsRequired => Self::Tls { url, cause: chain(error) },
            kube::Error::InferKubeconfig(e) => {
                Self::Kubeconfig { path: "in use".into(), cause: e.to_string() }
            }
            kube::Error::UpgradeConnection(kube::client::UpgradeConnectionError::ProtocolSwitch(code)) => {
                let cause = format!("the API server answered {code} instead of opening a websocket");
                match code.as_u16() {
                    401 => Self::Unauthorized { url, cause },
                    403 => Self::Forbidden { what, cause },
                    404 => Self::NotFound { what, cause },
                    _ => Self::Failed { what, cause },
                }
            }
            _ => {
                let cause = chain(error);
                let causes = causes(error);
                let below_http = matches!(
                    error,
                    kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_)
                );
                if let Some(TooLong { limit }) = causes.iter().find_map(|cause| cause.downcast_ref()) {
                    Self::TooLong { what, url, limit: *limit }
                } else if causes.iter().any(|cause| is_about_a_certificate(*cause)) {
                    Self::Tls { url, cause }
                } else if causes.iter().any(|cause| cause.is::<kube::client::AuthError>()) {
                    Self::Unauthorized { url, cause }
                } else if below_http || is_connection_failure(&cause) {
                    Self::Unreachable { url, cause }
                } else {
                    Self::Failed { what, cause }
                }
            }
        }
    }
}

/// How a refusal is mended. One of a websocket has no words: it can be nothing but an exec.
fn mend_of_denial(cause: &str) -> String {
    Denial::read(cause).map_or_else(|| rights::mend(None), |denial| denial.mend())
}

/// Whether a certificate was presented and is wrong: the server's, or by the server's word ours. All else that keeps a
/// handshake from its end may pass: a load balancer cuts it as long as nobody is behind it.
fn is_about_a_certificate(cause: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::AlertDescription as Alert;
    match cause.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(_)) => true,
        Some(rustls::Error::AlertReceived(alert)) => matches!(
            alert,
            Alert::NoCertificate
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::CertificateRequired
        ),
        _ => false,
    }
}

/// Whether the text of an error chain says that the connection, and not the call, failed.
pub(crate) fn is_connection_failure(chain: &str) -> bool {
    [
        "onnection refused",
        "onnection reset",
        "onnection closed",
        "onnect",
        "roken pipe",
        "dns error",
        "No route to host",
        "unreachable",
        "timed out",
        "IncompleteMessage",
        "unexpected end of file",
    ]
    .iter()
    .any(|words| chain.contains(words))
}

/// An error and its causes, outermost first.
fn causes<'a>(error: &'a (dyn std::error::Error + 'static)) -> Vec<&'a (dyn std::error::Error + 'static)> {
    let mut found = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        found.push(cause);
        // One of I/O that wraps another names the other's cause as its own, and so hides the other.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    found
}

/// An error with its causes, outermost first, each once.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        source = cause.source();
    }
    parts.join(": ")
}

/// An API status as one sentence, with the causes that a 422 carries.
fn status_text(status: &kube::core::Status) -> String {
    let mut text = if status.message.is_empty() {
        format!("HTTP {}", status.code)
    } else {
        status.message.trim().to_owned()
    };
    for cause in status.details.iter().flat_map(|d| &d.causes) {
        if !text.contains(&cause.message) {
            text.push_str(&format!("; {}: {}", cause.field, cause.message));
        }
    }
    text
}

/// Names of the kubeconfig files that a lookup reads, for messages.
pub(crate) fn kubeconfig_path(path: Option<&PathBuf>) -> String {
    path.map(|p| p.display().to_string())
        .or_else(|| std::env::var("KUBECONFIG").ok().filter(|v| !v.is_empty()))
        .unwrap_or_else(|| "~/.kube/config".into())
}

fn or_none(known: &[String]) -> String {
    if known.is_empty() { "none".into() } else { known.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, reason: &str) -> kube::Error {
        kube::Error::Api(kube::core::Status::failure("no luck", reason).with_code(code).boxed())
    }

    #[test]
    fn codes_become_their_variants() {
        let of = |code, reason| ClusterError::from_kube(&api(code, reason), "create x", "http://h");
        assert!(matches!(of(401, "Unauthorized"), ClusterError::Unauthorized { .. }));
        // Admission, and not a right that is missing.
        assert!(matches!(of(403, "Forbidden"), ClusterError::Refused { code: 403, .. }));
        assert!(matches!(of(404, "NotFound"), ClusterError::NotFound { .. }));
        assert!(matches!(of(409, "AlreadyExists"), ClusterError::AlreadyExists { .. }));
        assert!(matches!(of(422, "Invalid"), ClusterError::Refused { code: 422, .. }));
        assert!(matches!(of(500, "InternalError"), ClusterError::Failed { .. }));
    }

    #[test]
    fn a_403_of_admission_is_no_matter_of_rights() {
        let of = |message: &str| {
            let status = kube::core::Status::failure(message, "Forbidden").with_code(403).boxed();
            ClusterError::from_kube(&kube::Error::Api(status), "create pod x/a", "http://h")
        };
        let refused =
            of(r#"pods "a" is forbidden: violates PodSecurity "restricted:latest": seccompProfile"#);
        assert!(matches!(refused, ClusterError::Refused { code: 403, .. }), "{refused}");
        let denied = of(r#"pods is forbidden: User "jo" cannot create resource "pods" in API group """#);
        assert!(denied.to_string().contains("--clusterrole=verdikt --user=jo"), "{denied}");
        // A websocket is refused without words.
        let exec = ClusterError::Forbidden { what: "exec in pod x/a".into(), cause: "403".into() };
        assert!(exec.to_string().contains("verdikt doctor --print-rbac | kubectl apply -f -"), "{exec}");
    }

    #[test]
    fn a_mend_is_the_end_of_its_message() {
        let (url, what, cause) =
            (String::new, || "create pod x/a".to_owned(), || "violates PodSecurity".to_owned());
        for error in [
            ClusterError::UnknownContext { context: "a".into(), path: "p".into(), known: vec![] },
            ClusterError::Kubeconfig { path: "p".into(), cause: cause() },
            ClusterError::InCluster { cause: cause() },
            ClusterError::Unreachable { url: url(), cause: cause() },
            ClusterError::Tls { url: url(), cause: cause() },
            ClusterError::TooLong { what: what(), url: url(), limit: 1 << 20 },
            ClusterError::Unauthorized { url: url(), cause: cause() },
            ClusterError::Forbidden { what: what(), cause: cause() },
            ClusterError::MissingRights { rights: vec!["list nodes".into()], user: Some("jo".into()) },
            ClusterError::Image { pod: "x/a".into() },
            ClusterError::NotReady {
                after: Duration::ZERO,
                pods: vec!["x/a SysctlForbidden".into(), "x/b".into()],
            },
            ClusterError::Refused { what: what(), code: 403, cause: cause() },
        ] {
            let mend = error.mend().unwrap_or_else(|| panic!("{error:?}"));
            assert!(error.to_string().ends_with(&format!("; {mend}")), "{error}");
        }
        assert_eq!(ClusterError::NotFound { what: what(), cause: cause() }.mend(), None);
    }

    #[test]
    fn only_a_certificate_that_was_presented_and_is_wrong_is_final() {
        use rustls::{AlertDescription as Alert, CertificateError, Error as Tls, InvalidMessage};
        use std::io::{Error as Io, ErrorKind};
        let told = |io: Io| {
            // As hyper and kube wrap it.
            let error = kube::Error::Service(Box::new(Io::other(io)));
            ClusterError::from_kube(&error, "list pods", "https://h:1")
        };
        for may_pass in [
            Io::new(ErrorKind::UnexpectedEof, "tls handshake eof"),
            Io::new(ErrorKind::InvalidData, Tls::AlertReceived(Alert::HandshakeFailure)),
            Io::new(ErrorKind::InvalidData, Tls::AlertReceived(Alert::InternalError)),
            Io::new(ErrorKind::InvalidData, Tls::InvalidMessage(InvalidMessage::InvalidContentType)),
            Io::new(ErrorKind::InvalidData, Tls::DecryptError),
            Io::from(ErrorKind::ConnectionReset),
            Io::from(ErrorKind::TimedOut),
            Io::from(ErrorKind::NetworkUnreachable),
            Io::other("something that nobody has seen so far"),
        ] {
            let told = told(may_pass);
            assert!(matches!(told, ClusterError::Unreachable { .. }), "{told}");
            assert!(!told.to_string().contains("certificate"), "{told}");
        }
        for is_final in [
            Tls::InvalidCertificate(CertificateError::UnknownIssuer),
            Tls::InvalidCertificate(CertificateError::NotValidForName),
            Tls::AlertReceived(Alert::UnknownCA),
            Tls::AlertReceived(Alert::CertificateExpired),
            Tls::AlertReceived(Alert::CertificateRequired),
        ] {
            let told = told(Io::new(ErrorKind::InvalidData, is_final));
            assert!(matches!(told, ClusterError::Tls { .. }), "{told}");
        }
    }

    #[test]
    fn a_refused_connection_is_unreachable() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = kube::Error::Service(Box::new(io));
        let error = ClusterError::from_kube(&error, "read the version", "http://127.0.0.1:1");
        assert!(matches!(error, ClusterError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("http://127.0.0.1:1"));
    }
}
