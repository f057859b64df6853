//! What a comparison takes: records, or what it runs itself.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    str::FromStr,
};

use verdikt_model::{ExitCode, Record};
use verdikt_sandbox::Profile;

use crate::{failure::Failure, inputs::read_record};

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Compared {
    /// A record.
    File(PathBuf),
    /// The embedded sandbox with a profile, now.
    Sandbox(String),
    /// The cluster of a kubeconfig context, now.
    Context(String),
}

impl FromStr for Compared {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once(':') {
            Some(("sandbox", profile)) => {
                profile.parse::<Profile>().map_err(|error| error.to_string())?;
                Self::Sandbox(profile.to_owned())
            }
            Some(("context", "")) => return Err("expected context:NAME".into()),
            Some(("context", name)) => Self::Context(name.to_owned()),
            _ => Self::File(text.into()),
        })
    }
}

impl Compared {
    /// How it is told from others.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Sandbox(profile) => format!("sandbox:{profile}"),
            Self::Context(name) => format!("context:{name}"),
        }
    }

    /// Reads the record, or makes one in `folder` by a run with these arguments.
    pub(crate) fn record(&self, number: usize, folder: &Path, args: &[String]) -> Result<Record, Failure> {
        let target: [&str; 2] = match self {
            Self::File(path) => return read_record(path),
            Self::Sandbox(profile) => ["--sandbox", profile],
            Self::Context(name) => ["--context", name],
        };
        let word = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let plain: String = target[1].chars().map(word).take(60).collect();
        let file = folder.join(format!("{number}-{plain}.json"));
        let mut words: Vec<OsString> = vec!["run".into()];
        words.extend(target.map(OsString::from));
        words.extend(["--record".into(), file.clone().into_os_string()]);
        words.extend(args.iter().map(OsString::from));
        run(&self.name(), &words)?;
        read_record(&file)
    }
}

/// Runs this program again. What it prints about results is in the record.
fn run(name: &str, words: &[OsString]) -> Result<(), Failure> {
    let this = std::env::current_exe()
        .map_err(|error| Failure::setup(format!("cannot find verdikt's own file to run {name}: {error}")))?;
    let status = Command::new(this)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| Failure::setup(format!("cannot run {name}: {error}")))?;
    let ended = |code: &&ExitCode| status.code() == Some(u8::from(**code).into());
    match ExitCode::ALL.iter().find(ended).copied() {
        Some(ExitCode::Ok | ExitCode::Differences | ExitCode::Inconclusive) => Ok(()),
        // What it wrote to standard error says why.
        Some(code) => Err(Failure::new(code, format!("the run of {name} did not come to an end"))),
        None => Err(Failure::internal(format!("the run of {name} ended with {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_a_file_unless_it_says_what_to_run() {
        let read = |text: &str| text.parse::<Compared>();
        assert_eq!(read("a.json"), Ok(Compared::File("a.json".into())));
        assert_eq!(read("c:/a.json"), Ok(Compared::File("c:/a.json".into())));
        assert_eq!(read("sandbox:flannel"), Ok(Compared::Sandbox("flannel".into())));
        assert_eq!(read("context:kind"), Ok(Compared::Context("kind".into())));
        assert!(read("sandbox:flanel").unwrap_err().contains("did you mean `flannel`?"));
        assert!(read("context:").is_err());
    }
}
