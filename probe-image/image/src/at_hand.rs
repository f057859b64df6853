//! Which agents there are to make an image of.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{Agent, Architecture, BINARY, NotAnAgent};

/// The agent that the build script has made; empty when it could not.
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/verdikt-probe"));

/// Largest file that is read as an agent; one is a tenth of this even with everything to debug it.
const LARGEST: u64 = 64 << 20;

/// Why there are no agents, or not those that were asked for.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A file that was named cannot be read.
    #[error("cannot read the agent {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A file is larger than any agent.
    #[error("{} cannot be the agent in an image: it is larger than {} MiB", path.display(), LARGEST >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file is no agent.
    #[error(
        "{} cannot be the agent in an image: {source}", path.display()
    )]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NotAnAgent,
    },
    /// A file is for another architecture than it was given for.
    #[error("{} is an agent for {found}, not for {given}", path.display())]
    Mistaken {
        /// The file.
        path: PathBuf,
        /// What the user said.
        given: Architecture,
        /// What the file says.
        found: Architecture,
    },
    /// Two files for one architecture.
    #[error("two agents were given for {0}; an image has one for each architecture")]
    Twice(Architecture),
    /// Nobody has an agent for this architecture.
    #[error(
        "there is no agent for {architecture}: none is built into this verdikt, and none lies beside it as `{BINARY}-{architecture}`"
    )]
    Missing {
        /// Which.
        architecture: Architecture,
    },
}

impl AgentError {
    /// Whether the user has named something wrong; else something is missing from the machine.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Missing { .. })
    }

    /// What to do about it, line by line.
    pub fn help(&self) -> Vec<String> {
        match self {
            Self::Unfit { .. } => how_to_build(Architecture::Amd64).into(),
            Self::Missing { architecture } => {
                let mut lines: Vec<String> = how_to_build(*architecture).into();
                lines.push(format!("and pass `--agent {architecture}=PATH`"));
                lines
            }
            _ => Vec::new(),
        }
    }
}

/// The agents at hand, one for each architecture, in the order of [`Architecture::ALL`].
///
/// For each architecture: the file that was given for it; else the one built in; else `verdikt-probe-<arch>` in
/// `beside`, the folder of the executable. The one built in goes before a file that happens to lie there, since it
/// surely has this verdikt's version. With `only`, exactly these architectures.
///
/// # Errors
///
/// When a file is not what it is said to be, or no agent is there for an architecture of `only`; without `only`,
/// when there is none at all.
pub fn at_hand(
    given: &[(Architecture, PathBuf)],
    beside: Option<&Path>,
    only: &[Architecture],
) -> Result<Vec<Agent>, AgentError> {
    let built_in = built_in()?;
    let mut agents = Vec::new();
    for architecture in Architecture::ALL {
        if !only.is_empty() && !only.contains(&architecture) {
            continue;
        }
        let mut named = given.iter().filter(|(of, _)| *of == architecture).map(|(_, path)| path);
        if let Some(path) = named.next() {
            if named.next().is_some() {
                return Err(AgentError::Twice(architecture));
            }
            agents.push(read(path, architecture)?);
        } else if let Some(agent) = built_in.as_ref().filter(|a| a.architecture() == architecture) {
            agents.push(agent.clone());
        } else if let Some(path) =
            beside.map(|folder| folder.join(format!("{BINARY}-{architecture}"))).filter(|path| path.exists())
        {
            agents.push(read(&path, architecture)?);
        } else if only.contains(&architecture) {
            return Err(AgentError::Missing { architecture });
        }
    }
    if agents.is_empty() {
        let architecture =
            if cfg!(target_arch = "aarch64") { Architecture::Arm64 } else { Architecture::Amd64 };
        return Err(AgentError::Missing { architecture });
    }
    Ok(agents)
}

fn built_in() -> Result<Option<Agent>, AgentError> {
    if EMBEDDED.is_empty() {
        return Ok(None);
    }
    // Whoever packaged this verdikt may have had another file embedded.
    let unfit = |source| AgentError::Unfit { path: "the agent that is built in".into(), source };
    Agent::new(EMBEDDED).map(Some).map_err(unfit)
}

fn read(path: &Path, given: Architecture) -> Result<Agent, AgentError> {
    let path = path.to_owned();
    let mut binary = Vec::new();
    match fs::File::open(&path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut binary)) {
        Ok(_) if binary.len() as u64 <= LARGEST => {}
        Ok(_) => return Err(AgentError::TooLarge { path }),
        Err(source) => return Err(AgentError::Unreadable { path, source }),
    }
    match Agent::new(binary) {
        Err(source) => Err(AgentError::Unfit { path, source }),
        Ok(agent) if agent.architecture() != given => {
            Err(AgentError::Mistaken { path, given, found: agent.architecture() })
        }
        Ok(agent) => Ok(agent),
    }
}

/// The command that makes an agent for an image, run in verdikt's sources.
fn how_to_build(architecture: Architecture) -> [String; 2] {
    let target = match architecture {
        Architecture::Amd64 => "x86_64",
        Architecture::Arm64 => "aarch64",
    };
    [
        "build one in verdikt's sources, with the C library's static archive (libc6-dev, glibc-static):"
            .into(),
        format!(
            "RUSTFLAGS=\"-C target-feature=+crt-static -C relocation-model=static\" cargo build --locked \
             --profile probe -p {BINARY} --target {target}-unknown-linux-gnu"
        ),
    ]
}

#[cfg(test)]
mod tests {
    use elf::abi::{EM_AARCH64, EM_X86_64, PT_LOAD};

    use super::*;
    use crate::agent::tests::executable;

    #[test]
    fn given_files_go_before_those_beside_the_executable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, executable(EM_X86_64, &[PT_LOAD, PT_LOAD])).unwrap();
        fs::write(folder.path().join("verdikt-probe-arm64"), executable(EM_AARCH64, &[PT_LOAD])).unwrap();
        let given = [(Architecture::Amd64, path)];
        let agents = at_hand(&given, Some(folder.path()), &[]).unwrap();
        let found: Vec<_> = agents.iter().map(Agent::architecture).collect();
        assert_eq!(found, Architecture::ALL);
        assert_eq!(agents[0].binary().len(), executable(EM_X86_64, &[PT_LOAD, PT_LOAD]).len());
        let only = at_hand(&given, Some(folder.path()), &[Architecture::Arm64]).unwrap();
        assert_eq!(only.len(), 1);
        assert_eq!(only[0].architecture(), Architecture::Arm64);
    }

    #[test]
    fn mistakes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        fs::write(&path, executable(EM_X86_64, &[PT_LOAD])).unwrap();
        let error = |given: &[(Architecture, PathBuf)], only: &[Architecture]| {
            let error = at_hand(given, Some(folder.path()), only).unwrap_err();
            (error.is_usage(), format!("{error} {}", error.help().join(" ")))
        };
        let (usage, text) = error(&[(Architecture::Arm64, path.clone())], &[]);
        assert!(usage && text.trim().ends_with("agent is an agent for amd64, not for arm64"), "{text}");
        let twice = [(Architecture::Amd64, path.clone()), (Architecture::Amd64, path)];
        assert!(error(&twice, &[]).1.contains("two agents"));
        let (usage, text) = error(&[], &[Architecture::Arm64, Architecture::Amd64]);
        assert!(!usage, "{text}");
        assert!(text.contains("--target aarch64-unknown-linux-gnu"), "{text}");
        assert!(text.contains("--agent arm64=PATH"), "{text}");
    }
}
