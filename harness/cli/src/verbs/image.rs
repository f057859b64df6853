//! `verdikt image save|push|list`

use std::path::{Path, PathBuf};

use serde_json::json;
use verdikt_cluster::DEFAULT_IMAGE;
use verdikt_image::{
    AgentError, Credentials, CredentialsError, Image, Reference, Registry, Transport, at_hand,
};
use verdikt_model::ExitCode;
use verdikt_report::json_text;

use crate::{
    args::{Agents, ImageVerb, Push, ShortFormat},
    failure::{Failure, Outcome},
    inputs::{apart, password},
    terminal,
    ui::Ui,
    written::Output,
};

pub(super) async fn image(verb: ImageVerb, ui: Ui) -> Outcome {
    match verb {
        ImageVerb::Save { output, tag, agents } => apart(move || save(&output, tag, &agents, ui)).await,
        ImageVerb::Push(args) => push(args, ui).await,
        ImageVerb::List { output, agents } => apart(move || list(output, &agents)).await,
    }
}

fn save(output: &Path, tag: Option<Reference>, agents: &Agents, ui: Ui) -> Outcome {
    let to_stdout = output == "-";
    if to_stdout && terminal::is_terminal() {
        return Err(Failure::usage("an archive is nothing for a terminal: name a file with -o, or redirect"));
    }
    let file = (!to_stdout).then(|| Output::new("--output", output)).transpose()?;
    if let Some(file) = &file {
        let read: Vec<PathBuf> = agents.agents.iter().map(|(_, path)| path.clone()).collect();
        file.is_none_of(&read)?;
    }
    let image = build(agents).map_err(failure)?;
    let name = tag.unwrap_or_else(default_name);
    let archive = image.archive(&name);
    match file {
        Some(mut file) => file.write(&archive)?,
        None => terminal::print_bytes(&archive),
    }
    ui.remark(&format!(
        "{name}, {}, {:.1} MiB, {}",
        platforms(&image).join(" "),
        archive.len() as f64 / f64::from(1 << 20),
        image.digest()
    ));
    Ok(ExitCode::Ok)
}

async fn push(args: Push, ui: Ui) -> Outcome {
    let (image, credentials, args) = apart(move || {
        let image = build(&args.agents).map_err(failure)?;
        let credentials = match &args.username {
            Some(user) => Credentials::User { name: user.clone(), password: password()? },
            None => Credentials::of_login(args.reference.registry())
                .map_err(|error| Failure::setup(&error).help(CredentialsError::HELP))?,
        };
        Ok((image, credentials, args))
    })
    .await?;
    let name = &args.reference;
    let transport = match (args.plain_http, args.insecure) {
        (true, _) => Transport::Plain,
        (false, true) => Transport::Insecure,
        (false, false) => Transport::Auto,
    };
    ui.remark(&format!("pushing {name}, {}", platforms(&image).join(" ")));
    let registry = Registry { transport, credentials };
    registry.push(&image, name).await.map_err(|error| Failure::setup(&error).help(&error.help))?;
    terminal::print(&format!("{name}@{}\n", image.digest()));
    Ok(ExitCode::Ok)
}

fn list(format: ShortFormat, agents: &Agents) -> Outcome {
    // The names are worth printing where there is no agent, too; but not what the user got wrong.
    let image = match build(agents) {
        Ok(image) => Some(image),
        Err(AgentError::Missing { .. }) if agents.only.is_empty() => None,
        Err(error) => return Err(failure(error)),
    };
    terminal::print(&match format {
        ShortFormat::Human => format!("{DEFAULT_IMAGE}\n"),
        ShortFormat::Json => {
            let entry = json!({
                "reference": DEFAULT_IMAGE,
                "digest": image.as_ref().map(Image::digest),
                "platforms": image.as_ref().map(platforms),
            });
            json_text(&json!({ "images": [entry] })) + "\n"
        }
    });
    Ok(ExitCode::Ok)
}

fn build(agents: &Agents) -> Result<Image, AgentError> {
    let executable = std::env::current_exe().ok();
    let beside = executable.as_deref().and_then(Path::parent);
    let agents = at_hand(&agents.agents, beside, &agents.only)?;
    Ok(Image::new(&agents, env!("CARGO_PKG_VERSION")))
}

fn failure(error: AgentError) -> Failure {
    let failure = if error.is_usage() { Failure::usage(&error) } else { Failure::setup(&error) };
    error.help().into_iter().fold(failure, Failure::help)
}

fn default_name() -> Reference {
    DEFAULT_IMAGE.parse().expect("the default image has a valid name")
}

/// `linux/amd64`
fn platforms(image: &Image) -> Vec<String> {
    image.architectures().iter().map(|architecture| format!("linux/{architecture}")).collect()
}
