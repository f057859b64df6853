//! `verdikt image save|push|list`

use std::{
    fs,
    io::{IsTerminal, Read, Write},
    path::Path,
};

use serde_json::json;
use verdikt_cluster::DEFAULT_IMAGE;
use verdikt_image::{AgentError, Credentials, Image, PushError, Reference, Registry, Transport, at_hand};
use verdikt_model::ExitCode;
use verdikt_report::escape;

use crate::{
    args::{Agents, ImageVerb, Push, ShortFormat},
    failure::{Failure, Outcome},
    ui::Ui,
};

pub(super) async fn image(verb: ImageVerb, ui: Ui) -> Outcome {
    match verb {
        ImageVerb::Save { output, tag, agents } => save(&output, tag, &agents, ui),
        ImageVerb::Push(args) => push(&args, ui).await,
        ImageVerb::List { output, agents } => list(output, &agents),
    }
}

fn save(output: &Path, tag: Option<Reference>, agents: &Agents, ui: Ui) -> Outcome {
    let to_stdout = output == "-";
    if to_stdout && std::io::stdout().is_terminal() {
        return Err(Failure::usage("an archive is nothing for a terminal: name a file with -o, or redirect"));
    }
    let image = build(agents).map_err(failure)?;
    let name = tag.unwrap_or_else(default_name);
    let archive = image.archive(&name);
    if to_stdout {
        std::io::stdout().lock().write_all(&archive)?;
    } else {
        fs::write(output, &archive)
            .map_err(|e| Failure::usage(format!("cannot write {}: {e}", output.display())))?;
    }
    ui.remark(&format!(
        "{name}, {}, {:.1} MiB, {}",
        platforms(&image).join(" "),
        archive.len() as f64 / f64::from(1 << 20),
        image.digest()
    ));
    Ok(ExitCode::Ok)
}

async fn push(args: &Push, ui: Ui) -> Outcome {
    let image = build(&args.agents).map_err(failure)?;
    let name = &args.reference;
    let credentials = match &args.username {
        Some(user) => Credentials::User { name: user.clone(), password: password()? },
        None => Credentials::of_login(name.registry()).map_err(Failure::setup)?,
    };
    let transport = match (args.plain_http, args.insecure) {
        (true, _) => Transport::Plain,
        (false, true) => Transport::Insecure,
        (false, false) => Transport::Auto,
    };
    ui.remark(&format!("pushing {name}, {}", platforms(&image).join(" ")));
    let registry = Registry { transport, credentials };
    registry.push(&image, name).await.map_err(|PushError { registry, said, help }| {
        Failure::setup(PushError { said: escape(&said).into_owned(), registry, help })
    })?;
    writeln!(std::io::stdout().lock(), "{name}@{}", image.digest())?;
    Ok(ExitCode::Ok)
}

fn list(format: ShortFormat, agents: &Agents) -> Outcome {
    // The names are worth printing where there is no agent, too; but not what the user got wrong.
    let image = match build(agents) {
        Ok(image) => Some(image),
        Err(AgentError::Missing { .. }) if agents.only.is_empty() => None,
        Err(error) => return Err(failure(error)),
    };
    let mut out = std::io::stdout().lock();
    match format {
        ShortFormat::Human => writeln!(out, "{DEFAULT_IMAGE}")?,
        ShortFormat::Json => {
            let entry = json!({
                "reference": DEFAULT_IMAGE,
                "digest": image.as_ref().map(Image::digest),
                "platforms": image.as_ref().map(platforms),
            });
            writeln!(out, "{:#}", json!({ "images": [entry] }))?;
        }
    }
    Ok(ExitCode::Ok)
}

fn build(agents: &Agents) -> Result<Image, AgentError> {
    let executable = std::env::current_exe().ok();
    let beside = executable.as_deref().and_then(Path::parent);
    let agents = at_hand(&agents.agents, beside, &agents.only)?;
    Ok(Image::new(&agents, env!("CARGO_PKG_VERSION")))
}

fn failure(error: AgentError) -> Failure {
    if error.is_usage() { Failure::usage(error) } else { Failure::setup(error) }
}

fn default_name() -> Reference {
    DEFAULT_IMAGE.parse().expect("the default image has a valid name")
}

/// `linux/amd64`
fn platforms(image: &Image) -> Vec<String> {
    image.architectures().iter().map(|architecture| format!("linux/{architecture}")).collect()
}

/// Standard input without the line break that `echo` has put at its end.
fn password() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(|e| Failure::usage(format!("cannot read the password from standard input: {e}")))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::usage("--password-stdin: standard input has no password"));
    }
    Ok(password.to_owned())
}
