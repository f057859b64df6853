//! Arguments of `verdikt image`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use verdikt_image::{Architecture, Reference};

use super::ShortFormat;

/// `verdikt image`
#[derive(Debug, Args)]
pub(crate) struct Image {
    #[command(subcommand)]
    pub(crate) verb: ImageVerb,
}

/// `verdikt image …`
#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// Write the image as an archive for docker load, ctr images import, kind load image-archive, podman load.
    Save {
        /// File to write; `-` is standard output.
        #[arg(short = 'o', long = "output", value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
        output: PathBuf,
        /// Name that the image has in the archive; by default that of `verdikt image list`.
        #[arg(short = 't', long = "tag", value_name = "REF", value_parser = tagged)]
        tag: Option<Reference>,
        #[command(flatten)]
        agents: Agents,
    },
    /// Push the image to a registry and print its reference with digest.
    Push(Push),
    /// Print the references of the images that verdikt needs in a cluster, for mirroring.
    List {
        /// Form: human (one reference a line) or json, with digest and platforms of what `save` writes.
        #[arg(short = 'o', long = "output", value_enum, default_value = "human", value_name = "FORMAT")]
        output: ShortFormat,
        #[command(flatten)]
        agents: Agents,
    },
}

/// `verdikt image push`
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// Where to: `registry/repository:tag`.
    #[arg(value_name = "REF", value_parser = tagged)]
    pub(crate) reference: Reference,
    #[command(flatten)]
    pub(crate) agents: Agents,
    /// User at the registry; by default, whom `docker login` or `podman login` has left.
    #[arg(long, value_name = "NAME", help_heading = "Registry", requires = "password_stdin")]
    pub(crate) username: Option<String>,
    /// Read the user's password or access token from standard input.
    #[arg(long, help_heading = "Registry", requires = "username")]
    pub(crate) password_stdin: bool,
    /// Take whatever certificate the registry shows.
    #[arg(long, help_heading = "Registry", conflicts_with = "plain_http")]
    pub(crate) insecure: bool,
    /// Speak plain HTTP. A registry on this machine needs neither this nor --insecure.
    #[arg(long, help_heading = "Registry")]
    pub(crate) plain_http: bool,
}

/// What the image is made of.
#[derive(Debug, Args)]
pub(crate) struct Agents {
    /// Static agent for an architecture (amd64, arm64); may be given once for each. By default the one that is built
    /// in, and `verdikt-probe-ARCH` beside this executable.
    #[arg(long = "agent", value_name = "ARCH=PATH", value_parser = agent, value_hint = ValueHint::FilePath)]
    pub(crate) agents: Vec<(Architecture, PathBuf)>,
    /// Exactly these architectures; by default all whose agent is at hand.
    #[arg(long = "arch", value_name = "ARCH", value_delimiter = ',')]
    pub(crate) only: Vec<Architecture>,
}

fn agent(text: &str) -> Result<(Architecture, PathBuf), String> {
    let (architecture, path) =
        text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or("expected ARCH=PATH")?;
    Ok((architecture.parse()?, path.into()))
}

/// A reference that can be given to something new: the digest of that is not the user's to choose.
fn tagged(text: &str) -> Result<Reference, String> {
    let reference: Reference = text.parse().map_err(|e| format!("{e}"))?;
    if reference.digest().is_some() {
        return Err("expected a name with a tag; the digest follows from the contents".into());
    }
    Ok(reference)
}
