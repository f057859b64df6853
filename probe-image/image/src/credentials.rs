//! Who we are to a registry: what the user says, else what `docker login` or `podman login` has left.

use std::{
    env, fmt,
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;

/// Who we are to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody.
    Anonymous,
    /// A user.
    User {
        /// Name.
        name: String,
        /// Password or access token.
        password: String,
    },
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::User { name, .. } => f.debug_struct("User").field("name", name).finish_non_exhaustive(),
        }
    }
}

/// Why what was left by a login cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the credentials for {registry}: {why}")]
pub struct CredentialsError {
    registry: String,
    why: String,
}

impl CredentialsError {
    /// What to do about it.
    pub const HELP: &str = "pass --username and --password-stdin instead";
}

/// Most of a configuration that is read; what is longer is broken then.
const LARGEST: u64 = 16 << 20;

impl Credentials {
    /// What `docker login` has left for this registry in `$DOCKER_CONFIG` or `~/.docker`, its credential helpers
    /// included; else what `podman login` has left; else anonymous.
    ///
    /// # Errors
    ///
    /// When there is a configuration that cannot be read, or its helper fails.
    pub fn of_login(registry: &str) -> Result<Self, CredentialsError> {
        // Docker files its own registry under the address that it had in version 1 of the protocol.
        let server = match registry {
            "docker.io" | "index.docker.io" => "https://index.docker.io/v1/",
            other => other,
        };
        let error = |why: String| CredentialsError { registry: registry.to_owned(), why };
        if let Some(path) = docker_config() {
            match File::open(&path) {
                Ok(file) => {
                    let found = docker_credential::get_credential_from_reader(
                        io::BufReader::new(file.take(LARGEST)),
                        server,
                    );
                    if let Some(found) =
                        take(found).map_err(|why| error(format!("{}: {why}", path.display())))?
                    {
                        return Ok(found);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(error(format!("{}: {e}", path.display()))),
            }
        }
        match docker_credential::get_podman_credential(server) {
            // Its library tells a missing file and a broken one apart no more than this.
            Err(CredentialRetrievalError::ConfigNotFound | CredentialRetrievalError::ConfigReadError) => {
                Ok(Self::Anonymous)
            }
            found => Ok(take(found).map_err(error)?.unwrap_or(Self::Anonymous)),
        }
    }

    pub(crate) fn to_auth(&self) -> RegistryAuth {
        match self {
            Self::Anonymous => RegistryAuth::Anonymous,
            Self::User { name, password } => RegistryAuth::Basic(name.clone(), password.clone()),
        }
    }
}

fn docker_config() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")))?;
    Some(folder.join("config.json"))
}

/// What was found; none when nobody has logged in there. What a helper printed is not passed on: it may be a secret.
fn take(found: Result<DockerCredential, CredentialRetrievalError>) -> Result<Option<Credentials>, String> {
    match found {
        Ok(DockerCredential::UsernamePassword(name, password)) => {
            Ok(Some(Credentials::User { name, password }))
        }
        Ok(DockerCredential::IdentityToken(_)) => {
            Err("the login has left an identity token, which verdikt cannot use".into())
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // The words that Docker's helper protocol prescribes.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. })
            if stdout.contains("credentials not found") =>
        {
            Ok(None)
        }
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            Err(format!("the credential helper {helper} has failed"))
        }
        Err(CredentialRetrievalError::HelperCommunicationError) => {
            Err("its credential helper cannot be started".into())
        }
        Err(CredentialRetrievalError::ConfigReadError) => Err("it is not the JSON that docker writes".into()),
        Err(other) => Err(other.to_string()),
    }
}
